#include "stack/icmp4.h"

#include <string.h>

#include "base/check.h"
#include "stack/ip4.h"

enum {
    ICMP_HEADER_BYTES = 8,
    QUOTE_BYTES_MAX = ICMP4_ERROR_BYTES_MAX - IP4_HEADER_BYTES - ICMP_HEADER_BYTES,
    ICMP_CSUM_AT = 2,
    ICMP_MTU_AT = 6, /* RFC 1191 section 4 */
    ICMP_ECHO_REPLY = 0,
    ICMP_UNREACHABLE = 3,
    TOS_CONTROL = 0xc0, /* RFC 1812 section 4.3.2.5: internetwork control */
};

void icmp4_put_sum(uint8_t *icmp, size_t len)
{
    uint16_t sum;

    memset(icmp + ICMP_CSUM_AT, 0, sizeof(sum));
    sum = frame_sum_fold(frame_sum(icmp, len, 0));
    memcpy(icmp + ICMP_CSUM_AT, &sum, sizeof(sum)); /* frame_sum() works on bytes as they lie in memory */
}

int icmp4_echo_reply(struct frame *f)
{
    struct ip4_header header;

    if (f->kind != FRAME_IPV4 || f->proto != FRAME_PROTO_ICMP || f->l4_bytes < ICMP_HEADER_BYTES ||
        f->l4[0] != ICMP4_ECHO || f->l4[1] != 0)
        return 0;
    CHECK(f->l4 == f->ip + IP4_HEADER_BYTES && f->ip_bytes == IP4_HEADER_BYTES + f->l4_bytes);
    f->l4[0] = ICMP_ECHO_REPLY;
    icmp4_put_sum(f->l4, f->l4_bytes);
    ip4_read(f->ip, &header);
    header.src = f->dst;
    header.dst = f->src;
    header.ttl = IP4_TTL;
    ip4_write(&header, f->ip);
    return 1;
}

size_t icmp4_unreachable(const uint8_t *quoted, size_t quoted_len, const struct addr *from,
                         const struct addr *to, uint8_t code, uint16_t mtu, uint8_t *out)
{
    struct ip4_header header = {
        .tos = TOS_CONTROL,
        .ttl = IP4_TTL,
        .proto = FRAME_PROTO_ICMP,
        .src = *from,
        .dst = *to,
    };
    uint8_t *icmp = out + IP4_HEADER_BYTES;

    if (quoted_len > QUOTE_BYTES_MAX)
        quoted_len = QUOTE_BYTES_MAX;
    header.total_bytes = (uint16_t)(IP4_HEADER_BYTES + ICMP_HEADER_BYTES + quoted_len);
    ip4_write(&header, out);
    memset(icmp, 0, ICMP_HEADER_BYTES);
    icmp[0] = ICMP_UNREACHABLE;
    icmp[1] = code;
    icmp[ICMP_MTU_AT] = (uint8_t)(mtu >> 8);
    icmp[ICMP_MTU_AT + 1] = (uint8_t)mtu;
    if (quoted_len > 0)
        memcpy(icmp + ICMP_HEADER_BYTES, quoted, quoted_len);
    icmp4_put_sum(icmp, ICMP_HEADER_BYTES + quoted_len);
    return header.total_bytes;
}
