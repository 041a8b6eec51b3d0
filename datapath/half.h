/*
 * One direction of a bridge, as pure state.
 *
 *   OPEN    bytes may arrive from the source
 *   DRAIN   the source said end; the sink still owes us the queued bytes and one shutdown
 *   SHUT    the sink has been told the end, everything was delivered
 *
 *   OPEN → DRAIN [half_source_end]      DRAIN → SHUT [half_sink_shut]
 *
 * A direction that breaks (reset) is not a state here: the flow dies as a whole, flow_kill().
 */
#ifndef WEIR_DATAPATH_HALF_H
#define WEIR_DATAPATH_HALF_H

#include <stdbool.h>

#include "base/check.h"

enum half_state { HALF_OPEN, HALF_DRAIN, HALF_SHUT };

struct half {
    enum half_state state;
    bool shutting; /* the sink's shutdown is on its way */
};

/** The source will send no more. Idempotent. */
static inline void half_source_end(struct half *half)
{
    if (half->state == HALF_OPEN)
        half->state = HALF_DRAIN;
}

/** Whether the sink must be shut down now; true once. @queued: bytes the sink has not taken. */
static inline bool half_should_shut(struct half *half, size_t queued)
{
    if (half->state != HALF_DRAIN || queued > 0 || half->shutting)
        return false;
    half->shutting = true;
    return true;
}

/** The sink's shutdown is done. */
static inline void half_sink_shut(struct half *half)
{
    CHECK(half->state == HALF_DRAIN && half->shutting);
    half->state = HALF_SHUT;
}

#endif
