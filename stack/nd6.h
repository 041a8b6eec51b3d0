/*
 * Neighbour and router discovery (RFC 4861, RFC 4862, RFC 8106) as the gateway speaks it: it answers for its
 * own two addresses, and for the host alias while a rule opens it, says what the network is when asked, and
 * defends every address the guest may not have. Bytes in, bytes out; learns nothing.
 */
#ifndef WEIR_STACK_ND6_H
#define WEIR_STACK_ND6_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stack/guest.h"

/* ICMPv6 types (RFC 4861 section 4) */
enum nd6_type {
    ND6_ROUTER_SOLICITATION = 133,
    ND6_ROUTER_ADVERTISEMENT = 134,
    ND6_NEIGHBOUR_SOLICITATION = 135,
    ND6_NEIGHBOUR_ADVERTISEMENT = 136,
    ND6_REDIRECT = 137,
};

enum {
    ND6_BYTES_MAX = 392, /* an advertisement with the longest search list, IPv6 header included */
    ND6_ROUTER_LIFETIME_S = 65535, /* RFC 8319 section 4: the longest there is, the link ends with its router */
};

struct nd6_reply {
    size_t len;                       /* of the packet; 0: there is none */
    struct addr dst;                  /* the asker, or ff02::1 when it has no address yet */
    uint8_t dst_mac[FRAME_MAC_BYTES];
    struct addr claims; /* what the guest is about to take for itself (DAD); family ADDR_NONE: nothing */
};

/**
 * Answer one message of the guest's.
 *
 * @f:         a whole datagram of kind FRAME_IPV6 and proto FRAME_PROTO_ICMPV6, whose checksum held, of a
 *             type of enum nd6_type, and never one that came in fragments (RFC 6980)
 * @out:       ND6_BYTES_MAX, the packet when the return value is 1
 * @out_reply: filled when the return value is 1 or 0
 *
 * Whether the guest owns the source address is the caller's to judge; here only ours are refused as one.
 * A probe (DAD) for an address the guest may have (nd6_may_claim()) is answered by silence and named in
 * `claims`; when the caller has reasons of its own against it, nd6_defend() says so to the guest.
 *
 * Return: 1 a reply is in @out; 0 nothing to say; -EBADMSG malformed, or sent to where nobody listens;
 * -EPERM the guest acts as router, or as one of our addresses.
 */
int nd6_answer(const struct guest *guest, const struct frame *f, uint8_t out[static ND6_BYTES_MAX],
               struct nd6_reply *out_reply);

/**
 * Write what a node says that has the address @target itself, to all nodes: a prober gives up its claim.
 *
 * @out_reply: filled as by nd6_answer()
 */
void nd6_defend(const struct guest_config *config, const struct addr *target,
                uint8_t out[static ND6_BYTES_MAX], struct nd6_reply *out_reply);

/**
 * Whether the guest may give itself @a: a link-local address, guest6, or with `slaac` any of net6 whose
 * interface identifier is neither given out (GUEST_IID_STATIC_MAX) nor the subnet's anycast; none of ours.
 */
bool nd6_may_claim(const struct guest_config *config, const struct addr *a);

/** Whether @a is in fe80::/64, the form all link-local addresses have (RFC 4291 section 2.5.6). */
bool nd6_is_link_local(const struct addr *a);

/**
 * Write a router advertisement: prefix, MTU, resolver and search list, and that addresses come from DHCPv6.
 *
 * @dst: the guest, or ff02::1 (nd6_all_nodes())
 *
 * Return: length of the packet, at most ND6_BYTES_MAX.
 */
size_t nd6_advertisement(const struct guest_config *config, const struct addr *dst,
                         uint8_t out[static ND6_BYTES_MAX]);

/** ff02::1 (RFC 4291 section 2.7.1). */
struct addr nd6_all_nodes(void);

/** The Ethernet address of a multicast group (RFC 2464 section 7). */
void nd6_group_mac(const struct addr *group, uint8_t out_mac[static FRAME_MAC_BYTES]);

#endif
