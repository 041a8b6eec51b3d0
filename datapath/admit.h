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

/** Start the host side of a flow whose verdict is in. */
void admit_dial(struct flow *flow);

#endif
