#include "datapath/relay_udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/asking.h"
#include "datapath/flow_end.h"
#include "datapath/instance_private.h"
#include "datapath/relay_quic.h"
#include "datapath/resolver.h"
#include "datapath/rule_use.h"

enum { ROW_BYTES_MAX = 65507 }; /* RFC 768 over RFC 791: more fits no datagram, and no row of them */

/* Datagrams of one flow and size, not yet sent; the last one may be shorter, not empty, and then ends the row. */
struct row {
    struct flow *flow; /* NULL: none */
    void (*send)(const struct row *row);
    uint16_t segment;
    bool df;
    unsigned count;
    size_t len;
    uint8_t bytes[ROW_BYTES_MAX];
};

struct relay_udp {
    struct row up, down;
};

static void send_up(const struct row *row);
static void send_down(const struct row *row);

struct relay_udp *relay_udp_new(void)
{
    struct relay_udp *udp = calloc(1, sizeof(struct relay_udp));

    if (udp) {
        udp->up.send = send_up;
        udp->down.send = send_down;
    }
    return udp;
}

void relay_udp_free(struct relay_udp *udp)
{
    free(udp);
}

/* ---- rows ---- */

static void row_end(struct row *row)
{
    if (row->flow)
        row->send(row);
    row->flow = NULL;
}

static bool row_takes(const struct row *row, const struct flow *flow, size_t len, bool df)
{
    return row->flow == flow && row->df == df && len > 0 && len <= row->segment && row->len + len <= ROW_BYTES_MAX;
}

/* @len: at most ROW_BYTES_MAX */
static void row_add(struct row *row, struct flow *flow, const uint8_t *bytes, size_t len, bool df)
{
    if (row->flow && !row_takes(row, flow, len, df))
        row_end(row);
    if (!row->flow) {
        row->flow = flow;
        row->segment = (uint16_t)len;
        row->df = df;
        row->count = 0;
        row->len = 0;
    }
    memcpy(row->bytes + row->len, bytes, len);
    row->len += len;
    row->count++;
    if (len < row->segment || row->segment == 0 || row->count == HOST_DGRAM_SEGMENTS_MAX)
        row_end(row);
}

/* Whether a datagram fits what is left to its flow. What is gathered counts as sent, until that decides. */
static bool row_fits(struct row *row, const struct flow *flow, size_t len, uint64_t (*left)(const struct flow *flow))
{
    size_t gathered = row->flow == flow ? row->len : 0;

    if (gathered + len <= left(flow))
        return true;
    if (gathered > 0)
        row_end(row);
    return gathered > 0 && len <= left(flow);
}

void relay_udp_flush(struct instance *in)
{
    row_end(&in->udp->up);
    row_end(&in->udp->down);
}

void relay_udp_forget(struct flow *flow)
{
    struct relay_udp *udp = flow->instance->udp;

    if (flow->close_how == FLOW_CLOSE_POLICY) { /* not even what was judged in this turn */
        udp->up.flow = udp->up.flow == flow ? NULL : udp->up.flow;
        udp->down.flow = udp->down.flow == flow ? NULL : udp->down.flow;
    }
    if (udp->up.flow == flow)
        row_end(&udp->up);
    if (udp->down.flow == flow)
        row_end(&udp->down);
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

static void send_up(const struct row *row)
{
    send_row(row->flow, row->df, row->bytes, row->len, row->segment);
}

/* Datagrams that the guest's kernel left in a row: at most as many at once as the host's takes. */
static void send_super(struct flow *flow, const struct frame *f)
{
    size_t step = (size_t)f->segment * HOST_DGRAM_SEGMENTS_MAX;

    row_end(&flow->instance->udp->up);
    if (f->payload_bytes > flow_up_left(flow)) { /* one of them ends the flow, unless the host drops some */
        for (size_t at = 0; at < f->payload_bytes && !flow->killed; at += f->segment)
            relay_udp_send(flow, f->payload + at,
                           f->payload_bytes - at < f->segment ? f->payload_bytes - at : f->segment, f->dont_fragment);
        return;
    }
    for (size_t at = 0; at < f->payload_bytes; at += step)
        send_row(flow, f->dont_fragment, f->payload + at, f->payload_bytes - at < step ? f->payload_bytes - at : step,
                 f->segment);
}

void relay_udp_send(struct flow *flow, const uint8_t *bytes, size_t len, bool df)
{
    if (!row_fits(&flow->instance->udp->up, flow, len, flow_up_left)) {
        relay_udp_error(flow, UNREACHABLE_ADMIN, 0, bytes, len < HOST_DGRAM_QUOTE_MAX ? len : HOST_DGRAM_QUOTE_MAX);
        rule_use_spent(flow, RULE_USE_UP);
        return;
    }
    if (len <= ROW_BYTES_MAX)
        row_add(&flow->instance->udp->up, flow, bytes, len, df);
    else
        send_one(flow, df, bytes, len); /* IPv6 can carry 20 bytes more */
}

void relay_udp_take(struct flow *flow, const uint8_t *bytes, size_t len, bool df)
{
    if (flow->as.relay.quic)
        relay_quic_datagram(flow, bytes, len, df);
    else
        relay_udp_send(flow, bytes, len, df);
}

/* Each datagram of a row by itself: it is read, or waits. */
static void take_each(struct flow *flow, const struct frame *f)
{
    size_t step = f->segment > 0 ? f->segment : f->payload_bytes, at = 0;

    do {
        size_t left = f->payload_bytes - at, len = left < step ? left : step;

        if (flow->state == FLOW_CLAIMED || flow->state == FLOW_ASKING)
            relay_hold(flow, f->payload + at, len, f->dont_fragment);
        else
            relay_udp_take(flow, f->payload + at, len, f->dont_fragment);
        at += step;
    } while (at < f->payload_bytes && !flow->killed);
    if (flow->state == FLOW_CLAIMED)
        asking_start(flow);
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
    if (flow->as.relay.quic || flow->state == FLOW_CLAIMED || flow->state == FLOW_ASKING)
        take_each(flow, f);
    else if (f->segment > 0)
        send_super(flow, f);
    else
        relay_udp_send(flow, f->payload, f->payload_bytes, f->dont_fragment);
}

void relay_udp_refused(void *ctx, struct guest *guest, const struct refusal *r)
{
    struct instance *in = ctx;
    struct flow_key key;
    struct flow *flow;

    memset(&key, 0, sizeof(key));
    key.link_id = link_of(guest)->id;
    key.proto = FRAME_PROTO_UDP;
    key.guest = r->guest;
    key.guest_port = r->guest_port;
    key.dst = r->peer;
    key.port = r->peer_port;
    flow = flow_find(&in->flows, &key);
    if (flow && flow->kind == FLOW_UDP)
        flow_kill(flow, FLOW_CLOSE_GUEST_RST, flow->state == FLOW_OPEN ? flow->verdict.reason : REASON_GUEST_CLOSED);
    else
        instance_count(in, COUNTER_ICMP_IGNORED);
}

/* ---- down ---- */

static void reply(struct flow *flow, const uint8_t *bytes, size_t len, uint16_t segment)
{
    struct datagram d = {
        .src = flow->key.dst,
        .dst = flow->key.guest,
        .src_port = flow->key.port,
        .dst_port = flow->key.guest_port,
        .segment = segment < len ? segment : 0,
        .bytes = bytes,
        .len = len,
    };

    if (stack_send_datagram(flow->instance->stack, flow->link->guest, &d) == 0) /* else counted there */
        flow->down_bytes += len;
}

static void send_down(const struct row *row)
{
    reply(row->flow, row->bytes, row->len, row->segment);
}

/* The first datagrams of a row that is too much for its flow, which ends with them. */
static void reply_what_fits(struct flow *flow, const struct host_dgram_in *dgram)
{
    size_t step = dgram->segment > 0 ? dgram->segment : dgram->len, at = 0;

    row_end(&flow->instance->udp->down);
    for (size_t len; at < dgram->len; at += len) {
        len = dgram->len - at < step ? dgram->len - at : step;
        if (len > flow_down_left(flow)) {
            rule_use_spent(flow, RULE_USE_DOWN);
            return;
        }
        reply(flow, dgram->bytes + at, len, 0);
    }
}

void relay_udp_reply(struct flow *flow, const struct host_dgram_in *dgram)
{
    struct row *row = &flow->instance->udp->down;

    flow->active_ms = instance_now(flow->instance);
    if (!row_fits(row, flow, dgram->len, flow_down_left)) {
        reply_what_fits(flow, dgram);
        return;
    }
    if (flow->link->guest->wire.uso && dgram->segment == 0 && dgram->len <= ROW_BYTES_MAX) {
        row_add(row, flow, dgram->bytes, dgram->len, false);
        return;
    }
    row_end(row);
    reply(flow, dgram->bytes, dgram->len, dgram->segment);
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
