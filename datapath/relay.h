/*
 * What UDP and ping have in common: one host port per guest endpoint (RFC 4787: endpoint-independent mapping), one
 * flow per destination of it. Replies pass only from an address and port the guest was allowed to write to from that
 * endpoint; what the network says of a datagram comes back to the guest as its gateway's word.
 *
 *   guest's datagram ─ relay_udp.c / relay_ping.c ─ relay_open() once ─ relay_send()
 *   host's reply ─ relay_endpoint.c finds the flow ─ relay_udp_reply() / relay_ping_reply()
 */
#ifndef WEIR_DATAPATH_RELAY_H
#define WEIR_DATAPATH_RELAY_H

#include "datapath/flow.h"
#include "proxy/host_dgram.h"
#include "stack/stack.h"

enum {
    RELAY_TURNS_MAX = 4,     /* batches taken from one socket in a turn of the loop */
    RELAY_ERRORS_MAX = 64,   /* of its error queue in a turn */
    RELAY_PING_IDLE_MS = 30000,
    RELAY_NAMED_MAX = 64,    /* flows of an endpoint to names: among them a reply's is looked for */
};

struct relay;

struct relay *relay_new(struct instance *in); /* NULL: out of memory */
void relay_free(struct relay *relay);         /* NULL is fine; after its instance_child_closed() */

/** Close what is left; instance_child_closed() once the last handle is closed. */
void relay_close(struct relay *relay);

/**
 * Judge the first datagram to a destination and make its flow. A refusal is recorded, and the guest is told.
 *
 * @f: the datagram
 *
 * Return: NULL when it is refused. In FLOW_CLAIMED, the flow has to wait: relay_hold() the datagram, then
 * asking_start().
 */
struct flow *relay_open(struct link *link, const struct flow_key *key, const struct frame *f, enum flow_kind kind);

/** Judge a datagram of no flow without making one. Return: false when it was refused, as by relay_open(). */
bool relay_judge(struct link *link, const struct flow_key *key, const struct frame *f, struct verdict *out_verdict);

/** Refuse a datagram: a record, and ICMP for the guest. */
void relay_refuse(struct link *link, const struct flow_key *key, const struct frame *f, const struct verdict *v);

/** Keep a datagram (of a ping, its message) until the flow knows where it goes. */
void relay_hold(struct flow *flow, const uint8_t *bytes, size_t len, bool df);

/** A flow that was ASKING has its verdict: what is held goes on. */
void relay_enter(struct flow *flow, const struct verdict *verdict, enum group group);

/** Refuse a flow that was ASKING: a record, and ICMP for the guest. */
void relay_refuse_held(struct flow *flow, const struct verdict *verdict);

/** It leads nowhere. */
void relay_unreachable(struct flow *flow, enum reason reason);

/**
 * Send to the flow's destination.
 *
 * @df:      no router may fragment it
 * @segment: as in host_dgram_send()
 *
 * Return: 0, or -errno. Of one datagram the guest has been told by then if the network is the reason; a row that fails
 * is for the caller to take apart.
 */
int relay_send(struct flow *flow, bool df, const void *bytes, size_t len, uint16_t segment);

/** The flow ends: its endpoint's socket goes with the last one. */
void relay_detach(struct flow *flow);

#endif
