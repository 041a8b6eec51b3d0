/*
 * QUIC flows whose name is read (rules with quic=inspect): the guest's datagrams are held until its ClientHello is
 * complete and judged, and every later Initial is opened, too (policy/quic.h). A stage of datapath/relay_udp.c.
 */
#ifndef WEIR_DATAPATH_RELAY_QUIC_H
#define WEIR_DATAPATH_RELAY_QUIC_H

#include "datapath/hook.h"
#include "datapath/relay.h"

struct relay_quic;

/**
 * Begin to read a flow that was just opened with VERDICT_PEEK: it is FLOW_PEEKING.
 *
 * It counts among the guest's INSTANCE_PEEKS_MAX until it ends: so long its reader takes memory.
 *
 * Return: false above that, or out of memory: the flow is killed.
 */
bool relay_quic_start(struct flow *flow);

/** One datagram of the guest's. What may leave is sent, held ones first; the flow may be killed by then. */
void relay_quic_datagram(struct flow *flow, const uint8_t *bytes, size_t len, bool df);

/** Whether the flow waits for more of a hello; its deadline is that wait's then. */
bool relay_quic_waits(const struct flow *flow);

/** The embedder has answered what was asked about the hello. */
void relay_quic_decided(struct flow *flow, enum decide_answer answer);

/** Refuse a flow that waits. */
void relay_quic_refuse(struct flow *flow, const struct verdict *verdict);

/** The wait is over: the flow is refused, or what is held is sent where that may pass unread. */
void relay_quic_silence(struct flow *flow);

/** The flow ends. NULL is fine. */
void relay_quic_free(struct flow *flow);

#endif
