#include "datapath/relay_quic.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/flow_end.h"
#include "datapath/flow_events.h"
#include "datapath/instance_private.h"
#include "datapath/peek.h"
#include "datapath/relay_udp.h"
#include "datapath/verdicts.h"
#include "policy/quic.h"

/* A datagram that waits for the verdict. */
struct held {
    uint16_t len;
    bool df;
};

struct relay_quic {
    struct quic_reader reader;
    bool waits;
    unsigned count;
    size_t len;
    struct held held[QUIC_DATAGRAMS_MAX];
    uint8_t bytes[RELAY_QUIC_HELD_BYTES]; /* one behind the other */
};

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

static void judge(const struct flow *flow, const struct evidence *e, struct verdict *out_verdict)
{
    struct verdict_facts known;

    verdict_gather(flow->link, &flow->key, &known);
    known.facts.evidence = e;
    policy_judge(flow->instance->policy, &known.facts, out_verdict);
}

/* Return: whether the flow goes on. */
static bool decide(struct flow *flow, const struct verdict *v, const struct evidence *e)
{
    peek_keep(flow, e);
    flow->name_src = e->name[0] != '\0' ? "quic" : "dns";
    if (v->action != VERDICT_ALLOW) {
        flow_refuse_accepted(flow, v, e);
        return false;
    }
    verdict_keep(flow, v, flow->name_src);
    flow->as.relay.quic->waits = false;
    if (flow->state == FLOW_PEEKING)
        flow_move(flow, FLOW_OPEN);
    flow_arm_idle(flow);
    return true;
}

static void send_held(struct flow *flow)
{
    struct relay_quic *q = flow->as.relay.quic;
    const uint8_t *at = q->bytes;

    for (unsigned i = 0; i < q->count && !flow->killed; i++) {
        relay_udp_send(flow, at, q->held[i].len, q->held[i].df);
        at += q->held[i].len;
    }
    if (flow->killed)
        return; /* and what is held with it */
    q->count = 0;
    q->len = 0;
}

void relay_quic_silence(struct flow *flow)
{
    struct relay_quic *q = flow->as.relay.quic;
    struct evidence half = {.kind = EVIDENCE_BAD, .bad = REASON_QUIC_INCOMPLETE};
    struct verdict v;

    judge(flow, &half, &v);
    if (v.action != VERDICT_ALLOW && q->count > 0) /* the guest is told by what it said first */
        relay_udp_error(flow, UNREACHABLE_ADMIN, 0, q->bytes,
                        q->held[0].len < HOST_DGRAM_QUOTE_MAX ? q->held[0].len : HOST_DGRAM_QUOTE_MAX);
    if (decide(flow, &v, &half))
        send_held(flow);
}

/* ---- datagrams ---- */

/* The reader takes QUIC_DATAGRAMS_MAX at most. Return: false when their bytes have no room. */
static bool hold(struct flow *flow, const uint8_t *bytes, size_t len, bool df)
{
    struct relay_quic *q = flow->as.relay.quic;

    if (q->count == QUIC_DATAGRAMS_MAX || len > sizeof(q->bytes) - q->len)
        return false;
    memcpy(q->bytes + q->len, bytes, len);
    q->held[q->count++] = (struct held){.len = (uint16_t)len, .df = df};
    q->len += len;
    wait_for_hello(flow, q);
    return true;
}

void relay_quic_datagram(struct flow *flow, const struct frame *f, const uint8_t *bytes, size_t len)
{
    struct evidence e;
    struct verdict v;

    switch (quic_read(&flow->as.relay.quic->reader, bytes, len, &e)) {
    case QUIC_MORE:
        if (hold(flow, bytes, len, f->dont_fragment))
            return;
        e = (struct evidence){.kind = EVIDENCE_BAD, .bad = REASON_QUIC_INCOMPLETE};
        break;
    case QUIC_HELLO:
    case QUIC_BAD:
        break;
    case QUIC_PASS:
        relay_udp_send(flow, bytes, len, f->dont_fragment);
        return;
    case QUIC_DROP:
        instance_count(flow->instance, COUNTER_QUIC_DROPPED);
        return;
    }
    judge(flow, &e, &v);
    if (!decide(flow, &v, &e)) {
        guest_send_unreachable(flow->link->guest, f->ip, f->ip_bytes, UNREACHABLE_ADMIN, 0);
        return;
    }
    send_held(flow);
    if (!flow->killed)
        relay_udp_send(flow, bytes, len, f->dont_fragment);
}
