#include "datapath/relay_quic.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/asking.h"
#include "datapath/flow_end.h"
#include "datapath/flow_events.h"
#include "datapath/held.h"
#include "datapath/instance_private.h"
#include "datapath/peek.h"
#include "datapath/relay_udp.h"
#include "datapath/rule_use.h"
#include "datapath/verdicts.h"
#include "policy/quic.h"

struct relay_quic {
    struct quic_reader reader;
    bool waits;
    struct held held;      /* while the hello is incomplete, or not judged */
    struct evidence asked; /* what the embedder is asked about */
};

_Static_assert((int)HELD_DATAGRAMS_MAX == (int)QUIC_DATAGRAMS_MAX, "what the reader asks for is held");

static void wait_for_hello(struct flow *flow, struct relay_quic *q)
{
    struct instance *in = flow->instance;

    if (q->waits)
        return; /* one deadline, however the datagrams come */
    q->waits = true;
    flow->peek_from_ms = instance_now(in);
    flow_set_deadline(&in->flows, flow, flow->peek_from_ms + INSTANCE_PEEK_MS);
}

bool relay_quic_start(struct flow *flow)
{
    struct relay_quic *q = flow->link->peeks < INSTANCE_PEEKS_MAX ? calloc(1, sizeof(*q)) : NULL;

    if (!q) {
        instance_count(flow->instance, COUNTER_LIMIT_PEEK);
        flow->recorded = true; /* as a denial */
        flow_kill(flow, FLOW_CLOSE_LIMIT, REASON_LIMIT_PEEK);
        return false;
    }
    flow->link->peeks++; /* for as long as it is read: peek_over() is for its end */
    flow->counts_peek = true;
    quic_reader_init(&q->reader);
    flow->as.relay.quic = q;
    flow_move(flow, FLOW_PEEKING);
    wait_for_hello(flow, q);
    return true;
}

void relay_quic_free(struct flow *flow)
{
    free(flow->as.relay.quic);
    flow->as.relay.quic = NULL;
}

bool relay_quic_waits(const struct flow *flow)
{
    return flow->kind == FLOW_UDP && flow->as.relay.quic && flow->as.relay.quic->waits;
}

/* ---- the verdict ---- */

static void send_held(struct flow *flow)
{
    struct held *h = &flow->as.relay.quic->held;
    const uint8_t *at = h->bytes;

    for (unsigned i = 0; i < h->count; i++) {
        size_t len = h->dgrams[i].len;

        relay_udp_send(flow, at, len, h->dgrams[i].df);
        if (flow->killed)
            return; /* and what is held with it */
        at += len;
    }
    held_clear(h);
}

static void tell_refused(struct flow *flow, const uint8_t *bytes, size_t len)
{
    relay_udp_error(flow, UNREACHABLE_ADMIN, 0, bytes, len < HOST_DGRAM_QUOTE_MAX ? len : HOST_DGRAM_QUOTE_MAX);
}

/* What holds for the flow. */
static void finish(struct flow *flow, const struct verdict *v, const struct evidence *e)
{
    const struct held *h = &flow->as.relay.quic->held;
    struct verdict met;

    peek_keep(flow, e);
    if (v->action == VERDICT_ALLOW && !rule_use_move(flow, v, &met))
        v = &met;
    flow->name_src = e->name[0] != '\0' ? "quic" : "dns";
    if (v->action != VERDICT_ALLOW) {
        if (h->count > 0) /* the guest is told by what it said first */
            tell_refused(flow, h->bytes, h->dgrams[0].len);
        flow_refuse_accepted(flow, v, e);
        return;
    }
    verdict_keep(flow, v, flow->name_src);
    flow->as.relay.quic->waits = false;
    if (flow->state == FLOW_PEEKING) {
        flow_move(flow, FLOW_OPEN);
        flow_record_open(flow);
    }
    flow_arm_idle(flow);
    send_held(flow);
}

static void judge(struct flow *flow, const struct evidence *e)
{
    struct verdict v;

    verdict_judge_bytes(flow, e, &v);
    if (asking_bytes(flow, e, &v))
        flow->as.relay.quic->asked = *e;
    else
        finish(flow, &v, e);
}

void relay_quic_decided(struct flow *flow, enum decide_answer answer)
{
    struct evidence e = flow->as.relay.quic->asked;
    struct verdict v;

    verdict_judge_bytes(flow, &e, &v);
    asking_apply(flow, answer, &v);
    finish(flow, &v, &e);
}

void relay_quic_refuse(struct flow *flow, const struct verdict *v)
{
    struct evidence e = flow->as.relay.quic->asked;

    finish(flow, v, &e);
}

void relay_quic_silence(struct flow *flow)
{
    struct evidence half = {.kind = EVIDENCE_BAD, .bad = REASON_QUIC_INCOMPLETE};

    judge(flow, &half);
}

/* ---- datagrams ---- */

void relay_quic_datagram(struct flow *flow, const uint8_t *bytes, size_t len, bool df)
{
    struct relay_quic *q = flow->as.relay.quic;
    struct evidence e;

    if (flow->token != 0) { /* the embedder has been asked: what comes now is read behind the answer, or not at all */
        instance_count(flow->instance, COUNTER_UDP_HELD_DROP);
        return;
    }
    switch (quic_read(&q->reader, bytes, len, &e)) {
    case QUIC_MORE:
        if (held_add(&q->held, bytes, len, df)) {
            wait_for_hello(flow, q);
            return;
        }
        e = (struct evidence){.kind = EVIDENCE_BAD, .bad = REASON_QUIC_INCOMPLETE};
        break;
    case QUIC_HELLO:
    case QUIC_BAD:
        break;
    case QUIC_PASS:
        relay_udp_send(flow, bytes, len, df);
        return;
    case QUIC_DROP:
        instance_count(flow->instance, COUNTER_QUIC_DROPPED);
        return;
    }
    if (!held_add(&q->held, bytes, len, df)) /* its sender repeats it */
        instance_count(flow->instance, COUNTER_UDP_HELD_DROP);
    judge(flow, &e);
}
