/*
 * The way out for TCP: connect to one of a few addresses, in order, without ever blocking.
 *
 * Knows no guests and no rules: addresses come in judged, a connected stream comes out. The owner keeps the deadline
 * and calls dial_close() when it has passed.
 */
#ifndef WEIR_PROXY_DIAL_H
#define WEIR_PROXY_DIAL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/addr.h"

enum { DIAL_ADDRS_MAX = 2 };

struct dial;

/**
 * @status: 0: dial->tcp is connected; else the negative errno of the most telling attempt (a refusal beats
 *          "unreachable"). Called from the loop, never from inside dial_start().
 */
typedef void (*dial_fn)(struct dial *dial, int status);

/* Storage is the owner's; `tcp` goes on as the flow's host stream. */
struct dial {
    uv_tcp_t tcp;             /* its `data` is the owner's once it is connected */
    uv_connect_t connect;
    struct addr addrs[DIAL_ADDRS_MAX];
    uint16_t port;
    uint8_t addr_count, at;
    bool open;                /* tcp is an initialised handle and not closing */
    bool between;             /* a failed attempt's handle is on its way out */
    bool closing;
    int best_error;
    dial_fn on_done;
    void (*on_closed)(struct dial *dial);
};

/**
 * Start connecting.
 *
 * @addrs: copied, 1..DIAL_ADDRS_MAX
 *
 * Return: 0, then @on_done is called once unless dial_close() comes first; or -errno when no attempt could be made
 * (-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM: our own lack; others: the network's answer). After an error the dial must still
 * be closed if dial->open.
 */
int dial_start(struct dial *dial, uv_loop_t *loop, const struct addr *addrs, unsigned count,
               uint16_t port, dial_fn on_done);

/**
 * Close the stream, connected or not.
 *
 * @reset: end with RST instead of FIN (SO_LINGER 0; uv_tcp_close_reset() fails while a shutdown is queued)
 *
 * May be called in any state and twice; @on_closed comes exactly once, from the loop, when the storage may be reused.
 * Return: false when nothing was open (@on_closed will not come).
 */
bool dial_close(struct dial *dial, bool reset, void (*on_closed)(struct dial *dial));

/** The address it is connected to. */
const struct addr *dial_peer(const struct dial *dial);

/** Whether an error means that this process or host is out of something, rather than that the peer is not there. */
bool dial_error_is_ours(int error);

#endif
