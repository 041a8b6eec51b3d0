/*
 * Frames of the simulated link, built and read from the RFCs alone: nothing here calls stack/.
 */
#include "sim.h"

#include <stdlib.h>

enum {
    ETH = FRAME_ETH_BYTES,
    IP_HEADER = 20,
    TCP_HEADER = 20,
    UDP_HEADER = 8,
    ETHERTYPE_IP4 = 0x0800,
    ETHERTYPE_ARP_ = 0x0806,
};

const struct addr sim_guest4 = {ADDR_V4, {192, 168, 127, 2}};
const struct addr sim_gateway4 = {ADDR_V4, {192, 168, 127, 1}};
const struct addr sim_alias4 = {ADDR_V4, {192, 168, 127, 254}};
const struct addr sim_server4 = {ADDR_V4, {203, 0, 113, 10}};
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
    return sum_words(dst->bytes, 4, sum_words(src->bytes, 4, (uint32_t)(proto + len)));
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

static void put_ip(uint8_t *ip, const struct addr *src, const struct addr *dst, uint8_t proto,
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

size_t sim_build_ip(struct sim *sim, const struct addr *src, const struct addr *dst, uint8_t proto,
                    const void *l4, size_t len, uint8_t *out)
{
    uint8_t ip[IP_HEADER];

    put_ip(ip, src, dst, proto, len, 0, 0);
    (void)sim_build_eth(sim, sim_gateway_mac, ETHERTYPE_IP4, ip, IP_HEADER, out);
    memcpy(out + ETH + IP_HEADER, l4, len);
    return ETH + IP_HEADER + len;
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
    uint8_t *l4 = out + ETH + IP_HEADER;
    uint8_t ip[IP_HEADER];

    put_ip(ip, &tcp->src, &tcp->dst, FRAME_PROTO_TCP, l4_bytes, 0, 0x4000);
    (void)sim_build_eth(sim, sim_gateway_mac, ETHERTYPE_IP4, ip, IP_HEADER, out);
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
        out_offload->csum_start = ETH + IP_HEADER;
        out_offload->csum_offset = 16;
        out_offload->gso_type = FRAME_GSO_TCP4;
        out_offload->gso_size = tcp->gso_size;
        out_offload->hdr_len = (uint16_t)(ETH + IP_HEADER + header);
    } else {
        put16(l4 + 16, sim_checksum(l4, l4_bytes, pseudo));
    }
    return ETH + IP_HEADER + l4_bytes;
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
    static uint8_t l4[FRAME_IP_BYTES_MAX], frame[FRAME_BYTES_MAX];
    size_t l4_bytes = sim_build_udp(src, src_port, dst, dst_port, bytes, len, l4);

    sim_send(sim, frame, sim_build_ip(sim, src, dst, FRAME_PROTO_UDP, l4, l4_bytes, frame), NULL);
}

void sim_send_fragment(struct sim *sim, const struct addr *dst, uint8_t proto, uint16_t id, const uint8_t *l4,
                       size_t at, size_t n, bool more)
{
    static uint8_t frame[FRAME_BYTES_MAX];
    uint8_t ip[IP_HEADER];

    put_ip(ip, &sim_guest4, dst, proto, n, id, (uint16_t)(at / 8 | (more ? 0x2000 : 0)));
    (void)sim_build_eth(sim, sim_gateway_mac, ETHERTYPE_IP4, ip, IP_HEADER, frame);
    memcpy(frame + ETH + IP_HEADER, l4 + at, n);
    sim_send(sim, frame, ETH + IP_HEADER + n, NULL);
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
}

static void read_ip(const struct sim *sim, struct sim_frame *f)
{
    const uint8_t *ip = f->bytes + ETH;
    size_t total;
    uint16_t fragment;

    assert_true(f->len >= ETH + IP_HEADER);
    total = be16(ip + 2);
    assert_int_equal(ip[0], 0x45);
    assert_int_equal(total, f->len - ETH);
    assert_int_equal(sim_checksum(ip, IP_HEADER, 0), 0);
    f->ttl = ip[8];
    assert_true(f->ttl > 0);
    f->proto = ip[9];
    f->src = addr_from_v4(ip + 12);
    f->dst = addr_from_v4(ip + 16);
    f->l4 = ip + IP_HEADER;
    f->l4_bytes = total - IP_HEADER;
    fragment = be16(ip + 6);
    f->frag_id = be16(ip + 4);
    f->frag_offset = (fragment & 0x1fffu) * 8;
    f->frag_more = fragment & 0x2000;
    if (f->offload.gso_type == FRAME_GSO_NONE)
        assert_true(total <= sim->options.mtu);
    else
        assert_true(f->offload.gso_size + (f->offload.hdr_len - ETH) <= sim->options.mtu);
    if (f->frag_offset > 0 || f->frag_more)
        return;
    if (f->proto == FRAME_PROTO_TCP)
        read_tcp(f);
    else if (f->proto == FRAME_PROTO_UDP)
        read_udp(f);
    else
        assert_int_equal(sim_checksum(f->l4, f->l4_bytes, 0), 0); /* ICMP */
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
    /* What the guest's features do not allow is never sent (VIRTIO 1.2 section 5.1.3). */
    assert_true(!f->offload.needs_csum || sim->options.csum_offload);
    assert_true(f->offload.gso_type == FRAME_GSO_NONE ||
                (sim->options.tso && f->offload.gso_type == FRAME_GSO_TCP4 && f->offload.needs_csum));
    assert_memory_equal(f->bytes + FRAME_MAC_BYTES, sim_gateway_mac, FRAME_MAC_BYTES);
    if (f->ethertype == ETHERTYPE_IP4)
        read_ip(sim, f);
    else
        assert_int_equal(f->ethertype, ETHERTYPE_ARP_);
    return f;
}
