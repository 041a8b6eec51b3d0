/*
 * A policy's storage, and the questions about names and answers: what the resolver asks before a
 * query leaves, and before an address is told.
 *
 * Every question is put to each layer alone, and both must say yes: what one layer does not open by
 * its own rules stays closed.
 */
#include "policy/policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "policy/match.h"
#include "policy/name.h"

/*
 * Resolvers over HTTPS that programs carry built in. A name below one of these counts as it: a
 * guest that reaches one asks names nobody judged. Only a rule written for them opens them.
 */
static const char *const doh_names[] = {
    "dns.google",
    "dns.google.com",
    "cloudflare-dns.com",
    "one.one.one.one",
    "cloudflare-gateway.com",
    "dns.quad9.net",
    "dns9.quad9.net",
    "dns10.quad9.net",
    "dns11.quad9.net",
    "doh.opendns.com",
    "doh.familyshield.opendns.com",
    "dns.umbrella.com",
    "doh.umbrella.com",
    "dns.nextdns.io",
    "doh.cleanbrowsing.org",
    "adguard-dns.com",
    "dns.adguard.com",
    "doh.mullvad.net",
    "dns.mullvad.net",
    "freedns.controld.com",
    "dns.controld.com",
    "doh.dns.sb",
    "dns.alidns.com",
    "doh.pub",
    "dns.pub",
    "doh.360.cn",
    "dns.twnic.tw",
    "doh.xfinity.com",
    "doh.dns.apple.com",
    "doh.libredns.gr",
    "dns0.eu",
    "dns.switch.ch",
    "odvr.nic.cz",
    "doh.applied-privacy.net",
    "public.dns.iij.jp",
    "wikimedia-dns.org",
};

/* Browsers ask for it before they turn their own resolver on; denied means: leave it off. */
static const char canary_name[] = "use-application-dns.net";

static bool layer_copy(struct layer *layer, const struct policy_layer_config *config)
{
    *layer = (struct layer){.present = config->present, .allow_default = config->allow_default};
    if (!config->present || config->rule_count == 0)
        return true;
    if (config->rule_count > POLICY_RULES_MAX)
        return false;
    layer->rules = calloc(config->rule_count, sizeof(*layer->rules));
    if (!layer->rules)
        return false;
    memcpy(layer->rules, config->rules, config->rule_count * sizeof(*layer->rules));
    layer->rule_count = config->rule_count;
    return index_init(&layer->index, layer->rules, layer->rule_count);
}

static void give_slots(struct policy *policy)
{
    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        struct layer *layer = &policy->layers[i];

        for (size_t r = 0; r < layer->rule_count; r++)
            if (layer->rules[r].conns > 0 || layer->rules[r].rate > 0)
                layer->rules[r].slot = (uint16_t)++policy->slots;
    }
}

static void policy_free(struct policy *policy)
{
    for (unsigned i = 0; i < POLICY_LAYERS && !policy->source; i++) {
        index_deinit(&policy->layers[i].index);
        free(policy->layers[i].rules);
    }
    policy_unref(policy->source);
    free(policy);
}

struct policy *policy_new(const struct policy_config *config)
{
    struct policy *policy = calloc(1, sizeof(*policy));

    if (!policy)
        return NULL;
    policy->refs = 1;
    policy->groups = config->groups;
    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        if (!layer_copy(&policy->layers[i], &config->layers[i])) {
            policy_free(policy);
            return NULL;
        }
    }
    /* Only a floor may be left out; without a policy nothing is allowed. */
    if (!policy->layers[POLICY_LAYER_POLICY].present)
        policy->layers[POLICY_LAYER_POLICY] = (struct layer){.present = true};
    give_slots(policy);
    return policy;
}

struct policy *policy_with_groups(struct policy *policy, const struct group_table *groups)
{
    struct policy *copy = calloc(1, sizeof(*copy));

    if (!copy)
        return NULL;
    copy->refs = 1;
    copy->source = policy_ref(policy->source ? policy->source : policy);
    copy->groups = *groups;
    copy->slots = policy->slots;
    memcpy(copy->layers, policy->layers, sizeof(copy->layers));
    return copy;
}

struct policy *policy_ref(struct policy *policy)
{
    CHECK(policy->refs > 0);
    policy->refs++;
    return policy;
}

void policy_unref(struct policy *policy)
{
    if (!policy)
        return;
    CHECK(policy->refs > 0);
    if (--policy->refs == 0)
        policy_free(policy);
}

const struct group_table *policy_groups(const struct policy *policy)
{
    return &policy->groups;
}

enum group policy_group(const struct policy *policy, const struct addr *a)
{
    return group_of(&policy->groups, a, NULL);
}

const struct rule *policy_rule(const struct policy *policy, enum policy_layer layer, unsigned index)
{
    if ((unsigned)layer >= POLICY_LAYERS || index >= policy->layers[layer].rule_count)
        return NULL;
    return &policy->layers[layer].rules[index];
}

unsigned policy_limit_slots(const struct policy *policy)
{
    return policy->slots;
}

/* What kind of rule it takes to let a name be asked for. */
enum opening { OPENING_ANY, OPENING_BY_NAME, OPENING_EXACT };

static enum opening name_opening(const char *name)
{
    if (name_labels(name) < 2 || strcmp(name, canary_name) == 0)
        return OPENING_EXACT;
    for (size_t i = 0; i < ARRAY_SIZE(doh_names); i++)
        if (name_below(name, doh_names[i]))
            return OPENING_BY_NAME;
    return OPENING_ANY;
}

/* Whether a name rule is enough: a suffix as wide as a public suffix was not written for a name. */
static bool rule_is_enough(const struct rule *rule, enum opening opening)
{
    if (rule->target == RULE_NAME || opening == OPENING_ANY)
        return true;
    return opening == OPENING_BY_NAME && name_registrable(rule->name) != NULL;
}

/* Whether the rule decides if @name may be asked for. */
static bool decides_query(const struct rule *rule, const char *name, enum opening opening, int64_t wall_s)
{
    bool by_name = rule_is_by_name(rule);
    bool deny = rule->action == RULE_DENY;

    if (!match_in_force(rule, wall_s) || (by_name && !rule_covers_name(rule, name)))
        return false;
    if (deny && !match_everything(rule))
        return false; /* some other port may still be allowed */
    if (rule->target == RULE_GROUP) {
        if (deny && rule->group != GROUP_PUBLIC)
            return false;
        /* The host alias has names of its own: no upstream's answer leads there. */
        if (!deny && rule->group == GROUP_HOST)
            return false;
    }
    return deny || (by_name ? rule_is_enough(rule, opening) : opening == OPENING_ANY);
}

/* The first rule that decides it, rule_count: none. Rules by prefix are not asked: an address opens no names. */
static unsigned layer_find_query(const struct layer *layer, const char *name, enum opening opening, int64_t wall_s)
{
    struct index_walk walks[] = {index_by_name(&layer->index, name), index_wide(&layer->index)};
    unsigned first = (unsigned)layer->rule_count;

    for (size_t k = 0; k < ARRAY_SIZE(walks); k++)
        for (int i; (i = index_next(&walks[k], first)) >= 0;)
            if (decides_query(&layer->rules[i], name, opening, wall_s))
                first = (unsigned)i;
    return first;
}

struct name_answer {
    bool allow, audited;
    int rule;
};

static struct name_answer layer_judge_name(const struct layer *layer, const char *name,
                                           enum opening opening, int64_t wall_s)
{
    unsigned first = layer_find_query(layer, name, opening, wall_s);

    if (first == layer->rule_count)
        return (struct name_answer){.allow = layer->allow_default && opening == OPENING_ANY, .rule = -1};
    return (struct name_answer){
        .allow = layer->rules[first].action != RULE_DENY,
        .audited = layer->rules[first].action == RULE_AUDIT,
        .rule = (int)first,
    };
}

bool policy_allows_by_default(const struct policy *policy)
{
    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        if (policy->layers[i].present && !policy->layers[i].allow_default)
            return false;
    return true;
}

void policy_judge_name(const struct policy *policy, const char *name, int64_t wall_s,
                       struct verdict *out_verdict)
{
    enum opening opening = name_opening(name);
    struct verdict v = {.action = VERDICT_ALLOW, .rule = -1, .rules = {-1, -1}};

    CHECK(strlen(name) <= NAME_TEXT_MAX);
    strcpy(v.name, name);
    for (unsigned i = 0; i < POLICY_LAYERS && v.action == VERDICT_ALLOW; i++) {
        struct name_answer answer;

        if (!policy->layers[i].present)
            continue;
        answer = layer_judge_name(&policy->layers[i], name, opening, wall_s);
        v.layer = (enum policy_layer)i;
        v.rule = answer.rule;
        v.audited = v.audited || answer.audited;
        v.reason = answer.rule >= 0 ? REASON_OK_RULE : REASON_OK_DEFAULT;
        if (!answer.allow) {
            v.action = VERDICT_DENY;
            v.reason = REASON_DNS_DENIED;
            v.by_default = v.layer == POLICY_LAYER_POLICY && v.rule < 0;
            v.audited = false;
        }
    }
    *out_verdict = v;
}

const char *policy_name_scope(const struct policy *policy, const struct verdict *verdict, const char *name)
{
    const struct rule *rule = verdict->rule >= 0 ? policy_rule(policy, verdict->layer, (unsigned)verdict->rule) : NULL;
    const char *domain;

    if (rule && rule->target == RULE_NAME)
        return NULL;
    if (rule && rule_is_by_name(rule))
        return rule->name;
    domain = name_registrable(name);
    return domain ? domain : name;
}

/* The first rule before @first that, on some port, lets an address of this kind be reached, or closes it on all. */
static unsigned layer_find_addr(const struct policy *policy, const struct layer *layer, const struct destination *dst,
                                int64_t wall_s, unsigned first)
{
    struct index_walk walk = index_by_addr(&layer->index, &dst->addr);

    for (int i; (i = index_next(&walk, first)) >= 0;) {
        const struct rule *rule = &layer->rules[i];

        if (match_in_force(rule, wall_s) && match_target(policy, rule, dst) &&
            (rule->action != RULE_DENY || match_everything(rule)))
            first = (unsigned)i;
    }
    return first;
}

static bool layer_may_answer(const struct policy *policy, const struct layer *layer,
                             const char *name, const struct destination *dst, int64_t wall_s)
{
    struct index_walk walk = index_by_name(&layer->index, name);
    unsigned first = (unsigned)layer->rule_count;

    for (int i; (i = index_next(&walk, first)) >= 0;) {
        const struct rule *rule = &layer->rules[i];

        if (match_in_force(rule, wall_s) && rule->action != RULE_DENY && rule_covers_name(rule, name) &&
            match_reach(rule, dst))
            first = (unsigned)i;
    }
    first = layer_find_addr(policy, layer, dst, wall_s, first);
    return first < layer->rule_count && layer->rules[first].action != RULE_DENY;
}

bool policy_may_answer(const struct policy *policy, const char *name, const struct addr *a,
                       int64_t wall_s)
{
    struct destination dst = match_destination(policy, a);

    if (dst.unrouted)
        return false;
    if (dst.group == GROUP_PUBLIC)
        return true;
    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        if (policy->layers[i].present &&
            !layer_may_answer(policy, &policy->layers[i], name, &dst, wall_s))
            return false;
    return true;
}

static bool layer_opens_addr(const struct policy *policy, const struct layer *layer,
                             const struct addr *a, int64_t wall_s)
{
    struct destination dst = match_destination(policy, a);
    unsigned first;

    if (a->family == ADDR_NONE)
        return false;
    first = layer_find_addr(policy, layer, &dst, wall_s, (unsigned)layer->rule_count);
    return first < layer->rule_count && layer->rules[first].action != RULE_DENY;
}

int64_t policy_next_expiry(const struct policy *policy, int64_t wall_s)
{
    int64_t next_s = 0;

    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        const struct layer *layer = &policy->layers[i];

        for (size_t r = 0; r < layer->rule_count; r++) {
            int64_t at_s = layer->rules[r].expires_s;

            if (at_s > wall_s && (next_s == 0 || at_s < next_s))
                next_s = at_s;
        }
    }
    return next_s;
}

bool policy_opens_host(const struct policy *policy, int64_t wall_s)
{
    const struct group_table *g = &policy->groups;
    bool open4 = true, open6 = true;

    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        const struct layer *layer = &policy->layers[i];

        if (!layer->present)
            continue;
        open4 = open4 && layer_opens_addr(policy, layer, &g->alias4, wall_s);
        open6 = open6 && layer_opens_addr(policy, layer, &g->alias6, wall_s);
    }
    return open4 || open6;
}

static bool layer_opens_resolver(const struct policy *policy, const struct layer *layer,
                                 enum rule_proto proto, const struct destination *dst,
                                 int64_t wall_s)
{
    struct index_walk walk = index_by_addr(&layer->index, &dst->addr);
    unsigned first = (unsigned)layer->rule_count;

    for (int i; (i = index_next(&walk, first)) >= 0;) {
        const struct rule *rule = &layer->rules[i];

        if (match_in_force(rule, wall_s) && rule_covers_port(rule, proto, MATCH_PORT_DNS) &&
            match_target(policy, rule, dst) &&
            (rule->action == RULE_DENY || (rule->target == RULE_PREFIX && match_lists_port(rule, MATCH_PORT_DNS))))
            first = (unsigned)i;
    }
    return first < layer->rule_count && layer->rules[first].action != RULE_DENY;
}

bool policy_opens_resolver(const struct policy *policy, enum rule_proto proto, const struct addr *a,
                           int64_t wall_s)
{
    struct destination dst = match_destination(policy, a);

    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        if (policy->layers[i].present &&
            !layer_opens_resolver(policy, &policy->layers[i], proto, &dst, wall_s))
            return false;
    return true;
}
