#include "stack/ip4.h"

#include <string.h>

#include "stack/frame.h"

enum { VERSION_AND_WORDS = 0x45, CSUM_AT = 10, SRC_AT = 12, DST_AT = 16 };

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void ip4_read(const uint8_t ip[static IP4_HEADER_BYTES], struct ip4_header *out_header)
{
    *out_header = (struct ip4_header){
        .tos = ip[1],
        .total_bytes = be16(ip + 2),
        .id = be16(ip + 4),
        .fragment = be16(ip + 6),
        .ttl = ip[8],
        .proto = ip[9],
        .src = addr_from_v4(ip + SRC_AT),
        .dst = addr_from_v4(ip + DST_AT),
    };
}

void ip4_write(const struct ip4_header *header, uint8_t out[static IP4_HEADER_BYTES])
{
    uint16_t sum;

    out[0] = VERSION_AND_WORDS;
    out[1] = header->tos;
    put16(out + 2, header->total_bytes);
    put16(out + 4, header->id);
    put16(out + 6, header->fragment);
    out[8] = header->ttl;
    out[9] = header->proto;
    put16(out + CSUM_AT, 0);
    memcpy(out + SRC_AT, header->src.bytes, 4);
    memcpy(out + DST_AT, header->dst.bytes, 4);
    sum = frame_sum_fold(frame_sum(out, IP4_HEADER_BYTES, 0));
    memcpy(out + CSUM_AT, &sum, sizeof(sum)); /* frame_sum() works on bytes as they lie in memory */
}
