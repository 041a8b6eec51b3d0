/*
 * UDP: one unconnected host socket per guest endpoint (RFC 4787: endpoint-independent mapping), one flow per
 * destination of it. Replies pass only from an address and port the guest was allowed to write to from that endpoint.
 */
#ifndef WEIR_DATAPATH_RELAY_UDP_H
#define WEIR_DATAPATH_RELAY_UDP_H

#include "datapath/flow.h"
#include "stack/guest.h"

struct udp_relay;

struct udp_relay *relay_udp_new(struct instance *in); /* NULL: out of memory */
void relay_udp_free(struct udp_relay *relay);         /* NULL is fine; after its instance_child_closed() */

/** Close what is left; instance_child_closed() once the last handle is closed. */
void relay_udp_close(struct udp_relay *relay);

/** Event of the stack; @ctx is the instance. */
void relay_udp_datagram(void *ctx, struct guest *guest, struct frame *f);

/** A flow ends: its endpoint's socket goes with the last one. */
void relay_udp_detach(struct flow *flow);

#endif
