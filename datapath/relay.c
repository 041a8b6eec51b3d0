#include "datapath/relay.h"

#include <errno.h>
#include <stdlib.h>

#include "datapath/asking.h"
#include "datapath/flow_end.h"
#include "datapath/flow_events.h"
#include "datapath/held.h"
#include "datapath/instance_private.h"
#include "datapath/named.h"
#include "datapath/relay_endpoint.h"
#include "datapath/relay_ping.h"
#include "datapath/relay_quic.h"
#include "datapath/relay_udp.h"
#include "datapath/verdicts.h"

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
        relay_tell_guest(flow, error, 0, h->bytes, h->dgrams[0].len < HOST_DGRAM_QUOTE_MAX
                                                      ? h->dgrams[0].len
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
static enum reason no_socket(struct flow *flow, int err)
{
    bool forbidden = relay_is_forbidden(flow, err);

    instance_count(flow->instance, forbidden ? COUNTER_PING_FORBIDDEN : COUNTER_HOST_FD);
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
    int err = relay_attach(flow);

    flow->group = group;
    if (err < 0) {
        enum reason reason = no_socket(flow, err);

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
