/*
 * The frame edge, second half: what a guest's frame means (stack/guest.h).
 */
#include "stack/guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stack/arp.h"
#include "stack/dhcp4.h"
#include "stack/icmp4.h"
#include "stack/stack_private.h"

enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_ARP = 0x0806 };

static const uint8_t mac_broadcast[FRAME_MAC_BYTES] = {255, 255, 255, 255, 255, 255};

void guest_count(struct guest *guest, enum counter c)
{
    counter_bump(guest->stack->counters, c);
}

struct guest *guest_new(struct stack *stack, const struct guest_config *config,
                        const struct wire *wire)
{
    struct guest *guest;

    if (stack->guest_count >= STACK_GUESTS_MAX)
        return NULL;
    guest = calloc(1, sizeof(*guest));
    if (!guest)
        return NULL;
    guest->netif = calloc(1, sizeof(*guest->netif));
    if (!guest->netif ||
        !netif_add(guest->netif, NULL, NULL, NULL, guest, egress_netif_init, ip_input)) {
        free(guest->netif);
        free(guest);
        return NULL;
    }
    guest->stack = stack;
    guest->heard_ms = stack->now_ms;
    guest->config = *config;
    guest->wire = *wire;
    frag_init(&guest->frags);
    if (config->mac_pinned) {
        memcpy(guest->mac, config->guest_mac, sizeof(guest->mac));
        guest->mac_known = true;
    }
    stack->guest_count++;
    return guest;
}

void guest_free(struct guest *guest)
{
    if (!guest)
        return;
    frag_deinit(&guest->frags);
    netif_remove(guest->netif);
    free(guest->netif);
    guest->stack->guest_count--;
    free(guest);
}

void guest_reset(struct guest *guest, const struct wire *wire)
{
    guest->wire = *wire;
    frag_deinit(&guest->frags);
    frag_init(&guest->frags);
    guest->mac_known = guest->config.mac_pinned;
}

bool guest_owns(const struct guest *guest, const struct addr *a)
{
    return a->family == ADDR_V4 && addr_equal(a, &guest->config.guest4);
}

/* ---- out ---- */

static int send_frame(struct guest *guest, const uint8_t *dst_mac, uint16_t ethertype,
                      const struct wire_frame *frame)
{
    uint8_t eth[FRAME_ETH_BYTES];
    struct iovec iov[WIRE_IOV_MAX];
    struct wire_frame whole = {
        .iov = iov,
        .iovcnt = frame->iovcnt + 1,
        .offload = frame->offload,
        .keep = frame->keep,
    };
    int err;

    CHECK(frame->iovcnt < WIRE_IOV_MAX);
    memcpy(eth, dst_mac, FRAME_MAC_BYTES);
    memcpy(eth + 6, guest->config.gateway_mac, FRAME_MAC_BYTES);
    eth[12] = (uint8_t)(ethertype >> 8);
    eth[13] = (uint8_t)ethertype;
    iov[0] = (struct iovec){.iov_base = eth, .iov_len = sizeof(eth)};
    memcpy(iov + 1, frame->iov, (size_t)frame->iovcnt * sizeof(*iov));
    err = guest->wire.send(guest->wire.ctx, &whole);
    if (err == 0)
        guest_count(guest, COUNTER_FRAMES_OUT);
    else if (err == -EAGAIN && frame->keep)
        guest_count(guest, COUNTER_LINK_FULL_TCP);
    else
        guest_count(guest, COUNTER_LINK_FULL_DROP);
    return err;
}

int guest_send(struct guest *guest, uint16_t ethertype, struct wire_frame *frame)
{
    if (!guest->mac_known)
        return -EHOSTUNREACH;
    return send_frame(guest, guest->mac, ethertype, frame);
}

void guest_send_packet(struct guest *guest, uint16_t ethertype, const uint8_t *packet, size_t len,
                       const uint8_t dst_mac[static FRAME_MAC_BYTES])
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)packet, .iov_len = len};
    struct wire_frame frame = {.iov = &iov, .iovcnt = 1};

    (void)send_frame(guest, dst_mac, ethertype, &frame); /* counted there */
}

bool guest_may_icmp(struct guest *guest)
{
    uint64_t now_ms = guest->stack->now_ms;

    if (now_ms - guest->icmp_window_ms >= 1000) {
        guest->icmp_window_ms = now_ms;
        guest->icmp_tokens = GUEST_ICMP_PER_S;
    }
    if (guest->icmp_tokens == 0) {
        guest_count(guest, COUNTER_ICMP_IGNORED);
        return false;
    }
    guest->icmp_tokens--;
    return true;
}

/* ---- in ---- */

static bool mac_allowed(const struct guest *guest, const struct frame *f)
{
    if (guest->config.mac_pinned)
        return memcmp(f->src_mac, guest->mac, FRAME_MAC_BYTES) == 0;
    return memcmp(f->src_mac, guest->config.gateway_mac, FRAME_MAC_BYTES) != 0;
}

/* The guest's MAC is the source of its last frame with an address of its own. */
static void learn_mac(struct guest *guest, const struct frame *f)
{
    memcpy(guest->mac, f->src_mac, FRAME_MAC_BYTES);
    guest->mac_known = true;
}

static void arp_input(struct guest *guest, const struct frame *f)
{
    uint8_t reply[ARP_BYTES];
    int r = arp_answer(guest, f, reply);

    if (r >= 0)
        learn_mac(guest, f);
    if (r > 0)
        guest_send_packet(guest, ETHERTYPE_ARP, reply, sizeof(reply), f->src_mac);
    else if (r == -EBADMSG)
        guest_count(guest, COUNTER_ARP_BAD);
    else if (r == -EPERM)
        guest_count(guest, COUNTER_SPOOF_SRC);
    else
        guest_count(guest, COUNTER_ARP_IGNORED);
}

static void dhcp_input(struct guest *guest, const struct frame *f)
{
    enum { HEADERS = 28 };
    uint8_t packet[HEADERS + DHCP4_REPLY_BYTES_MAX] = {0};
    uint8_t *udp = packet + 20;
    struct dhcp4_reply reply;
    uint16_t sum, total;
    int r = dhcp4_answer(&guest->config, f->payload, f->payload_bytes, &f->src, f->src_mac,
                         packet + HEADERS, &reply);

    if (r <= 0) {
        if (r < 0)
            guest_count(guest, COUNTER_DHCP_BAD);
        return;
    }
    if (reply.nak)
        guest_count(guest, COUNTER_DHCP_NAK);
    total = (uint16_t)(HEADERS + reply.len);
    packet[0] = 0x45;
    packet[2] = (uint8_t)(total >> 8);
    packet[3] = (uint8_t)total;
    packet[8] = 64;
    packet[9] = FRAME_PROTO_UDP;
    memcpy(packet + 12, guest->config.gateway4.bytes, 4);
    memcpy(packet + 16, reply.dst.bytes, 4);
    sum = frame_sum_fold(frame_sum(packet, 20, 0));
    memcpy(packet + 10, &sum, 2);
    udp[1] = DHCP4_SERVER_PORT;
    udp[3] = DHCP4_CLIENT_PORT;
    udp[4] = (uint8_t)((total - 20) >> 8);
    udp[5] = (uint8_t)(total - 20);
    sum = frame_sum_fold(frame_sum(udp, total - 20u,
                                   frame_sum_pseudo(&guest->config.gateway4, &reply.dst,
                                                    FRAME_PROTO_UDP, total - 20u)));
    memcpy(udp + 6, &sum, 2);
    guest_send_packet(guest, ETHERTYPE_IPV4, packet, total,
                      addr_to_v4(&reply.dst) == UINT32_MAX ? mac_broadcast : f->src_mac);
}

static void icmp_input(struct guest *guest, struct frame *f)
{
    if (!addr_equal(&f->dst, &guest->config.gateway4)) {
        if (f->l4_bytes >= 8 && f->l4[0] == 8)
            guest->stack->events->on_echo(guest->stack->ctx, guest, f);
        else
            guest_count(guest, COUNTER_ICMP_IGNORED);
        return;
    }
    if (!guest_may_icmp(guest))
        return;
    if (icmp4_echo_reply(f) <= 0) {
        guest_count(guest, COUNTER_ICMP_IGNORED);
        return;
    }
    if (f->ip_bytes <= guest->config.mtu) /* a larger ping is answered like a router with DF would: not */
        guest_send_packet(guest, ETHERTYPE_IPV4, f->ip, f->ip_bytes, guest->mac);
    else
        guest_count(guest, COUNTER_ICMP_IGNORED);
}

/* Only the guest's own address may be a source; DHCP's 0.0.0.0 is let through to DHCP alone. */
static bool source_allowed(struct guest *guest, const struct frame *f)
{
    static const struct addr unspecified = {.family = ADDR_V4};

    if (guest_owns(guest, &f->src))
        return true;
    return addr_equal(&f->src, &unspecified) && f->proto == FRAME_PROTO_UDP && !f->fragment;
}

static bool is_dhcp(const struct guest *guest, const struct frame *f)
{
    return f->proto == FRAME_PROTO_UDP && f->src_port == DHCP4_CLIENT_PORT &&
           f->dst_port == DHCP4_SERVER_PORT &&
           (addr_equal(&f->dst, &guest->config.gateway4) || addr_to_v4(&f->dst) == UINT32_MAX);
}

static bool is_group_address(const struct guest *guest, const struct addr *a)
{
    uint32_t v4 = addr_to_v4(a);
    const struct addr_prefix *net = &guest->config.net4;

    return v4 >> 28 == 14 || v4 == UINT32_MAX ||
           (addr_prefix_contains(net, a) && net->bits < 31 && (v4 | UINT32_MAX << (32 - net->bits)) == UINT32_MAX);
}

static void datagram_input(struct guest *guest, struct frame *f, struct buf *buf,
                           const struct frame_offload *offload)
{
    struct stack *stack = guest->stack;
    bool mss_nop = false;
    int drop = frame_read_l4(f, offload, &mss_nop);

    if (drop > 0) {
        guest_count(guest, (enum counter)drop);
        return;
    }
    if (mss_nop)
        guest_count(guest, COUNTER_TCP_OPT_MSS);
    if (is_dhcp(guest, f)) {
        dhcp_input(guest, f);
    } else if (!guest_owns(guest, &f->src)) {
        guest_count(guest, COUNTER_SPOOF_SRC);
    } else if (is_group_address(guest, &f->dst)) {
        guest_count(guest, COUNTER_MULTICAST);
    } else if (f->proto == FRAME_PROTO_TCP) {
        stack->events->on_segment(stack->ctx, guest, f, buf);
    } else if (f->proto == FRAME_PROTO_UDP) {
        udp_relay_input(stack, guest, f);
    } else {
        icmp_input(guest, f);
    }
}

static void ipv4_input(struct guest *guest, struct frame *f, struct buf *buf,
                       const struct frame_offload *offload)
{
    static const struct frame_offload reassembled = {0};
    struct buf *whole = NULL;
    int r;

    if (guest->config.net4.base.family != ADDR_V4 || !source_allowed(guest, f)) {
        guest_count(guest, COUNTER_SPOOF_SRC);
        return;
    }
    learn_mac(guest, f);
    if (!f->fragment) {
        datagram_input(guest, f, buf, offload);
        return;
    }
    r = frag_add(&guest->frags, guest->stack->pool, f, guest->stack->now_ms, &whole);
    for (; guest->frags.expired > 0; guest->frags.expired--)
        guest_count(guest, COUNTER_IP_FRAG);
    if (r < 0)
        guest_count(guest, COUNTER_IP_FRAG);
    if (r > 0)
        datagram_input(guest, f, whole, &reassembled);
    buf_unref(whole);
}

static bool for_us(const struct guest *guest, const struct frame *f)
{
    return f->dst_mac[0] & 1 || memcmp(f->dst_mac, guest->config.gateway_mac, FRAME_MAC_BYTES) == 0;
}

/* A paused VM is back: its connections go on now, not when their doubled timeouts say so. */
static void note_heard(struct guest *guest)
{
    uint64_t now_ms = guest->stack->now_ms;

    if (now_ms - guest->heard_ms > GUEST_SILENCE_MS)
        tcp_guest_is_back(guest);
    guest->heard_ms = now_ms;
}

void guest_input(struct guest *guest, struct buf *buf, const struct frame_offload *offload)
{
    struct frame f;
    int drop = frame_read(buf->data + buf->start, buf->len, offload, &f);

    guest_count(guest, COUNTER_FRAMES_IN);
    note_heard(guest);
    if (drop > 0)
        guest_count(guest, (enum counter)drop);
    else if (!for_us(guest, &f))
        guest_count(guest, COUNTER_FRAME_ETHERTYPE);
    else if (!mac_allowed(guest, &f))
        guest_count(guest, COUNTER_SPOOF_SRC);
    else if (f.kind == FRAME_ARP)
        arp_input(guest, &f);
    else
        ipv4_input(guest, &f, buf, offload);
    buf_unref(buf);
}
