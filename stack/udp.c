/*
 * UDP. What comes in goes through lwIP: one udp_pcb of ours, its port set per datagram, and a pbuf of ours around the
 * frame's bytes, so that nothing is allocated. As with TCP, lwIP's callback only records.
 *
 * What goes out is two headers in front of the caller's bytes, written here: lwIP's pbufs count to 65,535, and an IPv6
 * datagram may have 40 more.
 */
#include "stack/stack_private.h"

#include <errno.h>
#include <string.h>

#include "stack/ip4.h"
#include "stack/ip6.h"

enum {
    UDP_CSUM_AT = 6,
    HEADERS_MAX = IP6_HEADER_BYTES + IP6_FRAGMENT_BYTES + UDP_HLEN,
    DATAGRAM_QUOTE_MAX = 128, /* of its payload, in an error about it */
};

static void on_recv(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *src,
                    u16_t src_port)
{
    struct stack *stack = arg;

    (void)pcb;
    (void)src;
    (void)src_port;
    CHECK(stack->datagram && stack->datagram->payload_bytes == p->tot_len);
    (void)pbuf_free(p); /* to on_free() */
    stack->datagram_taken = true;
}

static void on_free(struct pbuf *p)
{
    (void)p; /* the next datagram's */
}

int udp_relay_init(struct stack *stack)
{
    stack->udp = udp_new_ip_type(IPADDR_TYPE_ANY);
    if (!stack->udp)
        return -ENOMEM;
    udp_recv(stack->udp, on_recv, stack);
    return 0;
}

void udp_relay_deinit(struct stack *stack)
{
    if (stack->udp)
        udp_remove(stack->udp);
    stack->udp = NULL;
}

void udp_relay_input(struct stack *stack, struct guest *guest, struct frame *f)
{
    static struct pbuf_custom custom = {.custom_free_function = on_free};
    struct pbuf *p = pbuf_alloced_custom(PBUF_RAW, (u16_t)f->l4_bytes, PBUF_REF, &custom, f->l4, (u16_t)f->l4_bytes);

    stack->datagram = f;
    stack->datagram_taken = false;
    stack->udp->local_port = f->dst_port;
    stack->udp->next = NULL;
    udp_pcbs = stack->udp;
    ip_data_set(guest, &f->src, &f->dst);
    udp_input(p, guest->netif);
    ip_data_clear();
    udp_pcbs = NULL;
    stack->datagram = NULL;
    if (stack->datagram_taken)
        stack->events->on_datagram(stack->ctx, guest, f);
}

/* ---- out ---- */

static uint16_t ip_header_bytes(const struct datagram *d)
{
    return d->src.family == ADDR_V6 ? IP6_HEADER_BYTES : IP4_HEADER_BYTES;
}

static uint16_t ethertype_of(const struct datagram *d)
{
    return d->src.family == ADDR_V6 ? FRAME_ETHERTYPE_IPV6 : FRAME_ETHERTYPE_IPV4;
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* RFC 768. @partial: the wire finishes the checksum, which then holds the pseudo-header's sum alone. */
static void write_udp(const struct datagram *d, bool partial, uint8_t *udp)
{
    uint32_t len = UDP_HLEN + (uint32_t)d->len;
    uint32_t sum = frame_sum_pseudo(&d->src, &d->dst, FRAME_PROTO_UDP, len);
    uint16_t folded;

    put16(udp, d->src_port);
    put16(udp + 2, d->dst_port);
    put16(udp + 4, len);
    put16(udp + UDP_CSUM_AT, 0);
    if (partial) {
        folded = (uint16_t)~frame_sum_fold(sum);
    } else {
        folded = frame_sum_fold(frame_sum(d->bytes, d->len, frame_sum(udp, UDP_HLEN, sum)));
        if (folded == 0)
            folded = UINT16_MAX; /* zero means none */
    }
    memcpy(udp + UDP_CSUM_AT, &folded, sizeof(folded)); /* frame_sum() works on bytes as they lie in memory */
}

/* Headers of the IP packet with @l4_bytes of the datagram from @at on. Return: how many bytes they are. */
static size_t write_ip(const struct datagram *d, uint32_t at, uint32_t l4_bytes, bool more, uint32_t id, uint8_t *out)
{
    bool fragment = at > 0 || more;
    struct ip4_header v4 = {
        .ttl = IP4_TTL,
        .proto = FRAME_PROTO_UDP,
        .total_bytes = (uint16_t)(IP4_HEADER_BYTES + l4_bytes),
        .id = (uint16_t)id,
        .fragment = (uint16_t)(at / 8 | (more ? IP4_MF : 0)),
        .src = d->src,
        .dst = d->dst,
    };
    struct ip6_header v6 = {
        .next = fragment ? IP6_FRAGMENT : FRAME_PROTO_UDP,
        .hop_limit = IP6_HOP_LIMIT,
        .payload_bytes = (uint16_t)(l4_bytes + (fragment ? IP6_FRAGMENT_BYTES : 0)),
        .src = d->src,
        .dst = d->dst,
    };

    if (d->src.family == ADDR_V4) {
        ip4_write(&v4, out);
        return IP4_HEADER_BYTES;
    }
    ip6_write(&v6, out);
    if (!fragment)
        return IP6_HEADER_BYTES;
    ip6_write_fragment(FRAME_PROTO_UDP, at, more, id, out + IP6_HEADER_BYTES);
    return IP6_HEADER_BYTES + IP6_FRAGMENT_BYTES;
}

/* One frame, whole or a super-datagram. */
static int send_whole(struct guest *guest, const struct datagram *d)
{
    uint8_t headers[HEADERS_MAX];
    size_t ip_bytes = write_ip(d, 0, UDP_HLEN + (uint32_t)d->len, false, ++guest->ip_id, headers);
    struct iovec iov[] = {
        {.iov_base = headers, .iov_len = ip_bytes + UDP_HLEN},
        {.iov_base = (void *)(uintptr_t)d->bytes, .iov_len = d->len},
    };
    struct wire_frame frame = {.iov = iov, .iovcnt = d->len > 0 ? 2 : 1};

    write_udp(d, guest->wire.csum_offload, headers + ip_bytes);
    if (guest->wire.csum_offload) {
        frame.offload.needs_csum = true;
        frame.offload.csum_start = (uint16_t)(FRAME_ETH_BYTES + ip_bytes);
        frame.offload.csum_offset = UDP_CSUM_AT;
    }
    if (d->segment > 0) {
        frame.offload.gso_type = FRAME_GSO_UDP;
        frame.offload.gso_size = d->segment;
        frame.offload.hdr_len = (uint16_t)(FRAME_ETH_BYTES + ip_bytes + UDP_HLEN);
    }
    return guest_send(guest, ethertype_of(d), &frame);
}

/* Above the guest's MTU. A piece the wire does not take is counted there, and the others are of no use then. */
static int send_fragments(struct guest *guest, const struct datagram *d)
{
    uint32_t overhead = ip_header_bytes(d) + (d->src.family == ADDR_V6 ? IP6_FRAGMENT_BYTES : 0u);
    uint32_t step = (guest->config.mtu - overhead) & ~7u, total = UDP_HLEN + (uint32_t)d->len, id = ++guest->ip_id;
    uint8_t udp[UDP_HLEN];
    int err = 0;

    write_udp(d, false, udp);
    for (uint32_t at = 0; at < total && err == 0; at += step) {
        uint32_t n = LWIP_MIN(step, total - at), header = at == 0 ? UDP_HLEN : 0;
        uint8_t headers[HEADERS_MAX];
        size_t bytes = write_ip(d, at, n, at + n < total, id, headers);
        struct iovec iov[] = {
            {.iov_base = headers, .iov_len = bytes + header},
            {.iov_base = (uint8_t *)(uintptr_t)d->bytes + (at == 0 ? 0 : at - UDP_HLEN), .iov_len = n - header},
        };
        struct wire_frame frame = {.iov = iov, .iovcnt = ARRAY_SIZE(iov)};

        if (header > 0)
            memcpy(headers + bytes, udp, UDP_HLEN);
        err = guest_send(guest, ethertype_of(d), &frame);
    }
    return err;
}

static int send_one(struct guest *guest, const struct datagram *d)
{
    if (ip_header_bytes(d) + UDP_HLEN + d->len <= guest->config.mtu)
        return send_whole(guest, d);
    return send_fragments(guest, d);
}

static bool wire_segments(const struct guest *guest, const struct datagram *d)
{
    return guest->wire.uso && guest->wire.csum_offload && d->len > d->segment &&
           ip_header_bytes(d) + UDP_HLEN + (size_t)d->segment <= guest->config.mtu;
}

int stack_send_datagram(struct stack *stack, struct guest *guest, const struct datagram *d)
{
    enum frame_kind kind = d->src.family == ADDR_V6 ? FRAME_IPV6 : FRAME_IPV4;
    struct datagram one = *d;
    int err = 0;

    CHECK(d->src_port != 0 && d->src.family == d->dst.family);
    if (d->len > frame_l4_bytes_max(kind) - UDP_HLEN) {
        counter_bump(stack->counters, COUNTER_UDP_TOO_BIG);
        return -EMSGSIZE;
    }
    if (d->segment == 0)
        return send_one(guest, d);
    if (wire_segments(guest, d))
        return send_whole(guest, d);
    one.segment = 0;
    for (size_t at = 0; at < d->len && err == 0; at += d->segment) {
        one.bytes = (const uint8_t *)d->bytes + at;
        one.len = LWIP_MIN(d->segment, d->len - at);
        err = send_one(guest, &one);
    }
    return err;
}

void stack_send_datagram_error(struct guest *guest, const struct datagram *d, enum unreachable what, uint16_t mtu)
{
    uint8_t quoted[HEADERS_MAX + DATAGRAM_QUOTE_MAX];
    struct datagram head = *d;
    size_t bytes = write_ip(d, 0, UDP_HLEN + (uint32_t)d->len, false, 0, quoted);

    head.len = LWIP_MIN(d->len, DATAGRAM_QUOTE_MAX);
    write_udp(&head, false, quoted + bytes);
    bytes += UDP_HLEN;
    if (head.len > 0)
        memcpy(quoted + bytes, d->bytes, head.len);
    guest_send_unreachable(guest, quoted, bytes + head.len, what, mtu);
}
