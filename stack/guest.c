/*
 * A guest: its object, its way out, and where its frames come in (stack/guest.h). What a frame means is its
 * family's: edge4.c, edge6.c.
 */
#include "stack/guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stack/nd6.h"
#include "stack/stack_private.h"

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
    guest->addr6_count = 0;
}

bool guest_owns4(const struct guest *guest, const struct addr *a)
{
    return a->family == ADDR_V4 && addr_equal(a, &guest->config.guest4);
}

struct addr guest_gateway(const struct guest *guest, enum addr_family family)
{
    return family == ADDR_V4 ? guest->config.gateway4 : guest->config.gateway6;
}

struct addr guest_alias(const struct guest *guest, enum addr_family family)
{
    return family == ADDR_V4 ? guest->config.alias4 : guest->config.alias6;
}

bool guest_is_gateway(const struct guest *guest, const struct addr *a)
{
    struct addr gateway = guest_gateway(guest, a->family);

    return a->family != ADDR_NONE && (addr_equal(a, &gateway) || addr_equal(a, &guest->config.router6));
}

bool guest_is_alias(const struct guest *guest, const struct addr *a)
{
    struct addr alias = guest_alias(guest, a->family);

    return a->family != ADDR_NONE && addr_equal(a, &alias);
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
        .bulk = frame->bulk,
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
    else if (err != -EAGAIN)
        guest_count(guest, COUNTER_LINK_DOWN);
    else
        guest_count(guest, frame->keep ? COUNTER_LINK_FULL_TCP : COUNTER_LINK_FULL_DROP);
    return err;
}

int guest_send(struct guest *guest, uint16_t ethertype, struct wire_frame *frame)
{
    if (!guest->mac_known) {
        guest_count(guest, COUNTER_LINK_DOWN);
        return -EHOSTUNREACH;
    }
    return send_frame(guest, guest->mac, ethertype, frame);
}

void guest_send_packet(struct guest *guest, uint16_t ethertype, const uint8_t *packet, size_t len,
                       const uint8_t dst_mac[static FRAME_MAC_BYTES])
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)packet, .iov_len = len};
    struct wire_frame frame = {.iov = &iov, .iovcnt = 1};

    (void)send_frame(guest, dst_mac, ethertype, &frame); /* counted there */
}

void guest_send_unreachable(struct guest *guest, const uint8_t *quoted, size_t len, enum unreachable what,
                            uint16_t mtu)
{
    if (len == 0 || !guest_may_icmp(guest))
        return;
    if (quoted[0] >> 4 == 4)
        edge4_send_unreachable(guest, quoted, len, what, mtu);
    else if (quoted[0] >> 4 == 6)
        edge6_send_unreachable(guest, quoted, len, what, mtu);
}

void guest_advertise(struct guest *guest)
{
    edge6_advertise(guest);
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

void guest_learn_mac(struct guest *guest, const struct frame *f)
{
    memcpy(guest->mac, f->src_mac, FRAME_MAC_BYTES);
    guest->mac_known = true;
}

bool guest_read_datagram(struct guest *guest, struct frame *f, const struct frame_offload *offload)
{
    bool mss_nop = false;
    int drop = frame_read_l4(f, offload, &mss_nop);

    if (drop > 0) {
        guest_count(guest, (enum counter)drop);
        return false;
    }
    if (mss_nop)
        guest_count(guest, COUNTER_TCP_OPT_MSS);
    return true;
}

struct buf *guest_reassemble(struct guest *guest, struct frame *f)
{
    struct buf *whole = NULL;
    int r = frag_add(&guest->frags, guest->stack->pool, f, guest->stack->now_ms, &whole);

    for (; guest->frags.expired > 0; guest->frags.expired--)
        guest_count(guest, COUNTER_IP_FRAG);
    if (r < 0)
        guest_count(guest, COUNTER_IP_FRAG);
    return whole;
}

void guest_hand_up(struct guest *guest, struct frame *f, struct buf *buf)
{
    struct stack *stack = guest->stack;

    if (f->proto == FRAME_PROTO_TCP)
        stack->events->on_segment(stack->ctx, guest, f, buf);
    else
        udp_relay_input(stack, guest, f);
}

void guest_hand_up_error(struct guest *guest, const struct frame *f)
{
    struct stack *stack = guest->stack;
    struct refusal refusal;

    if (refusal_read(f, &refusal))
        stack->events->on_refusal(stack->ctx, guest, &refusal);
    else
        guest_count(guest, COUNTER_ICMP_IGNORED);
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
        edge4_arp(guest, &f);
    else if (f.kind == FRAME_IPV4)
        edge4_input(guest, &f, buf, offload);
    else
        edge6_input(guest, &f, buf, offload);
    buf_unref(buf);
}
