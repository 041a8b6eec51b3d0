#include "loop.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "kernel.h"

enum { TIMERS_MAX = 1024, HOOKS_MAX = 8, HANDLE_ACTIVE = 1, HANDLE_CLOSING = 2 };

static struct {
    struct loop_device device;
    uv_timer_t *timers[TIMERS_MAX]; /* borrowed: active ones */
    unsigned timer_count;
    uint64_t timer_starts, turns;
    uv_prepare_t *prepares[HOOKS_MAX];
    uv_check_t *checks[HOOKS_MAX];
    unsigned prepare_count, check_count;
    uv_handle_t *closing_first, *closing_last;
    uv_async_t *async;   /* borrowed */
    bool async_sent;
} l;

void loop_start(uv_loop_t *loop, const struct loop_device *device)
{
    memset(&l, 0, sizeof(l));
    memset(loop, 0, sizeof(*loop));
    l.device = *device;
    loop->time = kernel_now_us() / 1000;
}

void loop_end(void)
{
    CHECK(!l.closing_first && l.timer_count == 0 && l.prepare_count == 0 && l.check_count == 0);
}

uint64_t loop_turns(void)
{
    return l.turns;
}

/* ---- handles ---- */

static void handle_init(uv_loop_t *loop, uv_handle_t *handle, uv_handle_type type)
{
    handle->loop = loop;
    handle->type = type;
    handle->flags = 0;
    handle->close_cb = NULL;
    handle->next_closing = NULL;
    memset(&handle->u, 0, sizeof(handle->u));
}

void loop_inert_handle(uv_loop_t *loop, uv_handle_t *handle)
{
    handle_init(loop, handle, UV_IDLE);
}

uint64_t uv_now(const uv_loop_t *loop)
{
    return loop->time;
}

void uv_unref(uv_handle_t *handle)
{
    (void)handle; /* the runner knows by itself when it is done */
}

void uv_close(uv_handle_t *handle, uv_close_cb on_close)
{
    CHECK(!(handle->flags & HANDLE_CLOSING));
    handle->close_cb = on_close;
    switch (handle->type) {
    case UV_TIMER:
        (void)uv_timer_stop((uv_timer_t *)handle);
        break;
    case UV_PREPARE:
        (void)uv_prepare_stop((uv_prepare_t *)handle);
        break;
    case UV_CHECK:
        (void)uv_check_stop((uv_check_t *)handle);
        break;
    case UV_POLL:
        (void)uv_poll_stop((uv_poll_t *)handle);
        break;
    case UV_TCP:
        stream_close((uv_stream_t *)handle);
        break;
    case UV_ASYNC:
        l.async = NULL;
        break;
    case UV_IDLE:
        break;
    default:
        CHECK(!"a handle of a kind that is not simulated");
    }
    handle->flags |= HANDLE_CLOSING;
    handle->next_closing = NULL;
    if (l.closing_last)
        l.closing_last->next_closing = handle;
    else
        l.closing_first = handle;
    l.closing_last = handle;
}

static void poll_finish(uv_poll_t *poll)
{
    struct sock *sock = poll->u.reserved[0];

    sock->watcher = NULL;
    if (sock->fd < 0)
        sock_free(sock);
}

static void run_closing(void)
{
    uv_handle_t *handle = l.closing_first;

    l.closing_first = l.closing_last = NULL;
    while (handle) {
        uv_handle_t *next = handle->next_closing;

        if (handle->type == UV_POLL)
            poll_finish((uv_poll_t *)handle);
        else if (handle->type == UV_TCP)
            stream_finish((uv_stream_t *)handle);
        if (handle->close_cb)
            handle->close_cb(handle);
        handle = next;
    }
}

/* ---- async: one handle, and one thread ---- */

int uv_async_init(uv_loop_t *loop, uv_async_t *async, uv_async_cb cb)
{
    CHECK(!l.async);
    handle_init(loop, (uv_handle_t *)async, UV_ASYNC);
    async->async_cb = cb;
    l.async = async;
    l.async_sent = false;
    return 0;
}

int uv_async_send(uv_async_t *async)
{
    CHECK(async == l.async);
    l.async_sent = true;
    return 0;
}

static void run_async(void)
{
    if (!l.async || !l.async_sent)
        return;
    l.async_sent = false;
    l.async->async_cb(l.async);
}

/* ---- timers ---- */

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
    handle_init(loop, (uv_handle_t *)timer, UV_TIMER);
    timer->timer_cb = NULL;
    return 0;
}

int uv_timer_stop(uv_timer_t *timer)
{
    if (!(timer->flags & HANDLE_ACTIVE))
        return 0;
    timer->flags &= ~(unsigned)HANDLE_ACTIVE;
    for (unsigned i = 0; i < l.timer_count; i++)
        if (l.timers[i] == timer)
            l.timers[i] = l.timers[--l.timer_count];
    return 0;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat)
{
    if (timer->flags & HANDLE_CLOSING || !cb)
        return UV_EINVAL;
    (void)uv_timer_stop(timer);
    CHECK(l.timer_count < TIMERS_MAX);
    timer->timer_cb = cb;
    timer->timeout = timer->loop->time + timeout;
    timer->repeat = repeat;
    timer->start_id = l.timer_starts++;
    timer->flags |= HANDLE_ACTIVE;
    l.timers[l.timer_count++] = timer;
    return 0;
}

static uv_timer_t *first_timer(void)
{
    uv_timer_t *first = NULL;

    for (unsigned i = 0; i < l.timer_count; i++) {
        uv_timer_t *t = l.timers[i];

        if (!first || t->timeout < first->timeout || (t->timeout == first->timeout && t->start_id < first->start_id))
            first = t;
    }
    return first;
}

static void run_timers(const uv_loop_t *loop)
{
    uv_timer_t *timer;

    while ((timer = first_timer()) && timer->timeout <= loop->time) {
        uint64_t repeat = timer->repeat;

        (void)uv_timer_stop(timer);
        if (repeat > 0)
            (void)uv_timer_start(timer, timer->timer_cb, repeat, repeat);
        timer->timer_cb(timer);
    }
}

/* ---- the ends of turns ---- */

int uv_prepare_init(uv_loop_t *loop, uv_prepare_t *prepare)
{
    handle_init(loop, (uv_handle_t *)prepare, UV_PREPARE);
    return 0;
}

int uv_prepare_start(uv_prepare_t *prepare, uv_prepare_cb cb)
{
    CHECK(l.prepare_count < HOOKS_MAX);
    prepare->prepare_cb = cb;
    prepare->flags |= HANDLE_ACTIVE;
    l.prepares[l.prepare_count++] = prepare;
    return 0;
}

int uv_prepare_stop(uv_prepare_t *prepare)
{
    for (unsigned i = 0; i < l.prepare_count; i++)
        if (l.prepares[i] == prepare)
            l.prepares[i] = l.prepares[--l.prepare_count];
    return 0;
}

int uv_check_init(uv_loop_t *loop, uv_check_t *check)
{
    handle_init(loop, (uv_handle_t *)check, UV_CHECK);
    return 0;
}

int uv_check_start(uv_check_t *check, uv_check_cb cb)
{
    CHECK(l.check_count < HOOKS_MAX);
    check->check_cb = cb;
    check->flags |= HANDLE_ACTIVE;
    l.checks[l.check_count++] = check;
    return 0;
}

int uv_check_stop(uv_check_t *check)
{
    for (unsigned i = 0; i < l.check_count; i++)
        if (l.checks[i] == check)
            l.checks[i] = l.checks[--l.check_count];
    return 0;
}

/* ---- watched descriptors ---- */

/* An error stops the watcher and is told as UV_EBADF, whatever it was. */
static void on_poll_io(struct sock *sock, unsigned events)
{
    uv_poll_t *poll = sock->watcher;
    int seen = 0;

    if (events & SOCK_ERR) {
        sock_watch(sock, 0);
        poll->poll_cb(poll, UV_EBADF, 0);
        return;
    }
    if (events & (SOCK_IN | SOCK_HUP))
        seen |= UV_READABLE;
    if (events & (SOCK_OUT | SOCK_HUP))
        seen |= UV_WRITABLE;
    poll->poll_cb(poll, 0, seen);
}

int uv_poll_init(uv_loop_t *loop, uv_poll_t *poll, int fd)
{
    struct sock *sock = sock_of(fd);

    if (!sock || sock->watcher)
        return sock ? UV_EEXIST : UV_EBADF;
    handle_init(loop, (uv_handle_t *)poll, UV_POLL);
    poll->poll_cb = NULL;
    poll->u.reserved[0] = sock;
    sock->watcher = poll;
    sock->on_io = on_poll_io;
    return 0;
}

int uv_poll_start(uv_poll_t *poll, int events, uv_poll_cb cb)
{
    struct sock *sock = poll->u.reserved[0];

    CHECK(!(poll->flags & HANDLE_CLOSING));
    poll->poll_cb = cb;
    sock_watch(sock, (events & UV_READABLE ? SOCK_IN : 0u) | (events & UV_WRITABLE ? SOCK_OUT : 0u));
    return 0;
}

int uv_poll_stop(uv_poll_t *poll)
{
    sock_watch(poll->u.reserved[0], 0);
    return 0;
}

/* ---- a turn ---- */

static bool any_ready(void)
{
    LIST_FOR_EACH(node, kernel_ready()) {
        if (sock_events(LIST_ENTRY(node, struct sock, ready)) != 0)
            return true;
        list_unlink(node);
    }
    return (l.async && l.async_sent) || l.device.ready(l.device.ctx);
}

static void dispatch(void)
{
    struct list now;
    struct list *node;

    list_init(&now);
    list_splice(&now, kernel_ready());
    while ((node = list_take_first(&now))) {
        struct sock *sock = LIST_ENTRY(node, struct sock, ready);
        unsigned events = sock_events(sock);

        if (events == 0)
            continue;
        list_append(kernel_ready(), node); /* level-triggered: looked at again */
        sock->on_io(sock, events);
    }
    if (l.device.ready(l.device.ctx))
        l.device.run(l.device.ctx);
    run_async();
}

/* Move the clock: not at all while something is due at once. Return: whether anything was due by @until_us. */
static bool wait_for_events(uv_loop_t *loop, uint64_t until_us)
{
    uv_timer_t *timer = first_timer();
    uint64_t next_us = kernel_next_us();
    bool due;

    if (any_ready() || l.closing_first || stream_any_fed()) {
        kernel_advance(kernel_now_us());
        return true;
    }
    if (timer && timer->timeout * 1000 < next_us)
        next_us = timer->timeout * 1000;
    due = next_us <= until_us;
    kernel_advance(due ? next_us : until_us);
    loop->time = kernel_now_us() / 1000;
    return due;
}

bool loop_turn(uv_loop_t *loop, uint64_t until_us)
{
    bool due;

    l.turns++;
    loop->time = kernel_now_us() / 1000;
    run_timers(loop);
    stream_run_fed();
    for (unsigned i = 0; i < l.prepare_count; i++)
        l.prepares[i]->prepare_cb(l.prepares[i]);
    due = wait_for_events(loop, until_us);
    dispatch();
    for (unsigned i = 0; i < l.check_count; i++)
        l.checks[i]->check_cb(l.checks[i]);
    run_closing();
    return due;
}
