/*
 * The host sockets under datapath/relay.h, for datapath/relay.c: an unconnected one for each guest endpoint, which
 * serves all its flows, and for a flow that sends more than a question one of its own, connected, on the same local
 * port. That costs the kernel no look-up of source address and route with every datagram, and no peer can tell.
 */
#ifndef WEIR_DATAPATH_RELAY_ENDPOINT_H
#define WEIR_DATAPATH_RELAY_ENDPOINT_H

#include "datapath/relay.h"

enum {
    RELAY_OWN_AFTER = 8,       /* datagrams (or rows of them) sent */
    RELAY_OWN_MAX = 256,       /* sockets of their own that flows of one instance have */
    RELAY_CONNECTED_MS = 1000, /* so long a source address and a route are good: the host may have others by then */
};

/** Give a flow the socket of its endpoint, and that a socket if it has none. Return: 0, or -errno. */
int relay_attach(struct flow *flow);

/** Whether @err, of relay_attach(), is the host's ban on pings; that is warned of once. */
bool relay_is_forbidden(struct flow *flow, int err);

/**
 * Tell the guest what became of a datagram.
 *
 * @error: errno
 * @mtu:   with EMSGSIZE; 0: unknown
 * @bytes: how its payload began, of a ping its message
 */
void relay_tell_guest(struct flow *flow, int error, uint32_t mtu, const void *bytes, size_t len);

#endif
