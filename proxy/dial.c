#include "proxy/dial.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/sockaddr.h"
#include "proxy/host_stream.h"

static int attempt(struct dial *dial);

const struct addr *dial_peer(const struct dial *dial)
{
    return &dial->addrs[dial->at - 1]; /* `at` is the next one */
}

bool dial_error_is_ours(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM ||
           error == -EAGAIN || error == -EADDRNOTAVAIL;
}

static void note_error(struct dial *dial, int error)
{
    if (dial->best_error == 0 || error == -ECONNREFUSED)
        dial->best_error = error;
}

static void on_attempt_closed(uv_handle_t *handle);

static void close_attempt(struct dial *dial)
{
    dial->open = false;
    dial->between = true;
    uv_close((uv_handle_t *)&dial->tcp, on_attempt_closed);
}

static void on_attempt_closed(uv_handle_t *handle)
{
    struct dial *dial = CONTAINER_OF(handle, struct dial, tcp);

    dial->between = false;
    if (dial->closing) { /* the owner closed meanwhile */
        dial->closing = false;
        dial->on_closed(dial);
        return;
    }
    for (;;) {
        int err;

        if (dial->at >= dial->addr_count) {
            dial->on_done(dial, dial->best_error);
            return;
        }
        err = attempt(dial);
        if (err == 0)
            return;
        note_error(dial, err);
        if (dial->open) {
            close_attempt(dial);
            return;
        }
    }
}

/* A simultaneous open with oneself (RFC 9293 section 3.5): how a closed ephemeral port of this machine can answer. */
static bool is_self(const struct dial *dial)
{
    struct sockaddr_storage local;
    int len = sizeof(local);
    struct addr own;
    uint16_t port;

    return uv_tcp_getsockname(&dial->tcp, (struct sockaddr *)&local, &len) == 0 && sockaddr_to(&local, &own, &port) &&
           port == dial->port && addr_equal(&own, dial_peer(dial));
}

static void on_connect(uv_connect_t *connect, int status)
{
    struct dial *dial = connect->data;

    if (dial->closing || status == UV_ECANCELED)
        return;
    if (status == 0 && is_self(dial))
        status = -ECONNREFUSED;
    if (status == 0) {
        (void)uv_tcp_nodelay(&dial->tcp, 1); /* only latency is lost when it fails */
        dial->on_done(dial, 0);
        return;
    }
    note_error(dial, status);
    close_attempt(dial);
}

static int attempt(struct dial *dial)
{
    struct sockaddr_storage to;
    int err = uv_tcp_init(dial->tcp.loop, &dial->tcp);

    if (err < 0)
        return err;
    dial->open = true;
    dial->connect.data = dial;
    (void)sockaddr_from(&dial->addrs[dial->at++], dial->port, &to);
    return uv_tcp_connect(&dial->connect, &dial->tcp, (const struct sockaddr *)&to, on_connect);
}

int dial_start(struct dial *dial, uv_loop_t *loop, const struct addr *addrs, unsigned count,
               uint16_t port, dial_fn on_done)
{
    int err = -EINVAL;

    CHECK(count >= 1 && count <= DIAL_ADDRS_MAX);
    memset(dial, 0, sizeof(*dial));
    memcpy(dial->addrs, addrs, count * sizeof(*addrs));
    dial->addr_count = (uint8_t)count;
    dial->port = port;
    dial->on_done = on_done;
    dial->tcp.loop = loop;
    err = attempt(dial);
    if (err == 0 || dial_error_is_ours(err))
        return err;
    note_error(dial, err);
    if (dial->addr_count == 1)
        return err;
    close_attempt(dial); /* its callback goes on with the next address */
    return 0;
}

static void on_final_close(uv_handle_t *handle)
{
    struct dial *dial = CONTAINER_OF(handle, struct dial, tcp);

    dial->closing = false;
    dial->on_closed(dial);
}

bool dial_close(struct dial *dial, bool reset, void (*on_closed)(struct dial *dial))
{
    if (dial->closing)
        return true;
    if (!dial->open) {
        if (!dial->between)
            return false;
        dial->closing = true;
        dial->on_closed = on_closed;
        return true;
    }
    if (reset)
        host_stream_reset_on_close((const uv_stream_t *)&dial->tcp);
    dial->open = false;
    dial->closing = true;
    dial->on_closed = on_closed;
    uv_close((uv_handle_t *)&dial->tcp, on_final_close);
    return true;
}
