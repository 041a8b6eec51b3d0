#include "datapath/flow_end.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "datapath/asking.h"
#include "datapath/bridge.h"
#include "datapath/dns_session.h"
#include "datapath/follow.h"
#include "datapath/instance_private.h"
#include "datapath/peek.h"
#include "datapath/relay.h"
#include "datapath/rule_use.h"

/* ---- records ---- */

static const char *proto_name(uint8_t proto)
{
    return proto == FRAME_PROTO_TCP ? "tcp" : proto == FRAME_PROTO_UDP ? "udp" : "icmp";
}

static struct record record_of(const struct link *link, const struct flow_key *key, const struct verdict *v)
{
    const struct rule *rule = v->rule >= 0 ? policy_rule(link->instance->policy, v->layer, (unsigned)v->rule) : NULL;

    return (struct record){
        .guest = link_guest_name(link),
        .proto = proto_name(key->proto),
        .src = key->guest,
        .src_port = key->guest_port,
        .dst = key->dst,
        .dst_port = key->port,
        .name = v->name,
        .layer = v->layer,
        .rule = v->rule,
        .tag = rule ? rule->tag : NULL,
        .would_deny = v->audited,
    };
}

static struct record record_of_flow(const struct flow *flow, const struct verdict *v)
{
    struct record r = record_of(flow->link, &flow->key, v);

    r.flow = flow_id(&flow->instance->flows, flow);
    if (flow->to[0].family != ADDR_NONE) {
        r.peer = flow->to[0];
        r.peer_port = flow->key.port;
    }
    return r;
}

static void put(struct instance *in, const struct record *r)
{
    in->reasons[r->reason]++;
    record_add(&in->log, r, instance_now(in));
}

void flow_record_deny(struct instance *in, const struct link *link, const struct flow_key *key,
                      const struct verdict *verdict, const char *stage, uint64_t id)
{
    struct record r = record_of(link, key, verdict);

    r.event = RECORD_DENY;
    r.flow = id;
    r.verdict = "deny";
    r.reason = verdict->reason;
    r.stage = stage;
    instance_count(in, COUNTER_FLOWS_DENIED);
    put(in, &r);
}

void flow_record_dns(struct instance *in, const struct link *link, const struct flow_key *key,
                     const struct verdict *verdict)
{
    struct record r = record_of(link, key, verdict);

    r.event = RECORD_DNS;
    r.verdict = "deny";
    r.reason = verdict->reason;
    r.stage = "dns";
    put(in, &r);
}

static void add_evidence(const struct flow *flow, struct record *r)
{
    r->name_src = r->name[0] != '\0' ? flow->name_src : NULL;
    if (flow->evidence_kind == EVIDENCE_HTTP)
        r->host = flow->said;
    else
        r->sni = flow->said;
    r->alpn = flow->alpn;
    r->ech = flow->ech;
    r->opaque = flow->opaque;
    r->t_peek_ms = flow->peek_ms;
}

void flow_record_open(struct flow *flow)
{
    struct instance *in = flow->instance;
    struct verdict v;
    struct record r;

    if (!in->config.log_open || flow->recorded)
        return;
    flow_get_verdict(flow, &v);
    r = record_of_flow(flow, &v);
    r.event = RECORD_OPEN;
    r.verdict = flow->verdict.audited ? "audit" : "allow";
    r.reason = v.reason;
    add_evidence(flow, &r);
    record_add(&in->log, &r, instance_now(in));
}

void flow_record_policy(struct instance *in, enum reason reason, unsigned cut)
{
    struct record r = {.event = RECORD_POLICY, .rule = -1, .reason = reason, .cut = cut};

    record_add(&in->log, &r, instance_now(in));
}

/* What a flow has done by now that was let in. */
static void add_life(struct flow *flow, struct record *r)
{
    r->close = flow_close_name(flow->close_how);
    r->has_bytes = true;
    r->up = flow->up_bytes;
    r->down = flow->down_bytes;
    r->t_dns_ms = flow->dns_ms;
    r->t_dial_ms = flow->dial_ms;
    r->dur_ms = (uint32_t)(instance_now(flow->instance) - flow->opened_ms);
}

/* The one record of a flow that was let in. */
static void record_close(struct flow *flow, enum reason reason)
{
    struct instance *in = flow->instance;
    struct verdict v;
    struct record r;

    if (flow->recorded)
        return;
    flow->recorded = true;
    flow_get_verdict(flow, &v);
    r = record_of_flow(flow, &v);
    r.event = RECORD_CLOSE;
    r.verdict = flow->verdict.audited ? "audit" : "allow";
    r.reason = reason;
    add_life(flow, &r);
    add_evidence(flow, &r);
    put(in, &r);
}

/* ---- killing ---- */

static void on_dial_closed(struct dial *dial)
{
    struct flow *flow = CONTAINER_OF(dial, struct flow, dial);

    flow->closing--;
    if (!flow->killed && flow->state == FLOW_CLOSING)
        flow_settle(flow);
}

static void close_host(struct flow *flow, bool reset)
{
    if (flow->kind == FLOW_TCP && flow->dial.on_done && !flow->host_closed &&
        dial_close(&flow->dial, reset, on_dial_closed))
        flow->closing++;
    flow->host_closed = true;
}

/* Everything a flow holds elsewhere is given back; its slot waits for handles that are on their way out. */
static void let_go(struct flow *flow)
{
    struct instance *in = flow->instance;

    if (flow->counts_dial)
        flow->link->dials--;
    if (flow->counts_half_open)
        flow->link->half_open--;
    flow->counts_dial = flow->counts_half_open = false;
    peek_over(flow);
    asking_forget(flow);
    list_unlink(&flow->wait_node);
    rule_use_give(flow);
    pins_release(flow->link->pins, flow->pin);
    flow->pin = NULL;
    close_host(flow, true);
    switch (flow->kind) {
    case FLOW_TCP:
        bridge_release(flow);
        break;
    case FLOW_DNS_TCP:
        dns_session_close(flow);
        break;
    case FLOW_UDP:
    case FLOW_PING:
        relay_detach(flow);
        break;
    }
    if (flow->state != FLOW_CLOSING)
        flow_move(flow, FLOW_CLOSING);
    flow_release(&in->flows, flow);
}

void flow_kill(struct flow *flow, enum flow_close how, enum reason reason)
{
    if (flow->killed)
        return;
    if (!flow->recorded)
        flow->close_how = how; /* a reset after one end said FIN is a reset */
    record_close(flow, reason);
    if (flow->syn.len > 0)
        tcp_syn_refuse(flow->link->guest, &flow->syn);
    if (how == FLOW_CLOSE_PEER_RST)
        tcp_conn_flush(&flow->conn); /* what the server said before it reset is on the wire before the RST is */
    tcp_conn_abort(&flow->conn);
    let_go(flow);
}

/* ---- refusing ---- */

void flow_answer_denied_syn(const struct link *link, const struct tcp_syn *syn, enum reason reason)
{
    const struct instance *in = link->instance;
    bool is_limit = reason == REASON_LIMIT_FLOWS || reason == REASON_LIMIT_RATE || reason == REASON_LIMIT_HALFOPEN ||
                    reason == REASON_LIMIT_DIALS;

    if (in->config.refuse_icmp && !is_limit)
        guest_send_unreachable(link->guest, syn->bytes, syn->len, UNREACHABLE_ADMIN, 0);
    else
        tcp_syn_refuse(link->guest, syn);
}

/* Send a constant; a refusal is far below what a connection takes at once. */
static void say(struct flow *flow, const void *bytes, size_t len)
{
    (void)tcp_conn_send(&flow->conn, bytes, len); /* a guest without window gets the FIN or the deadline */
}

/* In which protocol a refusal can be said. */
enum tongue { TONGUE_NONE, TONGUE_TLS, TONGUE_HTTP };

static enum tongue tongue_of(const struct flow *flow, const struct evidence *e)
{
    struct iovec first;

    if (!tcp_conn_established(&flow->conn) || tcp_conn_peek(&flow->conn, &first, 1) == 0)
        return TONGUE_NONE;
    /* Behind a server's bytes it would be read as the server's, before they come as the answer to another request. */
    if (flow->as.bridge.follow ? !follow_may_answer(flow) : flow->down_bytes > 0)
        return TONGUE_NONE;
    if (*(const uint8_t *)first.iov_base == 22)
        return TONGUE_TLS; /* a handshake record, however it goes on */
    if (e->kind == EVIDENCE_HTTP ||
        (e->kind == EVIDENCE_BAD && (e->bad == REASON_HOST_MISMATCH || e->bad == REASON_NAME_INVALID)))
        return TONGUE_HTTP;
    return TONGUE_NONE;
}

static void say_refusal(struct flow *flow, enum tongue tongue, enum reason reason)
{
    /* RFC 8446 section 6: fatal alert 49, access_denied, in a record of version 3.3 (5.1). */
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, 49};
    static const char http_head[] = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 27\r\n"
                                    "Connection: close\r\nX-Egress-Reason: ";
    static const char http_tail[] = "\r\n\r\nrefused by network policy\r\n";
    const char *text = reason_text(reason);

    _Static_assert(sizeof(http_tail) - 1 - 4 == 27, "Content-Length above");
    if (tongue == TONGUE_TLS) {
        say(flow, alert, sizeof(alert));
        return;
    }
    say(flow, http_head, sizeof(http_head) - 1);
    say(flow, text, strlen(text));
    say(flow, http_tail, sizeof(http_tail) - 1);
}

void flow_refuse_accepted(struct flow *flow, const struct verdict *verdict, const struct evidence *evidence)
{
    struct instance *in = flow->instance;
    struct record r = record_of_flow(flow, verdict);
    enum tongue tongue = tongue_of(flow, evidence);

    r.event = RECORD_DENY;
    r.verdict = "deny";
    r.reason = verdict->reason;
    r.stage = "bytes";
    if (flow->state == FLOW_OPEN) { /* for something it said later */
        flow->close_how = verdict->reason == REASON_DENY_HOOK || verdict->reason == REASON_HOOK_TIMEOUT
                              ? FLOW_CLOSE_HOOK
                              : FLOW_CLOSE_POLICY;
        add_life(flow, &r);
    }
    add_evidence(flow, &r);
    instance_count(in, COUNTER_FLOWS_DENIED);
    put(in, &r);
    flow->recorded = true;
    flow_set_verdict(flow, verdict);
    peek_over(flow);
    if (tongue == TONGUE_NONE) {
        flow_kill(flow, FLOW_CLOSE_POLICY, verdict->reason);
        return;
    }
    bridge_stop(flow);
    close_host(flow, true);
    flow_move(flow, FLOW_CLOSING);
    flow->refused = true;
    tcp_conn_consume(&flow->conn, tcp_conn_held(&flow->conn)); /* uncredited bytes would turn the FIN into RST */
    say_refusal(flow, tongue, verdict->reason);
    tcp_conn_shutdown(&flow->conn);
    flow_set_deadline(&in->flows, flow, instance_now(in) + INSTANCE_REFUSAL_MS);
}

/* ---- a dial that failed ---- */

static enum reason dial_reason(int error)
{
    if (dial_error_is_ours(error))
        return REASON_LIMIT_DIALS;
    switch (error) {
    case -ECONNREFUSED:
        return REASON_DIAL_REFUSED;
    case -ETIMEDOUT:
        return REASON_DIAL_TIMEOUT;
    case -ECONNRESET:
        return REASON_DIAL_RESET;
    default:
        return REASON_DIAL_UNREACHABLE;
    }
}

static void count_dial_failure(struct instance *in, enum reason reason)
{
    switch (reason) {
    case REASON_DIAL_REFUSED:
    case REASON_DIAL_RESET:
        instance_count(in, COUNTER_DIAL_REFUSED);
        break;
    case REASON_DIAL_TIMEOUT:
        instance_count(in, COUNTER_DIAL_TIMEOUT);
        break;
    case REASON_LIMIT_DIALS:
        instance_count(in, COUNTER_HOST_FD);
        break;
    default:
        instance_count(in, COUNTER_DIAL_UNREACHABLE);
    }
}

void flow_dial_failed(struct flow *flow, int error)
{
    enum reason reason = dial_reason(error);
    const struct link *link = flow->link;

    count_dial_failure(flow->instance, reason);
    if (flow->syn.len > 0 && (reason == REASON_DIAL_UNREACHABLE || reason == REASON_DIAL_TIMEOUT)) {
        enum unreachable what = error == -ENETUNREACH                 ? UNREACHABLE_NET
                                : error == -EACCES || error == -EPERM ? UNREACHABLE_ADMIN
                                                                      : UNREACHABLE_HOST;

        guest_send_unreachable(link->guest, flow->syn.bytes, flow->syn.len, what, 0);
        flow->syn.len = 0; /* answered */
    }
    flow_kill(flow, FLOW_CLOSE_NONE, reason);
}

/* ---- orderly ends ---- */

void flow_finish(struct flow *flow)
{
    struct instance *in = flow->instance;

    close_host(flow, false);
    flow_move(flow, FLOW_CLOSING);
    flow_set_deadline(&in->flows, flow, instance_now(in) + INSTANCE_LINGER_MS);
    flow_settle(flow);
}

void flow_settle(struct flow *flow)
{
    if (flow->killed || (tcp_conn_live(&flow->conn) && !tcp_conn_time_wait(&flow->conn)))
        return;
    record_close(flow, flow->verdict.reason);
    if (!tcp_conn_live(&flow->conn)) {
        let_go(flow);
        return;
    }
    if (flow->closing > 0)
        return; /* on_dial_closed() comes back here */
    flow_set_deadline(&flow->instance->flows, flow, 0);
    rule_use_give(flow);
    pins_release(flow->link->pins, flow->pin);
    flow->pin = NULL;
    flow_enter_time_wait(&flow->instance->flows, flow);
}
