/*
 * Transport headers of a whole datagram (stack/frame.h).
 */
#include "stack/frame.h"

#include <string.h>

#include "base/check.h"

enum {
    TCP_HEADER_BYTES = 20,
    TCP_FLAGS = FRAME_FIN | FRAME_SYN | FRAME_RST | FRAME_PSH | FRAME_ACK,
    TCP_OPTION_END = 0,
    TCP_OPTION_NOP = 1,
    TCP_OPTION_MSS = 2,
    TCP_OPTION_MSS_BYTES = 4,
    TCP_MSS_DEFAULT = 536, /* RFC 9293 section 3.7.1 */
    UDP_HEADER_BYTES = 8,
    ICMP_HEADER_BYTES = 8, /* every type's: RFC 792 has none shorter */
};

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The sum over header, payload and pseudo-header, the checksum field included, must come to nothing. */
static bool csum_holds(const struct frame *f)
{
    uint32_t sum = 0;

    if (f->proto != FRAME_PROTO_ICMP)
        sum = frame_sum_pseudo(&f->src, &f->dst, f->proto, f->l4_bytes);
    return frame_sum_fold(frame_sum(f->l4, f->l4_bytes, sum)) == 0;
}

static void set_payload(struct frame *f, uint32_t header)
{
    f->payload = f->l4 + header;
    f->payload_bytes = f->l4_bytes - header;
}

/* ---- TCP ---- */

/*
 * lwIP takes an MSS option of any segment at its word, so there is at most one, in a SYN, and not a tiny one.
 * Of two, lwIP would use the last and tcp_conn_accept() the first: two are refused.
 */
static bool read_mss(struct frame *f, uint8_t *option, bool *out_mss_nop)
{
    uint16_t mss;

    if (option[1] != TCP_OPTION_MSS_BYTES)
        return false;
    if (!(f->tcp_flags & FRAME_SYN)) {
        memset(option, TCP_OPTION_NOP, TCP_OPTION_MSS_BYTES);
        *out_mss_nop = true;
        return true;
    }
    if (f->tcp_mss != 0)
        return false;
    mss = be16(option + 2);
    if (mss < FRAME_TCP_MSS_MIN) {
        mss = FRAME_TCP_MSS_MIN;
        option[2] = 0;
        option[3] = FRAME_TCP_MSS_MIN;
    }
    f->tcp_mss = mss;
    return true;
}

/* RFC 9293 section 3.1: kinds 0 and 1 are one byte, all others carry their length. */
static bool read_options(struct frame *f, bool *out_mss_nop)
{
    uint8_t *at = f->l4 + TCP_HEADER_BYTES, *end = f->l4 + f->tcp_header_bytes;

    while (at < end && *at != TCP_OPTION_END) {
        if (*at == TCP_OPTION_NOP) {
            at++;
            continue;
        }
        if (end - at < 2 || at[1] < 2 || at[1] > end - at)
            return false;
        if (*at == TCP_OPTION_MSS) {
            if (!read_mss(f, at, out_mss_nop))
                return false;
            at += TCP_OPTION_MSS_BYTES; /* its length byte may be a NOP now */
            continue;
        }
        at += at[1];
    }
    if (f->tcp_flags & FRAME_SYN && f->tcp_mss == 0)
        f->tcp_mss = TCP_MSS_DEFAULT;
    return true;
}

static int read_tcp(struct frame *f, bool trusted, bool *out_mss_nop)
{
    const uint8_t *tcp = f->l4;
    bool mss_nop = false;

    if (f->l4_bytes < TCP_HEADER_BYTES)
        return COUNTER_FRAME_BAD;
    if (!trusted && !csum_holds(f))
        return COUNTER_FRAME_CSUM;
    f->src_port = be16(tcp);
    f->dst_port = be16(tcp + 2);
    f->seq = be32(tcp + 4);
    f->ack = be32(tcp + 8);
    f->tcp_header_bytes = (uint8_t)((tcp[12] >> 4) * 4);
    f->tcp_flags = tcp[13] & TCP_FLAGS;
    f->window = be16(tcp + 14);
    f->tcp_mss = 0;
    if (f->src_port == 0 || f->dst_port == 0 || f->tcp_header_bytes < TCP_HEADER_BYTES ||
        f->tcp_header_bytes > f->l4_bytes)
        return COUNTER_FRAME_BAD;
    if (f->tcp_flags & FRAME_SYN && f->tcp_flags & (FRAME_FIN | FRAME_RST))
        return COUNTER_FRAME_BAD; /* a beginning that is an end: filters and stacks read it differently */
    if (!read_options(f, &mss_nop))
        return COUNTER_FRAME_BAD;
    set_payload(f, f->tcp_header_bytes);
    *out_mss_nop = mss_nop;
    return 0;
}

/* ---- UDP, ICMP ---- */

/* @segment: > 0 for several datagrams in one frame, which the channel vouches for */
static int read_udp(struct frame *f, bool trusted, uint16_t segment)
{
    uint32_t len;
    bool summed;

    if (f->l4_bytes < UDP_HEADER_BYTES)
        return COUNTER_FRAME_BAD;
    len = be16(f->l4 + 4);
    if (len < UDP_HEADER_BYTES || len > f->l4_bytes)
        return COUNTER_FRAME_BAD;
    f->l4_bytes = len;
    summed = be16(f->l4 + 6) != 0; /* RFC 768: zero means none; RFC 8200 section 8.1 forbids it */
    if (!trusted && (summed ? !csum_holds(f) : f->kind == FRAME_IPV6))
        return COUNTER_FRAME_CSUM;
    f->src_port = be16(f->l4);
    f->dst_port = be16(f->l4 + 2);
    if (f->src_port == 0 || f->dst_port == 0)
        return COUNTER_FRAME_BAD;
    set_payload(f, UDP_HEADER_BYTES);
    f->segment = segment < f->payload_bytes ? segment : 0;
    if (f->segment > 0 && (f->payload_bytes - 1) / f->segment >= FRAME_SEGMENTS_MAX)
        return COUNTER_FRAME_BAD;
    return 0;
}

static int read_icmp(struct frame *f, bool trusted)
{
    if (f->l4_bytes < ICMP_HEADER_BYTES)
        return COUNTER_FRAME_BAD;
    if (!trusted && !csum_holds(f))
        return COUNTER_FRAME_CSUM;
    set_payload(f, ICMP_HEADER_BYTES);
    return 0;
}

int frame_read_l4(struct frame *f, const struct frame_offload *offload, bool *out_mss_nop)
{
    bool trusted = offload->needs_csum || offload->csum_trusted || offload->gso_type != FRAME_GSO_NONE;

    CHECK(f->kind != FRAME_ARP && !f->fragment && !f->group_report);
    switch (f->proto) {
    case FRAME_PROTO_TCP:
        return read_tcp(f, trusted, out_mss_nop);
    case FRAME_PROTO_UDP:
        return read_udp(f, trusted, offload->gso_type == FRAME_GSO_UDP ? offload->gso_size : 0);
    case FRAME_PROTO_ICMP:
        return f->kind == FRAME_IPV4 ? read_icmp(f, trusted) : COUNTER_PROTO_L3;
    case FRAME_PROTO_ICMPV6:
        return f->kind == FRAME_IPV6 ? read_icmp(f, trusted) : COUNTER_PROTO_L3;
    default:
        return COUNTER_PROTO_L3;
    }
}
