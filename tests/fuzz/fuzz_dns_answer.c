/* An answer to `ok.example A`: no more addresses than fit, each of the family and once, and none of a refusal. */
#include "base/check.h"
#include "policy/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint16_t id = size < 2 ? 0 : (uint16_t)(data[0] << 8 | data[1]);
    struct dns_answer a;

    if (dns_answer_read(data, size, id, "ok.example", DNS_TYPE_A, &a) < 0)
        return 0;
    CHECK(a.addr_count <= DNS_ADDRS_MAX && a.ttl_s <= INT32_MAX);
    CHECK((a.rcode == DNS_NOERROR && !a.truncated) || a.addr_count == 0);
    for (size_t i = 0; i < a.addr_count; i++) {
        CHECK(a.addrs[i].family == ADDR_V4);
        for (size_t j = 0; j < i; j++)
            CHECK(!addr_equal(&a.addrs[i], &a.addrs[j]));
    }
    /* Nothing but what is counted, and all of that. */
    CHECK(a.truncated || dns_answer_read(data, size - 1, id, "ok.example", DNS_TYPE_A, &a) < 0);
    return 0;
}
