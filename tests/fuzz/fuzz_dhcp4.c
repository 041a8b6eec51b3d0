/* A message from its chaddr's frame: an answer is a reply to it, of a size every link and client takes. */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "stack/dhcp4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct guest_config config = {.hostname = "vm1", .mtu = 1500, .search = "\3lab", .search_len = 5};
    const struct addr src = {.family = ADDR_V4};
    uint8_t mac[FRAME_MAC_BYTES] = {0}, out[DHCP4_REPLY_BYTES_MAX];
    struct dhcp4_reply reply;
    int r;

    config.net4 = (struct addr_prefix){.base = addr_v4(0xc0a87f00), .bits = 24};
    config.gateway4 = addr_v4(0xc0a87f01);
    config.guest4 = addr_v4(0xc0a87f02);
    if (size >= 34)
        memcpy(mac, data + 28, sizeof(mac));
    r = dhcp4_answer(&config, data, size, &src, mac, out, &reply);
    CHECK(r == 0 || r == 1 || r == -EBADMSG);
    CHECK(r != 1 || (reply.len >= 300 && reply.len <= 548 && out[0] == 2));
    CHECK(r != 1 || memcmp(out + 4, data + 4, 4) == 0);
    CHECK(r != 1 || addr_equal(&reply.dst, &config.guest4) || addr_to_v4(&reply.dst) == UINT32_MAX);
    return 0;
}
