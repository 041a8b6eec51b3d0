#include "datapath/rule_use.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "datapath/flow_end.h"
#include "datapath/instance_private.h"

enum { PACE_MS = 1000 }; /* a rule's pace is what fits one second, and no more is ever saved up */

/* One rule's, of one guest. */
struct rule_use {
    uint32_t conns;
    bool paced;         /* ... by what follows: from its first flow on */
    uint64_t credit;    /* thousandths of a flow */
    uint64_t refill_ms; /* when the credit was right */
};

static const struct rule *rule_of(const struct link *link, const struct verdict *v, unsigned layer)
{
    if (v->rules[layer] < 0)
        return NULL;
    return policy_rule(link->instance->policy, (enum policy_layer)layer, (unsigned)v->rules[layer]);
}

static struct rule_use *use_of(struct link *link, unsigned slot)
{
    CHECK(slot >= 1 && slot <= link->rule_uses_count);
    return &link->rule_uses[slot - 1];
}

static struct verdict refusal(const struct verdict *v, unsigned layer, enum reason reason)
{
    struct verdict r = *v;

    r.action = VERDICT_DENY;
    r.reason = reason;
    r.layer = (enum policy_layer)layer;
    r.rule = v->rules[layer];
    r.audited = r.strict = r.other_rules = false;
    return r;
}

/* ---- counters ---- */

void rule_use_free(struct link *link)
{
    free(link->rule_uses);
    link->rule_uses = NULL;
    link->rule_uses_count = 0;
}

int rule_use_renew_link(struct link *link)
{
    unsigned count = policy_limit_slots(link->instance->policy);

    rule_use_free(link);
    if (count == 0)
        return 0;
    link->rule_uses = calloc(count, sizeof(*link->rule_uses));
    if (!link->rule_uses)
        return -ENOMEM;
    link->rule_uses_count = count;
    return 0;
}

void rule_use_renew(struct instance *in)
{
    for (uint32_t i = 0; i < in->flows.fresh; i++)
        for (unsigned layer = 0; layer < POLICY_LAYERS; layer++)
            in->flows.flows[i].held_slots[layer] = 0; /* slots of the policy that was */
    LIST_FOR_EACH(node, &in->links)
        (void)rule_use_renew_link(LIST_ENTRY(node, struct link, node)); /* out of memory: refused from now on */
}

static bool has_pace(struct rule_use *use, const struct rule *rule, uint64_t now_ms)
{
    uint64_t full = (uint64_t)rule->rate * PACE_MS, past_ms = now_ms - use->refill_ms;
    uint64_t earned = past_ms < PACE_MS ? past_ms * rule->rate : full;

    use->credit = !use->paced || use->credit + earned >= full ? full : use->credit + earned;
    use->paced = true;
    use->refill_ms = now_ms;
    return use->credit >= PACE_MS;
}

/* ---- flows ---- */

/*
 * Whether a limit is met of a rule that allows the flow.
 *
 * @held:  slots that the flow holds already and keeps, by layer
 * @paced: it spends of their pace
 *
 * Return: the layer of the rule, or POLICY_LAYERS.
 */
static unsigned layer_met(struct link *link, const struct verdict *v, const uint16_t held[static POLICY_LAYERS],
                          bool paced, enum reason *out_reason)
{
    uint64_t now_ms = instance_now(link->instance);

    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        const struct rule *rule = rule_of(link, v, i);

        if (!rule || rule->slot == held[i])
            continue;
        *out_reason = REASON_LIMIT_FLOWS;
        if (!link->rule_uses || (rule->conns > 0 && use_of(link, rule->slot)->conns >= rule->conns))
            return i;
        *out_reason = REASON_LIMIT_RATE;
        if (paced && rule->rate > 0 && !has_pace(use_of(link, rule->slot), rule, now_ms))
            return i;
    }
    return POLICY_LAYERS;
}

static struct verdict refuse(struct link *link, const struct verdict *v, unsigned layer, enum reason reason)
{
    instance_count(link->instance, reason == REASON_LIMIT_RATE ? COUNTER_LIMIT_RATE : COUNTER_LIMIT_FLOWS);
    return refusal(v, layer, reason);
}

void rule_use_check(struct link *link, const struct flow_key *key, struct verdict *v)
{
    static const uint16_t nothing[POLICY_LAYERS];
    bool paced = key->proto == FRAME_PROTO_TCP || key->proto == FRAME_PROTO_UDP;
    enum reason reason;
    unsigned layer;

    if (v->action == VERDICT_DENY)
        return;
    layer = layer_met(link, v, nothing, paced, &reason);
    if (layer == POLICY_LAYERS)
        return;
    if (v->other_rules) {
        v->action = VERDICT_PEEK;
        for (unsigned i = 0; i < POLICY_LAYERS; i++)
            v->rules[i] = -1;
    } else {
        *v = refuse(link, v, layer, reason);
    }
}

static uint64_t smaller_bound(uint64_t bound, uint64_t rule_max)
{
    return rule_max > 0 && rule_max < bound ? rule_max : bound;
}

/* @also: the bounds of the rules it was under stay: what those let pass is still on its way. */
static void bound(struct flow *flow, const struct verdict *v, bool also)
{
    if (!also)
        flow->up_max = flow->down_max = UINT64_MAX;
    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        const struct rule *rule = rule_of(flow->link, v, i);

        flow->up_max = smaller_bound(flow->up_max, rule ? rule->up_max : 0);
        flow->down_max = smaller_bound(flow->down_max, rule ? rule->down_max : 0);
    }
}

/* The flow is under these rules now; what it does not hold of them yet is counted. */
static void hold(struct flow *flow, const struct verdict *v, bool paced)
{
    struct link *link = flow->link;

    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        const struct rule *rule = rule_of(link, v, i);

        if (!rule)
            continue;
        if (rule->slot == flow->held_slots[i] || !link->rule_uses)
            continue;
        CHECK(flow->held_slots[i] == 0);
        flow->held_slots[i] = rule->slot;
        use_of(link, rule->slot)->conns++;
        if (paced && rule->rate > 0)
            use_of(link, rule->slot)->credit -= PACE_MS;
    }
}

void rule_use_hold(struct flow *flow, const struct verdict *v)
{
    bound(flow, v, flow->state == FLOW_OPEN);
    hold(flow, v, flow->kind != FLOW_PING);
}

static void give_layer(struct flow *flow, unsigned layer)
{
    unsigned slot = flow->held_slots[layer];

    flow->held_slots[layer] = 0;
    if (slot == 0)
        return;
    CHECK(use_of(flow->link, slot)->conns > 0);
    use_of(flow->link, slot)->conns--;
}

void rule_use_give(struct flow *flow)
{
    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        give_layer(flow, i);
}

void rule_use_recount(struct flow *flow, const struct verdict *v)
{
    rule_use_give(flow);
    bound(flow, v, false);
    hold(flow, v, false);
}

bool rule_use_move(struct flow *flow, const struct verdict *v, struct verdict *out_refusal)
{
    enum reason reason;
    unsigned layer;

    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        const struct rule *rule = rule_of(flow->link, v, i);

        if (flow->held_slots[i] == 0 || (rule && flow->held_slots[i] == rule->slot))
            continue;
        if (flow->state != FLOW_OPEN) /* it was no flow of that rule's */
            use_of(flow->link, flow->held_slots[i])->credit += PACE_MS;
        give_layer(flow, i);
    }
    layer = layer_met(flow->link, v, flow->held_slots, true, &reason);
    if (layer < POLICY_LAYERS) {
        *out_refusal = refuse(flow->link, v, layer, reason);
        return false;
    }
    hold(flow, v, true);
    return true;
}

/* ---- echoes ---- */

bool rule_use_paces_echoes(const struct link *link, const struct verdict *v)
{
    bool some = false, all = true;

    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        const struct rule *rule = rule_of(link, v, i);

        some = some || (rule && rule->rate > 0);
        all = all && (!rule || rule->rate > 0);
    }
    return some && all;
}

bool rule_use_echo(struct link *link, struct verdict *v)
{
    struct rule_use *uses[POLICY_LAYERS] = {NULL};

    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        const struct rule *rule = rule_of(link, v, i);

        if (!rule || rule->rate == 0)
            continue;
        uses[i] = link->rule_uses ? use_of(link, rule->slot) : NULL;
        if (!uses[i] || !has_pace(uses[i], rule, instance_now(link->instance))) {
            *v = refusal(v, i, REASON_LIMIT_RATE);
            return false;
        }
    }
    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        if (uses[i])
            uses[i]->credit -= PACE_MS;
    return true;
}

/* ---- bytes ---- */

void rule_use_spent(struct flow *flow, enum rule_use_way way)
{
    uint64_t bound = way == RULE_USE_UP ? flow->up_max : flow->down_max;
    struct verdict v;

    if (flow->killed)
        return;
    flow_get_verdict(flow, &v);
    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        const struct rule *rule = rule_of(flow->link, &v, i);

        if (!rule || (way == RULE_USE_UP ? rule->up_max : rule->down_max) != bound)
            continue;
        flow->verdict.layer = (uint8_t)i;
        flow->verdict.rule = v.rules[i];
        break;
    }
    instance_count(flow->instance, COUNTER_LIMIT_BYTES);
    flow_kill(flow, FLOW_CLOSE_LIMIT, REASON_LIMIT_BYTES);
}
