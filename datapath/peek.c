#include "datapath/peek.h"

#include <string.h>

#include "base/check.h"
#include "datapath/admit.h"
#include "datapath/bridge.h"
#include "datapath/flow_end.h"
#include "datapath/flow_events.h"
#include "datapath/instance_private.h"
#include "datapath/verdicts.h"

enum {
    /* A reader decides once it has seen its own bound and the head of one record more. */
    PEEK_BYTES_MAX = 64 + (EVIDENCE_TLS_BYTES_MAX > EVIDENCE_HTTP_BYTES_MAX ? EVIDENCE_TLS_BYTES_MAX
                                                                             : EVIDENCE_HTTP_BYTES_MAX),
};

static void set_deadline(struct flow *flow)
{
    struct instance *in = flow->instance;

    flow->peek_from_ms = instance_now(in);
    flow_set_deadline(&in->flows, flow, flow->peek_from_ms + INSTANCE_PEEK_MS);
}

void peek_start(struct flow *flow)
{
    if (flow->state == FLOW_PEEKING || flow->verdict.strict)
        set_deadline(flow);
    else
        flow_arm_idle(flow); /* it may be silent for as long as any flow */
}

void peek_over(struct flow *flow)
{
    if (flow->counts_peek)
        flow->link->peeks--;
    flow->counts_peek = false;
}

void peek_keep(struct flow *flow, const struct evidence *e)
{
    flow->evidence_kind = (uint8_t)e->kind;
    flow->ech = e->ech;
    flow_set_text(&flow->said, e->name);
    flow_set_text(&flow->alpn, e->alpn);
    if (flow->peek_from_ms > 0)
        flow->peek_ms = (uint32_t)(instance_now(flow->instance) - flow->peek_from_ms);
}

static const char *name_src_of(const struct evidence *e)
{
    if (e->name[0] == '\0')
        return "dns";
    return e->kind == EVIDENCE_TLS ? "sni" : "host";
}

static void let_pass(struct flow *flow)
{
    flow_set_deadline(&flow->instance->flows, flow, 0);
    if (flow->state == FLOW_PEEKING) {
        admit_dial(flow);
        return;
    }
    flow_move(flow, FLOW_OPEN);
    flow_arm_idle(flow);
    bridge_push_up(flow);
}

static void decide(struct flow *flow, const struct verdict *v, const struct evidence *e)
{
    peek_over(flow);
    peek_keep(flow, e);
    if (v->action == VERDICT_ALLOW) {
        verdict_keep(flow, v, name_src_of(e));
        let_pass(flow);
    } else {
        flow->name_src = name_src_of(e);
        flow_refuse_accepted(flow, v, e);
    }
}

static void judge(struct flow *flow, const struct evidence *e, bool silent)
{
    struct verdict_facts known;
    struct verdict v;

    verdict_gather(flow->link, &flow->key, &known);
    known.facts.evidence = e;
    if (silent)
        policy_judge_silent(flow->instance->policy, &known.facts, &v);
    else
        policy_judge(flow->instance->policy, &known.facts, &v);
    decide(flow, &v, e);
}

static void refuse_for_limit(struct flow *flow)
{
    struct verdict v = verdict_deny(REASON_LIMIT_PEEK);
    struct evidence none = {.kind = EVIDENCE_OPAQUE};

    instance_count(flow->instance, COUNTER_LIMIT_PEEK);
    decide(flow, &v, &none);
}

void peek_bytes(struct flow *flow)
{
    uint8_t bytes[PEEK_BYTES_MAX];
    struct evidence e;
    size_t len = tcp_conn_copy(&flow->conn, bytes, sizeof(bytes)), held = tcp_conn_held(&flow->conn);
    bool eof = tcp_conn_eof(&flow->conn);

    if (eof && held == 0 && (flow->state == FLOW_PEEKING || flow->verdict.strict)) {
        flow_kill(flow, FLOW_CLOSE_GUEST_FIN, REASON_GUEST_CLOSED); /* it left before it said anything */
        return;
    }
    /* With FIN and every byte in hand nothing more will come; beyond the buffer the bounds have decided. */
    evidence_read(bytes, len, eof && len == held, &e);
    if (e.kind != EVIDENCE_UNKNOWN) {
        judge(flow, &e, false);
        return;
    }
    if (flow->peek_from_ms == 0)
        set_deadline(flow);
    if (flow->counts_peek)
        return;
    if (flow->link->peeks >= INSTANCE_PEEKS_MAX) {
        refuse_for_limit(flow);
        return;
    }
    flow->link->peeks++;
    flow->counts_peek = true;
}

void peek_silence(struct flow *flow)
{
    /* Half a hello is not silence: what could still become a name is never taken for opaque bytes. */
    struct evidence half = {.kind = EVIDENCE_BAD, .bad = REASON_PEEK_TIMEOUT};
    struct evidence none = {.kind = EVIDENCE_UNKNOWN};

    if (tcp_conn_held(&flow->conn) > 0)
        judge(flow, &half, false);
    else
        judge(flow, &none, true);
}
