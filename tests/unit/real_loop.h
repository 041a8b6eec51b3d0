/*
 * A whole instance on a real loop, for tests that are about what happens in which turn of it, or which thread. It has one
 * link, whose frames the test gives and sees as values (../replay/wire.h), and a listener on loopback, which the guest
 * reaches by the host alias.
 */
#ifndef WEIR_TESTS_UNIT_REAL_LOOP_H
#define WEIR_TESTS_UNIT_REAL_LOOP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/instance.h"
#include "datapath/link_backend.h"
#include "wire.h"

enum { REAL_LOOP_BACKLOG = 100, REAL_LOOP_PATIENCE_MS = 10000, REAL_LOOP_LOOK_MS = 2 };

struct real_loop {
    uv_loop_t loop;
    uv_timer_t look;           /* so that a turn of the loop ends */
    struct instance *instance; /* owned */
    struct link *link;         /* borrowed from the instance; gone with link_close() */
    bool gone;                 /* the instance is */
    int listener;              /* the backlog takes connections */
    uint16_t port;
    void (*on_packet)(const struct packet *p); /* one from weir, borrowed for the call; the test sets it */
};

/* ---- a link that no text means, of the program itself, like an embedder's ---- */

static inline int held_link_start(struct link *link, char error[static LINK_ERROR_MAX])
{
    (void)error;
    link_came_up(link, &(struct link_caps){0});
    return 0;
}

static inline int held_link_send(struct link *link, const struct wire_frame *frame)
{
    static uint8_t bytes[FRAME_BYTES_MAX];
    const struct real_loop *r = link->instance->loop->data;
    struct packet p;
    size_t len = 0;

    for (int i = 0; i < frame->iovcnt; i++) {
        memcpy(bytes + len, frame->iov[i].iov_base, frame->iov[i].iov_len);
        len += frame->iov[i].iov_len;
    }
    wire_read(bytes, len, false, &p);
    r->on_packet(&p);
    return 0;
}

static inline void held_link_close(struct link *link)
{
    link_closed(link); /* at once: it has no handle of its own */
}

static inline struct link *held_link_new(const struct link_spec *spec)
{
    static const struct link_ops ops = {.start = held_link_start, .send = held_link_send, .close = held_link_close};
    struct link *link = calloc(1, sizeof(*link));

    (void)spec;
    if (link)
        link->ops = &ops;
    return link;
}

/* ---- setting up ---- */

static inline int real_loop_listen(struct real_loop *r)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);

    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r->listener < 0 || bind(r->listener, (struct sockaddr *)&in, len) < 0 ||
        listen(r->listener, REAL_LOOP_BACKLOG) < 0 || getsockname(r->listener, (struct sockaddr *)&in, &len) < 0)
        return -1;
    r->port = ntohs(in.sin_port);
    return 0;
}

static inline void real_loop_on_look(uv_timer_t *timer)
{
    (void)timer;
}

/* The loop and the listener. Return: 0, or -1. */
static inline int real_loop_init(struct real_loop *r, void (*on_packet)(const struct packet *p))
{
    memset(r, 0, sizeof(*r));
    r->on_packet = on_packet;
    if (real_loop_listen(r) < 0 || uv_loop_init(&r->loop) < 0 || uv_timer_init(&r->loop, &r->look) < 0)
        return -1;
    r->loop.data = r;
    return uv_timer_start(&r->look, real_loop_on_look, REAL_LOOP_LOOK_MS, REAL_LOOP_LOOK_MS);
}

/* The instance and its link. Return: 0, or -1. */
static inline int real_loop_start(struct real_loop *r, const struct instance_config *config)
{
    static const struct link_kind held_kind = {.new = held_link_new};
    struct link_spec spec = {.kind = &held_kind};
    char error[LINK_ERROR_MAX];

    if (instance_new(&r->loop, config, &r->instance) < 0 || link_open(r->instance, &spec, error) < 0)
        return -1;
    r->link = LIST_ENTRY(r->instance->links.next, struct link, node);
    return 0;
}

static inline void real_loop_on_closed(void *ctx)
{
    ((struct real_loop *)ctx)->gone = true;
}

/* Close all of it, and let the loop run until that is done. Return: 0, or not 0 when something is left. */
static inline int real_loop_deinit(struct real_loop *r)
{
    instance_close(r->instance, real_loop_on_closed, r);
    uv_close((uv_handle_t *)&r->look, NULL);
    (void)uv_run(&r->loop, UV_RUN_DEFAULT);
    (void)close(r->listener);
    return r->gone ? uv_loop_close(&r->loop) : -1;
}

/* ---- frames from the guest ---- */

/* @p: its source and its MAC addresses are filled in here */
static inline void real_loop_give(struct real_loop *r, struct packet *p)
{
    static uint8_t bytes[WIRE_FRAME_MAX];
    const struct guest_config *guest = &r->link->guest->config;
    struct frame_offload offload = {0};
    struct buf *buf;
    size_t len;

    p->src = p->dst.family == ADDR_V6 ? guest->guest6 : guest->guest4;
    p->ttl = 64;
    memcpy(p->src_mac, "\x02\0\0\0\0\x02", sizeof(p->src_mac));
    memcpy(p->dst_mac, guest->gateway_mac, sizeof(p->dst_mac));
    len = wire_build(p, bytes);
    buf = pool_get(&r->instance->pool, len);
    assert_non_null(buf);
    memcpy(buf->data, bytes, len);
    buf->len = (uint32_t)len;
    assert_int_equal(link_input(r->link, buf, &offload), 0);
}

/* A segment without payload to the listener. */
static inline void real_loop_give_segment(struct real_loop *r, enum addr_family family, uint16_t src_port, uint8_t flags,
                                          uint32_t seq, uint32_t ack)
{
    struct packet p = {
        .kind = WIRE_TCP, .dst = guest_alias(r->link->guest, family), .src_port = src_port, .dst_port = r->port,
        .flags = flags, .seq = seq, .ack = ack, .window = 65535, .mss = flags & WIRE_SYN ? 1440 : 0, .wscale = -1,
    };

    real_loop_give(r, &p);
}

/* ---- turns ---- */

/* Let the loop run until @done says so. */
static inline void real_loop_run_until(struct real_loop *r, bool (*done)(void), const char *what)
{
    uint64_t until_ms = uv_now(&r->loop) + REAL_LOOP_PATIENCE_MS;

    while (!done()) {
        if (uv_now(&r->loop) > until_ms)
            fail_msg("%s: not within %d ms", what, REAL_LOOP_PATIENCE_MS);
        (void)uv_run(&r->loop, UV_RUN_ONCE);
    }
}

#endif
