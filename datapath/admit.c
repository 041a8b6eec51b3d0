/*
 * A TCP flow's way in (datapath/flow.h has the states):
 *
 *   SYN → judged → refused, or parked while the host socket connects → accepted → bridge
 *                  (name ambiguous: accepted first, peek.c reads what the guest says, then dialled)
 *
 * The stack's events of a flow's connection arrive here too and go on by state.
 */
#include "datapath/admit.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "datapath/bridge.h"
#include "datapath/dns_session.h"
#include "datapath/flow_end.h"
#include "datapath/instance_private.h"
#include "datapath/peek.h"
#include "datapath/resolver.h"
#include "stack/icmp4.h"

static const struct tcp_events flow_events;

struct flow_key flow_key_of(const struct link *link, const struct frame *f)
{
    struct flow_key key;

    memset(&key, 0, sizeof(key)); /* hashed as bytes */
    key.link_id = link->id;
    key.proto = f->proto;
    key.guest_port = f->src_port;
    key.port = f->dst_port;
    key.guest = f->src;
    key.dst = f->dst;
    return key;
}

/* ---- facts and verdicts ---- */

static enum rule_proto rule_proto_of(uint8_t proto)
{
    return proto == FRAME_PROTO_TCP ? RULE_TCP : proto == FRAME_PROTO_UDP ? RULE_UDP : RULE_ICMP;
}

void admit_gather(const struct link *link, const struct flow_key *key, struct admit_facts *out_facts)
{
    struct instance *in = link->instance;
    size_t count = pins_names_of(link->pins, &key->dst, instance_now(in), out_facts->names,
                                 ARRAY_SIZE(out_facts->names));

    out_facts->facts = (struct facts){
        .proto = rule_proto_of(key->proto),
        .dst = key->dst,
        .port = key->port,
        .names = out_facts->names,
        .name_count = count < ARRAY_SIZE(out_facts->names) ? count : ARRAY_SIZE(out_facts->names),
        .names_more = count > ARRAY_SIZE(out_facts->names),
        .wall_s = instance_wall_s(),
    };
}

void admit_judge_open(const struct link *link, const struct flow_key *key,
                      struct verdict *out_verdict, enum group *out_group)
{
    struct admit_facts known;

    admit_gather(link, key, &known);
    policy_judge(link->instance->policy, &known.facts, out_verdict);
    *out_group = policy_group(link->instance->policy, &key->dst);
}

void admit_settle_verdict(struct flow *flow, const struct verdict *verdict, const char *name_src)
{
    flow_set_verdict(flow, verdict);
    flow->name_src = verdict->name[0] != '\0' ? name_src : "none";
    if (!flow->pin && verdict->name[0] != '\0')
        flow->pin = pins_hold(flow->link->pins, verdict->name); /* NULL: judged by what was said alone */
}

/* ---- dialling ---- */

/* Where the host socket goes. 0: nowhere, the address is one of the guest's own network. */
static unsigned dial_addrs(const struct flow *flow, struct addr out_addrs[static DIAL_ADDRS_MAX])
{
    const struct guest_config *g = &flow->link->guest->config;

    if (flow->group == GROUP_HOST && addr_equal(&flow->key.dst, &g->alias4)) {
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
        flow->instance->dials--;
    flow->counts_dial = false;
    flow->dial_ms = (uint32_t)(instance_now(flow->instance) - flow->dial_from_ms);
}

static void accept_guest(struct flow *flow)
{
    struct instance *in = flow->instance;

    if (tcp_conn_accept(&flow->conn, &flow->syn) < 0) {
        flow_kill(flow, FLOW_CLOSE_LIMIT, REASON_LIMIT_FLOWS);
        return;
    }
    flow->accepted = true;
    flow->syn.len = 0;
    flow->counts_half_open = true;
    in->half_open++;
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
    dial_keepalive(dial, in->config.limits.keepalive_ms);
    if (flow->accepted) { /* it was peeked at: its bytes are judged and held */
        flow_move(flow, FLOW_OPEN);
        admit_arm_idle(flow);
        bridge_start_down(flow);
        bridge_push_up(flow);
        return;
    }
    flow_move(flow, flow->verdict.action == VERDICT_JUDGE ? FLOW_JUDGING : FLOW_OPEN);
    accept_guest(flow);
    if (flow->state == FLOW_JUDGING)
        peek_start(flow);
    else if (flow->state == FLOW_OPEN)
        admit_arm_idle(flow);
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
    if (in->dials >= in->config.limits.dials) {
        flow_kill(flow, FLOW_CLOSE_LIMIT, REASON_LIMIT_DIALS);
        return;
    }
    flow_move(flow, FLOW_DIALING);
    flow->dial_from_ms = instance_now(in);
    flow->counts_dial = true;
    in->dials++;
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
    struct verdict v = {.action = VERDICT_DENY, .reason = reason, .layer = POLICY_LAYER_POLICY, .rule = -1};

    instance_count(in, counter);
    refuse_syn(in, link, key, syn, &v);
}

static struct flow *claim(struct link *link, const struct flow_key *key, enum flow_kind kind)
{
    struct instance *in = link->instance;
    struct flow *flow = flow_claim(&in->flows, key, instance_now(in));

    if (!flow)
        return NULL;
    instance_count(in, COUNTER_FLOWS_OPENED);
    flow->kind = kind;
    flow->instance = in;
    flow->link = link;
    tcp_conn_init(&flow->conn, link->guest, &flow_events);
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

    admit_judge_open(link, key, &v, &group);
    if (v.action == VERDICT_DENY) {
        refuse_syn(in, link, key, syn, &v);
        return;
    }
    if (in->half_open >= in->config.limits.half_open) {
        refuse_for_limit(in, link, key, syn, COUNTER_LIMIT_HALFOPEN, REASON_LIMIT_HALFOPEN);
        return;
    }
    if (v.action != VERDICT_PEEK && in->dials >= in->config.limits.dials) {
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
    admit_settle_verdict(flow, &v, "dns");
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
    struct tcp_syn syn;

    if (tcp_syn_park(&syn, f) < 0) {
        instance_count(link->instance, COUNTER_FRAME_BAD);
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

static void segment_of(struct flow *flow, struct frame *f, struct buf *buf)
{
    if (!tcp_conn_live(&flow->conn)) {
        /* The host socket is still connecting: a resent SYN changes nothing, another one replaces the first. */
        if (starts_connection(f) && flow->state == FLOW_DIALING && !flow->accepted)
            (void)tcp_syn_park(&flow->syn, f); /* what frame_read_l4() passed fits */
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

void admit_echo(void *ctx, struct guest *guest, struct frame *f)
{
    struct instance *in = ctx;
    struct link *link = link_of(guest);
    struct flow_key key = flow_key_of(link, f);
    struct verdict v;
    enum group group;

    admit_judge_open(link, &key, &v, &group);
    if (v.action == VERDICT_DENY)
        flow_record_deny(in, link, &key, &v, "open", 0);
    instance_count(in, COUNTER_ICMP_IGNORED);
    stack_send_unreachable(in->stack, guest, f->ip, f->ip_bytes, &guest->config.gateway4,
                           ICMP4_ADMIN_PROHIBITED, 0);
}

/* ---- events of a flow's connection ---- */

static struct flow *flow_of(struct tcp_conn *conn)
{
    return CONTAINER_OF(conn, struct flow, conn);
}

static void handshake_over(struct flow *flow)
{
    if (flow->counts_half_open)
        flow->instance->half_open--;
    flow->counts_half_open = false;
}

static void on_connected(struct tcp_conn *conn)
{
    struct flow *flow = flow_of(conn);

    handshake_over(flow);
    if (flow->kind == FLOW_TCP && (flow->state == FLOW_OPEN || flow->state == FLOW_JUDGING))
        bridge_start_down(flow);
}

static void on_data(struct tcp_conn *conn)
{
    struct flow *flow = flow_of(conn);

    if (flow->kind == FLOW_DNS_TCP && flow->state == FLOW_OPEN) {
        dns_session_input(flow);
        return;
    }
    switch (flow->state) {
    case FLOW_PEEKING:
    case FLOW_JUDGING:
        peek_bytes(flow);
        break;
    case FLOW_OPEN:
        bridge_push_up(flow);
        break;
    case FLOW_DIALING: /* judged, and held until the host is connected */
        break;
    case FLOW_CLOSING: /* nobody wants it any more; credited, or lwIP would answer with RST */
        tcp_conn_consume(conn, conn->held_bytes);
        break;
    case FLOW_FREE:
    case FLOW_CLAIMED:
        CHECK(!"data of a flow that is not there");
    }
}

static void on_acked(struct tcp_conn *conn, size_t n)
{
    struct flow *flow = flow_of(conn);

    if (flow->kind == FLOW_DNS_TCP)
        dns_session_acked(flow, n);
    else if (!flow->refused) /* a refusal's bytes are constants */
        bridge_acked(flow, n);
}

static void on_eof(struct tcp_conn *conn)
{
    struct flow *flow = flow_of(conn);

    if (flow->kind == FLOW_DNS_TCP) {
        if (flow->state == FLOW_OPEN)
            dns_session_eof(flow);
        return;
    }
    if (flow->state == FLOW_PEEKING || flow->state == FLOW_JUDGING)
        peek_bytes(flow);
    else if (flow->state == FLOW_OPEN)
        bridge_push_up(flow);
}

static void on_gone(struct tcp_conn *conn, enum tcp_gone why)
{
    static const enum flow_close how[] = {
        [TCP_GONE_CLOSED] = FLOW_CLOSE_GUEST_FIN,
        [TCP_GONE_RESET] = FLOW_CLOSE_GUEST_RST,
        [TCP_GONE_TIMEOUT] = FLOW_CLOSE_IDLE,
        [TCP_GONE_MEMORY] = FLOW_CLOSE_LIMIT,
    };
    struct flow *flow = flow_of(conn);
    bool judged = flow->state == FLOW_OPEN || flow->state == FLOW_CLOSING;

    handshake_over(flow);
    if (flow->state == FLOW_CLOSING) {
        if (why != TCP_GONE_CLOSED && !flow->recorded)
            flow->close_how = how[why];
        flow_settle(flow);
        return;
    }
    /* Both ends said FIN; what the host has not taken yet is still held and still goes there. */
    if (why == TCP_GONE_CLOSED && flow->state == FLOW_OPEN && flow->kind == FLOW_TCP &&
        flow->as.bridge.up.state != HALF_SHUT)
        return;
    flow_kill(flow, how[why], judged ? flow->verdict.reason : REASON_GUEST_CLOSED);
}

static const struct tcp_events flow_events = {
    .on_connected = on_connected,
    .on_data = on_data,
    .on_acked = on_acked,
    .on_eof = on_eof,
    .on_gone = on_gone,
};

/* ---- time, links, policy ---- */

static uint64_t idle_ms_of(const struct flow *flow)
{
    const struct instance_limits *l = &flow->instance->config.limits;

    if (flow->kind == FLOW_DNS_TCP)
        return DNS_SESSION_IDLE_MS;
    return flow->kind == FLOW_UDP ? l->udp_idle_ms : l->idle_ms;
}

/* When a TCP flow's time is over whatever it does; 0: never. */
static uint64_t end_of_life(const struct flow *flow)
{
    uint64_t lifetime_ms = flow->instance->config.limits.lifetime_ms;

    return lifetime_ms > 0 && flow->kind == FLOW_TCP ? flow->opened_ms + lifetime_ms : 0;
}

void admit_arm_idle(struct flow *flow)
{
    uint64_t idle_ms = idle_ms_of(flow), end_ms = end_of_life(flow);
    uint64_t due_ms = idle_ms > 0 ? flow->active_ms + idle_ms : end_ms;

    if (end_ms > 0 && end_ms < due_ms)
        due_ms = end_ms;
    flow_set_deadline(&flow->instance->flows, flow, due_ms);
}

static void open_is_due(struct flow *flow)
{
    uint64_t now_ms = instance_now(flow->instance), end_ms = end_of_life(flow), idle_ms = idle_ms_of(flow);

    if (end_ms > 0 && end_ms <= now_ms)
        flow_kill(flow, FLOW_CLOSE_LIMIT, flow->verdict.reason);
    else if (idle_ms > 0 && flow->active_ms + idle_ms <= now_ms)
        flow_kill(flow, FLOW_CLOSE_IDLE, flow->verdict.reason);
    else
        admit_arm_idle(flow); /* there was traffic since it was set */
}

void admit_deadline(struct flow *flow)
{
    switch (flow->state) {
    case FLOW_DIALING:
        dial_over(flow);
        flow_dial_failed(flow, -ETIMEDOUT);
        break;
    case FLOW_PEEKING:
    case FLOW_JUDGING:
        peek_silence(flow);
        break;
    case FLOW_OPEN:
        open_is_due(flow);
        break;
    case FLOW_CLOSING:
        flow_kill(flow, FLOW_CLOSE_IDLE, flow->verdict.reason);
        break;
    case FLOW_FREE:
    case FLOW_CLAIMED:
        CHECK(!"a deadline of a flow that is not there");
    }
}

void admit_link_gone(struct link *link)
{
    struct flow_table *t = &link->instance->flows;

    for (uint32_t i = 0; i < t->fresh; i++) {
        struct flow *flow = &t->flows[i];

        if (flow->state != FLOW_FREE && !flow->killed && flow->link == link)
            flow_kill(flow, FLOW_CLOSE_SHUTDOWN, flow->verdict.reason);
    }
    resolver_forget_link(link->instance->resolver, link);
}

/* Judge with all that is known of the flow by now: its own name stays pinned to it for as long as it lives. */
static bool still_allowed(const struct flow *flow)
{
    struct evidence evidence = {.kind = (enum evidence_kind)flow->evidence_kind, .ech = flow->ech};
    struct admit_facts known;
    struct verdict v;
    size_t n;

    admit_gather(flow->link, &flow->key, &known);
    n = known.facts.name_count;
    if (flow->pin && flow->name && n < ARRAY_SIZE(known.names)) {
        known.names[n] = flow->name;
        known.facts.name_count++;
    }
    if (flow->said)
        strcpy(evidence.name, flow->said);
    if (flow->state == FLOW_OPEN && evidence.kind == EVIDENCE_UNKNOWN)
        evidence.kind = EVIDENCE_OPAQUE; /* nothing was read: the weakest that could be meant */
    known.facts.evidence = &evidence;
    policy_judge(flow->instance->policy, &known.facts, &v);
    return v.action != VERDICT_DENY;
}

void admit_rejudge(struct instance *in)
{
    struct flow_table *t = &in->flows;

    for (uint32_t i = 0; i < t->fresh; i++) {
        struct flow *flow = &t->flows[i];

        if (flow->state == FLOW_FREE || flow->killed || flow->state == FLOW_CLOSING || flow->kind == FLOW_DNS_TCP)
            continue;
        flow->group = policy_group(in->policy, &flow->key.dst);
        if (!still_allowed(flow))
            flow_kill(flow, FLOW_CLOSE_POLICY, REASON_POLICY_REVOKED);
    }
}
