/*
 * UDP between a guest and its peers, over datapath/relay.h.
 *
 * Datagrams of one flow that come in a row are sent by one system call, to the host (UDP_SEGMENT) and to a guest whose
 * link takes that (USO): they are gathered until the turn ends, the flow changes, or one is of another size.
 */
#ifndef WEIR_DATAPATH_RELAY_UDP_H
#define WEIR_DATAPATH_RELAY_UDP_H

#include "datapath/relay.h"

struct relay_udp;

struct relay_udp *relay_udp_new(void);      /* NULL: out of memory */
void relay_udp_free(struct relay_udp *udp); /* NULL is fine */

/** Event of the stack; @ctx is the instance. */
void relay_udp_datagram(void *ctx, struct guest *guest, struct frame *f);

/**
 * Event of the stack: the guest's program is gone. Its flow ends, and with the last one of its endpoint the host's
 * socket, whose kernel then tells the peer.
 */
void relay_udp_refused(void *ctx, struct guest *guest, const struct refusal *refusal);

/** End of a turn: send what was gathered. */
void relay_udp_flush(struct instance *in);

/* For datapath/relay_quic.c: a datagram of the guest's that may leave, at most the largest of its family. */
void relay_udp_send(struct flow *flow, const uint8_t *bytes, size_t len, bool df);

/* For datapath/relay.c. */
void relay_udp_take(struct flow *flow, const uint8_t *bytes, size_t len, bool df); /* one datagram of an open flow */
void relay_udp_reply(struct flow *flow, const struct host_dgram_in *dgram);
void relay_udp_error(struct flow *flow, enum unreachable what, uint16_t mtu, const void *bytes, size_t len);
void relay_udp_forget(struct flow *flow); /* it ends: what was gathered of it is sent, unless policy ended it */

#endif
