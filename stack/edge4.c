/*
 * IPv4 at the frame edge (stack/guest.h): whose addresses a guest may use, ARP, DHCP, ICMP, reassembly. TCP and
 * UDP that are left over go up.
 */
#include <errno.h>
#include <string.h>

#include "stack/arp.h"
#include "stack/dhcp4.h"
#include "stack/icmp4.h"
#include "stack/ip4.h"
#include "stack/stack_private.h"

enum { UDP_HEADER_BYTES = 8, UDP_CSUM_AT = 6, HEADERS_BYTES = IP4_HEADER_BYTES + UDP_HEADER_BYTES };

static const uint8_t mac_broadcast[FRAME_MAC_BYTES] = {255, 255, 255, 255, 255, 255};

void edge4_arp(struct guest *guest, const struct frame *f)
{
    uint8_t reply[ARP_BYTES];
    int r = arp_answer(guest, f, reply);

    if (r >= 0 || r == -ENOENT)
        guest_learn_mac(guest, f);
    if (r > 0)
        guest_send_packet(guest, FRAME_ETHERTYPE_ARP, reply, sizeof(reply), f->src_mac);
    else if (r == -ENOENT)
        guest_count(guest, COUNTER_ARP_IGNORED);
    else if (r == -EPERM)
        guest_count(guest, COUNTER_SPOOF_SRC);
    else if (r < 0)
        guest_count(guest, COUNTER_ARP_BAD);
}

/* ---- what the gateway answers ---- */

/* RFC 768 in front of a reply of the gateway's, RFC 791 in front of that. */
static void send_dhcp(struct guest *guest, const struct dhcp4_reply *reply, uint8_t *packet,
                      const uint8_t client_mac[static FRAME_MAC_BYTES])
{
    uint8_t *udp = packet + IP4_HEADER_BYTES;
    uint16_t udp_bytes = (uint16_t)(UDP_HEADER_BYTES + reply->len), sum;
    struct ip4_header header = {
        .ttl = IP4_TTL,
        .proto = FRAME_PROTO_UDP,
        .total_bytes = (uint16_t)(IP4_HEADER_BYTES + udp_bytes),
        .src = guest->config.gateway4,
        .dst = reply->dst,
    };

    ip4_write(&header, packet);
    memset(udp, 0, UDP_HEADER_BYTES);
    udp[1] = DHCP4_SERVER_PORT;
    udp[3] = DHCP4_CLIENT_PORT;
    udp[4] = (uint8_t)(udp_bytes >> 8);
    udp[5] = (uint8_t)udp_bytes;
    sum = frame_sum_fold(frame_sum(udp, udp_bytes,
                                   frame_sum_pseudo(&header.src, &header.dst, FRAME_PROTO_UDP, udp_bytes)));
    memcpy(udp + UDP_CSUM_AT, &sum, sizeof(sum));
    guest_send_packet(guest, FRAME_ETHERTYPE_IPV4, packet, header.total_bytes,
                      addr_to_v4(&reply->dst) == UINT32_MAX ? mac_broadcast : client_mac);
}

static void dhcp_input(struct guest *guest, const struct frame *f)
{
    uint8_t packet[HEADERS_BYTES + DHCP4_REPLY_BYTES_MAX];
    struct dhcp4_reply reply;
    int r = dhcp4_answer(&guest->config, f->payload, f->payload_bytes, &f->src, f->src_mac,
                         packet + HEADERS_BYTES, &reply);

    if (r < 0)
        guest_count(guest, COUNTER_DHCP_BAD);
    if (r <= 0)
        return;
    if (reply.nak)
        guest_count(guest, COUNTER_DHCP_NAK);
    send_dhcp(guest, &reply, packet, f->src_mac);
}

static void icmp_input(struct guest *guest, struct frame *f)
{
    if (!guest_is_gateway(guest, &f->dst)) {
        if (f->l4[0] == ICMP4_ECHO)
            guest->stack->events->on_echo(guest->stack->ctx, guest, f);
        else
            guest_hand_up_error(guest, f);
        return;
    }
    if (!guest_may_icmp(guest))
        return;
    if (icmp4_echo_reply(f) <= 0) {
        guest_count(guest, COUNTER_ICMP_IGNORED);
        return;
    }
    if (f->ip_bytes <= guest->config.mtu) /* a larger ping is answered like a router with DF would: not */
        guest_send_packet(guest, FRAME_ETHERTYPE_IPV4, f->ip, f->ip_bytes, guest->mac);
    else
        guest_count(guest, COUNTER_ICMP_IGNORED);
}

void edge4_send_unreachable(struct guest *guest, const uint8_t *quoted, size_t len, enum unreachable what,
                            uint16_t mtu)
{
    static const uint8_t codes[] = {
        [UNREACHABLE_NET] = ICMP4_NET_UNREACHABLE,
        [UNREACHABLE_HOST] = ICMP4_HOST_UNREACHABLE,
        [UNREACHABLE_PORT] = ICMP4_PORT_UNREACHABLE,
        [UNREACHABLE_ADMIN] = ICMP4_ADMIN_PROHIBITED,
        [UNREACHABLE_TOO_BIG] = ICMP4_FRAG_NEEDED,
    };
    uint8_t packet[ICMP4_ERROR_BYTES_MAX];
    size_t n = icmp4_unreachable(quoted, len, &guest->config.gateway4, &guest->config.guest4, codes[what], mtu,
                                 packet);

    guest_send_packet(guest, FRAME_ETHERTYPE_IPV4, packet, n, guest->mac);
}

/* ---- datagrams ---- */

/*
 * Only the guest's own address may be a source; 0.0.0.0 is let through to DHCP alone, and to reports of groups, which
 * are sent as early.
 */
static bool source_allowed(struct guest *guest, const struct frame *f)
{
    static const struct addr unspecified = {.family = ADDR_V4};

    if (guest_owns4(guest, &f->src))
        return true;
    return addr_equal(&f->src, &unspecified) && (f->group_report || (f->proto == FRAME_PROTO_UDP && !f->fragment));
}

static bool is_dhcp(const struct guest *guest, const struct frame *f)
{
    return f->proto == FRAME_PROTO_UDP && f->src_port == DHCP4_CLIENT_PORT &&
           f->dst_port == DHCP4_SERVER_PORT &&
           (guest_is_gateway(guest, &f->dst) || addr_to_v4(&f->dst) == UINT32_MAX);
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
    if (!guest_read_datagram(guest, f, offload))
        return;
    if (is_dhcp(guest, f))
        dhcp_input(guest, f);
    else if (!guest_owns4(guest, &f->src))
        guest_count(guest, COUNTER_SPOOF_SRC);
    else if (is_group_address(guest, &f->dst))
        guest_count(guest, COUNTER_MULTICAST);
    else if (f->proto == FRAME_PROTO_ICMP)
        icmp_input(guest, f);
    else
        guest_hand_up(guest, f, buf);
}

void edge4_input(struct guest *guest, struct frame *f, struct buf *buf,
                 const struct frame_offload *offload)
{
    static const struct frame_offload reassembled = {0};
    struct buf *whole;

    if (guest->config.net4.base.family != ADDR_V4 || !source_allowed(guest, f)) {
        guest_count(guest, COUNTER_SPOOF_SRC);
        return;
    }
    guest_learn_mac(guest, f);
    if (f->group_report) {
        guest_count(guest, COUNTER_GROUP_REPORT);
        return;
    }
    if (!f->fragment) {
        datagram_input(guest, f, buf, offload);
        return;
    }
    whole = guest_reassemble(guest, f);
    if (whole)
        datagram_input(guest, f, whole, &reassembled);
    buf_unref(whole);
}
