/*
 * Admission: from a SYN to a connected pair of sockets, or to a refusal. The whole policy story of a TCP flow is here
 * and in peek.c.
 */
#ifndef WEIR_DATAPATH_ADMIT_H
#define WEIR_DATAPATH_ADMIT_H

#include "datapath/flow.h"
#include "datapath/link.h"

/** Event of the stack; @ctx is the instance. */
void admit_segment(void *ctx, struct guest *guest, struct frame *f, struct buf *buf);

/** A flow that was ASKING, or has just been claimed, has its verdict: not a denial. */
void admit_enter(struct flow *flow, const struct verdict *verdict, enum group group);

/** SYN-ACK for a flow that goes on waiting. It may be over when this returns. */
void admit_accept(struct flow *flow);

/** Refuse a flow that was ASKING. */
void admit_refuse(struct flow *flow, const struct verdict *verdict);

/** It leads nowhere: ICMP host unreachable. */
void admit_unreachable(struct flow *flow, enum reason reason);

/** Start the host side of a flow whose verdict is in. */
void admit_dial(struct flow *flow);

#endif
