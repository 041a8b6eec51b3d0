/*
 * Ethernet and network headers, and the Internet checksum. A transport header is frame_l4.c's.
 */
#include "stack/frame.h"

#include <string.h>

#include "base/check.h"
#include "stack/ip4.h"
#include "stack/ip6.h"

enum {
    SRC_MAC_AT = 6,
    ETHERTYPE_AT = 12,
    TCP_CSUM_AT = 16,
    UDP_CSUM_AT = 6,
    TCP_FIRST_BYTES_MIN = 40, /* of the fragment with the ports: a header and some options */
    GROUP_MESSAGE_BYTES = 8,  /* of IGMP and MLD, at least */
    GROUP_ALERT_BYTES = 8,    /* the hop-by-hop header in front of MLD */
};

static const uint8_t igmp_reports[] = {0x12, 0x16, 0x22, 0x17}; /* of versions 1, 2, 3, and "leave" */
static const uint8_t mld_reports[] = {131, 143, 132};           /* of versions 1, 2, and "done" */

/* ---- checksum ---- */

/*
 * Words are added as they lie in memory: the sum is then right for a field that is stored the same way, on
 * either byte order (RFC 1071 section 2 (B)). Two accumulators of 32-bit halves: neither can overflow, and no
 * add waits for a carry. Folded to 16 bits, so that callers may add many of these in 32 bits.
 */
uint32_t frame_sum(const void *bytes, size_t len, uint32_t sum)
{
    const uint8_t *p = bytes;
    uint64_t low = sum, high = 0, word;

    for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        low += (uint32_t)word;
        high += word >> 32;
    }
    word = 0; /* the rest, as if zeros followed */
    if (len > 0)
        memcpy(&word, p, len);
    low += (uint32_t)word;
    low += high + (word >> 32);
    low = (low & UINT32_MAX) + (low >> 32);
    low = (low & 0xffff) + (low >> 16 & 0xffff) + (low >> 32);
    low = (low & 0xffff) + (low >> 16);
    return (uint32_t)((low & 0xffff) + (low >> 16));
}

uint16_t frame_sum_fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

uint32_t frame_sum_pseudo(const struct addr *src, const struct addr *dst, uint8_t proto,
                          uint32_t l4_bytes)
{
    /* IPv6's form. IPv4's has the same words in other places, which a sum does not see. */
    uint8_t tail[8] = {[7] = proto};
    uint32_t sum;

    for (int i = 0; i < 4; i++)
        tail[i] = (uint8_t)(l4_bytes >> (24 - 8 * i));
    sum = frame_sum(tail, sizeof(tail), 0);
    sum = frame_sum(src->bytes, addr_size(src), sum);
    return frame_sum(dst->bytes, addr_size(dst), sum);
}

/* ---- headers ---- */

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

/* Pieces that fit into no datagram, or that exist only to split a TCP header (RFC 1858, RFC 3128). */
static int check_fragment(const struct frame *f)
{
    if (f->l4_bytes == 0 || (f->frag_more && f->l4_bytes % 8 != 0) ||
        f->frag_offset + f->l4_bytes > frame_l4_bytes_max(f->kind))
        return COUNTER_IP_FRAG;
    if (f->proto == FRAME_PROTO_TCP && f->frag_offset < TCP_FIRST_BYTES_MIN &&
        (f->frag_offset > 0 || f->l4_bytes < TCP_FIRST_BYTES_MIN))
        return COUNTER_IP_FRAG;
    return 0;
}

/*
 * Whether it is a report of the groups that the guest's kernel listens to, which every kernel sends when it starts
 * (IGMP: RFC 2236, RFC 3376; MLD: RFC 2710, RFC 3810): over one hop, with nothing but a router alert in front. Nobody
 * here keeps groups, but a guest that says them does nothing wrong. f->l4 is behind the router alert.
 */
static bool is_report4(const struct frame *f)
{
    static const uint8_t router_alert[] = {0x94, 4, 0, 0}; /* RFC 2113 section 2.1 */
    const uint8_t *ip = f->ip;
    size_t options = (size_t)(f->l4 - ip) - IP4_HEADER_BYTES;

    if (ip[9] != FRAME_PROTO_IGMP || ip[8] != 1 || ip[16] >> 4 != 14 || be16(ip + 6) & (IP4_MF | IP4_OFFSET))
        return false;
    if (options > sizeof(router_alert) || memcmp(ip + IP4_HEADER_BYTES, router_alert, options) != 0)
        return false;
    return f->l4_bytes >= GROUP_MESSAGE_BYTES && memchr(igmp_reports, f->l4[0], sizeof(igmp_reports)) &&
           frame_sum_fold(frame_sum(f->l4, f->l4_bytes, 0)) == 0;
}

/* The same of MLD; f->l4 is its hop-by-hop header. */
static bool is_report6(const struct frame *f)
{
    static const uint8_t alerts[][GROUP_ALERT_BYTES] = { /* RFC 2711 section 2.1, and padding in front or behind */
        {FRAME_PROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0}, {FRAME_PROTO_ICMPV6, 0, 5, 2, 0, 0, 0, 0},
        {FRAME_PROTO_ICMPV6, 0, 1, 0, 5, 2, 0, 0}, {FRAME_PROTO_ICMPV6, 0, 0, 0, 5, 2, 0, 0},
    };
    const uint8_t *mld = f->l4 + GROUP_ALERT_BYTES;
    uint32_t len = f->l4_bytes - GROUP_ALERT_BYTES, sum;
    bool alert = false;

    if (f->l4_bytes < GROUP_ALERT_BYTES + GROUP_MESSAGE_BYTES || f->ip[7] != 1 || f->dst.bytes[0] != 0xff)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(alerts); i++)
        alert = alert || memcmp(f->l4, alerts[i], GROUP_ALERT_BYTES) == 0;
    sum = frame_sum_pseudo(&f->src, &f->dst, FRAME_PROTO_ICMPV6, len);
    return alert && memchr(mld_reports, mld[0], sizeof(mld_reports)) && frame_sum_fold(frame_sum(mld, len, sum)) == 0;
}

/* RFC 791 section 3.1. On entry f->ip_bytes is what the frame has. */
static int read_ip4(struct frame *f)
{
    const uint8_t *ip = f->ip;
    uint32_t header, total;
    uint16_t field;

    if (f->ip_bytes < IP4_HEADER_BYTES || ip[0] >> 4 != 4)
        return COUNTER_FRAME_BAD;
    header = (ip[0] & 15u) * 4;
    total = be16(ip + 2);
    if (header < IP4_HEADER_BYTES || total < header || total > f->ip_bytes)
        return COUNTER_FRAME_BAD;
    if (frame_sum_fold(frame_sum(ip, header, 0)) != 0)
        return COUNTER_FRAME_CSUM;
    f->l4 = f->ip + header;
    f->l4_bytes = total - header;
    f->group_report = is_report4(f);
    if (header > IP4_HEADER_BYTES && !f->group_report)
        return COUNTER_IP_OPTIONS;
    field = be16(ip + 6);
    if (field & IP4_RESERVED || ip[8] == 0)
        return COUNTER_FRAME_BAD;
    f->ip_bytes = total;
    f->proto = ip[9];
    f->src = addr_from_v4(ip + 12);
    f->dst = addr_from_v4(ip + 16);
    f->dont_fragment = field & IP4_DF;
    f->fragment = field & (IP4_MF | IP4_OFFSET);
    f->frag_id = be16(ip + 4);
    f->frag_offset = (field & IP4_OFFSET) * 8u;
    f->frag_more = field & IP4_MF;
    return f->fragment ? check_fragment(f) : 0;
}

/*
 * RFC 8200 section 4.5. One piece alone is no fragment but a way around filters (RFC 6946 tells of its uses): dropped.
 */
static int read_fragment_header(struct frame *f)
{
    const uint8_t *header = f->l4;
    uint16_t field;

    if (f->l4_bytes < IP6_FRAGMENT_BYTES)
        return COUNTER_FRAME_BAD;
    field = be16(header + 2);
    f->proto = header[0];
    f->frag_offset = field & ~7u;
    f->frag_more = field & 1;
    f->frag_id = (uint32_t)be16(header + 4) << 16 | be16(header + 6);
    f->fragment = true;
    f->l4 += IP6_FRAGMENT_BYTES;
    f->l4_bytes -= IP6_FRAGMENT_BYTES;
    if (f->frag_offset == 0 && !f->frag_more)
        return COUNTER_IP_FRAG;
    return check_fragment(f);
}

static bool is_extension(uint8_t next)
{
    switch ((enum ip6_extension)next) {
    case IP6_HOP_BY_HOP:
    case IP6_ROUTING:
    case IP6_FRAGMENT:
    case IP6_ESP:
    case IP6_AH:
    case IP6_NO_NEXT:
    case IP6_DESTINATION:
    case IP6_MOBILITY:
        return true;
    }
    return false;
}

/*
 * RFC 8200 section 3. Of extension headers only one fragment header is taken, right behind the fixed one: no
 * program of a guest needs others, and each of them is a way to hide a transport header (RFC 7045 section 1). What the
 * first fragment lacks (RFC 7112) no reassembled datagram has.
 */
static int read_ip6(struct frame *f)
{
    const uint8_t *ip = f->ip;
    uint32_t total;
    int drop = 0;

    if (f->ip_bytes < IP6_HEADER_BYTES || ip[0] >> 4 != 6)
        return COUNTER_FRAME_BAD;
    total = IP6_HEADER_BYTES + (uint32_t)be16(ip + 4); /* 0 with a jumbo option (RFC 2675): an extension header */
    if (total > f->ip_bytes || ip[7] == 0)
        return COUNTER_FRAME_BAD;
    f->ip_bytes = total;
    f->proto = ip[6];
    f->src = addr_from_v6(ip + 8);
    f->dst = addr_from_v6(ip + 24);
    f->dont_fragment = true; /* no router does */
    f->l4 = f->ip + IP6_HEADER_BYTES;
    f->l4_bytes = total - IP6_HEADER_BYTES;
    if (f->proto == IP6_HOP_BY_HOP && is_report6(f)) {
        f->group_report = true;
        f->proto = FRAME_PROTO_ICMPV6;
        f->l4 += GROUP_ALERT_BYTES;
        f->l4_bytes -= GROUP_ALERT_BYTES;
    }
    if (f->proto == IP6_FRAGMENT)
        drop = read_fragment_header(f);
    return drop == 0 && is_extension(f->proto) ? COUNTER_IP_OPTIONS : drop;
}

static bool gso_fits(const struct frame *f, uint8_t gso_type)
{
    if (gso_type == FRAME_GSO_UDP)
        return f->proto == FRAME_PROTO_UDP;
    return f->proto == FRAME_PROTO_TCP &&
           gso_type == (f->kind == FRAME_IPV6 ? FRAME_GSO_TCP6 : FRAME_GSO_TCP4);
}

static bool csum_fits(const struct frame *f, const struct frame_offload *offload)
{
    uint16_t at = f->proto == FRAME_PROTO_TCP ? TCP_CSUM_AT : UDP_CSUM_AT;

    return (f->proto == FRAME_PROTO_TCP || f->proto == FRAME_PROTO_UDP) &&
           offload->csum_start == f->l4 - f->dst_mac && offload->csum_offset == at &&
           f->l4_bytes >= at + sizeof(uint16_t);
}

/* Whether the channel's header (VIRTIO 1.2 section 5.1.6.2) describes this frame and no other. */
static bool offload_holds(const struct frame *f, const struct frame_offload *offload, size_t len)
{
    bool gso = offload->gso_type != FRAME_GSO_NONE;

    if (offload->hdr_len > len)
        return false;
    if (!gso && !offload->needs_csum)
        return true;
    if (f->kind == FRAME_ARP || f->fragment)
        return false;
    if (gso && (offload->gso_size == 0 || !gso_fits(f, offload->gso_type)))
        return false;
    return !offload->needs_csum || csum_fits(f, offload);
}

int frame_read(uint8_t *bytes, size_t len, const struct frame_offload *offload,
               struct frame *out_frame)
{
    struct frame f = {0};
    int drop = 0;

    if (len < FRAME_ETH_BYTES || len > FRAME_BYTES_MAX || bytes[SRC_MAC_AT] & 1)
        return COUNTER_FRAME_BAD; /* a group address cannot be a source (IEEE 802.3 section 3.2.3) */
    f.dst_mac = bytes;
    f.src_mac = bytes + SRC_MAC_AT;
    f.ip = bytes + FRAME_ETH_BYTES;
    f.ip_bytes = (uint32_t)(len - FRAME_ETH_BYTES);
    switch (be16(bytes + ETHERTYPE_AT)) {
    case FRAME_ETHERTYPE_ARP:
        f.kind = FRAME_ARP;
        break;
    case FRAME_ETHERTYPE_IPV4:
        f.kind = FRAME_IPV4;
        drop = read_ip4(&f);
        break;
    case FRAME_ETHERTYPE_IPV6:
        f.kind = FRAME_IPV6;
        drop = read_ip6(&f);
        break;
    default: /* also an 802.3 length, and tags: a tagged frame is for a network that is not here */
        return COUNTER_FRAME_ETHERTYPE;
    }
    if (drop == 0 && !offload_holds(&f, offload, len))
        drop = COUNTER_FRAME_BAD;
    if (drop == 0)
        *out_frame = f;
    return drop;
}
