#include "datapath/verdicts.h"

#include <string.h>

#include "base/check.h"
#include "datapath/flow_end.h"
#include "datapath/hook.h"
#include "datapath/instance_private.h"
#include "datapath/peek.h"
#include "datapath/rule_use.h"

enum rule_proto verdict_proto(uint8_t proto)
{
    return proto == FRAME_PROTO_TCP ? RULE_TCP : proto == FRAME_PROTO_UDP ? RULE_UDP : RULE_ICMP;
}

void verdict_gather(const struct link *link, const struct flow_key *key, const struct addr *target,
                    struct verdict_facts *out_facts)
{
    struct instance *in = link->instance;
    size_t count = pins_names_of(link->pins, &key->dst, instance_now(in), out_facts->names,
                                 ARRAY_SIZE(out_facts->names));

    out_facts->facts = (struct facts){
        .proto = verdict_proto(key->proto),
        .dst = *target,
        .port = key->port,
        .names = out_facts->names,
        .name_count = count < ARRAY_SIZE(out_facts->names) ? count : ARRAY_SIZE(out_facts->names),
        .names_more = count > ARRAY_SIZE(out_facts->names),
        .wall_s = instance_wall_s(),
    };
}

static void judge_new(struct link *link, const struct flow_key *key, const struct addr *target, bool let_in,
                      struct verdict *out_verdict)
{
    struct verdict_facts known;

    verdict_gather(link, key, target, &known);
    known.facts.let_in = let_in;
    policy_judge(link->instance->policy, &known.facts, out_verdict);
    if (out_verdict->action != VERDICT_DENY && policy_group(link->instance->policy, target) == GROUP_GUEST)
        *out_verdict = verdict_deny(REASON_FLOOR_GUEST); /* no guest is reached through the host */
    rule_use_check(link, key, out_verdict);
    hook_have_read(link->instance, known.facts.proto, false, out_verdict);
}

void verdict_open(struct link *link, const struct flow_key *key, const struct addr *target,
                  struct verdict *out_verdict, enum group *out_group)
{
    judge_new(link, key, target, false, out_verdict);
    *out_group = policy_group(link->instance->policy, target);
}

void verdict_let_in(struct link *link, const struct flow_key *key, const struct addr *target, struct verdict *v)
{
    if (v->reason == REASON_OK_HOOK)
        judge_new(link, key, target, true, v);
}

bool verdict_same(const struct verdict *a, const struct verdict *b)
{
    return a->action == b->action && a->layer == b->layer && a->rule == b->rule && a->strict == b->strict &&
           memcmp(a->rules, b->rules, sizeof(a->rules)) == 0;
}

/* Until its first bytes are judged, a flow's name is one that it may have; later ones come and go. */
static void hold_pin(struct flow *flow, const char *name)
{
    struct pin_name *pin = pins_hold(flow->link->pins, name); /* NULL: judged by what was said alone */

    if (!pin)
        return;
    pins_release(flow->link->pins, flow->pin);
    flow->pin = pin;
}

void verdict_keep(struct flow *flow, const struct verdict *verdict, const char *name_src)
{
    flow_set_verdict(flow, verdict);
    flow->let_in = flow->let_in || verdict->reason == REASON_OK_HOOK;
    rule_use_hold(flow, verdict);
    flow->name_src = verdict->name[0] != '\0' ? name_src : "none";
    if (verdict->name[0] != '\0' && (!flow->pin || flow->state != FLOW_OPEN))
        hold_pin(flow, verdict->name);
}

struct verdict verdict_deny(enum reason reason)
{
    return (struct verdict){.action = VERDICT_DENY, .reason = reason, .layer = POLICY_LAYER_POLICY, .rule = -1,
                            .rules = {-1, -1}};
}

struct verdict verdict_unknown(void)
{
    return (struct verdict){.action = VERDICT_ALLOW, .layer = POLICY_LAYER_POLICY, .rule = -1, .rules = {-1, -1}};
}

/* What is known of a flow that lives. */
static void gather_live(const struct flow *flow, const struct addr *target, struct verdict_facts *out_facts)
{
    const char *kept[] = {flow->pin ? pins_held_name(flow->pin) : NULL, flow->pin ? flow->name : NULL};

    verdict_gather(flow->link, &flow->key, target, out_facts);
    out_facts->facts.let_in = flow->let_in;
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        if (kept[i] && out_facts->facts.name_count < ARRAY_SIZE(out_facts->names))
            out_facts->names[out_facts->facts.name_count++] = kept[i];
}

/* As if the flow went to @target. */
static void judge_at(const struct flow *flow, const struct addr *target, const struct evidence *evidence,
                     struct verdict *out_verdict)
{
    struct verdict_facts known;

    gather_live(flow, target, &known);
    known.facts.evidence = evidence;
    policy_judge(flow->instance->policy, &known.facts, out_verdict);
    hook_have_read(flow->instance, known.facts.proto, evidence->kind != EVIDENCE_UNKNOWN, out_verdict);
}

void verdict_judge_bytes(const struct flow *flow, const struct evidence *evidence, struct verdict *out_verdict)
{
    judge_at(flow, flow_target(flow), evidence, out_verdict);
}

void verdict_judge_silent(const struct flow *flow, struct verdict *out_verdict)
{
    struct verdict_facts known;

    gather_live(flow, flow_target(flow), &known);
    policy_judge_silent(flow->instance->policy, &known.facts, out_verdict);
}

/* ---- a new policy ---- */

/* Judge with all that is known of the flow by now. */
static void judge_again(const struct flow *flow, const struct addr *target, struct verdict *out_verdict)
{
    struct evidence evidence = {.kind = (enum evidence_kind)flow->evidence_kind, .ech = flow->ech};

    if (flow->said)
        strcpy(evidence.name, flow->said);
    /* Nothing was read: the weakest that could be meant. QUIC that nobody reads cannot be read from now on. */
    if (flow->state == FLOW_OPEN && evidence.kind == EVIDENCE_UNKNOWN && flow->kind == FLOW_TCP)
        evidence.kind = EVIDENCE_OPAQUE;
    judge_at(flow, target, &evidence, out_verdict);
}

/*
 * Whether the flow may go on as it stands: one that is dialled already cannot be asked for its name first, and one that
 * is dialled to two addresses may come to either.
 */
static bool stands(const struct flow *flow, const struct verdict *v)
{
    struct verdict second;

    if (v->action == VERDICT_DENY || (v->action == VERDICT_PEEK && flow->state != FLOW_PEEKING))
        return false;
    if (flow->to[1].family == ADDR_NONE)
        return true;
    judge_again(flow, &flow->to[1], &second);
    return verdict_same(v, &second) && policy_group(flow->instance->policy, &flow->to[1]) == flow->group;
}

static bool is_judged(const struct flow *flow)
{
    return flow->state != FLOW_FREE && flow->state != FLOW_ASKING && flow->state != FLOW_CLOSING && !flow->killed &&
           flow->kind != FLOW_DNS_TCP;
}

unsigned verdict_rejudge(struct instance *in, enum reason reason)
{
    struct flow_table *t = &in->flows;
    unsigned cut = 0;

    for (uint32_t i = 0; i < t->fresh; i++) {
        struct flow *flow = &t->flows[i];
        struct verdict v;

        if (!is_judged(flow))
            continue;
        flow->group = policy_group(in->policy, flow_target(flow));
        judge_again(flow, flow_target(flow), &v);
        if (stands(flow, &v)) {
            /* Rules have new numbers, and a flow being dialled may have to be judged by its bytes now. */
            flow_set_verdict(flow, &v);
            rule_use_recount(flow, &v);
            if (flow->state == FLOW_JUDGING && v.strict && flow->peek_from_ms == 0 && flow->token == 0)
                peek_start(flow);
        } else {
            flow_kill(flow, FLOW_CLOSE_POLICY, reason);
            cut++;
        }
    }
    return cut;
}
