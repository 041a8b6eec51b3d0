/*
 * IPv6 at the frame edge (stack/guest.h): whose addresses a guest may use, neighbour discovery, DHCPv6, ICMPv6,
 * reassembly. TCP and UDP that are left over go up.
 *
 * A guest has the address it is given, one it makes for each link-local need, and, with SLAAC, a few of its own
 * /64. They are learned from its probes (DAD) and from first use; what it cannot have (nd6_may_claim()) is
 * defended and dropped.
 */
#include <errno.h>
#include <string.h>

#include "stack/dhcp6.h"
#include "stack/icmp6.h"
#include "stack/nd6.h"
#include "stack/stack_private.h"

enum { UDP_HEADER_BYTES = 8, UDP_CSUM_AT = 6, HEADERS_BYTES = IP6_HEADER_BYTES + UDP_HEADER_BYTES };

static const struct addr unspecified = {.family = ADDR_V6};

static bool is_multicast(const struct addr *a)
{
    return a->bytes[0] == 0xff;
}

/* ---- the guest's own addresses ---- */

/*
 * Remember that the guest uses @a. A full table forgets what was not used for GUEST_ADDR6_IDLE_MS: temporary addresses
 * (RFC 8981) come and go.
 */
static bool learn(struct guest *guest, const struct addr *a)
{
    uint64_t now_ms = guest->stack->now_ms;
    struct guest_addr6 *oldest = guest->addrs6;

    if (!nd6_may_claim(&guest->config, a))
        return false;
    for (unsigned i = 0; i < guest->addr6_count; i++) {
        struct guest_addr6 *known = &guest->addrs6[i];

        if (addr_equal(&known->addr, a)) {
            known->used_ms = now_ms;
            return true;
        }
        if (known->used_ms < oldest->used_ms)
            oldest = known;
    }
    if (guest->addr6_count < GUEST_ADDRS6_MAX)
        oldest = &guest->addrs6[guest->addr6_count++];
    else if (now_ms - oldest->used_ms < GUEST_ADDR6_IDLE_MS)
        return false;
    *oldest = (struct guest_addr6){.addr = *a, .used_ms = now_ms};
    return true;
}

/* A link-local source speaks to this link and to nobody behind it (RFC 4291 section 2.5.6). */
static bool source_allowed(struct guest *guest, const struct frame *f)
{
    if (addr_equal(&f->src, &unspecified)) /* before it has one: probes and solicitations alone */
        return f->proto == FRAME_PROTO_ICMPV6 && !f->fragment;
    if (nd6_is_link_local(&f->src) && !is_multicast(&f->dst) && !nd6_is_link_local(&f->dst) &&
        !guest_is_gateway(guest, &f->dst))
        return false;
    return learn(guest, &f->src);
}

/* ---- what the gateway answers ---- */

static void send_reply(struct guest *guest, const struct nd6_reply *reply, const uint8_t *packet)
{
    guest_send_packet(guest, FRAME_ETHERTYPE_IPV6, packet, reply->len, reply->dst_mac);
}

static void nd_input(struct guest *guest, const struct frame *f)
{
    uint8_t packet[ND6_BYTES_MAX];
    struct nd6_reply reply;
    int r = nd6_answer(guest, f, packet, &reply);

    if (r == -EBADMSG)
        guest_count(guest, COUNTER_ND_BAD);
    else if (r < 0)
        guest_count(guest, COUNTER_SPOOF_SRC);
    if (r < 0)
        return;
    if (reply.claims.family != ADDR_NONE && !learn(guest, &reply.claims)) {
        nd6_defend(&guest->config, &reply.claims, packet, &reply);
        guest_count(guest, COUNTER_SPOOF_SRC);
        r = 1;
    }
    if (r > 0) /* each asked for, as ARP's: who spends the budget of errors does not take the gateway from the others */
        send_reply(guest, &reply, packet);
}

void edge6_advertise(struct guest *guest)
{
    uint8_t packet[ND6_BYTES_MAX];
    struct nd6_reply reply = {.dst = nd6_all_nodes()};

    if (guest->config.net6.base.family != ADDR_V6)
        return;
    reply.len = nd6_advertisement(&guest->config, &reply.dst, packet);
    nd6_group_mac(&reply.dst, reply.dst_mac);
    send_reply(guest, &reply, packet);
}

/* RFC 768 in front of a reply of the gateway's, RFC 8200 in front of that. */
static void send_dhcp(struct guest *guest, const struct dhcp6_reply *reply, uint8_t *packet,
                      const uint8_t client_mac[static FRAME_MAC_BYTES])
{
    uint8_t *udp = packet + IP6_HEADER_BYTES;
    uint16_t udp_bytes = (uint16_t)(UDP_HEADER_BYTES + reply->len), sum;
    struct ip6_header header = {
        .next = FRAME_PROTO_UDP,
        .hop_limit = IP6_HOP_LIMIT,
        .payload_bytes = udp_bytes,
        .src = guest->config.router6,
        .dst = reply->dst,
    };

    ip6_write(&header, packet);
    udp[0] = DHCP6_SERVER_PORT >> 8;
    udp[1] = DHCP6_SERVER_PORT & 0xff;
    udp[2] = DHCP6_CLIENT_PORT >> 8;
    udp[3] = DHCP6_CLIENT_PORT & 0xff;
    udp[4] = (uint8_t)(udp_bytes >> 8);
    udp[5] = (uint8_t)udp_bytes;
    memset(udp + UDP_CSUM_AT, 0, sizeof(sum));
    sum = frame_sum_fold(frame_sum(udp, udp_bytes,
                                   frame_sum_pseudo(&header.src, &header.dst, FRAME_PROTO_UDP, udp_bytes)));
    if (sum == 0)
        sum = UINT16_MAX; /* RFC 8200 section 8.1: zero would mean none */
    memcpy(udp + UDP_CSUM_AT, &sum, sizeof(sum));
    guest_send_packet(guest, FRAME_ETHERTYPE_IPV6, packet, IP6_HEADER_BYTES + (size_t)udp_bytes, client_mac);
}

static void dhcp_input(struct guest *guest, const struct frame *f)
{
    uint8_t packet[HEADERS_BYTES + DHCP6_REPLY_BYTES_MAX];
    struct dhcp6_reply reply;
    int r = dhcp6_answer(&guest->config, f->payload, f->payload_bytes, &f->src, packet + HEADERS_BYTES, &reply);

    if (r < 0)
        guest_count(guest, COUNTER_DHCP_BAD);
    if (r <= 0)
        return;
    if (reply.refused)
        guest_count(guest, COUNTER_DHCP_NAK);
    send_dhcp(guest, &reply, packet, f->src_mac);
}

static void echo_input(struct guest *guest, struct frame *f)
{
    if (!guest_may_icmp(guest))
        return;
    if (icmp6_echo_reply(f) > 0 && f->ip_bytes <= guest->config.mtu)
        guest_send_packet(guest, FRAME_ETHERTYPE_IPV6, f->ip, f->ip_bytes, guest->mac);
    else
        guest_count(guest, COUNTER_ICMP_IGNORED);
}

/* @whole: it came as one packet. RFC 6980: neighbour discovery in fragments is an attack. */
static void icmp_input(struct guest *guest, struct frame *f, bool whole)
{
    uint8_t type = f->l4[0];

    if (type >= ND6_ROUTER_SOLICITATION && type <= ND6_REDIRECT) {
        if (whole)
            nd_input(guest, f);
        else
            guest_count(guest, COUNTER_ND_BAD);
    } else if (is_multicast(&f->dst)) {
        guest_count(guest, COUNTER_MULTICAST);
    } else if (addr_equal(&f->src, &unspecified)) {
        guest_count(guest, COUNTER_ICMP_IGNORED);
    } else if (type != ICMP6_ECHO) {
        guest_hand_up_error(guest, f);
    } else if (guest_is_gateway(guest, &f->dst)) {
        echo_input(guest, f);
    } else {
        guest->stack->events->on_echo(guest->stack->ctx, guest, f);
    }
}

/* An error goes to where its cause is from (RFC 4443 section 2.2), which is an address of the guest's. */
void edge6_send_unreachable(struct guest *guest, const uint8_t *quoted, size_t len, enum unreachable what, uint16_t mtu)
{
    static const struct {
        uint8_t type, code;
    } codes[] = {
        [UNREACHABLE_NET] = {ICMP6_UNREACHABLE, ICMP6_NO_ROUTE},
        [UNREACHABLE_HOST] = {ICMP6_UNREACHABLE, ICMP6_ADDR_UNREACHABLE},
        [UNREACHABLE_PORT] = {ICMP6_UNREACHABLE, ICMP6_PORT_UNREACHABLE},
        [UNREACHABLE_ADMIN] = {ICMP6_UNREACHABLE, ICMP6_ADMIN_PROHIBITED},
        [UNREACHABLE_TOO_BIG] = {ICMP6_TOO_BIG, 0},
    };
    uint8_t packet[ICMP6_ERROR_BYTES_MAX];
    struct addr to;
    size_t n;

    if (len < IP6_HEADER_BYTES)
        return;
    to = addr_from_v6(quoted + 8);
    n = icmp6_error(quoted, len, &guest->config.gateway6, &to, codes[what].type, codes[what].code, mtu, packet);
    guest_send_packet(guest, FRAME_ETHERTYPE_IPV6, packet, n, guest->mac);
}

/* ---- datagrams ---- */

static bool is_dhcp(const struct frame *f)
{
    static const uint8_t servers[16] = {0xff, 0x02, [13] = 1, [15] = 2}; /* ff02::1:2, RFC 8415 section 7.1 */

    return f->proto == FRAME_PROTO_UDP && f->src_port == DHCP6_CLIENT_PORT && f->dst_port == DHCP6_SERVER_PORT &&
           memcmp(f->dst.bytes, servers, sizeof(servers)) == 0;
}

static void datagram_input(struct guest *guest, struct frame *f, struct buf *buf,
                           const struct frame_offload *offload, bool whole)
{
    if (!guest_read_datagram(guest, f, offload))
        return;
    if (f->proto == FRAME_PROTO_ICMPV6)
        icmp_input(guest, f, whole);
    else if (is_dhcp(f))
        dhcp_input(guest, f);
    else if (is_multicast(&f->dst))
        guest_count(guest, COUNTER_MULTICAST);
    else
        guest_hand_up(guest, f, buf);
}

void edge6_input(struct guest *guest, struct frame *f, struct buf *buf, const struct frame_offload *offload)
{
    static const struct frame_offload reassembled = {0};
    struct buf *whole;

    if (guest->config.net6.base.family != ADDR_V6) {
        guest_count(guest, COUNTER_IPV6_OFF);
        return;
    }
    if (addr_equal(&f->dst, &unspecified)) { /* RFC 4291 section 2.5.2; and lwIP has no answer from there */
        guest_count(guest, COUNTER_FRAME_BAD);
        return;
    }
    if (!source_allowed(guest, f)) {
        guest_count(guest, COUNTER_SPOOF_SRC);
        return;
    }
    if (!addr_equal(&f->src, &unspecified))
        guest_learn_mac(guest, f);
    if (f->group_report) {
        guest_count(guest, COUNTER_GROUP_REPORT);
        return;
    }
    if (!f->fragment) {
        datagram_input(guest, f, buf, offload, true);
        return;
    }
    whole = guest_reassemble(guest, f);
    if (whole)
        datagram_input(guest, f, whole, &reassembled, false);
    buf_unref(whole);
}
