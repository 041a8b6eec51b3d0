/* Records in an answer to `ok.example`, of the type it asks itself: told on, they read as the same, and nothing is left to cut. */
#include <string.h>

#include "base/check.h"
#include "policy/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_answer a, again;
    static uint8_t out[DNS_MESSAGE_BYTES_MAX];
    struct dns_query q = {.klass = 1, .flags = 0x0100, .qname = "\2ok\7example", .qname_len = 12};
    struct dns_reply reply = {.ede = DNS_EDE_NONE, .answer = &a, .soa = true};
    int len;

    if (size < 26)
        return 0;
    q.id = (uint16_t)(data[0] << 8 | data[1]);
    q.type = (uint16_t)(data[24] << 8 | data[25]);
    if (dns_answer_read(data, size, q.id, "ok.example", q.type, &a) < 0 || a.rcode != DNS_NOERROR)
        return 0;
    CHECK(a.record_count <= DNS_RECORDS_MAX && a.records_len <= sizeof(a.records));
    reply.soa = a.record_count == 0;
    len = dns_reply_write(out, sizeof(out), sizeof(out), &q, &reply);
    CHECK(len > 0 && dns_answer_read(out, (size_t)len, q.id, "ok.example", q.type, &again) == 0);
    CHECK(again.record_count == a.record_count && again.records_len == a.records_len && !again.cut && !again.truncated);
    CHECK(memcmp(again.records, a.records, a.records_len) == 0);
    return 0;
}
