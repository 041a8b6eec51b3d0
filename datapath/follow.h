/*
 * Following an open TCP flow whose first bytes were judged, as long as the guest could name something else in it: a
 * second ClientHello behind a HelloRetryRequest, the next request of an HTTP connection. The guest's bytes go up as
 * far as they are judged; the server's are read on their way down.
 */
#ifndef WEIR_DATAPATH_FOLLOW_H
#define WEIR_DATAPATH_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/flow.h"
#include "datapath/hook.h"

struct follow;

/**
 * The flow's first bytes were allowed by @verdict; none was consumed yet. Nothing to follow: nothing happens.
 *
 * Return: 0, or -ENOMEM: then it must not go on.
 */
int follow_start(struct flow *flow, const struct verdict *verdict);

/**
 * How many of the held bytes may go up (state OPEN). Names that came up are judged; the flow is refused for one that is
 * denied, and then the answer is 0.
 */
size_t follow_allowance(struct flow *flow);

/** @n of them went up. */
void follow_taken(struct flow *flow, size_t n);

/** The next @n bytes of the server's. Return: false when they are unreadable: the flow was reset. */
bool follow_server(struct flow *flow, const uint8_t *bytes, size_t n);

/** The server has sent its last. */
void follow_server_end(struct flow *flow);

/** The embedder has answered what was asked about the bytes in hand. */
void follow_decided(struct flow *flow, enum decide_answer answer);

/** Whether the server has answered every request in full, so that what we say now is read as the answer to the next. */
bool follow_may_answer(const struct flow *flow);

/** Idempotent. */
void follow_free(struct flow *flow);

#endif
