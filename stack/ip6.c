#include "stack/ip6.h"

#include <string.h>

#include "base/check.h"

enum { SRC_AT = 8, DST_AT = 24, MORE_FRAGMENTS = 1 };

void ip6_write(const struct ip6_header *header, uint8_t out[static IP6_HEADER_BYTES])
{
    out[0] = (uint8_t)(6 << 4 | header->traffic_class >> 4);
    out[1] = (uint8_t)(header->traffic_class << 4);
    out[2] = 0;
    out[3] = 0;
    out[4] = (uint8_t)(header->payload_bytes >> 8);
    out[5] = (uint8_t)header->payload_bytes;
    out[6] = header->next;
    out[7] = header->hop_limit;
    memcpy(out + SRC_AT, header->src.bytes, 16);
    memcpy(out + DST_AT, header->dst.bytes, 16);
}

void ip6_write_fragment(uint8_t next, uint32_t offset_bytes, bool more, uint32_t id,
                        uint8_t out[static IP6_FRAGMENT_BYTES])
{
    CHECK(offset_bytes % 8 == 0 && offset_bytes <= UINT16_MAX);
    out[0] = next;
    out[1] = 0;
    out[2] = (uint8_t)(offset_bytes >> 8);
    out[3] = (uint8_t)(offset_bytes | (more ? MORE_FRAGMENTS : 0));
    for (int i = 0; i < 4; i++)
        out[4 + i] = (uint8_t)(id >> (24 - 8 * i));
}
