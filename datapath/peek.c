#include "datapath/peek.h"

#include <string.h>

#include "base/check.h"
#include "datapath/admit.h"
#include "datapath/asking.h"
#include "datapath/bridge.h"
#include "datapath/flow_end.h"
#include "datapath/flow_events.h"
#include "datapath/follow.h"
#include "datapath/instance_private.h"
#include "datapath/rule_use.h"
#include "datapath/verdicts.h"

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
    if (flow->peek_from_ms > 0 && flow->state != FLOW_OPEN) /* of the first name, not of later ones */
        flow->peek_ms = (uint32_t)(instance_now(flow->instance) - flow->peek_from_ms);
}

const char *peek_name_src(const struct evidence *e)
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
    flow_record_open(flow);
    flow_arm_idle(flow);
    bridge_push_up(flow);
}

static void refuse(struct flow *flow, const struct verdict *v, const struct evidence *e)
{
    flow->name_src = peek_name_src(e);
    flow_refuse_accepted(flow, v, e);
}

static void refuse_for_limit(struct flow *flow, const struct evidence *e)
{
    struct verdict v = verdict_deny(REASON_LIMIT_PEEK);

    instance_count(flow->instance, COUNTER_LIMIT_PEEK);
    refuse(flow, &v, e);
}

static void finish(struct flow *flow, const struct verdict *v, const struct evidence *e)
{
    struct verdict met;

    peek_over(flow);
    peek_keep(flow, e);
    if (v->action == VERDICT_ALLOW && !rule_use_move(flow, v, &met))
        v = &met;
    if (v->action != VERDICT_ALLOW) {
        refuse(flow, v, e);
        return;
    }
    verdict_keep(flow, v, peek_name_src(e));
    if (follow_start(flow, v) < 0)
        refuse_for_limit(flow, e);
    else
        let_pass(flow);
}

static void judge(struct flow *flow, const struct evidence *e)
{
    struct verdict v;

    verdict_judge_bytes(flow, e, &v);
    if (!asking_bytes(flow, e, &v))
        finish(flow, &v, e);
}

/* With FIN and every byte in hand nothing more will come; beyond the buffer the bounds have decided. */
static void read_held(const struct flow *flow, struct evidence *out_evidence)
{
    uint8_t bytes[PEEK_BYTES_MAX];
    size_t len = tcp_conn_copy(&flow->conn, 0, bytes, sizeof(bytes));

    evidence_read(bytes, len, tcp_conn_eof(&flow->conn) && len == tcp_conn_held(&flow->conn), out_evidence);
}

void peek_bytes(struct flow *flow)
{
    bool silent = tcp_conn_eof(&flow->conn) && tcp_conn_held(&flow->conn) == 0;
    struct evidence e;

    if (flow->token != 0)
        return; /* the embedder has been asked */
    if (silent && (flow->state == FLOW_PEEKING || flow->verdict.strict)) {
        flow_kill(flow, FLOW_CLOSE_GUEST_FIN, REASON_GUEST_CLOSED); /* it left before it said anything */
        return;
    }
    read_held(flow, &e);
    if (e.kind != EVIDENCE_UNKNOWN) {
        judge(flow, &e);
        return;
    }
    if (flow->peek_from_ms == 0)
        set_deadline(flow);
    if (flow->counts_peek)
        return;
    if (flow->link->peeks >= INSTANCE_PEEKS_MAX) {
        refuse_for_limit(flow, &e);
        return;
    }
    flow->link->peeks++;
    flow->counts_peek = true;
}

/* Half a hello is not silence: what could still become a name is never taken for opaque bytes. */
static const struct evidence half = {.kind = EVIDENCE_BAD, .bad = REASON_PEEK_TIMEOUT};

void peek_silence(struct flow *flow)
{
    struct evidence none = {.kind = EVIDENCE_UNKNOWN};
    struct verdict v;

    if (tcp_conn_held(&flow->conn) > 0) {
        flow->asked_of_half = true;
        judge(flow, &half);
        return;
    }
    verdict_judge_silent(flow, &v);
    finish(flow, &v, &none);
}

void peek_decided(struct flow *flow, enum decide_answer answer)
{
    struct evidence e;
    struct verdict v;

    read_held(flow, &e);
    if (e.kind == EVIDENCE_UNKNOWN) { /* what was asked about is the end of the wait for the rest */
        e = half;
    } else if (flow->asked_of_half) { /* the rest has come all the same, and nobody has asked about that */
        flow->asked_of_half = false;
        judge(flow, &e);
        return;
    }
    verdict_judge_bytes(flow, &e, &v);
    asking_apply(flow, answer, &v);
    finish(flow, &v, &e);
}
