#include "stack/icmp6.h"

#include <string.h>

#include "base/check.h"

enum {
    ICMP_HEADER_BYTES = 8,
    ICMP_CSUM_AT = 2,
    ICMP_MTU_AT = 4,
    QUOTE_BYTES_MAX = ICMP6_ERROR_BYTES_MAX - IP6_HEADER_BYTES - ICMP_HEADER_BYTES,
};

void icmp6_put_sum(uint8_t *icmp, size_t len, const struct addr *src, const struct addr *dst)
{
    uint16_t sum;

    memset(icmp + ICMP_CSUM_AT, 0, sizeof(sum));
    sum = frame_sum_fold(frame_sum(icmp, len, frame_sum_pseudo(src, dst, FRAME_PROTO_ICMPV6, (uint32_t)len)));
    memcpy(icmp + ICMP_CSUM_AT, &sum, sizeof(sum)); /* frame_sum() works on bytes as they lie in memory */
}

int icmp6_echo_reply(struct frame *f)
{
    struct ip6_header header;

    if (f->kind != FRAME_IPV6 || f->proto != FRAME_PROTO_ICMPV6 || f->l4_bytes < ICMP_HEADER_BYTES ||
        f->l4[0] != ICMP6_ECHO || f->l4[1] != 0)
        return 0;
    CHECK(f->l4 == f->ip + IP6_HEADER_BYTES && f->ip_bytes == IP6_HEADER_BYTES + f->l4_bytes);
    f->l4[0] = ICMP6_ECHO_REPLY;
    icmp6_put_sum(f->l4, f->l4_bytes, &f->dst, &f->src);
    header = (struct ip6_header){
        .next = FRAME_PROTO_ICMPV6,
        .hop_limit = IP6_HOP_LIMIT,
        .payload_bytes = (uint16_t)f->l4_bytes,
        .src = f->dst,
        .dst = f->src,
    };
    ip6_write(&header, f->ip);
    return 1;
}

size_t icmp6_error(const uint8_t *quoted, size_t quoted_len, const struct addr *from, const struct addr *to,
                   uint8_t type, uint8_t code, uint32_t mtu, uint8_t *out)
{
    uint8_t *icmp = out + IP6_HEADER_BYTES;
    struct ip6_header header = {
        .next = FRAME_PROTO_ICMPV6,
        .hop_limit = IP6_HOP_LIMIT,
        .src = *from,
        .dst = *to,
    };

    if (quoted_len > QUOTE_BYTES_MAX)
        quoted_len = QUOTE_BYTES_MAX;
    header.payload_bytes = (uint16_t)(ICMP_HEADER_BYTES + quoted_len);
    ip6_write(&header, out);
    memset(icmp, 0, ICMP_HEADER_BYTES);
    icmp[0] = type;
    icmp[1] = code;
    for (int i = 0; i < 4; i++)
        icmp[ICMP_MTU_AT + i] = (uint8_t)(mtu >> (24 - 8 * i));
    if (quoted_len > 0)
        memcpy(icmp + ICMP_HEADER_BYTES, quoted, quoted_len);
    icmp6_put_sum(icmp, header.payload_bytes, from, to);
    return IP6_HEADER_BYTES + (size_t)header.payload_bytes;
}
