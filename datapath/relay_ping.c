#include "datapath/relay_ping.h"

#include <string.h>

#include "datapath/asking.h"
#include "datapath/instance_private.h"
#include "datapath/rule_use.h"
#include "datapath/verdicts.h"

enum { ICMP_HEADER_BYTES = 8, ECHO4 = 8, ECHO4_REPLY = 0, ECHO6 = 128, ECHO6_REPLY = 129 };

/* Whether the guest's budget of echoes, under rules without a pace, has one left. */
static bool has_echo(struct link *link)
{
    uint64_t now_ms = instance_now(link->instance), earned = (now_ms - link->ping_refill_ms) / PING_EVERY_MS;

    if (earned > 0) {
        link->ping_tokens = earned >= PING_BURST - link->ping_tokens ? PING_BURST
                                                                     : link->ping_tokens + (uint32_t)earned;
        link->ping_refill_ms += earned * PING_EVERY_MS;
    }
    return link->ping_tokens > 0;
}

/* @v: what allows the echo; when it may not leave it becomes the refusal */
static bool may_ping(struct link *link, size_t len, struct verdict *v)
{
    bool builtin = !rule_use_paces_echoes(link, v);

    if (len > PING_PAYLOAD_MAX || (builtin && !has_echo(link))) {
        *v = verdict_deny(REASON_LIMIT_RATE);
        return false;
    }
    if (!rule_use_echo(link, v))
        return false;
    link->ping_tokens -= builtin;
    return true;
}

/* The kernel puts an id of its own into the request, and the checksum. */
static void write_request(const struct echo *e, uint8_t out[static ICMP_HEADER_BYTES + PING_PAYLOAD_MAX])
{
    memset(out, 0, ICMP_HEADER_BYTES);
    out[0] = e->dst.family == ADDR_V6 ? ECHO6 : ECHO4;
    out[6] = (uint8_t)(e->seq >> 8);
    out[7] = (uint8_t)e->seq;
    if (e->len > 0)
        memcpy(out + ICMP_HEADER_BYTES, e->bytes, e->len);
}

void relay_ping_echo(void *ctx, struct guest *guest, struct frame *f)
{
    struct instance *in = ctx;
    struct link *link = link_of(guest);
    struct flow_key key = flow_key_of(link, f);
    struct echo e = stack_read_echo(f);
    uint8_t request[ICMP_HEADER_BYTES + PING_PAYLOAD_MAX];
    struct flow *flow;
    struct verdict v;

    key.guest_port = e.id;
    key.port = 0;
    flow = flow_find(&in->flows, &key);
    if (flow && flow->state == FLOW_OPEN)
        flow_get_verdict(flow, &v);
    else if (flow)
        v = verdict_unknown();
    else if (!relay_judge(link, &key, f, &v))
        return;
    if (!may_ping(link, e.len, &v)) { /* before it costs a socket */
        instance_count(in, COUNTER_LIMIT_PING);
        relay_refuse(link, &key, f, &v);
        return;
    }
    if (!flow)
        flow = relay_open(link, &key, f, FLOW_PING);
    if (!flow)
        return;
    write_request(&e, request);
    flow->active_ms = instance_now(in);
    if (flow->state == FLOW_OPEN) {
        relay_ping_send(flow, request, ICMP_HEADER_BYTES + e.len);
        return;
    }
    relay_hold(flow, request, ICMP_HEADER_BYTES + e.len, false);
    if (flow->state == FLOW_CLAIMED)
        asking_start(flow);
}

void relay_ping_send(struct flow *flow, const uint8_t *message, size_t len)
{
    if (len - ICMP_HEADER_BYTES > flow_up_left(flow)) {
        relay_ping_error(flow, UNREACHABLE_ADMIN, 0, message, len);
        rule_use_spent(flow, RULE_USE_UP);
        return;
    }
    if (relay_send(flow, false, message, len, 0) < 0)
        instance_count(flow->instance, COUNTER_UDP_HOST_DROP);
    else
        flow->up_bytes += len - ICMP_HEADER_BYTES;
}

/* An ICMP message of the host's socket as the guest's own echo. Return: false when it is of another type. */
static bool read_message(const struct flow *flow, const uint8_t *icmp, size_t len, uint8_t type, struct echo *out)
{
    if (len < ICMP_HEADER_BYTES || icmp[0] != type)
        return false;
    *out = (struct echo){
        .id = flow->key.guest_port,
        .seq = (uint16_t)(icmp[6] << 8 | icmp[7]),
        .bytes = icmp + ICMP_HEADER_BYTES,
        .len = len - ICMP_HEADER_BYTES,
    };
    return true;
}

void relay_ping_reply(struct flow *flow, const struct host_dgram_in *dgram)
{
    bool v6 = flow->key.dst.family == ADDR_V6;
    struct echo e;

    if (!read_message(flow, dgram->bytes, dgram->len, v6 ? ECHO6_REPLY : ECHO4_REPLY, &e) ||
        e.len > STACK_ECHO_BYTES_MAX) {
        instance_count(flow->instance, COUNTER_ICMP_IGNORED);
        return;
    }
    e.src = flow->key.dst;
    e.dst = flow->key.guest;
    if (e.len > flow_down_left(flow)) {
        rule_use_spent(flow, RULE_USE_DOWN);
        return;
    }
    flow->active_ms = instance_now(flow->instance);
    if (stack_send_echo_reply(flow->link->guest, &e) == 0) /* else counted there */
        flow->down_bytes += e.len;
}

void relay_ping_error(struct flow *flow, enum unreachable what, uint16_t mtu, const void *bytes, size_t len)
{
    struct echo e;

    if (!read_message(flow, bytes, len, flow->key.dst.family == ADDR_V6 ? ECHO6 : ECHO4, &e))
        return;
    e.src = flow->key.guest;
    e.dst = flow->key.dst;
    stack_send_echo_error(flow->link->guest, &e, what, mtu);
}
