/*
 * Frames of the simulated link, built and read from the RFCs alone: nothing here calls stack/.
 */
#include "sim.h"

#include <stdlib.h>

enum {
    ETH = FRAME_ETH_BYTES,
    IP_HEADER = 20,
    IP6_HEADER = 40,
    IP6_FRAG_HEADER = 8,
    NEXT_FRAGMENT = 44,
    TCP_HEADER = 20,
    UDP_HEADER = 8,
    ETHERTYPE_IP4 = 0x0800,
    ETHERTYPE_IP6 = 0x86dd,
    ETHERTYPE_ARP_ = 0x0806,
};

const struct addr sim_guest4 = {ADDR_V4, {192, 168, 127, 2}};
const struct addr sim_gateway4 = {ADDR_V4, {192, 168, 127, 1}};
const struct addr sim_alias4 = {ADDR_V4, {192, 168, 127, 254}};
const struct addr sim_server4 = {ADDR_V4, {203, 0, 113, 10}};
const struct addr sim_guest6 = {ADDR_V6, {0xfd, 0x77, 0x65, 0x69, 0, 0x72, [15] = 2}};
const struct addr sim_gateway6 = {ADDR_V6, {0xfd, 0x77, 0x65, 0x69, 0, 0x72, [15] = 1}};
const struct addr sim_alias6 = {
    ADDR_V6, {0xfd, 0x77, 0x65, 0x69, 0, 0x72, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe}};
const struct addr sim_router6 = {ADDR_V6, {0xfe, 0x80, [15] = 1}};
const struct addr sim_server6 = {ADDR_V6, {0x20, 0x01, 0x0d, 0xb8, [15] = 0x10}};
struct addr sim_guest, sim_gateway, sim_alias, sim_server;
const uint8_t sim_gateway_mac[FRAME_MAC_BYTES] = {2, 0, 0, 0, 0, 1};
const uint8_t sim_guest_mac[FRAME_MAC_BYTES] = {2, 0, 0, 0, 0, 2};

/* ---- pattern ---- */

const uint8_t *sim_pattern(uint64_t at)
{
    static uint8_t table[2 * SIM_PATTERN_BYTES];
    static bool made;
    uint32_t x = 1;

    for (size_t i = 0; !made && i < SIM_PATTERN_BYTES; i++) {
        x = x * 1664525 + 1013904223;
        table[i] = table[i + SIM_PATTERN_BYTES] = (uint8_t)(x >> 24);
    }
    made = true;
    return table + at % SIM_PATTERN_BYTES;
}

uint64_t sim_compare(const uint8_t *bytes, size_t n, uint64_t at)
{
    uint64_t bad = 0;

    while (n > 0) {
        size_t part = n < SIM_PATTERN_BYTES ? n : SIM_PATTERN_BYTES;
        const uint8_t *want = sim_pattern(at);

        if (memcmp(bytes, want, part) != 0)
            for (size_t i = 0; i < part; i++)
                bad += bytes[i] != want[i];
        bytes += part;
        at += part;
        n -= part;
    }
    return bad;
}

/* ---- bytes ---- */

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

/* RFC 1071: the sum of big-endian words, folded at the end. */
static uint32_t sum_words(const uint8_t *p, size_t len, uint32_t sum)
{
    uint64_t wide = sum;

    for (size_t i = 0; i + 1 < len; i += 2)
        wide += be16(p + i);
    if (len & 1)
        wide += (uint32_t)p[len - 1] << 8;
    while (wide >> 16)
        wide = (wide & 0xffff) + (wide >> 16);
    return (uint32_t)wide;
}

uint16_t sim_checksum(const void *bytes, size_t len, uint32_t sum)
{
    return (uint16_t)~sum_words(bytes, len, sum);
}

uint32_t sim_pseudo(const struct addr *src, const struct addr *dst, uint8_t proto, size_t len)
{
    uint32_t sum = (uint32_t)(proto + (len >> 16) + (len & 0xffff));

    return sum_words(dst->bytes, addr_size(dst), sum_words(src->bytes, addr_size(src), sum));
}

/* ---- building ---- */

size_t sim_build_eth(struct sim *sim, const uint8_t dst_mac[static FRAME_MAC_BYTES], uint16_t ethertype,
                     const void *packet, size_t len, uint8_t *out)
{
    memcpy(out, dst_mac, FRAME_MAC_BYTES);
    memcpy(out + FRAME_MAC_BYTES, sim->guest_mac, FRAME_MAC_BYTES);
    put16(out + 12, ethertype);
    memcpy(out + ETH, packet, len);
    return ETH + len;
}

static void put_ip4(uint8_t *ip, const struct addr *src, const struct addr *dst, uint8_t proto,
                    size_t l4_bytes, uint16_t id, uint16_t fragment)
{
    memset(ip, 0, IP_HEADER);
    ip[0] = 0x45;
    put16(ip + 2, (uint32_t)(IP_HEADER + l4_bytes));
    put16(ip + 4, id);
    put16(ip + 6, fragment);
    ip[8] = 64;
    ip[9] = proto;
    memcpy(ip + 12, src->bytes, 4);
    memcpy(ip + 16, dst->bytes, 4);
    put16(ip + 10, sim_checksum(ip, IP_HEADER, 0));
}

static void put_ip6(uint8_t *ip, const struct addr *src, const struct addr *dst, uint8_t next, size_t payload_bytes)
{
    memset(ip, 0, IP6_HEADER);
    ip[0] = 0x60;
    put16(ip + 4, (uint32_t)payload_bytes);
    ip[6] = next;
    ip[7] = 64;
    memcpy(ip + 8, src->bytes, 16);
    memcpy(ip + 24, dst->bytes, 16);
}

size_t sim_ip_bytes(const struct addr *src)
{
    return src->family == ADDR_V6 ? IP6_HEADER : IP_HEADER;
}

/* Ethernet and IP headers of a whole packet. @flags: IPv4's fragment field. Return: their bytes. */
static size_t put_headers(struct sim *sim, const struct addr *src, const struct addr *dst, uint8_t proto, size_t l4_bytes,
                          uint16_t flags, uint8_t *out)
{
    uint8_t ip[IP6_HEADER];

    if (src->family == ADDR_V6)
        put_ip6(ip, src, dst, proto, l4_bytes);
    else
        put_ip4(ip, src, dst, proto, l4_bytes, 0, flags);
    return sim_build_eth(sim, sim_gateway_mac, src->family == ADDR_V6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4, ip, sim_ip_bytes(src),
                         out);
}

size_t sim_build_ip(struct sim *sim, const struct addr *src, const struct addr *dst, uint8_t proto,
                    const void *l4, size_t len, uint8_t *out)
{
    size_t n = put_headers(sim, src, dst, proto, len, 0, out);

    memcpy(out + n, l4, len);
    return n + len;
}

size_t sim_build_udp(const struct addr *src, uint16_t src_port, const struct addr *dst, uint16_t dst_port,
                     const void *bytes, size_t len, uint8_t *out)
{
    size_t l4_bytes = UDP_HEADER + len;
    uint16_t sum;

    put16(out, src_port);
    put16(out + 2, dst_port);
    put16(out + 4, (uint32_t)l4_bytes);
    put16(out + 6, 0);
    memcpy(out + UDP_HEADER, bytes, len);
    sum = sim_checksum(out, l4_bytes, sim_pseudo(src, dst, FRAME_PROTO_UDP, l4_bytes));
    put16(out + 6, sum ? sum : 0xffff);
    return l4_bytes;
}

size_t sim_build_tcp(struct sim *sim, const struct sim_tcp *tcp, uint8_t *out,
                     struct frame_offload *out_offload)
{
    size_t header = TCP_HEADER + tcp->options_bytes, l4_bytes = header + tcp->payload_bytes;
    uint32_t pseudo = sim_pseudo(&tcp->src, &tcp->dst, FRAME_PROTO_TCP, l4_bytes);
    size_t before = put_headers(sim, &tcp->src, &tcp->dst, FRAME_PROTO_TCP, l4_bytes, 0x4000, out);
    uint8_t *l4 = out + before;

    memset(l4, 0, TCP_HEADER);
    put16(l4, tcp->src_port);
    put16(l4 + 2, tcp->dst_port);
    put32(l4 + 4, tcp->seq);
    put32(l4 + 8, tcp->ack);
    l4[12] = (uint8_t)(header / 4 << 4);
    l4[13] = tcp->flags;
    put16(l4 + 14, tcp->window);
    if (tcp->options_bytes > 0)
        memcpy(l4 + TCP_HEADER, tcp->options, tcp->options_bytes);
    if (tcp->payload_bytes > 0)
        memcpy(l4 + header, tcp->payload, tcp->payload_bytes);
    *out_offload = (struct frame_offload){0};
    if (tcp->gso_size > 0) {
        put16(l4 + 16, (uint16_t)~sim_checksum(NULL, 0, pseudo));
        out_offload->needs_csum = true;
        out_offload->csum_start = (uint16_t)before;
        out_offload->csum_offset = 16;
        out_offload->gso_type = tcp->src.family == ADDR_V6 ? FRAME_GSO_TCP6 : FRAME_GSO_TCP4;
        out_offload->gso_size = tcp->gso_size;
        out_offload->hdr_len = (uint16_t)(before + header);
    } else {
        put16(l4 + 16, sim_checksum(l4, l4_bytes, pseudo));
    }
    return before + l4_bytes;
}

void sim_send_tcp(struct sim *sim, const struct sim_tcp *tcp)
{
    static uint8_t frame[FRAME_BYTES_MAX];
    struct frame_offload offload;
    size_t len = sim_build_tcp(sim, tcp, frame, &offload);

    sim_send(sim, frame, len, &offload);
}

void sim_send_udp(struct sim *sim, const struct addr *src, uint16_t src_port, const struct addr *dst,
                  uint16_t dst_port, const void *bytes, size_t len)
{
    static uint8_t l4[FRAME_IP6_BYTES_MAX], frame[FRAME_BYTES_MAX];
    size_t l4_bytes = sim_build_udp(src, src_port, dst, dst_port, bytes, len, l4);

    sim_send(sim, frame, sim_build_ip(sim, src, dst, FRAME_PROTO_UDP, l4, l4_bytes, frame), NULL);
}

void sim_send_fragment(struct sim *sim, const struct addr *dst, uint8_t proto, uint32_t id, const uint8_t *l4,
                       size_t at, size_t n, bool more)
{
    static uint8_t frame[FRAME_BYTES_MAX];
    uint8_t ip[IP6_HEADER + IP6_FRAG_HEADER];
    size_t bytes = IP_HEADER;
    bool v6 = dst->family == ADDR_V6;

    if (v6) {
        bytes = IP6_HEADER + IP6_FRAG_HEADER;
        put_ip6(ip, &sim_guest6, dst, NEXT_FRAGMENT, IP6_FRAG_HEADER + n);
        put16(ip + IP6_HEADER, (uint32_t)proto << 8);
        put16(ip + IP6_HEADER + 2, (uint32_t)at | more); /* RFC 8200 section 4.5: at is a multiple of 8 */
        put32(ip + IP6_HEADER + 4, id);
    } else {
        put_ip4(ip, &sim_guest4, dst, proto, n, (uint16_t)id, (uint16_t)(at / 8 | (more ? 0x2000 : 0)));
    }
    (void)sim_build_eth(sim, sim_gateway_mac, v6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4, ip, bytes, frame);
    memcpy(frame + ETH + bytes, l4 + at, n);
    sim_send(sim, frame, ETH + bytes + n, NULL);
}

/* ---- reading ---- */

static void read_option(struct sim_frame *f, const uint8_t *option)
{
    switch (option[0]) {
    case 2:
        assert_int_equal(option[1], 4);
        f->mss = be16(option + 2);
        break;
    case 3:
        assert_int_equal(option[1], 3);
        f->wscale = option[2];
        break;
    case 4:
        assert_int_equal(option[1], 2);
        f->sack_permitted = true;
        break;
    case 5:
        f->sack_count = (option[1] - 2u) / 8;
        assert_in_range(f->sack_count, 1, 4);
        for (unsigned i = 0; i < f->sack_count; i++) {
            f->sacks[i].left = be32(option + 2 + 8 * i);
            f->sacks[i].right = be32(option + 6 + 8 * i);
        }
        break;
    default:
        fail_msg("the stack sent a TCP option of kind %u", option[0]);
    }
}

static void read_options(struct sim_frame *f, const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at != 0) {
        if (*at == 1) {
            at++;
            continue;
        }
        assert_true(end - at >= 2 && at[1] >= 2 && at[1] <= end - at);
        read_option(f, at);
        at += at[1];
    }
}

/* A partial checksum holds the pseudo-header's sum (VIRTIO 1.2 section 5.1.6.2), a whole one gives zero. */
static void check_checksum(const struct sim_frame *f, uint16_t field_at)
{
    uint32_t pseudo = sim_pseudo(&f->src, &f->dst, f->proto, f->l4_bytes);

    if (f->offload.needs_csum) {
        assert_int_equal(f->offload.csum_start, f->l4 - f->bytes);
        assert_int_equal(f->offload.csum_offset, field_at);
        assert_int_equal(be16(f->l4 + field_at), (uint16_t)~sim_checksum(NULL, 0, pseudo));
    } else {
        assert_int_equal(sim_checksum(f->l4, f->l4_bytes, pseudo), 0);
    }
}

static void read_tcp(struct sim_frame *f)
{
    size_t header;

    assert_true(f->l4_bytes >= TCP_HEADER);
    header = (size_t)(f->l4[12] >> 4) * 4;
    assert_true(header >= TCP_HEADER && header <= f->l4_bytes);
    f->src_port = be16(f->l4);
    f->dst_port = be16(f->l4 + 2);
    f->seq = be32(f->l4 + 4);
    f->ack = be32(f->l4 + 8);
    f->flags = f->l4[13];
    f->window = be16(f->l4 + 14);
    f->wscale = -1;
    read_options(f, f->l4 + TCP_HEADER, f->l4 + header);
    f->payload = f->l4 + header;
    f->payload_bytes = f->l4_bytes - header;
    check_checksum(f, 16);
    if (f->offload.gso_type != FRAME_GSO_NONE) {
        assert_int_equal(f->offload.hdr_len, f->payload - f->bytes);
        assert_true(f->offload.gso_size > 0 && f->payload_bytes > f->offload.gso_size);
    }
}

static void read_udp(struct sim_frame *f)
{
    assert_true(f->l4_bytes >= UDP_HEADER);
    assert_int_equal(be16(f->l4 + 4), f->l4_bytes);
    f->src_port = be16(f->l4);
    f->dst_port = be16(f->l4 + 2);
    f->payload = f->l4 + UDP_HEADER;
    f->payload_bytes = f->l4_bytes - UDP_HEADER;
    if (be16(f->l4 + 6) != 0)
        check_checksum(f, 6);
    else
        assert_int_not_equal(f->ethertype, ETHERTYPE_IP6); /* RFC 8200 section 8.1 */
    if (f->offload.gso_type != FRAME_GSO_NONE) {
        assert_int_equal(f->offload.hdr_len, f->payload - f->bytes);
        assert_true(f->offload.gso_size > 0 && f->payload_bytes > f->offload.gso_size);
    }
}

/* What is behind either family's header. */
static void read_packet(const struct sim *sim, struct sim_frame *f)
{
    bool v6 = f->ethertype == ETHERTYPE_IP6;

    assert_true(f->ttl > 0);
    if (f->offload.gso_type == FRAME_GSO_NONE)
        assert_true(f->len - ETH <= sim->options.mtu);
    else
        assert_true(f->offload.gso_size + (f->offload.hdr_len - ETH) <= sim->options.mtu);
    if (f->frag_offset > 0 || f->frag_more)
        return;
    if (f->proto == FRAME_PROTO_TCP)
        read_tcp(f);
    else if (f->proto == FRAME_PROTO_UDP)
        read_udp(f);
    else
        assert_int_equal(sim_checksum(f->l4, f->l4_bytes, v6 ? sim_pseudo(&f->src, &f->dst, f->proto, f->l4_bytes) : 0), 0);
}

static void read_ip4(struct sim_frame *f)
{
    const uint8_t *ip = f->bytes + ETH;
    uint16_t fragment;

    assert_true(f->len >= ETH + IP_HEADER);
    assert_int_equal(f->ethertype, ETHERTYPE_IP4);
    assert_int_equal(ip[0], 0x45);
    assert_int_equal(be16(ip + 2), f->len - ETH);
    assert_int_equal(sim_checksum(ip, IP_HEADER, 0), 0);
    f->ttl = ip[8];
    f->proto = ip[9];
    f->src = addr_from_v4(ip + 12);
    f->dst = addr_from_v4(ip + 16);
    f->l4 = ip + IP_HEADER;
    f->l4_bytes = f->len - ETH - IP_HEADER;
    fragment = be16(ip + 6);
    f->frag_id = be16(ip + 4);
    f->frag_offset = (fragment & 0x1fffu) * 8;
    f->frag_more = fragment & 0x2000;
}

/* A fragment header is the only extension there may be, and none without need. */
static void read_ip6(struct sim_frame *f)
{
    const uint8_t *ip = f->bytes + ETH;
    uint16_t fragment;

    assert_true(f->len >= ETH + IP6_HEADER);
    assert_int_equal(ip[0], 0x60);
    assert_int_equal(be16(ip + 4), f->len - ETH - IP6_HEADER);
    f->ttl = ip[7];
    f->proto = ip[6];
    f->src = addr_from_v6(ip + 8);
    f->dst = addr_from_v6(ip + 24);
    f->l4 = ip + IP6_HEADER;
    f->l4_bytes = f->len - ETH - IP6_HEADER;
    if (f->proto != NEXT_FRAGMENT)
        return;
    assert_true(f->l4_bytes > IP6_FRAG_HEADER);
    fragment = be16(f->l4 + 2);
    f->proto = f->l4[0];
    f->frag_offset = fragment & 0xfff8u;
    f->frag_more = fragment & 1;
    f->frag_id = be32(f->l4 + 4);
    assert_true(f->l4[1] == 0 && (fragment & 6) == 0 && (f->frag_offset > 0 || f->frag_more));
    f->l4 += IP6_FRAG_HEADER;
    f->l4_bytes -= IP6_FRAG_HEADER;
}

/* What the guest's features do not allow is never sent (VIRTIO 1.2 section 5.1.3). */
static void check_offload(const struct sim *sim, const struct sim_frame *f)
{
    uint8_t tcp = f->ethertype == ETHERTYPE_IP6 ? FRAME_GSO_TCP6 : FRAME_GSO_TCP4;

    assert_true(!f->offload.needs_csum || sim->options.csum_offload);
    if (f->offload.gso_type == FRAME_GSO_NONE)
        return;
    assert_true(f->offload.needs_csum);
    assert_true((sim->options.tso && f->offload.gso_type == tcp) || (sim->options.uso && f->offload.gso_type == FRAME_GSO_UDP));
}

struct sim_frame *sim_read_frame(const struct sim *sim, const struct wire_frame *frame)
{
    struct sim_frame *f;
    size_t len = 0;

    assert_in_range(frame->iovcnt, 1, WIRE_IOV_MAX);
    assert_true(frame->iov[0].iov_len >= ETH);
    for (int i = 0; i < frame->iovcnt; i++)
        len += frame->iov[i].iov_len;
    assert_true(len <= FRAME_BYTES_MAX);
    f = calloc(1, sizeof(*f) + len);
    assert_non_null(f);
    for (int i = 0; i < frame->iovcnt; i++) {
        memcpy(f->bytes + f->len, frame->iov[i].iov_base, frame->iov[i].iov_len);
        f->len += frame->iov[i].iov_len;
    }
    list_init(&f->node);
    f->offload = frame->offload;
    f->ethertype = be16(f->bytes + 12);
    check_offload(sim, f);
    assert_memory_equal(f->bytes + FRAME_MAC_BYTES, sim_gateway_mac, FRAME_MAC_BYTES);
    if (f->ethertype == ETHERTYPE_ARP_)
        return f;
    if (f->ethertype == ETHERTYPE_IP6)
        read_ip6(f);
    else
        read_ip4(f);
    read_packet(sim, f);
    return f;
}
