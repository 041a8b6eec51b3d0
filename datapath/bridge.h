/*
 * The bridge of an open TCP flow: guest connection and host stream, each direction on its own, neither ever holding
 * more than its window.
 */
#ifndef WEIR_DATAPATH_BRIDGE_H
#define WEIR_DATAPATH_BRIDGE_H

#include "datapath/flow.h"

void bridge_init(struct flow *flow);

/** The host side is connected: @host is borrowed until the flow lets it go, its `data` is the flow's from now on. */
void bridge_set_host(struct flow *flow, uv_stream_t *host);

/** The connection lasts: let the host's kernel ask for its peer when it is silent. Four calls, so not at once. */
void bridge_keep_alive(struct flow *flow);

/** The host is connected and the guest too: read from the host. */
void bridge_start_down(struct flow *flow);

/** The guest's held bytes may leave (state OPEN). */
void bridge_push_up(struct flow *flow);

/** More of the guest's bytes are held (state OPEN): they leave now, or with others soon. */
void bridge_data(struct flow *flow);

/** Held bytes may leave that could not before: they do at the end of the turn. */
void bridge_push_up_soon(struct flow *flow);

/** End of a turn: write what was gathered. */
void bridge_write_due(struct instance *in);

/** The guest acknowledged @n bytes. */
void bridge_acked(struct flow *flow, size_t n);

/** Nothing is moved any more; what the guest has not acknowledged stays until bridge_release(). */
void bridge_stop(struct flow *flow);

/** Give every buffer back; the guest connection and the host stream are already stopped. */
void bridge_release(struct flow *flow);

/**
 * Let bridges read again that met a full pool or the end of a turn's share, as far as both have room.
 *
 * Return: whether some wait for nothing but the next turn.
 */
bool bridge_resume_starved(struct instance *in);

#endif
