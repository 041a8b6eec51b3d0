/*
 * The policy's answers as they come from asking every rule in turn, the first match first: what its index must come to.
 * For test_policy_index.c.
 *
 * The verdict is drawn by policy/judge.c, a second time, from worlds that are walked here. What one rule says in a world
 * (need_met() and the like) is policy/world.c's; which rules are asked, in which order, and what adds up on the way is not.
 */
#ifndef WEIR_TESTS_POLICY_SCAN_H
#define WEIR_TESTS_POLICY_SCAN_H

#include <string.h>

#include "base/check.h"
#include "policy/policy.h"

/* What stays the program's gets other names here, and is not called. */
#define worlds_init indexed_init
#define worlds_walk indexed_walk
#define worlds_survey indexed_survey
#define worlds_agree indexed_agree
#define worlds_is_dns_bypass indexed_is_dns_bypass
#define worlds_names_denied indexed_names_denied
#define worlds_default_reaches indexed_default_reaches
#include "policy/world.c"
#undef worlds_init
#undef worlds_walk
#undef worlds_survey

void scan_judge(const struct policy *policy, const struct facts *facts, struct verdict *out_verdict);
void scan_judge_silent(const struct policy *policy, const struct facts *facts, struct verdict *out_verdict);

/* --- worlds ------------------------------------------------------------------------------------ */

static inline bool scan_bears(const struct worlds *worlds, const struct rule *rule)
{
    const struct facts *f = worlds->facts;

    if (!match_in_force(rule, f->wall_s) || !rule_covers_port(rule, f->proto, f->port))
        return false;
    if (rule->action != RULE_DENY && f->port == MATCH_PORT_DOT && f->proto != RULE_ICMP && !match_lists_port(rule, f->port))
        return false;
    if (rule_is_by_name(rule))
        return rule->action == RULE_DENY || match_reach(rule, &worlds->dst);
    return match_target(worlds->policy, rule, &worlds->dst);
}

/* What is said of all names; `watch` is not used here. */
static inline void scan_fill(struct view *view, const struct worlds *worlds, const struct layer *layer)
{
    bool bypass = worlds->facts->port == MATCH_PORT_DOT && worlds->facts->proto != RULE_ICMP;

    *view = (struct view){.layer = layer, .end = (unsigned)layer->rule_count};
    view->decider_allows = !layer->present || (layer->allow_default && !bypass && worlds->dst.group == GROUP_PUBLIC &&
                                               !worlds->dst.unrouted);
    for (unsigned i = 0; i < layer->rule_count; i++) {
        const struct rule *rule = &layer->rules[i];

        if (!scan_bears(worlds, rule))
            continue;
        if (!rule_is_by_name(rule)) {
            view->end = i;
            view->decider_allows = rule->action != RULE_DENY;
            view->decider_audits = rule->action == RULE_AUDIT;
            return;
        }
        view->name_allows |= rule->action != RULE_DENY;
        view->name_denies |= rule->action == RULE_DENY || rule->ech_deny;
        view->name_audits |= rule->action == RULE_AUDIT;
        view->name_limits |= rule_has_limits(rule);
        view->inspects |= inspects(rule, worlds->facts);
    }
}

static inline void scan_layer(const struct view *view, const struct worlds *worlds, const struct world *w, struct outcome *o)
{
    for (unsigned i = 0; i < view->end; i++) {
        const struct rule *rule = &view->layer->rules[i];
        bool covers_pin = w->pin && rule_is_by_name(rule) && rule_covers_name(rule, w->pin);
        bool covers_said = w->said && rule_is_by_name(rule) && rule_covers_name(rule, w->said);
        enum rule_need need = need_of(rule, worlds->facts);

        if (!rule_is_by_name(rule) || !scan_bears(worlds, rule))
            continue;
        o->rule = (int)i;
        if (rule->action == RULE_DENY) {
            if (covers_pin || covers_said) {
                decide_by_name(worlds, w, rule, o);
                return;
            }
            o->watched = true;
            continue;
        }
        if (covers_pin && (worlds->quic ? quic_said(rule, w) : need_met(need, w))) {
            decide_by_name(worlds, w, rule, o);
            return;
        }
        o->unmet = o->unmet || covers_pin;
        o->unmet_nameless = o->unmet_nameless || (covers_pin && need_fits(need, w));
        o->watched = o->watched || rule->ech_deny || rule->action == RULE_AUDIT || rule_has_limits(rule);
    }
    o->rule = view->end < view->layer->rule_count ? (int)view->end : -1;
    o->allow = view->decider_allows;
    o->let_in = view->let_in;
    o->why = o->rule < 0 ? OUTCOME_DEFAULT : OUTCOME_ADDRESS;
    o->audited = o->audited || view->decider_audits;
    if (view->name_denies || view->name_audits || view->name_limits)
        o->follows_hello = o->follows_http = true;
}

static inline struct outcome scan_walk(const struct worlds *worlds, const struct world *w)
{
    struct outcome o = {.allow = true, .rule = -1, .rules = {-1, -1}};

    for (unsigned i = 0; i < POLICY_LAYERS && o.allow; i++) {
        if (!worlds->views[i].layer->present)
            continue;
        o.layer = (enum policy_layer)i;
        scan_layer(&worlds->views[i], worlds, w, &o);
        o.rules[i] = o.rule;
    }
    return o;
}

static inline struct survey scan_survey(const struct worlds *worlds, struct world w, bool said_is_pin)
{
    struct survey s = {0};

    for (size_t i = 0; i < worlds->name_count; i++) {
        struct outcome o;

        w.pin = worlds->facts->names[i];
        if (said_is_pin)
            w.said = w.pin;
        o = scan_walk(worlds, &w);
        s.unmet |= o.unmet;
        s.unmet_nameless |= o.unmet_nameless;
        s.ech |= o.why == OUTCOME_ECH;
        if (!o.allow) {
            s.denied++;
            continue;
        }
        s.differs |= s.allowed > 0 && memcmp(o.rules, s.first.rules, sizeof(o.rules)) != 0;
        s.watched |= o.watched;
        s.peeks |= o.peeks;
        if (s.allowed++ == 0) {
            s.first = o;
            s.name = w.pin;
        }
    }
    return s;
}

/* The program's, with what the index found replaced. */
static inline void scan_init(struct worlds *worlds, const struct policy *policy, const struct facts *facts)
{
    indexed_init(worlds, policy, facts);
    worlds->quic = facts->proto == RULE_UDP && facts->port == MATCH_PORT_QUIC;
    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        scan_fill(&worlds->views[i], worlds, &policy->layers[i]);
        worlds->quic = worlds->quic || worlds->views[i].inspects;
    }
    if (facts->let_in && worlds->views[POLICY_LAYER_POLICY].end == policy->layers[POLICY_LAYER_POLICY].rule_count &&
        !worlds->views[POLICY_LAYER_POLICY].decider_allows && indexed_default_reaches(worlds))
        worlds->views[POLICY_LAYER_POLICY].decider_allows = worlds->views[POLICY_LAYER_POLICY].let_in = true;
}

#define worlds_init scan_init
#define worlds_walk scan_walk
#define worlds_survey scan_survey
#define policy_judge scan_judge
#define policy_judge_silent scan_judge_silent
#include "policy/judge.c"
#undef worlds_init
#undef worlds_walk
#undef worlds_survey
#undef worlds_agree
#undef worlds_is_dns_bypass
#undef worlds_names_denied
#undef worlds_default_reaches
#undef policy_judge
#undef policy_judge_silent

/* --- the resolver's questions ------------------------------------------------------------------ */

/* The one resolver over HTTPS that the test asks for, with any name below it. */
#define SCAN_DOH "dns.google"
#define SCAN_CANARY "use-application-dns.net"

static inline bool scan_is_enough(const struct rule *rule, const char *name)
{
    if (rule->target == RULE_NAME)
        return true;
    if (name_labels(name) < 2 || strcmp(name, SCAN_CANARY) == 0)
        return false;
    return !name_below(name, SCAN_DOH) || (rule_is_by_name(rule) && name_registrable(rule->name));
}

/* The number of the rule that decides whether @name may be asked for; rule_count: none. */
static inline size_t scan_query(const struct layer *layer, const char *name, int64_t wall_s)
{
    for (size_t i = 0; i < layer->rule_count; i++) {
        const struct rule *rule = &layer->rules[i];
        bool deny = rule->action == RULE_DENY;

        if (!match_in_force(rule, wall_s) || (rule_is_by_name(rule) && !rule_covers_name(rule, name)) ||
            rule->target == RULE_PREFIX || (deny && !match_everything(rule)))
            continue;
        if (rule->target == RULE_GROUP && (deny ? rule->group != GROUP_PUBLIC : rule->group == GROUP_HOST))
            continue;
        if (deny || scan_is_enough(rule, name))
            return i;
    }
    return layer->rule_count;
}

static inline struct verdict scan_judge_name(const struct policy *policy, const char *name, int64_t wall_s)
{
    bool usual = name_labels(name) >= 2 && strcmp(name, SCAN_CANARY) != 0 && !name_below(name, SCAN_DOH);
    struct verdict v = {.action = VERDICT_ALLOW, .rule = -1, .rules = {-1, -1}};

    for (unsigned i = 0; i < POLICY_LAYERS && v.action == VERDICT_ALLOW; i++) {
        const struct layer *layer = &policy->layers[i];
        size_t at = layer->present ? scan_query(layer, name, wall_s) : 0;

        if (!layer->present)
            continue;
        v.layer = (enum policy_layer)i;
        v.rule = at < layer->rule_count ? (int)at : -1;
        v.reason = v.rule >= 0 ? REASON_OK_RULE : REASON_OK_DEFAULT;
        v.audited = v.audited || (v.rule >= 0 && layer->rules[at].action == RULE_AUDIT);
        if (v.rule >= 0 ? layer->rules[at].action == RULE_DENY : !(layer->allow_default && usual)) {
            v.action = VERDICT_DENY;
            v.reason = REASON_DNS_DENIED;
            v.by_default = i == POLICY_LAYER_POLICY && v.rule < 0;
            v.audited = false;
        }
    }
    strcpy(v.name, name);
    return v;
}

static inline bool scan_layer_opens(const struct policy *policy, const struct layer *layer, const char *name,
                                    const struct destination *dst, int64_t wall_s)
{
    for (size_t i = 0; i < layer->rule_count; i++) {
        const struct rule *rule = &layer->rules[i];
        bool deny = rule->action == RULE_DENY;

        if (!match_in_force(rule, wall_s))
            continue;
        if (rule_is_by_name(rule) ? !deny && name && rule_covers_name(rule, name) && match_reach(rule, dst)
                                  : match_target(policy, rule, dst) && (!deny || match_everything(rule)))
            return !deny;
    }
    return false;
}

static inline bool scan_may_answer(const struct policy *policy, const char *name, const struct addr *a, int64_t wall_s)
{
    struct destination dst = match_destination(policy, a);

    if (dst.unrouted || dst.group == GROUP_PUBLIC)
        return !dst.unrouted;
    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        if (policy->layers[i].present && !scan_layer_opens(policy, &policy->layers[i], name, &dst, wall_s))
            return false;
    return true;
}

static inline bool scan_opens_alias(const struct policy *policy, const struct addr *alias, int64_t wall_s)
{
    struct destination dst = match_destination(policy, alias);

    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        if (policy->layers[i].present && !scan_layer_opens(policy, &policy->layers[i], NULL, &dst, wall_s))
            return false;
    return alias->family != ADDR_NONE;
}

static inline bool scan_opens_host(const struct policy *policy, int64_t wall_s)
{
    return scan_opens_alias(policy, &policy->groups.alias4, wall_s) || scan_opens_alias(policy, &policy->groups.alias6, wall_s);
}

static inline bool scan_layer_opens_resolver(const struct policy *policy, const struct layer *layer, enum rule_proto proto,
                                             const struct destination *dst, int64_t wall_s)
{
    for (size_t i = 0; i < layer->rule_count; i++) {
        const struct rule *rule = &layer->rules[i];

        if (!match_in_force(rule, wall_s) || !rule_covers_port(rule, proto, MATCH_PORT_DNS) || !match_target(policy, rule, dst))
            continue;
        if (rule->action == RULE_DENY)
            return false;
        if (rule->target == RULE_PREFIX && match_lists_port(rule, MATCH_PORT_DNS))
            return true;
    }
    return false;
}

static inline bool scan_opens_resolver(const struct policy *policy, enum rule_proto proto, const struct addr *a, int64_t wall_s)
{
    struct destination dst = match_destination(policy, a);

    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        if (policy->layers[i].present && !scan_layer_opens_resolver(policy, &policy->layers[i], proto, &dst, wall_s))
            return false;
    return true;
}

#endif
