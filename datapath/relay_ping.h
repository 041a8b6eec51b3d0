/*
 * Pings beyond the gateway, over datapath/relay.h and the host's unprivileged ping sockets. A ping is a channel for
 * whatever its payload says, so it is narrow: PING_PAYLOAD_MAX bytes, one a second, PING_BURST at once, if no rule says
 * rate=.
 */
#ifndef WEIR_DATAPATH_RELAY_PING_H
#define WEIR_DATAPATH_RELAY_PING_H

#include "datapath/relay.h"

enum { PING_PAYLOAD_MAX = 64, PING_BURST = 5, PING_EVERY_MS = 1000 };

/** Event of the stack; @ctx is the instance. */
void relay_ping_echo(void *ctx, struct guest *guest, struct frame *f);

/* For datapath/relay.c. */
void relay_ping_send(struct flow *flow, const uint8_t *message, size_t len); /* an ICMP echo of an open flow */
void relay_ping_reply(struct flow *flow, const struct host_dgram_in *dgram);
void relay_ping_error(struct flow *flow, enum unreachable what, uint16_t mtu, const void *bytes, size_t len);

#endif
