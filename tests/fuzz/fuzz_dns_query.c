/* Every query that gets an answer gets one in its bounds, with its question byte for byte; a name is canonical. */
#include <string.h>

#include "base/check.h"
#include "policy/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_reply reply = {.rcode = DNS_NXDOMAIN, .ede = DNS_EDE_BLOCKED, .ttl_s = 5, .soa = true};
    uint8_t out[DNS_UDP_BYTES_MAX];
    char name[NAME_TEXT_MAX + 1];
    struct dns_query q;
    struct addr addr;
    int len;

    if (dns_query_read(data, size, &q) == DNS_QUERY_DROP)
        return 0;
    CHECK(q.udp_bytes_max >= 512 && q.udp_bytes_max <= DNS_UDP_BYTES_MAX && q.qname_len <= 255);
    len = dns_reply_write(out, sizeof(out), q.udp_bytes_max, &q, &reply);
    CHECK(len >= 12 && len <= q.udp_bytes_max && memcmp(out, data, 2) == 0);
    CHECK(q.qname_len == 0 || memcmp(out + 12, data + 12, q.qname_len + 4u) == 0);
    CHECK(q.name[0] == '\0' || name_canonical(q.name, strlen(q.name), name) == (int)strlen(q.name));
    (void)dns_ptr_addr(q.name, &addr);
    return 0;
}
