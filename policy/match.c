#include "policy/match.h"

#include "base/check.h"

struct destination match_destination(const struct policy *policy, const struct addr *a)
{
    struct destination dst = {.addr = *a, .unrouted = group_is_unrouted(a)};

    dst.group = group_of(&policy->groups, a, &dst.embedded);
    return dst;
}

bool match_in_force(const struct rule *rule, int64_t wall_s)
{
    return rule->direction == RULE_OUT && (rule->expires_s == 0 || wall_s < rule->expires_s);
}

/* What an allow by address may open (docs/policy.md, "The floor"). */
static bool prefix_opens(const struct policy *policy, const struct addr_prefix *prefix,
                         const struct destination *dst)
{
    if (!addr_prefix_contains(prefix, &dst->addr))
        return false;
    if (dst->group == GROUP_PUBLIC || prefix->bits == 8 * addr_size(&prefix->base))
        return true;
    if (group_is_strict_floor(dst->group))
        return false;
    return group_covers(&policy->groups, dst->group, prefix);
}

static bool group_opens(const struct policy *policy, enum group group,
                        const struct destination *dst)
{
    if (group != dst->group)
        return false;
    /* The word `host` stands for the alias; an interface address must be written out. */
    return group != GROUP_HOST || addr_equal(&dst->addr, &policy->groups.alias4) ||
           addr_equal(&dst->addr, &policy->groups.alias6);
}

bool match_target(const struct policy *policy, const struct rule *rule,
                  const struct destination *dst)
{
    bool deny = rule->action == RULE_DENY;

    if (dst->unrouted && !deny)
        return false;
    switch (rule->target) {
    case RULE_ANY:
        return dst->group == GROUP_PUBLIC;
    case RULE_PREFIX:
        return deny ? addr_prefix_contains(&rule->prefix, &dst->addr)
                    : prefix_opens(policy, &rule->prefix, dst);
    case RULE_GROUP:
        return deny ? rule->group == dst->group : group_opens(policy, rule->group, dst);
    case RULE_NAME:
    case RULE_BELOW:
    case RULE_SUFFIX:
        return false;
    }
    CHECK(!"a rule target");
    return false;
}

bool match_reach(const struct rule *rule, const struct destination *dst)
{
    if (dst->unrouted)
        return false;
    if (dst->group == GROUP_PUBLIC)
        return true;
    if (dst->group != GROUP_PRIVATE)
        return false;
    if (rule->private_any)
        return true;
    for (unsigned i = 0; i < rule->private_count; i++)
        if (addr_prefix_contains(&rule->private_nets[i], &dst->addr))
            return true;
    return false;
}

bool match_lists_port(const struct rule *rule, uint16_t port)
{
    for (unsigned i = 0; i < rule->port_count; i++)
        if (rule->ports[i].lo == port && rule->ports[i].hi == port)
            return true;
    return false;
}

bool match_everything(const struct rule *rule)
{
    return rule->proto == RULE_PROTO_ANY && rule->port_count == 0;
}
