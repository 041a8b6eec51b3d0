#include "datapath/relay_udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/sockaddr.h"
#include "base/table.h"
#include "datapath/flow_end.h"
#include "datapath/flow_events.h"
#include "datapath/instance_private.h"
#include "datapath/resolver.h"
#include "datapath/verdicts.h"

enum {
    RELAY_BATCH = 64,              /* datagrams taken from one socket a turn */
    RELAY_DATAGRAM_MAX = 65535,
    RELAY_SOCKET_BUFFER = 1 << 20, /* asked for; a host that gives less only drops earlier */
};

/* Hashed as bytes. */
struct endpoint_key {
    uint32_t link_id;
    uint16_t guest_port, zero;
    struct addr guest;
};

struct udp_endpoint {
    struct endpoint_key key;
    struct udp_relay *relay; /* borrowed */
    uint32_t index;          /* in relay->endpoints */
    int fd;                  /* owned */
    uv_poll_t poll;
    struct list flows;       /* by udp_flow.endpoint_node */
    bool closing;
};

struct udp_relay {
    struct instance *instance;       /* borrowed */
    struct udp_endpoint **endpoints; /* owned: mapped, `slots` of them, each owned */
    uint32_t slots, fresh;
    uint32_t *free_slots;            /* owned: mapped, a stack */
    uint32_t free_count;
    struct table index;
    unsigned handles;                /* poll handles not yet closed */
    bool closing;
    uint8_t datagram[RELAY_DATAGRAM_MAX + 1];
};

static const void *key_of(const void *ctx, uint32_t index)
{
    const struct udp_relay *relay = ctx;

    return &relay->endpoints[index]->key;
}

static void *map_array(uint32_t count, size_t size)
{
    void *p = mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

struct udp_relay *relay_udp_new(struct instance *in)
{
    struct udp_relay *relay = calloc(1, sizeof(*relay));

    if (!relay)
        return NULL;
    relay->instance = in;
    relay->slots = in->config.limits.flows;
    relay->endpoints = map_array(relay->slots, sizeof(struct udp_endpoint *));
    relay->free_slots = map_array(relay->slots, sizeof(*relay->free_slots));
    if (!relay->endpoints || !relay->free_slots ||
        table_init(&relay->index, relay->slots, sizeof(struct endpoint_key), key_of, relay) < 0) {
        relay_udp_free(relay);
        return NULL;
    }
    return relay;
}

void relay_udp_free(struct udp_relay *relay)
{
    if (!relay)
        return;
    CHECK(relay->handles == 0);
    table_deinit(&relay->index);
    if (relay->endpoints)
        (void)munmap(relay->endpoints, relay->slots * sizeof(struct udp_endpoint *));
    if (relay->free_slots)
        (void)munmap(relay->free_slots, relay->slots * sizeof(*relay->free_slots));
    free(relay);
}

static void maybe_gone(struct udp_relay *relay)
{
    if (relay->closing && relay->handles == 0)
        instance_child_closed(relay->instance);
}

void relay_udp_close(struct udp_relay *relay)
{
    relay->closing = true; /* the flows, and with them the endpoints, ended with their links */
    maybe_gone(relay);
}

/* ---- addresses ---- */

/* What the alias is dialled as: no other loopback address may answer for it. */
static bool is_loopback(const struct addr *a)
{
    return a->family == ADDR_V4 && addr_to_v4(a) == 0x7f000001;
}

/* The host alias stands for the host's loopback, both ways; every other address for itself. */
static struct addr host_addr(const struct flow *flow)
{
    struct addr a = flow->key.dst;

    if (guest_is_alias(flow->link->guest, &a))
        (void)addr_parse("127.0.0.1", &a); /* a constant that parses */
    return a;
}

/* ---- endpoints ---- */

static void on_poll(uv_poll_t *poll, int status, int events);

static void on_poll_closed(uv_handle_t *handle)
{
    struct udp_endpoint *ep = handle->data;
    struct udp_relay *relay = ep->relay;

    free(ep);
    relay->handles--;
    maybe_gone(relay);
}

static int open_socket(const struct addr *guest)
{
    int af = guest->family == ADDR_V4 ? AF_INET : AF_INET6, bytes = RELAY_SOCKET_BUFFER;
    int fd = socket(af, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    return fd;
}

/* Return: NULL with errno when the host has no socket for it. */
static struct udp_endpoint *endpoint_open(struct udp_relay *relay, const struct endpoint_key *key)
{
    struct udp_endpoint *ep = calloc(1, sizeof(*ep));
    bool reuse = relay->free_count > 0;

    if (!ep)
        return NULL;
    if (!reuse && relay->fresh == relay->slots) {
        free(ep);
        return NULL;
    }
    ep->fd = open_socket(&key->guest);
    if (ep->fd < 0 || uv_poll_init(relay->instance->loop, &ep->poll, ep->fd) < 0) {
        if (ep->fd >= 0)
            (void)close(ep->fd);
        free(ep);
        return NULL;
    }
    ep->poll.data = ep;
    relay->handles++;
    ep->relay = relay;
    ep->key = *key;
    list_init(&ep->flows);
    ep->index = reuse ? relay->free_slots[--relay->free_count] : relay->fresh++;
    relay->endpoints[ep->index] = ep;
    table_add(&relay->index, ep->index);
    (void)uv_poll_start(&ep->poll, UV_READABLE, on_poll);
    return ep;
}

static void endpoint_close(struct udp_endpoint *ep)
{
    struct udp_relay *relay = ep->relay;

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

static struct udp_endpoint *endpoint_of(struct udp_relay *relay, const struct flow_key *key)
{
    struct endpoint_key ek;
    uint32_t index;

    memset(&ek, 0, sizeof(ek));
    ek.link_id = key->link_id;
    ek.guest_port = key->guest_port;
    ek.guest = key->guest;
    index = table_find(&relay->index, &ek);
    return index == TABLE_NONE ? endpoint_open(relay, &ek) : relay->endpoints[index];
}

void relay_udp_detach(struct flow *flow)
{
    struct udp_endpoint *ep = flow->as.udp.endpoint;

    if (!ep)
        return;
    flow->as.udp.endpoint = NULL;
    list_unlink(&flow->as.udp.endpoint_node);
    if (list_empty(&ep->flows))
        endpoint_close(ep);
}

/* ---- down ---- */

static void reply(struct udp_endpoint *ep, const struct sockaddr_storage *from, const uint8_t *bytes, size_t len)
{
    struct instance *in = ep->relay->instance;
    struct flow *any = LIST_ENTRY(ep->flows.next, struct flow, as.udp.endpoint_node), *flow;
    struct flow_key key = any->key; /* the guest's half is every flow's here */

    if (!sockaddr_to(from, &key.dst, &key.port))
        return;
    flow = flow_find(&in->flows, &key);
    if (!flow && is_loopback(&key.dst)) {
        key.dst = guest_alias(any->link->guest, key.dst.family);
        flow = flow_find(&in->flows, &key);
    }
    if (!flow || flow->kind != FLOW_UDP || flow->as.udp.endpoint != ep) {
        instance_count(in, COUNTER_UDP_NOT_CONTACTED);
        return;
    }
    if (stack_send_datagram(in->stack, flow->link->guest, &key.dst, key.port, &key.guest, key.guest_port, bytes,
                            len) < 0)
        return; /* counted there */
    flow->down_bytes += len;
    flow->active_ms = instance_now(in);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct udp_endpoint *ep = poll->data;
    struct udp_relay *relay = ep->relay;

    (void)events;
    if (status < 0) { /* a pending socket error: read it away and go on */
        int err;
        socklen_t len = sizeof(err);

        (void)getsockopt(ep->fd, SOL_SOCKET, SO_ERROR, &err, &len);
        (void)uv_poll_start(&ep->poll, UV_READABLE, on_poll);
        return;
    }
    stack_set_time(relay->instance->stack, instance_now(relay->instance));
    for (int i = 0; i < RELAY_BATCH && !ep->closing; i++) {
        struct sockaddr_storage from;
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(ep->fd, relay->datagram, sizeof(relay->datagram), MSG_DONTWAIT,
                             (struct sockaddr *)&from, &from_len);

        if (n >= 0)
            reply(ep, &from, relay->datagram, (size_t)n);
        else if (errno != EINTR)
            return; /* empty, or a pending error, which reading has cleared */
    }
}

/* ---- up ---- */

static void send_up(struct flow *flow, const struct frame *f)
{
    struct instance *in = flow->instance;
    struct addr to = host_addr(flow);
    struct sockaddr_storage sa;
    socklen_t sa_len = sockaddr_from(&to, flow->key.port, &sa);

    if (sendto(flow->as.udp.endpoint->fd, f->payload, f->payload_bytes, MSG_DONTWAIT | MSG_NOSIGNAL,
               (struct sockaddr *)&sa, sa_len) < 0) {
        instance_count(in, COUNTER_UDP_HOST_DROP);
        if (errno == ENETUNREACH || errno == EHOSTUNREACH)
            guest_send_unreachable(flow->link->guest, f->ip, f->ip_bytes, UNREACHABLE_HOST, 0);
        return;
    }
    flow->up_bytes += f->payload_bytes;
    flow->active_ms = instance_now(in);
}

static void refuse(struct link *link, const struct flow_key *key, const struct frame *f, const struct verdict *v)
{
    struct instance *in = link->instance;

    flow_record_deny(in, link, key, v, "open", 0);
    guest_send_unreachable(link->guest, f->ip, f->ip_bytes, UNREACHABLE_ADMIN, 0);
}

static void refuse_for_limit(struct link *link, const struct flow_key *key, const struct frame *f, enum counter counter)
{
    struct verdict v = verdict_deny(REASON_LIMIT_FLOWS);

    instance_count(link->instance, counter);
    refuse(link, key, f, &v);
}

static struct flow *open_flow(struct link *link, const struct flow_key *key, const struct frame *f)
{
    struct instance *in = link->instance;
    struct udp_endpoint *ep;
    struct verdict v;
    enum group group;
    struct flow *flow;

    verdict_open(link, key, &v, &group);
    if (v.action != VERDICT_ALLOW || group == GROUP_GUEST) {
        if (v.action == VERDICT_ALLOW) /* no guest is reached through the host */
            v = verdict_deny(REASON_FLOOR_GUEST);
        refuse(link, key, f, &v);
        return NULL;
    }
    flow = link_may_open(link) ? flow_claim(&in->flows, key, instance_now(in)) : NULL;
    if (!flow) {
        refuse_for_limit(link, key, f, COUNTER_LIMIT_FLOWS);
        return NULL;
    }
    flow_belongs(flow, link);
    flow->kind = FLOW_UDP;
    flow->group = group;
    list_init(&flow->as.udp.endpoint_node);
    ep = endpoint_of(in->udp, key);
    if (!ep) {
        flow->recorded = true; /* as a denial */
        flow_kill(flow, FLOW_CLOSE_LIMIT, REASON_LIMIT_FLOWS);
        refuse_for_limit(link, key, f, COUNTER_HOST_FD);
        return NULL;
    }
    instance_count(in, COUNTER_FLOWS_OPENED);
    flow->as.udp.endpoint = ep;
    list_append(&ep->flows, &flow->as.udp.endpoint_node);
    verdict_keep(flow, &v, "dns");
    flow_move(flow, FLOW_OPEN);
    flow_arm_idle(flow);
    return flow;
}

void relay_udp_datagram(void *ctx, struct guest *guest, struct frame *f)
{
    struct instance *in = ctx;
    struct link *link = link_of(guest);
    struct flow_key key = flow_key_of(link, f);
    struct flow *flow;

    if (key.port == RESOLVER_PORT && resolver_takes(link, RULE_UDP, &key.dst)) {
        resolver_datagram(in->resolver, link, f);
        return;
    }
    flow = flow_find(&in->flows, &key);
    if (!flow)
        flow = open_flow(link, &key, f);
    if (flow)
        send_up(flow, f);
}
