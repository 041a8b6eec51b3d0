/*
 * The link of a replayed instance: frames from memory, frames to memory. A kind of link like any other (datapath/link_backend.h).
 */
#ifndef WEIR_TESTS_REPLAY_PORT_H
#define WEIR_TESTS_REPLAY_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/link_backend.h"
#include "host/loop.h"

struct port_owner {
    void *ctx;
    /** A frame of weir's. Borrowed. Called from inside weir: only record and schedule. Return: false: the ring is full. */
    bool (*on_frame)(void *ctx, const uint8_t *bytes, size_t len, const struct frame_offload *offload);
};

/** Before link_open(); @offload: the guest takes partial checksums and super-segments. */
void port_setup(const struct port_owner *owner, bool offload);

/** Queue a frame of the guest's; the loop takes it in its next poll. @gso_size > 0: a super-segment. */
void port_push(const uint8_t *bytes, size_t len, uint16_t gso_size, uint16_t header_bytes);

/** The monitor goes away, comes back. */
void port_plug(bool in);

/** There is room in the ring again. */
void port_writable(void);

struct loop_device port_device(void);
struct link_spec port_spec(void);

#endif
