/*
 * A stand-in for libuv on the simulated kernel: the functions that weir calls, by their names, so that the linker takes these
 * for the library's. What they promise is what libuv 1.44 does:
 *
 *   - callbacks come from the loop only, never from inside a call of weir's; uv_now() stands still during a turn
 *   - one turn: timers, callbacks that were fed, prepare, poll, check, closing
 *   - a stream is read at most 32 times an event, and a read that filled less than its buffer is the last one
 *   - behind such a read, a hang-up is told as UV_EOF without looking whether it was a reset
 *   - uv_close() gives a socket back at once, then UV_ECANCELED to its requests, then the close callback, last
 *
 * What weir does not use is not here; a program that needs more does not link.
 */
#ifndef WEIR_TESTS_REPLAY_LOOP_H
#define WEIR_TESTS_REPLAY_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* A descriptor that is no socket: the link. Looked at in every poll. */
struct loop_device {
    void *ctx;
    bool (*ready)(void *ctx);
    void (*run)(void *ctx);
};

void loop_start(uv_loop_t *loop, const struct loop_device *device);
void loop_end(void);

/**
 * One turn. The clock moves to the next timer or event, but not beyond @until_us.
 *
 * Return: false when nothing is due by then: the clock stands at @until_us.
 */
bool loop_turn(uv_loop_t *loop, uint64_t until_us);

uint64_t loop_turns(void);

/** A handle that nothing ever happens to but uv_close(). */
void loop_inert_handle(uv_loop_t *loop, uv_handle_t *handle);

/* ---- between loop.c and stream.c ---- */

void stream_close(uv_stream_t *stream);     /* uv_close() of a TCP handle */
void stream_finish(uv_stream_t *stream);    /* its requests are cancelled; the close callback follows */
void stream_run_fed(void);
bool stream_any_fed(void);

#endif
