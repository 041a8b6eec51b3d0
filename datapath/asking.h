/*
 * Flows that wait for a word from elsewhere: the embedder's (datapath/hook.h), or where their destination's name leads
 * (datapath/named.h). A flow that has not begun is FLOW_ASKING; one whose bytes are asked about stays where it is.
 *
 *   admit.c, relay.c ─ asking_new() ─┐                            ┌─ admit_enter(), relay_enter()
 *   named.c ─────────────────────────┴─ asking_open() ─ (waits) ──┴─ admit_refuse(), relay_refuse_held()
 *   peek.c, follow.c, relay_quic.c ─ asking_bytes() ─ (waits) ─ peek_decided(), follow_decided(), relay_quic_decided()
 */
#ifndef WEIR_DATAPATH_ASKING_H
#define WEIR_DATAPATH_ASKING_H

#include "datapath/flow.h"
#include "datapath/hook.h"

/**
 * Ask about a new flow that is no flow yet; @verdict is the policy's, and becomes what holds.
 *
 * Return: 0: @verdict is final; else a token: put it into the flow, and asking_start() it.
 */
uint64_t asking_new(struct link *link, const struct flow_key *key, struct verdict *verdict);

/** Whether one more flow of the guest's may wait: those that do count as dials. */
bool asking_has_room(const struct link *link);

/** A flow in CLAIMED has a token, or its destination stands for a name: it waits. It may be over when this returns. */
void asking_start(struct flow *flow);

/** The policy's verdict on a flow that is ASKING is in: ask the embedder, then let it in or refuse it. */
void asking_open(struct flow *flow, struct verdict *verdict, enum group group);

/**
 * Ask about what a flow said. Return: whether it has to wait; else @verdict is what holds.
 */
bool asking_bytes(struct flow *flow, const struct evidence *said, struct verdict *verdict);

/** For peek_decided() and its like: what holds once the policy was asked again. */
void asking_apply(const struct flow *flow, enum decide_answer answer, struct verdict *verdict);

/** The embedder's answer. */
void asking_decided(struct flow *flow, enum decide_answer answer);

/** The deadline of a flow that waits. */
void asking_due(struct flow *flow);

/** The flow ends. */
void asking_forget(struct flow *flow);

#endif
