#include "datapath/relay_udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "datapath/instance_private.h"
#include "datapath/resolver.h"

enum { GATHERED_MAX = 65507 }; /* RFC 768 over RFC 791: more fits no datagram, and no row of them */

/* Datagrams of one flow and size in a row, not yet sent; the last one may be shorter and then ends the row. */
struct relay_udp {
    struct flow *flow; /* NULL: none */
    uint16_t segment;
    bool df;
    unsigned count;
    size_t len;
    uint8_t bytes[GATHERED_MAX];
};

struct relay_udp *relay_udp_new(void)
{
    return calloc(1, sizeof(struct relay_udp));
}

void relay_udp_free(struct relay_udp *udp)
{
    free(udp);
}

/* ---- up ---- */

static void send_one(struct flow *flow, bool df, const uint8_t *bytes, size_t len)
{
    if (relay_send(flow, df, bytes, len, 0) < 0)
        instance_count(flow->instance, COUNTER_UDP_HOST_DROP);
    else
        flow->up_bytes += len;
}

/* One by one where the host does not take a row: each has its own error then. */
static void send_row(struct flow *flow, bool df, const uint8_t *bytes, size_t len, uint16_t segment)
{
    if (len <= segment) {
        send_one(flow, df, bytes, len); /* a single one, which may be empty */
        return;
    }
    if (relay_send(flow, df, bytes, len, segment) == 0) {
        flow->up_bytes += len;
        return;
    }
    for (size_t at = 0; at < len; at += segment)
        send_one(flow, df, bytes + at, len - at < segment ? len - at : segment);
}

void relay_udp_flush(struct instance *in)
{
    struct relay_udp *udp = in->udp;
    struct flow *flow = udp->flow;

    udp->flow = NULL;
    if (flow)
        send_row(flow, udp->df, udp->bytes, udp->len, udp->segment);
}

void relay_udp_forget(struct flow *flow)
{
    if (flow->instance->udp->flow == flow)
        relay_udp_flush(flow->instance);
}

static bool continues(const struct relay_udp *udp, const struct flow *flow, const struct frame *f)
{
    return udp->flow == flow && udp->df == f->dont_fragment && f->payload_bytes <= udp->segment &&
           udp->len + f->payload_bytes <= GATHERED_MAX;
}

static void gather(struct flow *flow, const struct frame *f)
{
    struct instance *in = flow->instance;
    struct relay_udp *udp = in->udp;

    if (udp->flow && !continues(udp, flow, f))
        relay_udp_flush(in);
    if (!udp->flow) {
        udp->flow = flow;
        udp->segment = (uint16_t)f->payload_bytes;
        udp->df = f->dont_fragment;
        udp->count = 0;
        udp->len = 0;
    }
    memcpy(udp->bytes + udp->len, f->payload, f->payload_bytes);
    udp->len += f->payload_bytes;
    udp->count++;
    if (f->payload_bytes < udp->segment || udp->segment == 0 || udp->count == HOST_DGRAM_SEGMENTS_MAX)
        relay_udp_flush(in);
}

/* Datagrams that the guest's kernel left in a row: at most as many at once as the host's takes. */
static void send_super(struct flow *flow, const struct frame *f)
{
    size_t step = (size_t)f->segment * HOST_DGRAM_SEGMENTS_MAX;

    relay_udp_flush(flow->instance);
    for (size_t at = 0; at < f->payload_bytes; at += step)
        send_row(flow, f->dont_fragment, f->payload + at, f->payload_bytes - at < step ? f->payload_bytes - at : step,
                 f->segment);
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
        flow = relay_open(link, &key, f, FLOW_UDP);
    if (!flow)
        return;
    flow->active_ms = instance_now(in);
    if (f->segment > 0)
        send_super(flow, f);
    else if (f->payload_bytes <= GATHERED_MAX)
        gather(flow, f);
    else
        send_one(flow, f->dont_fragment, f->payload, f->payload_bytes); /* IPv6 can carry 20 bytes more */
}

/* ---- down ---- */

void relay_udp_reply(struct flow *flow, const struct host_dgram_in *in)
{
    struct datagram d = {
        .src = flow->key.dst,
        .dst = flow->key.guest,
        .src_port = flow->key.port,
        .dst_port = flow->key.guest_port,
        .segment = in->segment,
        .bytes = in->bytes,
        .len = in->len,
    };

    flow->active_ms = instance_now(flow->instance);
    if (stack_send_datagram(flow->instance->stack, flow->link->guest, &d) == 0) /* else counted there */
        flow->down_bytes += in->len;
}

void relay_udp_error(struct flow *flow, enum unreachable what, uint16_t mtu, const void *bytes, size_t len)
{
    struct datagram d = {
        .src = flow->key.guest,
        .dst = flow->key.dst,
        .src_port = flow->key.guest_port,
        .dst_port = flow->key.port,
        .bytes = bytes,
        .len = len,
    };

    stack_send_datagram_error(flow->link->guest, &d, what, mtu);
}
