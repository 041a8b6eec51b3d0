/* The channel's header in ten bytes, then a frame: no pointer of one that was taken leaves it. */
#include <string.h>

#include "base/check.h"
#include "stack/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[FRAME_BYTES_MAX + 1];
    struct frame_offload offload;
    struct frame f;
    bool nop;

    if (size < 10 || size - 10 > sizeof(bytes))
        return 0;
    offload = (struct frame_offload){data[0] & 1, data[0] & 2, data[1],
        (uint16_t)(data[2] | data[3] << 8), (uint16_t)(data[4] | data[5] << 8),
        (uint16_t)(data[6] | data[7] << 8), (uint16_t)(data[8] | data[9] << 8)};
    size -= 10;
    uint8_t *frame = memcpy(bytes + sizeof(bytes) - size, data + 10, size); /* a sanitizer watches its end */
    if (frame_read(frame, size, &offload, &f) != 0 || f.kind == FRAME_ARP)
        return 0;
    size_t header = f.kind == FRAME_IPV4 ? 20 : f.fragment ? 48 : 40;
    if (f.group_report)
        header = f.kind == FRAME_IPV4 ? (f.ip[0] & 15) * 4u : 48;
    CHECK(f.l4 == frame + FRAME_ETH_BYTES + header && f.l4 + f.l4_bytes <= frame + size);
    if (!f.fragment && !f.group_report && frame_read_l4(&f, &offload, &nop) == 0)
        CHECK(f.payload >= f.l4 + 8 && f.payload + f.payload_bytes == f.l4 + f.l4_bytes &&
              f.l4 + f.l4_bytes <= f.ip + f.ip_bytes && f.ip + f.ip_bytes <= frame + size);
    return 0;
}
