/*
 * The addressing plan of the guests' network, one a family: who has which address. Everybody who needs one asks here.
 *
 *              IPv4, 192.168.127.0/24     IPv6, fd77::/64
 *   gateway    .1                         ::1                          router and resolver
 *   guest n    .2, .3, ...                ::2, ::3, ...                n counts links from 0
 *   alias      .254                       ::ffff:ffff:ffff:fffe        stands for the host
 *   broadcast  .255                       none                         no destination of a flow
 *
 * A value, computed once from the prefix. In a family that is off, every address is ADDR_NONE.
 */
#ifndef WEIR_DATAPATH_NETWORK_H
#define WEIR_DATAPATH_NETWORK_H

#include "base/addr.h"

enum {
    NETWORK_BITS4_MIN = 8,
    NETWORK_BITS4_MAX = 29, /* still holds the gateway, guests and the host alias */
    NETWORK_BITS6 = 64,     /* RFC 4291 section 2.5.1: what address configuration works with */
};

struct network {
    struct addr_prefix net;
    struct addr gateway, alias, broadcast;
};

/**
 * Lay a network out.
 *
 * @net: one that network_check() takes, or a base of ADDR_NONE for a family that is off
 */
struct network network_plan(const struct addr_prefix *net);

/**
 * Whether guests can live in @net.
 *
 * Return: 0; -ERANGE when it has not the size for it (see above); -EPERM when it holds addresses that can be nobody's:
 * loopback, link-local, metadata, multicast, reserved.
 */
int network_check(const struct addr_prefix *net);

/** The address of guest number @n (from 0). Return: ADDR_NONE when the network has no room for so many. */
struct addr network_guest(const struct network *n, unsigned number);

#endif
