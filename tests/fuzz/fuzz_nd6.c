/* An IPv6 packet, the settings in its flow label: an answer is whole, and no claim is on what is ours. */
#include <errno.h>

#include "base/check.h"
#include "stack/nd6.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct guest guest = {.config = {.mtu = 1500, .search = "\3lab", .search_len = 5,
        .net6 = {{ADDR_V6, {0xfd, [3] = 0x77}}, 64}, .gateway6 = {ADDR_V6, {0xfd, [3] = 0x77, [15] = 1}},
        .guest6 = {ADDR_V6, {0xfd, [3] = 0x77, [15] = 2}}, .router6 = {ADDR_V6, {0xfe, 0x80, [15] = 1}},
        .alias6 = {ADDR_V6, {0xfd, [3] = 0x77, [12] = 0xff, 0xff, 0xff, 0xfe}}}};
    uint8_t *ip = (uint8_t *)(uintptr_t)data, out[ND6_BYTES_MAX]; /* which nobody writes */
    struct nd6_reply reply;

    if (size < 48 || size > 1500)
        return 0;
    guest.alias_open = ip[3] & 1;
    guest.config.slaac = ip[3] & 2;
    int r = nd6_answer(&guest, &(struct frame){.src_mac = (const uint8_t *)"\x5a\x94\xef\xe4\x0c\xee",
        .ip = ip, .src = addr_from_v6(ip + 8), .dst = addr_from_v6(ip + 24), .l4 = ip + 40,
        .l4_bytes = (uint32_t)size - 40}, out, &reply);
    CHECK(r == 0 || r == 1 || r == -EBADMSG || r == -EPERM);
    CHECK(r != 0 || !reply.claims.family || nd6_may_claim(&guest.config, &reply.claims));
    CHECK(r != 1 || (reply.len == 40u + (out[4] << 8 | out[5]) && (out[40] == 134 || out[40] == 136)));
    return 0;
}
