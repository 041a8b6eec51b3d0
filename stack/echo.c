/*
 * Pings beyond the gateway: a guest's request as a value, and what comes back as packets (stack/stack.h).
 */
#include "stack/stack_private.h"

#include <string.h>

#include "stack/icmp4.h"
#include "stack/icmp6.h"
#include "stack/ip4.h"
#include "stack/ip6.h"

enum {
    ECHO_HEADER_BYTES = 8,
    ECHO4_REPLY = 0,
    PACKET_MAX = IP6_HEADER_BYTES + ECHO_HEADER_BYTES + STACK_ECHO_BYTES_MAX,
};

struct echo stack_read_echo(const struct frame *f)
{
    const uint8_t *icmp = f->l4;

    return (struct echo){
        .src = f->src,
        .dst = f->dst,
        .id = (uint16_t)(icmp[4] << 8 | icmp[5]),
        .seq = (uint16_t)(icmp[6] << 8 | icmp[7]),
        .bytes = f->payload,
        .len = f->payload_bytes,
    };
}

/* Return: length of the packet. */
static size_t write_echo(const struct echo *e, uint8_t type, uint8_t *out)
{
    bool v6 = e->src.family == ADDR_V6;
    size_t ip_bytes = v6 ? IP6_HEADER_BYTES : IP4_HEADER_BYTES, icmp_bytes = ECHO_HEADER_BYTES + e->len;
    uint8_t *icmp = out + ip_bytes;
    struct ip4_header v4_header = {
        .ttl = IP4_TTL,
        .proto = FRAME_PROTO_ICMP,
        .total_bytes = (uint16_t)(ip_bytes + icmp_bytes),
        .src = e->src,
        .dst = e->dst,
    };
    struct ip6_header v6_header = {
        .next = FRAME_PROTO_ICMPV6,
        .hop_limit = IP6_HOP_LIMIT,
        .payload_bytes = (uint16_t)icmp_bytes,
        .src = e->src,
        .dst = e->dst,
    };

    CHECK(e->len <= STACK_ECHO_BYTES_MAX && e->src.family == e->dst.family);
    icmp[0] = type;
    memset(icmp + 1, 0, 3);
    icmp[4] = (uint8_t)(e->id >> 8);
    icmp[5] = (uint8_t)e->id;
    icmp[6] = (uint8_t)(e->seq >> 8);
    icmp[7] = (uint8_t)e->seq;
    if (e->len > 0)
        memcpy(icmp + ECHO_HEADER_BYTES, e->bytes, e->len);
    if (v6) {
        ip6_write(&v6_header, out);
        icmp6_put_sum(icmp, icmp_bytes, &e->src, &e->dst);
    } else {
        ip4_write(&v4_header, out);
        icmp4_put_sum(icmp, icmp_bytes);
    }
    return ip_bytes + icmp_bytes;
}

int stack_send_echo_reply(struct guest *guest, const struct echo *e)
{
    uint8_t packet[PACKET_MAX];
    bool v6 = e->src.family == ADDR_V6;
    struct iovec iov = {.iov_base = packet, .iov_len = write_echo(e, v6 ? ICMP6_ECHO_REPLY : ECHO4_REPLY, packet)};
    struct wire_frame frame = {.iov = &iov, .iovcnt = 1};

    if (iov.iov_len > guest->config.mtu) {
        guest_count(guest, COUNTER_ICMP_IGNORED);
        return -1;
    }
    return guest_send(guest, v6 ? FRAME_ETHERTYPE_IPV6 : FRAME_ETHERTYPE_IPV4, &frame);
}

void stack_send_echo_error(struct guest *guest, const struct echo *e, enum unreachable what, uint16_t mtu)
{
    uint8_t packet[PACKET_MAX];
    size_t len = write_echo(e, e->src.family == ADDR_V6 ? ICMP6_ECHO : ICMP4_ECHO, packet);

    guest_send_unreachable(guest, packet, len, what, mtu);
}
