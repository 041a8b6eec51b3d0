/*
 * What the two halves of a bridge share: bridge.c reads from the host for the guest, bridge_up.c writes what the guest
 * sends.
 */
#ifndef WEIR_DATAPATH_BRIDGE_PRIVATE_H
#define WEIR_DATAPATH_BRIDGE_PRIVATE_H

#include "datapath/bridge.h"

static inline uv_stream_t *bridge_host(struct flow *flow)
{
    return flow->as.bridge.host;
}

static inline size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The end that came first goes into the record. */
void bridge_note_end(struct flow *flow, enum flow_close how);

/* Both ends have been told of the other's. */
void bridge_finish_if_done(struct flow *flow);

/* A write failed: the server has reset. */
void bridge_host_broke(struct flow *flow);

#endif
