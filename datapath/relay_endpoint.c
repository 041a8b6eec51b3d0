#include "datapath/relay_endpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/table.h"
#include "datapath/instance_private.h"
#include "datapath/relay_ping.h"
#include "datapath/relay_quic.h"
#include "datapath/relay_udp.h"

/* Hashed as bytes. */
struct endpoint_key {
    uint32_t link_id;
    uint16_t guest_port; /* of a ping: its id */
    uint8_t proto, zero;
    struct addr guest;
};

/* A descriptor and its watcher. Lives until that is closed, its endpoint and flow need not. */
struct relay_socket {
    struct relay *relay;       /* borrowed */
    struct endpoint *endpoint; /* borrowed: whose flows it serves; until it is closed */
    int fd;                    /* owned */
    uv_poll_t poll;
    uint64_t connected_ms;     /* of a flow's own */
    bool connected, df, closing;
};

struct endpoint {
    struct endpoint_key key;
    struct relay *relay;         /* borrowed */
    uint32_t index;              /* in relay->endpoints */
    struct relay_socket *socket; /* owned; closed with it */
    struct list flows;           /* by relay_flow.endpoint_node */
    unsigned named;              /* the first so many: their destinations stand for names */
};

struct relay {
    struct instance *instance;       /* borrowed */
    struct endpoint **endpoints;     /* owned: mapped, `slots` of them, each owned */
    uint32_t slots, fresh;
    uint32_t *free_slots;            /* owned: mapped, a stack */
    uint32_t free_count;
    struct table index;
    struct host_dgram_batch *batch;  /* owned */
    unsigned handles;                /* poll handles not yet closed */
    unsigned own;                    /* sockets that belong to one flow, up to RELAY_OWN_MAX */
    bool closing, ping_forbidden;
};

static const void *key_of(const void *ctx, uint32_t index)
{
    const struct relay *relay = ctx;

    return &relay->endpoints[index]->key;
}

static void *map_array(uint32_t count, size_t size)
{
    void *p = mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

struct relay *relay_new(struct instance *in)
{
    struct relay *relay = calloc(1, sizeof(*relay));

    if (!relay)
        return NULL;
    relay->instance = in;
    relay->slots = in->config.limits.flows;
    relay->endpoints = map_array(relay->slots, sizeof(struct endpoint *));
    relay->free_slots = map_array(relay->slots, sizeof(*relay->free_slots));
    relay->batch = host_dgram_batch_new();
    if (!relay->endpoints || !relay->free_slots || !relay->batch ||
        table_init(&relay->index, relay->slots, sizeof(struct endpoint_key), key_of, relay) < 0) {
        relay_free(relay);
        return NULL;
    }
    return relay;
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    CHECK(relay->handles == 0);
    table_deinit(&relay->index);
    host_dgram_batch_free(relay->batch);
    if (relay->endpoints)
        (void)munmap(relay->endpoints, relay->slots * sizeof(struct endpoint *));
    if (relay->free_slots)
        (void)munmap(relay->free_slots, relay->slots * sizeof(*relay->free_slots));
    free(relay);
}

static void maybe_gone(struct relay *relay)
{
    if (relay->closing && relay->handles == 0)
        instance_child_closed(relay->instance);
}

void relay_close(struct relay *relay)
{
    relay->closing = true; /* the flows, and with them the endpoints, ended with their links */
    maybe_gone(relay);
}

/* ---- addresses ---- */

static struct addr loopback_of(enum addr_family family)
{
    static const uint8_t v4[4] = {127, 0, 0, 1}, v6[16] = {[15] = 1};

    return family == ADDR_V4 ? addr_from_v4(v4) : addr_from_v6(v6);
}

/* The host alias stands for the host's loopback, both ways; every other address for itself. */
static struct addr host_addr(const struct flow *flow)
{
    return guest_is_alias(flow->link->guest, &flow->key.dst) ? loopback_of(flow->key.dst.family) : *flow_target(flow);
}

static bool is_named(const struct flow *flow)
{
    return flow->to[0].family != ADDR_NONE;
}

static bool goes_to(const struct flow *flow, const struct addr *peer, uint16_t port)
{
    return flow->key.port == port && addr_equal(&flow->to[0], peer);
}

/* The flow of an endpoint to the peer that a host socket names; NULL: the guest never wrote there. */
static struct flow *flow_to(struct endpoint *ep, const struct addr *peer, uint16_t port)
{
    struct instance *in = ep->relay->instance;
    struct flow *any = LIST_ENTRY(ep->flows.next, struct flow, as.relay.endpoint_node), *flow;
    struct flow_key key = any->key; /* the guest's half is every flow's here */
    struct addr loopback = loopback_of(peer->family);
    struct list *node;

    key.dst = *peer;
    key.port = any->kind == FLOW_PING ? 0 : port;
    flow = flow_find(&in->flows, &key);
    if (!flow && addr_equal(peer, &loopback)) { /* no other loopback address may answer for the alias */
        key.dst = guest_alias(any->link->guest, peer->family);
        flow = flow_find(&in->flows, &key);
    }
    if (flow && flow->kind == any->kind && flow->as.relay.endpoint == ep)
        return flow;
    node = ep->flows.next;
    for (unsigned i = 0; i < ep->named; i++, node = node->next) {
        flow = LIST_ENTRY(node, struct flow, as.relay.endpoint_node);
        if (goes_to(flow, peer, key.port))
            return flow;
    }
    return NULL;
}

/* ---- what the network says ---- */

static enum unreachable unreachable_of(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return UNREACHABLE_PORT;
    case ENETUNREACH:
        return UNREACHABLE_NET;
    case EACCES:
    case EPERM:
        return UNREACHABLE_ADMIN;
    case EMSGSIZE:
        return UNREACHABLE_TOO_BIG;
    default:
        return UNREACHABLE_HOST;
    }
}

void relay_tell_guest(struct flow *flow, int error, uint32_t mtu, const void *bytes, size_t len)
{
    uint16_t told = mtu < UINT16_MAX ? (uint16_t)mtu : UINT16_MAX;

    if (flow->kind == FLOW_PING)
        relay_ping_error(flow, unreachable_of(error), told, bytes, len);
    else
        relay_udp_error(flow, unreachable_of(error), told, bytes, len);
}

/*
 * Read the error queue, which also clears the socket's pending error.
 *
 * @sending: the flow whose datagram has just failed, or NULL: Linux does not say which port its own EMSGSIZE of IPv4
 *           is about.
 */
static void drain_errors(struct relay_socket *s, struct flow *sending)
{
    struct endpoint *ep = s->endpoint;
    struct addr to = {.family = ADDR_NONE};
    struct host_dgram_error e;

    if (sending)
        to = host_addr(sending);
    for (int i = 0; i < RELAY_ERRORS_MAX && host_dgram_next_error(s->fd, &e); i++) {
        struct flow *flow = e.to.family == ADDR_NONE || list_empty(&ep->flows) ? NULL : flow_to(ep, &e.to, e.port);

        if (!flow && sending && e.port == 0 && addr_equal(&e.to, &to))
            flow = sending;
        instance_count(s->relay->instance, COUNTER_RELAY_ERROR);
        if (flow && e.error != 0)
            relay_tell_guest(flow, e.error, e.mtu, e.bytes, e.len);
    }
}

/* ---- sockets ---- */

static void on_poll(uv_poll_t *poll, int status, int events);

static void on_poll_closed(uv_handle_t *handle)
{
    struct relay_socket *s = handle->data;
    struct relay *relay = s->relay;

    free(s);
    relay->handles--;
    maybe_gone(relay);
}

/* @fd: the socket's, also when this fails; or -errno. Return: 0, or -errno. */
static int socket_new(struct endpoint *ep, int fd, struct relay_socket **out_socket)
{
    struct relay_socket *s = fd < 0 ? NULL : calloc(1, sizeof(*s));
    int err = fd < 0 ? fd : !s ? -ENOMEM : uv_poll_init(ep->relay->instance->loop, &s->poll, fd);

    if (err < 0) {
        if (fd >= 0)
            (void)close(fd);
        free(s);
        return err;
    }
    s->relay = ep->relay;
    s->endpoint = ep;
    s->fd = fd;
    s->poll.data = s;
    s->relay->handles++;
    if (ep->key.proto == FRAME_PROTO_UDP)
        host_dgram_set_df(fd, ep->key.guest.family, false); /* as s->df says */
    (void)uv_poll_start(&s->poll, UV_READABLE, on_poll);
    *out_socket = s;
    return 0;
}

static void socket_close(struct relay_socket *s)
{
    s->closing = true;
    s->endpoint = NULL;
    uv_close((uv_handle_t *)&s->poll, on_poll_closed);
    (void)close(s->fd); /* uv_close() stopped the watcher */
    s->fd = -1;
}

/* ---- endpoints ---- */

/* Return: 0, or -errno of the host's. */
static int endpoint_open(struct relay *relay, const struct endpoint_key *key, struct endpoint **out_endpoint)
{
    enum host_dgram_kind kind = key->proto == FRAME_PROTO_UDP ? HOST_DGRAM_UDP : HOST_DGRAM_PING;
    struct endpoint *ep = calloc(1, sizeof(*ep));
    bool reuse = relay->free_count > 0;
    int err = -ENOMEM;

    if (ep && (reuse || relay->fresh < relay->slots)) {
        ep->relay = relay;
        ep->key = *key;
        list_init(&ep->flows);
        err = socket_new(ep, host_dgram_open(kind, key->guest.family), &ep->socket);
    }
    if (err < 0) {
        free(ep);
        return err;
    }
    ep->index = reuse ? relay->free_slots[--relay->free_count] : relay->fresh++;
    relay->endpoints[ep->index] = ep;
    table_add(&relay->index, ep->index);
    *out_endpoint = ep;
    return 0;
}

static void endpoint_close(struct endpoint *ep)
{
    struct relay *relay = ep->relay;

    table_remove(&relay->index, ep->index);
    relay->endpoints[ep->index] = NULL;
    relay->free_slots[relay->free_count++] = ep->index;
    socket_close(ep->socket);
    free(ep);
}

int relay_attach(struct flow *flow)
{
    struct relay *relay = flow->instance->relay;
    struct endpoint *ep;
    struct endpoint_key key;
    uint32_t index;
    int err;

    memset(&key, 0, sizeof(key));
    key.link_id = flow->key.link_id;
    key.guest_port = flow->key.guest_port;
    key.proto = flow->key.proto;
    key.guest = flow->key.guest;
    index = table_find(&relay->index, &key);
    if (index != TABLE_NONE) {
        ep = relay->endpoints[index];
    } else {
        err = endpoint_open(relay, &key, &ep);
        if (err < 0)
            return err;
    }
    if (is_named(flow) && ep->named == RELAY_NAMED_MAX)
        return -ENOSPC;
    flow->as.relay.endpoint = ep;
    list_append(is_named(flow) ? ep->flows.next : &ep->flows, &flow->as.relay.endpoint_node);
    ep->named += is_named(flow);
    return 0;
}

void relay_detach(struct flow *flow)
{
    struct endpoint *ep = flow->as.relay.endpoint;

    free(flow->as.relay.held);
    flow->as.relay.held = NULL;
    flow->link->relayed--;
    if (!ep)
        return;
    if (flow->kind == FLOW_UDP)
        relay_udp_forget(flow);
    relay_quic_free(flow);
    if (flow->as.relay.own) {
        socket_close(flow->as.relay.own);
        flow->instance->relay->own--;
    }
    flow->as.relay.own = NULL;
    flow->as.relay.endpoint = NULL;
    ep->named -= is_named(flow);
    list_unlink(&flow->as.relay.endpoint_node);
    if (list_empty(&ep->flows))
        endpoint_close(ep);
}

bool relay_is_forbidden(struct flow *flow, int err)
{
    struct relay *relay = flow->instance->relay;
    bool forbidden = flow->kind == FLOW_PING && (err == -EACCES || err == -EPERM);

    if (forbidden && !relay->ping_forbidden)
        instance_warn(flow->instance, "this user may not send pings, so guests cannot: the host's sysctl "
                                      "net.ipv4.ping_group_range says who may");
    relay->ping_forbidden |= forbidden;
    return forbidden;
}

/* ---- down ---- */

static void take(struct endpoint *ep, const struct host_dgram_in *dgram)
{
    struct flow *flow = flow_to(ep, &dgram->from, dgram->port);

    if (!flow || flow->state == FLOW_PEEKING) /* nothing was sent there yet */
        instance_count(ep->relay->instance, COUNTER_UDP_NOT_CONTACTED);
    else if (flow->kind == FLOW_PING)
        relay_ping_reply(flow, dgram);
    else
        relay_udp_reply(flow, dgram);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct relay_socket *s = poll->data;
    struct relay *relay = s->relay;
    struct host_dgram_in dgrams[HOST_DGRAM_BATCH];

    (void)events;
    stack_set_time(relay->instance->stack, instance_now(relay->instance));
    for (int turn = 0; turn < RELAY_TURNS_MAX && !s->closing; turn++) {
        int n = host_dgram_receive(s->fd, relay->batch, dgrams);

        if (n < 0)
            drain_errors(s, NULL);
        for (int i = 0; i < n && !s->closing; i++)
            take(s->endpoint, &dgrams[i]);
        if (n >= 0 && n < HOST_DGRAM_BATCH)
            break;
    }
    if (status < 0 && !s->closing) { /* libuv stops at an error without data, and goes on when told to */
        drain_errors(s, NULL);
        (void)uv_poll_start(&s->poll, UV_READABLE, on_poll);
    }
}

/* ---- up ---- */

/* Once in the life of a flow, when it has sent more than a question. */
static void give_own(struct flow *flow, const struct addr *to)
{
    struct relay *relay = flow->instance->relay;
    struct endpoint *ep = flow->as.relay.endpoint;
    struct relay_socket *own;

    if (relay->own == RELAY_OWN_MAX) {
        instance_count(relay->instance, COUNTER_LIMIT_OWN_SOCKETS);
        return;
    }
    if (socket_new(ep, host_dgram_open_beside(ep->socket->fd, to, flow->key.port), &own) < 0)
        return; /* it can do without */
    own->connected = true;
    own->connected_ms = instance_now(relay->instance);
    flow->as.relay.own = own;
    relay->own++;
}

/* The socket that the flow sends by now. */
static struct relay_socket *way_of(struct flow *flow, const struct addr *to)
{
    struct relay_flow *relay = &flow->as.relay;
    uint64_t now_ms = instance_now(flow->instance);
    struct relay_socket *own;

    if (flow->kind == FLOW_UDP && relay->sent < RELAY_OWN_AFTER && ++relay->sent == RELAY_OWN_AFTER)
        give_own(flow, to);
    own = relay->own;
    if (own && now_ms - own->connected_ms >= RELAY_CONNECTED_MS) {
        own->connected = host_dgram_reconnect(own->fd, to, flow->key.port) == 0;
        own->connected_ms = now_ms;
    }
    return own && own->connected ? own : relay->endpoint->socket;
}

static int send_by(struct relay_socket *s, const struct addr *to, uint16_t port, bool df, const void *bytes, size_t len,
                   uint16_t segment)
{
    if (df != s->df) {
        host_dgram_set_df(s->fd, to->family, df);
        s->df = df;
    }
    return host_dgram_send(s->fd, s->connected ? NULL : to, port, bytes, len, segment);
}

int relay_send(struct flow *flow, bool df, const void *bytes, size_t len, uint16_t segment)
{
    struct addr to = host_addr(flow);
    struct relay_socket *s = way_of(flow, &to);
    int err = send_by(s, &to, flow->key.port, df, bytes, len, segment);

    if (err == 0 || err == -EAGAIN || err == -ENOBUFS)
        return err;
    drain_errors(s, flow); /* maybe another datagram's error, which the kernel tells once; ours is there, too */
    if (err == -EMSGSIZE)
        return err;
    err = send_by(flow->as.relay.endpoint->socket, &to, flow->key.port, df, bytes, len, segment);
    if (err < 0 && err != -EAGAIN && err != -ENOBUFS && segment == 0)
        relay_tell_guest(flow, -err, 0, bytes, len); /* a row may fail for being one: its datagrams are tried alone */
    return err;
}
