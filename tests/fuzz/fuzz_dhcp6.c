/* A message of the guest's: an answer is a reply to it, of whole options, and no question itself. */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "stack/dhcp6.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[DHCP6_REPLY_BYTES_MAX], none[DHCP6_REPLY_BYTES_MAX];
    static const struct guest_config config = {.search = "\3lab", .search_len = 5, .lease_s = 3600,
        .gateway_mac = {0x52, 0x55, 0x0a, 0, 0, 1}, .net6 = {{ADDR_V6, {0xfd, [3] = 0x77}}, 64},
        .guest6 = {ADDR_V6, {0xfd, [3] = 0x77, [15] = 2}}};
    const struct addr src = {ADDR_V6, {0xfe, 0x80, [15] = 2}};
    struct dhcp6_reply reply;
    size_t at = 4;
    int r = dhcp6_answer(&config, data, size, &src, out, &reply);

    CHECK(r == 0 || r == 1 || r == -EBADMSG);
    if (r != 1)
        return 0;
    CHECK(reply.len <= sizeof(out) && addr_equal(&reply.dst, &src) && memcmp(out + 1, data + 1, 3) == 0);
    CHECK(out[0] == 7 || (out[0] == 2 && data[0] == 1));
    while (at + 4 <= reply.len)
        at += 4u + (size_t)(out[at + 2] << 8 | out[at + 3]);
    CHECK(at == reply.len);
    CHECK(dhcp6_answer(&config, out, reply.len, &src, none, &reply) == -EBADMSG);
    return 0;
}
