/*
 * A TCP flow's way in (datapath/flow.h has the states):
 *
 *   SYN → judged → refused, or parked while the host socket connects → accepted → bridge
 *                  (name ambiguous: accepted first, peek.c reads what the guest says, then dialled)
 */
#include "datapath/admit.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "datapath/asking.h"
#include "datapath/bridge.h"
#include "datapath/dns_session.h"
#include "datapath/flow_end.h"
#include "datapath/flow_events.h"
#include "datapath/instance_private.h"
#include "datapath/named.h"
#include "datapath/peek.h"
#include "datapath/resolver.h"
#include "datapath/verdicts.h"

/* ---- dialling ---- */

/* Where the host socket goes. 0: nowhere, the address is one of the guest's own network. */
static unsigned dial_addrs(const struct flow *flow, struct addr out_addrs[static DIAL_ADDRS_MAX])
{
    if (flow->group == GROUP_HOST && guest_is_alias(flow->link->guest, &flow->key.dst)) {
        (void)addr_parse("127.0.0.1", &out_addrs[0]); /* constants that parse */
        (void)addr_parse("::1", &out_addrs[1]);
        return 2;
    }
    if (flow->group == GROUP_GUEST)
        return 0;
    out_addrs[0] = *flow_target(flow);
    out_addrs[1] = flow->to[1];
    return out_addrs[1].family == ADDR_NONE ? 1 : 2;
}

static void dial_over(struct flow *flow)
{
    if (flow->counts_dial)
        flow->link->dials--;
    flow->counts_dial = false;
    if (flow->dial_from_ms > 0)
        flow->dial_ms = (uint32_t)(instance_now(flow->instance) - flow->dial_from_ms);
}

static void accept_guest(struct flow *flow)
{
    struct instance *in = flow->instance;

    if (flow->link->half_open >= in->config.limits.half_open) { /* what was dialled meanwhile */
        instance_count(in, COUNTER_LIMIT_HALFOPEN);
        flow_kill(flow, FLOW_CLOSE_LIMIT, REASON_LIMIT_HALFOPEN);
        return;
    }
    if (tcp_conn_accept(&flow->conn, &flow->syn) < 0) {
        instance_count(in, COUNTER_LIMIT_FLOWS);
        flow_kill(flow, FLOW_CLOSE_LIMIT, REASON_LIMIT_FLOWS);
        return;
    }
    flow->accepted = true;
    flow->syn.len = 0;
    flow->counts_half_open = true;
    flow->link->half_open++;
}

void admit_accept(struct flow *flow)
{
    accept_guest(flow);
}

/* Its bytes are to be read: some may be there already. */
static void peek(struct flow *flow)
{
    peek_start(flow);
    if (tcp_conn_held(&flow->conn) > 0 || tcp_conn_eof(&flow->conn))
        peek_bytes(flow);
}

static void on_dialed(struct dial *dial, int status)
{
    struct flow *flow = CONTAINER_OF(dial, struct flow, dial);
    struct instance *in = flow->instance;

    if (flow->killed || flow->state != FLOW_DIALING)
        return;
    stack_set_time(in->stack, instance_now(in));
    dial_over(flow);
    if (status < 0) {
        flow_dial_failed(flow, status);
        return;
    }
    flow_set_deadline(&in->flows, flow, 0);
    if (flow->to[1].family != ADDR_NONE) { /* of several, this one */
        flow->to[0] = *dial_peer(dial);
        flow->to[1] = (struct addr){.family = ADDR_NONE};
    }
    bridge_set_host(flow, (uv_stream_t *)&dial->tcp);
    flow_move(flow, flow->verdict.action == VERDICT_JUDGE ? FLOW_JUDGING : FLOW_OPEN);
    if (!flow->accepted)
        accept_guest(flow);
    else if (tcp_conn_established(&flow->conn)) /* it was peeked at, or waited for long */
        bridge_start_down(flow);
    if (flow->state == FLOW_JUDGING) {
        peek(flow);
    } else if (flow->state == FLOW_OPEN) {
        flow_record_open(flow);
        flow_arm_idle(flow);
        bridge_push_up(flow);
    }
}

void admit_dial(struct flow *flow)
{
    struct instance *in = flow->instance;
    struct addr addrs[DIAL_ADDRS_MAX];
    unsigned count;
    int err = -EHOSTUNREACH;

    /* The very addresses handed to connect(), classified once more: interfaces and groups may have changed. */
    if (policy_group(in->policy, flow_target(flow)) != flow->group ||
        (flow->to[1].family != ADDR_NONE && policy_group(in->policy, &flow->to[1]) != flow->group)) {
        flow_kill(flow, FLOW_CLOSE_POLICY, REASON_POLICY_REVOKED);
        return;
    }
    if (flow->link->dials >= in->config.limits.dials) {
        instance_count(in, COUNTER_LIMIT_DIALS);
        flow_kill(flow, FLOW_CLOSE_LIMIT, REASON_LIMIT_DIALS);
        return;
    }
    flow_move(flow, FLOW_DIALING);
    flow->dial_from_ms = instance_now(in);
    flow->counts_dial = true;
    flow->link->dials++;
    flow_set_deadline(&in->flows, flow, instance_now(in) + in->config.limits.dial_timeout_ms);
    count = dial_addrs(flow, addrs);
    if (count > 0)
        err = dial_start(&flow->dial, in->loop, addrs, count, flow->key.port, on_dialed);
    if (err < 0) {
        dial_over(flow);
        flow_dial_failed(flow, err);
    }
}

/* ---- a new connection ---- */

static void refuse_syn(struct instance *in, const struct link *link, const struct flow_key *key,
                       const struct tcp_syn *syn, const struct verdict *verdict)
{
    flow_record_deny(in, link, key, verdict, "open", 0);
    flow_answer_denied_syn(link, syn, verdict->reason);
}

static void refuse_for_limit(struct instance *in, const struct link *link, const struct flow_key *key,
                             const struct tcp_syn *syn, enum counter counter, enum reason reason)
{
    struct verdict v = verdict_deny(reason);

    instance_count(in, counter);
    refuse_syn(in, link, key, syn, &v);
}

static struct flow *claim(struct link *link, const struct flow_key *key, enum flow_kind kind)
{
    struct instance *in = link->instance;
    struct flow *flow = link_may_open(link) ? flow_claim(&in->flows, key, instance_now(in)) : NULL;

    if (!flow)
        return NULL;
    instance_count(in, COUNTER_FLOWS_OPENED);
    flow_belongs(flow, link);
    flow->kind = kind;
    tcp_conn_init(&flow->conn, link->guest, &flow_tcp_events);
    return flow;
}

static void open_dns(struct link *link, const struct flow_key *key, const struct tcp_syn *syn)
{
    struct instance *in = link->instance;
    struct flow *flow = claim(link, key, FLOW_DNS_TCP);

    if (!flow) {
        refuse_for_limit(in, link, key, syn, COUNTER_LIMIT_FLOWS, REASON_LIMIT_FLOWS);
        return;
    }
    flow->syn = *syn;
    flow->recorded = true; /* its questions have records of their own */
    flow_move(flow, FLOW_OPEN);
    if (dns_session_open(flow) < 0) {
        flow_kill(flow, FLOW_CLOSE_LIMIT, REASON_LIMIT_DNS);
        return;
    }
    accept_guest(flow);
}

/* A flow for the SYN, or NULL: then the guest has its refusal. */
static struct flow *claim_tcp(struct link *link, const struct flow_key *key, const struct tcp_syn *syn)
{
    struct flow *flow = claim(link, key, FLOW_TCP);

    if (!flow) {
        refuse_for_limit(link->instance, link, key, syn, COUNTER_LIMIT_FLOWS, REASON_LIMIT_FLOWS);
        return NULL;
    }
    bridge_init(flow);
    flow->syn = *syn;
    return flow;
}

void admit_enter(struct flow *flow, const struct verdict *v, enum group group)
{
    flow->group = group;
    verdict_keep(flow, v, "dns");
    if (v->action != VERDICT_PEEK) {
        admit_dial(flow);
        return;
    }
    flow_move(flow, FLOW_PEEKING);
    if (!flow->accepted)
        accept_guest(flow);
    if (flow->state == FLOW_PEEKING)
        peek(flow);
}

void admit_refuse(struct flow *flow, const struct verdict *v)
{
    flow_record_deny(flow->instance, flow->link, &flow->key, v, "open", flow_id(&flow->instance->flows, flow));
    flow->recorded = true;
    if (flow->syn.len > 0)
        flow_answer_denied_syn(flow->link, &flow->syn, v->reason);
    flow->syn.len = 0; /* answered */
    flow_kill(flow, FLOW_CLOSE_POLICY, v->reason);
}

void admit_unreachable(struct flow *flow, enum reason reason)
{
    guest_send_unreachable(flow->link->guest, flow->syn.bytes, flow->syn.len, UNREACHABLE_HOST, 0);
    flow->syn.len = 0; /* answered */
    instance_count(flow->instance, COUNTER_DIAL_UNREACHABLE);
    flow_kill(flow, FLOW_CLOSE_NONE, reason);
}

/* The flow has to wait. @token: what for; 0: for where its name leads. */
static void open_asking(struct link *link, const struct flow_key *key, const struct tcp_syn *syn, uint64_t token)
{
    struct instance *in = link->instance;
    bool full = !asking_has_room(link);
    struct flow *flow = full ? NULL : claim_tcp(link, key, syn);

    if (full)
        refuse_for_limit(in, link, key, syn, COUNTER_LIMIT_DIALS, REASON_LIMIT_DIALS);
    if (!flow) {
        hook_forget(in, token);
        return;
    }
    flow->token = token;
    asking_start(flow);
}

/* The destination stands for a name: no rule can be asked before it is known where that leads. */
static void open_named(struct link *link, const struct flow_key *key, const struct tcp_syn *syn)
{
    struct verdict v = verdict_deny(REASON_NAME_UNPINNED);

    if (named_name(link, &key->dst))
        open_asking(link, key, syn, 0);
    else
        refuse_syn(link->instance, link, key, syn, &v);
}

static void open_flow(struct link *link, const struct flow_key *key, const struct tcp_syn *syn)
{
    struct instance *in = link->instance;
    struct verdict v;
    enum group group;
    struct flow *flow;
    uint64_t token;

    verdict_open(link, key, &key->dst, &v, &group);
    token = asking_new(link, key, &v);
    if (token != 0) {
        open_asking(link, key, syn, token);
        return;
    }
    if (v.action == VERDICT_DENY) {
        refuse_syn(in, link, key, syn, &v);
        return;
    }
    if (v.action != VERDICT_PEEK && link->dials >= in->config.limits.dials) {
        refuse_for_limit(in, link, key, syn, COUNTER_LIMIT_DIALS, REASON_LIMIT_DIALS);
        return;
    }
    flow = claim_tcp(link, key, syn);
    if (flow)
        admit_enter(flow, &v, group);
}

static void on_syn(struct link *link, const struct flow_key *key, const struct frame *f)
{
    struct instance *in = link->instance;
    struct tcp_syn syn;

    if (tcp_syn_park(&syn, f) < 0) {
        instance_count(in, COUNTER_FRAME_BAD);
        return;
    }
    if (link->half_open >= in->config.limits.half_open) {
        refuse_for_limit(in, link, key, &syn, COUNTER_LIMIT_HALFOPEN, REASON_LIMIT_HALFOPEN);
        return;
    }
    if (key->port == RESOLVER_PORT && resolver_takes(link, RULE_TCP, &key->dst))
        open_dns(link, key, &syn);
    else if (named_is(in, &key->dst))
        open_named(link, key, &syn);
    else
        open_flow(link, key, &syn);
}

/* ---- segments ---- */

static bool starts_connection(const struct frame *f)
{
    return (f->tcp_flags & (FRAME_SYN | FRAME_ACK | FRAME_RST | FRAME_FIN)) == FRAME_SYN;
}

/* The guest may reuse a port whose last connection only waits for its end: a new flow, not a stray SYN. */
static bool is_over(const struct flow *flow)
{
    return tcp_conn_time_wait(&flow->conn) || tcp_conn_closing(&flow->conn);
}

/* A segment while the host socket connects and the SYN is parked. */
static void segment_of_parked(struct flow *flow, const struct frame *f)
{
    if (starts_connection(f)) {
        (void)tcp_syn_park(&flow->syn, f); /* resent, or another one; what frame_read_l4() passed fits */
    } else if (tcp_syn_given_up(&flow->syn, f)) {
        flow->syn.len = 0; /* it wants no answer */
        flow_kill(flow, FLOW_CLOSE_GUEST_RST, REASON_GUEST_CLOSED);
    }
}

static void segment_of(struct flow *flow, struct frame *f, struct buf *buf)
{
    if ((flow->state == FLOW_ASKING || flow->state == FLOW_DIALING) && !flow->accepted) {
        segment_of_parked(flow, f);
        return;
    }
    if (!tcp_conn_live(&flow->conn)) {
        tcp_stray_input(flow->link->guest, f); /* the host still takes what a finished guest sent */
        return;
    }
    tcp_conn_input(&flow->conn, f, buf);
    if (flow->state == FLOW_CLOSING && !flow->killed)
        flow_settle(flow); /* TIME_WAIT has no event */
}

void admit_segment(void *ctx, struct guest *guest, struct frame *f, struct buf *buf)
{
    struct instance *in = ctx;
    struct link *link = link_of(guest);
    struct flow_key key = flow_key_of(link, f);
    struct flow *flow = flow_find(&in->flows, &key);

    if (flow && starts_connection(f) && is_over(flow)) {
        flow_kill(flow, FLOW_CLOSE_GUEST_FIN, flow->verdict.reason);
        flow = NULL;
    }
    if (flow)
        segment_of(flow, f, buf);
    else if (starts_connection(f))
        on_syn(link, &key, f);
    else
        tcp_stray_input(guest, f);
}
