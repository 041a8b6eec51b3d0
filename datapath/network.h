/*
 * The addressing plan of the guests' networks, one a family: who has which address. Everybody who needs one asks here.
 *
 *              IPv4, 192.168.127.0/24     IPv6, fd77::/48                    IPv6, fd77::/64
 *   gateway    .1                         fd77::1                            fd77::1       router and resolver
 *   guest n    .2, .3, ...                fd77:0:0:n::2 in a /64 of its own  fd77::2, ...  n counts links from 0
 *   alias      .254                       fd77::ffff:ffff:ffff:fffe          the same      stands for the host
 *   broadcast  .255                       none                               none          no destination of a flow
 *
 * A guest with a /64 of its own may choose more addresses in it (SLAAC); of a shared one only the first guest may.
 * A value, computed once from the prefix. In a family that is off, every address is ADDR_NONE.
 */
#ifndef WEIR_DATAPATH_NETWORK_H
#define WEIR_DATAPATH_NETWORK_H

#include <stdbool.h>

#include "base/addr.h"

enum {
    NETWORK_BITS4_MIN = 8,
    NETWORK_BITS4_MAX = 29, /* still holds the gateway, guests and the host alias */
    NETWORK_BITS6_MIN = 48,
    NETWORK_BITS6_MAX = 64, /* RFC 4291 section 2.5.1: what address configuration works with */
};

struct network {
    struct addr_prefix net;
    struct addr gateway, alias, broadcast;
};

struct networks {
    struct network v4, v6;
};

/**
 * Lay a network out.
 *
 * @net: one that network_check() takes, or a base of ADDR_NONE for a family that is off
 */
struct network network_plan(const struct addr_prefix *net);
struct networks networks_plan(const struct addr_prefix *net4, const struct addr_prefix *net6);

/**
 * Whether guests can live in @net.
 *
 * Return: 0; -ERANGE when it has not the size for it (see above); -EPERM when it holds addresses that can be nobody's:
 * loopback, link-local, metadata, multicast, reserved.
 */
int network_check(const struct addr_prefix *net);

/** The address of guest number @n (from 0). Return: ADDR_NONE when the network has no room for so many. */
struct addr network_guest(const struct network *n, unsigned number);

/**
 * What is on the link of guest number @n: the network itself, or the guest's /64 of it.
 *
 * @out_own: it is the guest's alone, or the guest is the first: it may choose addresses there
 */
struct addr_prefix network_on_link(const struct network *n, unsigned number, bool *out_own);

/**
 * Whether @a can be given to a guest: none of the network's own addresses, and in IPv6 none that guests may choose.
 *
 * @out_number: the guest's whose network_on_link() holds it
 */
bool network_has(const struct network *n, const struct addr *a, unsigned *out_number);

#endif
