#include "stack/icmp4.h"

#include <string.h>

#include "base/check.h"

enum {
    IP_HEADER_BYTES = 20, /* options never get here */
    ICMP_HEADER_BYTES = 8,
    QUOTE_BYTES_MAX = ICMP4_ERROR_BYTES_MAX - IP_HEADER_BYTES - ICMP_HEADER_BYTES,
    IP_CSUM_AT = 10,
    ICMP_CSUM_AT = 2,
    ICMP_MTU_AT = 6, /* RFC 1191 section 4 */
    ICMP_ECHO_REPLY = 0,
    ICMP_UNREACHABLE = 3,
    ICMP_ECHO = 8,
    TTL = 64,
    TOS_CONTROL = 0xc0, /* RFC 1812 section 4.3.2.5: internetwork control */
};

static void put_sum(uint8_t *field, const uint8_t *bytes, size_t len)
{
    uint16_t sum;

    memset(field, 0, sizeof(sum));
    sum = frame_sum_fold(frame_sum(bytes, len, 0));
    memcpy(field, &sum, sizeof(sum)); /* frame_sum() works on bytes as they lie in memory */
}

int icmp4_echo_reply(struct frame *f)
{
    struct addr asked = f->dst;

    if (f->kind != FRAME_IPV4 || f->proto != FRAME_PROTO_ICMP || f->l4_bytes < ICMP_HEADER_BYTES ||
        f->l4[0] != ICMP_ECHO || f->l4[1] != 0)
        return 0;
    CHECK(f->l4 == f->ip + IP_HEADER_BYTES && f->ip_bytes == IP_HEADER_BYTES + f->l4_bytes);
    f->l4[0] = ICMP_ECHO_REPLY;
    put_sum(f->l4 + ICMP_CSUM_AT, f->l4, f->l4_bytes);
    f->dst = f->src;
    f->src = asked;
    f->ttl = TTL;
    memcpy(f->ip + 12, f->src.bytes, 4);
    memcpy(f->ip + 16, f->dst.bytes, 4);
    f->ip[8] = TTL;
    put_sum(f->ip + IP_CSUM_AT, f->ip, IP_HEADER_BYTES);
    return 1;
}

size_t icmp4_unreachable(const uint8_t *quoted, size_t quoted_len, const struct addr *from,
                         const struct addr *to, uint8_t code, uint16_t mtu, uint8_t *out)
{
    uint8_t *icmp = out + IP_HEADER_BYTES;
    size_t total;

    if (quoted_len > QUOTE_BYTES_MAX)
        quoted_len = QUOTE_BYTES_MAX;
    total = IP_HEADER_BYTES + ICMP_HEADER_BYTES + quoted_len;
    memset(out, 0, IP_HEADER_BYTES + ICMP_HEADER_BYTES);
    out[0] = 0x45;
    out[1] = TOS_CONTROL;
    out[2] = (uint8_t)(total >> 8);
    out[3] = (uint8_t)total;
    out[8] = TTL;
    out[9] = FRAME_PROTO_ICMP;
    memcpy(out + 12, from->bytes, 4);
    memcpy(out + 16, to->bytes, 4);
    put_sum(out + IP_CSUM_AT, out, IP_HEADER_BYTES);

    icmp[0] = ICMP_UNREACHABLE;
    icmp[1] = code;
    icmp[ICMP_MTU_AT] = (uint8_t)(mtu >> 8);
    icmp[ICMP_MTU_AT + 1] = (uint8_t)mtu;
    if (quoted_len > 0)
        memcpy(icmp + ICMP_HEADER_BYTES, quoted, quoted_len);
    put_sum(icmp + ICMP_CSUM_AT, icmp, ICMP_HEADER_BYTES + quoted_len);
    return total;
}
