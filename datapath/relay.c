#include "datapath/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/table.h"
#include "datapath/asking.h"
#include "datapath/flow_end.h"
#include "datapath/flow_events.h"
#include "datapath/held.h"
#include "datapath/instance_private.h"
#include "datapath/named.h"
#include "datapath/relay_ping.h"
#include "datapath/relay_quic.h"
#include "datapath/relay_udp.h"
#include "datapath/verdicts.h"

/* Hashed as bytes. */
struct endpoint_key {
    uint32_t link_id;
    uint16_t guest_port; /* of a ping: its id */
    uint8_t proto, zero;
    struct addr guest;
};

struct endpoint {
    struct endpoint_key key;
    struct relay *relay; /* borrowed */
    uint32_t index;      /* in relay->endpoints */
    int fd;              /* owned */
    uv_poll_t poll;
    struct list flows;   /* by relay_flow.endpoint_node */
    unsigned named;      /* the first so many: their destinations stand for names */
    bool df, closing;
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

static void tell_guest(struct flow *flow, int error, uint32_t mtu, const void *bytes, size_t len)
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
static void drain_errors(struct endpoint *ep, struct flow *sending)
{
    struct addr to = {.family = ADDR_NONE};
    struct host_dgram_error e;

    if (sending)
        to = host_addr(sending);
    for (int i = 0; i < RELAY_ERRORS_MAX && host_dgram_next_error(ep->fd, &e); i++) {
        struct flow *flow = e.to.family == ADDR_NONE || list_empty(&ep->flows) ? NULL : flow_to(ep, &e.to, e.port);

        if (!flow && sending && e.port == 0 && addr_equal(&e.to, &to))
            flow = sending;
        instance_count(ep->relay->instance, COUNTER_RELAY_ERROR);
        if (flow && e.error != 0)
            tell_guest(flow, e.error, e.mtu, e.bytes, e.len);
    }
}

/* ---- endpoints ---- */

static void on_poll(uv_poll_t *poll, int status, int events);

static void on_poll_closed(uv_handle_t *handle)
{
    struct endpoint *ep = handle->data;
    struct relay *relay = ep->relay;

    free(ep);
    relay->handles--;
    maybe_gone(relay);
}

/* Return: 0, or -errno of the host's. */
static int endpoint_open(struct relay *relay, const struct endpoint_key *key, struct endpoint **out_endpoint)
{
    enum host_dgram_kind kind = key->proto == FRAME_PROTO_UDP ? HOST_DGRAM_UDP : HOST_DGRAM_PING;
    struct endpoint *ep = calloc(1, sizeof(*ep));
    bool reuse = relay->free_count > 0;
    int err = -ENOMEM;

    if (!ep || (!reuse && relay->fresh == relay->slots)) {
        free(ep);
        return err;
    }
    ep->fd = err = host_dgram_open(kind, key->guest.family);
    if (err >= 0)
        err = uv_poll_init(relay->instance->loop, &ep->poll, ep->fd);
    if (err < 0) {
        if (ep->fd >= 0)
            (void)close(ep->fd);
        free(ep);
        return err;
    }
    if (kind == HOST_DGRAM_UDP)
        host_dgram_set_df(ep->fd, key->guest.family, false); /* as ep->df says */
    ep->poll.data = ep;
    relay->handles++;
    ep->relay = relay;
    ep->key = *key;
    list_init(&ep->flows);
    ep->index = reuse ? relay->free_slots[--relay->free_count] : relay->fresh++;
    relay->endpoints[ep->index] = ep;
    table_add(&relay->index, ep->index);
    (void)uv_poll_start(&ep->poll, UV_READABLE, on_poll);
    *out_endpoint = ep;
    return 0;
}

static void endpoint_close(struct endpoint *ep)
{
    struct relay *relay = ep->relay;

    if (ep->closing)
        return;
    ep->closing = true;
    table_remove(&relay->index, ep->index);
    relay->endpoints[ep->index] = NULL;
    relay->free_slots[relay->free_count++] = ep->index;
    uv_close((uv_handle_t *)&ep->poll, on_poll_closed);
    (void)close(ep->fd); /* uv_close() stopped the watcher */
    ep->fd = -1;
}

static int attach(struct flow *flow)
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
    flow->as.relay.endpoint = NULL;
    ep->named -= is_named(flow);
    list_unlink(&flow->as.relay.endpoint_node);
    if (list_empty(&ep->flows))
        endpoint_close(ep);
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
    struct endpoint *ep = poll->data;
    struct relay *relay = ep->relay;
    struct host_dgram_in dgrams[HOST_DGRAM_BATCH];

    (void)events;
    stack_set_time(relay->instance->stack, instance_now(relay->instance));
    for (int turn = 0; turn < RELAY_TURNS_MAX && !ep->closing; turn++) {
        int n = host_dgram_receive(ep->fd, relay->batch, dgrams);

        if (n < 0)
            drain_errors(ep, NULL);
        for (int i = 0; i < n && !ep->closing; i++)
            take(ep, &dgrams[i]);
        if (n >= 0 && n < HOST_DGRAM_BATCH)
            break;
    }
    if (status < 0 && !ep->closing) { /* libuv stops at an error without data, and goes on when told to */
        drain_errors(ep, NULL);
        (void)uv_poll_start(&ep->poll, UV_READABLE, on_poll);
    }
}

/* ---- up ---- */

int relay_send(struct flow *flow, bool df, const void *bytes, size_t len, uint16_t segment)
{
    struct endpoint *ep = flow->as.relay.endpoint;
    struct addr to = host_addr(flow);
    int err;

    if (df != ep->df) {
        host_dgram_set_df(ep->fd, to.family, df);
        ep->df = df;
    }
    err = host_dgram_send(ep->fd, &to, flow->key.port, bytes, len, segment);
    if (err == 0 || err == -EAGAIN || err == -ENOBUFS)
        return err;
    drain_errors(ep, flow); /* maybe another datagram's error, which the kernel tells once; ours is there, too */
    if (err == -EMSGSIZE)
        return err;
    err = host_dgram_send(ep->fd, &to, flow->key.port, bytes, len, segment);
    if (err < 0 && err != -EAGAIN && err != -ENOBUFS && segment == 0)
        tell_guest(flow, -err, 0, bytes, len); /* a row may fail for being one: its datagrams are tried alone */
    return err;
}

/* ---- refusals ---- */

void relay_refuse(struct link *link, const struct flow_key *key, const struct frame *f, const struct verdict *v)
{
    flow_record_deny(link->instance, link, key, v, "open", 0);
    guest_send_unreachable(link->guest, f->ip, f->ip_bytes, UNREACHABLE_ADMIN, 0);
}

/* A bound of our own is met. */
static void refuse_for(struct link *link, const struct flow_key *key, const struct frame *f, enum reason reason)
{
    struct verdict v = verdict_deny(reason);

    relay_refuse(link, key, f, &v);
}

/* Tell the guest by the first datagram it sent. */
static void tell_by_held(struct flow *flow, const struct held *h, int error)
{
    if (h && h->count > 0)
        tell_guest(flow, error, 0, h->bytes, h->dgrams[0].len < HOST_DGRAM_QUOTE_MAX ? h->dgrams[0].len
                                                                                     : HOST_DGRAM_QUOTE_MAX);
}

void relay_refuse_held(struct flow *flow, const struct verdict *v)
{
    flow_record_deny(flow->instance, flow->link, &flow->key, v, "open", flow_id(&flow->instance->flows, flow));
    flow->recorded = true;
    tell_by_held(flow, flow->as.relay.held, EACCES);
    flow_kill(flow, FLOW_CLOSE_POLICY, v->reason);
}

void relay_unreachable(struct flow *flow, enum reason reason)
{
    tell_by_held(flow, flow->as.relay.held, EHOSTUNREACH);
    instance_count(flow->instance, COUNTER_DIAL_UNREACHABLE);
    flow_kill(flow, FLOW_CLOSE_NONE, reason);
}

/* ---- a new flow ---- */

/* The host has no socket for the flow, by @err. Return: why that is. */
static enum reason no_socket(struct link *link, enum flow_kind kind, int err)
{
    struct relay *relay = link->instance->relay;
    bool forbidden = kind == FLOW_PING && (err == -EACCES || err == -EPERM);

    instance_count(link->instance, forbidden ? COUNTER_PING_FORBIDDEN : COUNTER_HOST_FD);
    if (forbidden && !relay->ping_forbidden)
        instance_warn(link->instance, "this user may not send pings, so guests cannot: the host's sysctl "
                                      "net.ipv4.ping_group_range says who may");
    relay->ping_forbidden |= forbidden;
    return forbidden ? REASON_DIAL_UNREACHABLE : REASON_LIMIT_FLOWS;
}

bool relay_judge(struct link *link, const struct flow_key *key, const struct frame *f, struct verdict *out_verdict)
{
    enum group group;

    if (named_is(link->instance, &key->dst)) {
        *out_verdict = verdict_unknown();
        return true;
    }
    verdict_open(link, key, &key->dst, out_verdict, &group);
    if (hook_may_overturn(link->instance, DECIDE_OPEN, out_verdict))
        *out_verdict = verdict_unknown();
    if (out_verdict->action == VERDICT_DENY)
        relay_refuse(link, key, f, out_verdict);
    return out_verdict->action != VERDICT_DENY;
}

/* A flow for the datagram, or NULL: then it is refused. */
static struct flow *claim(struct link *link, const struct flow_key *key, const struct frame *f, enum flow_kind kind)
{
    struct instance *in = link->instance;
    struct flow *flow = NULL;

    if (link_may_open(link) && link->relayed < in->config.limits.udp_flows)
        flow = flow_claim(&in->flows, key, instance_now(in));
    if (!flow) {
        instance_count(in, COUNTER_LIMIT_FLOWS);
        refuse_for(link, key, f, REASON_LIMIT_FLOWS);
        return NULL;
    }
    flow_belongs(flow, link);
    link->relayed++;
    flow->kind = kind;
    flow->as.relay = (struct relay_flow){.endpoint = NULL};
    list_init(&flow->as.relay.endpoint_node);
    return flow;
}

/* Give the flow its socket and let it be open, or read. Return: REASON_OK_RULE, or why not: the flow is over then. */
static enum reason start(struct flow *flow, const struct verdict *v, enum group group)
{
    struct link *link = flow->link;
    int err = attach(flow);

    flow->group = group;
    if (err < 0) {
        enum reason reason = no_socket(link, flow->kind, err);

        flow->recorded = true; /* as a denial */
        flow_kill(flow, FLOW_CLOSE_LIMIT, reason);
        return reason;
    }
    instance_count(flow->instance, COUNTER_FLOWS_OPENED);
    verdict_keep(flow, v, "dns");
    if (v->action == VERDICT_PEEK)
        return relay_quic_start(flow) ? REASON_OK_RULE : REASON_LIMIT_PEEK;
    flow_move(flow, FLOW_OPEN);
    flow_record_open(flow);
    flow_arm_idle(flow);
    return REASON_OK_RULE;
}

/* One that has to wait. @token: what for; 0: for where its name leads. */
static struct flow *open_asking(struct link *link, const struct flow_key *key, const struct frame *f,
                                enum flow_kind kind, uint64_t token)
{
    bool full = !asking_has_room(link);
    struct flow *flow = full ? NULL : claim(link, key, f, kind);

    if (full) {
        instance_count(link->instance, COUNTER_LIMIT_DIALS);
        refuse_for(link, key, f, REASON_LIMIT_DIALS);
    }
    if (flow)
        flow->token = token;
    else
        hook_forget(link->instance, token);
    return flow;
}

struct flow *relay_open(struct link *link, const struct flow_key *key, const struct frame *f, enum flow_kind kind)
{
    struct verdict v;
    enum group group;
    enum reason why;
    struct flow *flow;
    uint64_t token;

    if (named_is(link->instance, &key->dst)) {
        if (named_name(link, &key->dst))
            return open_asking(link, key, f, kind, 0);
        refuse_for(link, key, f, REASON_NAME_UNPINNED);
        return NULL;
    }
    verdict_open(link, key, &key->dst, &v, &group);
    token = asking_new(link, key, &v);
    if (token == 0 && v.action == VERDICT_DENY) {
        relay_refuse(link, key, f, &v);
        return NULL;
    }
    if (token != 0)
        return open_asking(link, key, f, kind, token);
    flow = claim(link, key, f, kind);
    why = flow ? start(flow, &v, group) : REASON_LIMIT_FLOWS;
    if (flow && why != REASON_OK_RULE) {
        refuse_for(link, key, f, why);
        return NULL;
    }
    return flow;
}

/* ---- flows to a name ---- */

void relay_hold(struct flow *flow, const uint8_t *bytes, size_t len, bool df)
{
    struct relay_flow *relay = &flow->as.relay;

    if (!relay->held)
        relay->held = calloc(1, sizeof(*relay->held));
    if (!relay->held || !held_add(relay->held, bytes, len, df))
        instance_count(flow->instance, COUNTER_UDP_HELD_DROP);
}

void relay_enter(struct flow *flow, const struct verdict *v, enum group group)
{
    struct held *h = flow->as.relay.held;
    struct flow_key key = flow->key;
    struct link *link = flow->link;
    enum reason why;

    flow->as.relay.held = NULL;
    why = start(flow, v, group);
    if (why != REASON_OK_RULE) {
        struct verdict denied = verdict_deny(why);

        flow_record_deny(link->instance, link, &key, &denied, "open", 0);
        tell_by_held(flow, h, EACCES);
    }
    for (size_t i = 0, at = 0; h && i < h->count && !flow->killed; at += h->dgrams[i++].len) {
        if (flow->kind == FLOW_PING)
            relay_ping_send(flow, h->bytes + at, h->dgrams[i].len);
        else
            relay_udp_take(flow, h->bytes + at, h->dgrams[i].len, h->dgrams[i].df);
    }
    free(h);
}
