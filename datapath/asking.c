#include "datapath/asking.h"

#include "base/check.h"
#include "datapath/admit.h"
#include "datapath/flow_end.h"
#include "datapath/flow_events.h"
#include "datapath/follow.h"
#include "datapath/instance_private.h"
#include "datapath/named.h"
#include "datapath/peek.h"
#include "datapath/relay.h"
#include "datapath/relay_quic.h"
#include "datapath/verdicts.h"

/* Facts for the embedder, with room for the names they borrow. */
struct asked {
    struct decide_facts facts;
    const char *names[POLICY_WORLDS_MAX];
};

static const char *source_of(const char *name, enum decide_stage stage, const struct evidence *said, uint8_t proto)
{
    if (name[0] == '\0')
        return "none";
    if (stage != DECIDE_BYTES || !said || said->name[0] == '\0')
        return "dns";
    return proto == FRAME_PROTO_UDP ? "quic" : peek_name_src(said);
}

/* @said: with DECIDE_BYTES */
static void gather(const struct link *link, const struct flow_key *key, const struct addr *target,
                   enum decide_stage stage, const struct evidence *said, const struct verdict *v, struct asked *out)
{
    size_t count = pins_names_of(link->pins, &key->dst, instance_now(link->instance), out->names,
                                 ARRAY_SIZE(out->names));
    const char *name = v->name;

    if (said && said->name[0] != '\0')
        name = said->name;
    else if (name[0] == '\0' && count > 0) /* denied for its address, so for no name; the guest has one for it */
        name = out->names[0];
    out->facts = (struct decide_facts){
        .stage = stage,
        .guest = link_guest_name(link),
        .proto = verdict_proto(key->proto),
        .src = key->guest,
        .src_port = key->guest_port,
        .dst = key->dst,
        .dst_port = key->port,
        .target = *target,
        .name = name,
        .name_src = source_of(name, stage, said, key->proto),
        .names = out->names,
        .name_count = count < ARRAY_SIZE(out->names) ? count : ARRAY_SIZE(out->names),
        .said = said,
    };
}

/* ---- waiting ---- */

static bool is_parked(const struct flow *flow)
{
    return flow->kind == FLOW_TCP && !flow->accepted;
}

/* A SYN waits for HOOK_PARK_MS at most; then the guest is accepted, and waits on. */
static void arm(struct flow *flow)
{
    uint64_t until_ms = flow->asked_ms + flow->instance->config.hook.decide_ms;
    uint64_t park_ms = flow->asked_ms + HOOK_PARK_MS;

    flow_set_deadline(&flow->instance->flows, flow, is_parked(flow) && park_ms < until_ms ? park_ms : until_ms);
}

static void wait_for(struct flow *flow, uint64_t token)
{
    hook_bind_flow(flow->instance, token, flow);
    flow->token = token;
    flow->asked_ms = instance_now(flow->instance);
    arm(flow);
}

void asking_forget(struct flow *flow)
{
    hook_forget(flow->instance, flow->token);
    flow->token = 0;
}

void asking_apply(const struct flow *flow, enum decide_answer answer, struct verdict *v)
{
    struct decide_facts facts = {
        .stage = flow->state == FLOW_ASKING ? DECIDE_OPEN : DECIDE_BYTES,
        .proto = verdict_proto(flow->key.proto),
    };

    hook_apply(flow->instance, &facts, answer, v);
}

/* ---- new flows ---- */

uint64_t asking_new(struct link *link, const struct flow_key *key, struct verdict *v)
{
    struct asked asked;
    uint64_t token;

    if (!link->instance->hook)
        return 0;
    gather(link, key, &key->dst, DECIDE_OPEN, NULL, v, &asked);
    token = hook_ask(link, &asked.facts, v);
    verdict_let_in(link, key, &key->dst, v);
    return token;
}

bool asking_has_room(const struct link *link)
{
    return link->dials < link->instance->config.limits.dials;
}

void asking_start(struct flow *flow)
{
    struct verdict none = verdict_unknown();

    flow_set_verdict(flow, &none); /* should it end before there is one */
    flow->counts_dial = true;
    flow->link->dials++;
    flow_move(flow, FLOW_ASKING);
    if (flow->token != 0)
        wait_for(flow, flow->token);
    else
        named_start(flow);
}

static void settle(struct flow *flow, struct verdict *v, enum group group)
{
    if (flow->kind != FLOW_TCP && v->action != VERDICT_DENY && group == GROUP_GUEST) /* by the policy of now */
        *v = verdict_deny(REASON_FLOOR_GUEST);
    flow->counts_dial = false;
    flow->link->dials--;
    if (flow->kind == FLOW_TCP)
        v->action == VERDICT_DENY ? admit_refuse(flow, v) : admit_enter(flow, v, group);
    else
        v->action == VERDICT_DENY ? relay_refuse_held(flow, v) : relay_enter(flow, v, group);
}

void asking_open(struct flow *flow, struct verdict *v, enum group group)
{
    struct asked asked;
    uint64_t token;

    gather(flow->link, &flow->key, flow_target(flow), DECIDE_OPEN, NULL, v, &asked);
    token = hook_ask(flow->link, &asked.facts, v);
    verdict_let_in(flow->link, &flow->key, flow_target(flow), v);
    if (token != 0)
        wait_for(flow, token);
    else
        settle(flow, v, group);
}

/* ---- bytes ---- */

bool asking_bytes(struct flow *flow, const struct evidence *said, struct verdict *v)
{
    struct asked asked;
    uint64_t token;

    if (!flow->instance->hook)
        return false;
    gather(flow->link, &flow->key, flow_target(flow), DECIDE_BYTES, said, v, &asked);
    token = hook_ask(flow->link, &asked.facts, v);
    if (token != 0)
        wait_for(flow, token);
    return token != 0;
}

/* ---- answers ---- */

/* Of two addresses the second may not go on with the first any more. */
static void check_second(struct flow *flow, const struct verdict *v, enum group group)
{
    struct verdict second;
    enum group second_group;

    if (flow->to[1].family == ADDR_NONE)
        return;
    verdict_open(flow->link, &flow->key, &flow->to[1], &second, &second_group);
    if (!verdict_same(v, &second) || group != second_group)
        flow->to[1] = (struct addr){.family = ADDR_NONE};
}

static void new_flow_decided(struct flow *flow, enum decide_answer answer)
{
    struct verdict v;
    enum group group;

    verdict_open(flow->link, &flow->key, flow_target(flow), &v, &group); /* the policy may be another one by now */
    check_second(flow, &v, group);
    asking_apply(flow, answer, &v);
    verdict_let_in(flow->link, &flow->key, flow_target(flow), &v);
    settle(flow, &v, group);
}

void asking_decided(struct flow *flow, enum decide_answer answer)
{
    flow->token = 0; /* what comes of it sets the next deadline */
    if (flow->state == FLOW_ASKING)
        new_flow_decided(flow, answer);
    else if (flow->kind == FLOW_UDP)
        relay_quic_decided(flow, answer);
    else if (flow->state == FLOW_OPEN)
        follow_decided(flow, answer);
    else
        peek_decided(flow, answer);
}

static void timed_out(struct flow *flow)
{
    struct verdict v = verdict_deny(REASON_HOOK_TIMEOUT);
    struct evidence none = {.kind = EVIDENCE_UNKNOWN};

    if (flow->state == FLOW_ASKING)
        settle(flow, &v, flow->group);
    else if (flow->kind == FLOW_UDP)
        relay_quic_refuse(flow, &v);
    else
        flow_refuse_accepted(flow, &v, &none);
}

void asking_due(struct flow *flow)
{
    struct instance *in = flow->instance;

    if (flow->token == 0) {
        named_silence(flow);
        return;
    }
    if (instance_now(in) < flow->asked_ms + in->config.hook.decide_ms) {
        if (is_parked(flow))
            admit_accept(flow);
        if (!flow->killed)
            arm(flow);
        return;
    }
    asking_forget(flow);
    timed_out(flow);
}
