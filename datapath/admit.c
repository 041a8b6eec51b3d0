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
#include "datapath/bridge.h"
#include "datapath/dns_session.h"
#include "datapath/flow_end.h"
#include "datapath/flow_events.h"
#include "datapath/instance_private.h"
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
    out_addrs[0] = flow->key.dst;
    return 1;
}

static void dial_over(struct flow *flow)
{
    if (flow->counts_dial)
        flow->link->dials--;
    flow->counts_dial = false;
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
    bridge_set_host(flow, (uv_stream_t *)&dial->tcp);
    if (flow->accepted) { /* it was peeked at: its bytes are judged and held */
        flow_move(flow, FLOW_OPEN);
        flow_arm_idle(flow);
        bridge_start_down(flow);
        bridge_push_up(flow);
        return;
    }
    flow_move(flow, flow->verdict.action == VERDICT_JUDGE ? FLOW_JUDGING : FLOW_OPEN);
    accept_guest(flow);
    if (flow->state == FLOW_JUDGING)
        peek_start(flow);
    else if (flow->state == FLOW_OPEN)
        flow_arm_idle(flow);
}

void admit_dial(struct flow *flow)
{
    struct instance *in = flow->instance;
    struct addr addrs[DIAL_ADDRS_MAX];
    unsigned count;
    int err = -EHOSTUNREACH;

    /* The very address handed to connect(), classified once more: interfaces and groups may have changed. */
    if (policy_group(in->policy, &flow->key.dst) != flow->group) {
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

static void open_flow(struct link *link, const struct flow_key *key, const struct tcp_syn *syn)
{
    struct instance *in = link->instance;
    struct verdict v;
    enum group group;
    struct flow *flow;

    verdict_open(link, key, &v, &group);
    if (v.action == VERDICT_DENY) {
        refuse_syn(in, link, key, syn, &v);
        return;
    }
    if (v.action != VERDICT_PEEK && link->dials >= in->config.limits.dials) {
        refuse_for_limit(in, link, key, syn, COUNTER_LIMIT_DIALS, REASON_LIMIT_DIALS);
        return;
    }
    flow = claim(link, key, FLOW_TCP);
    if (!flow) {
        refuse_for_limit(in, link, key, syn, COUNTER_LIMIT_FLOWS, REASON_LIMIT_FLOWS);
        return;
    }
    bridge_init(flow);
    flow->syn = *syn;
    flow->group = group;
    verdict_keep(flow, &v, "dns");
    if (v.action == VERDICT_PEEK) {
        flow_move(flow, FLOW_PEEKING);
        accept_guest(flow);
        if (flow->state == FLOW_PEEKING)
            peek_start(flow);
        return;
    }
    admit_dial(flow);
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
    if (flow->state == FLOW_DIALING && !flow->accepted) {
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
