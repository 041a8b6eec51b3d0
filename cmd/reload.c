#include "cmd/reload.h"

#include <string.h>

#include "cmd/say.h"

static bool same_prefix(const struct addr_prefix *a, const struct addr_prefix *b)
{
    return addr_equal(&a->base, &b->base) && a->bits == b->bits;
}

static bool same_links(const struct config *a, const struct config *b)
{
    if (a->link_count != b->link_count)
        return false;
    for (unsigned i = 0; i < a->link_count; i++)
        if (strcmp(a->links[i].text, b->links[i].text) != 0)
            return false;
    return true;
}

static bool same_dns(const struct instance_config *a, const struct instance_config *b)
{
    return a->resolver_count == b->resolver_count &&
           memcmp(a->resolvers, b->resolvers, a->resolver_count * sizeof(a->resolvers[0])) == 0 &&
           a->host_count == b->host_count && memcmp(a->hosts, b->hosts, a->host_count * sizeof(a->hosts[0])) == 0 &&
           a->search_len == b->search_len && memcmp(a->search, b->search, a->search_len) == 0 &&
           a->dns_types.count == b->dns_types.count &&
           memcmp(a->dns_types.listed, b->dns_types.listed,
                  a->dns_types.count * sizeof(a->dns_types.listed[0])) == 0 &&
           a->alias_count == b->alias_count &&
           memcmp(a->aliases, b->aliases, a->alias_count * sizeof(a->aliases[0])) == 0 &&
           a->rebind_strip == b->rebind_strip && a->unrouted_strip == b->unrouted_strip;
}

static void say_what_stays(const struct config *old, const struct config *new)
{
    const struct instance_config *a = &old->instance, *b = &new->instance;
    const struct {
        const char *what;
        bool same;
    } parts[] = {
        {"network", same_prefix(&a->net4, &b->net4) && same_prefix(&a->net6, &b->net6) && a->mtu == b->mtu &&
                        strcmp(a->hostname, b->hostname) == 0},
        {"name", strcmp(a->name, b->name) == 0},
        {"dns", same_dns(a, b) && strcmp(old->dns_key, new->dns_key) == 0},
        {"links", same_links(old, new)},
        {"log.flows", strcmp(old->log, new->log) == 0},
        {"policy.refuse", a->refuse_icmp == b->refuse_icmp},
        {"limits.flows", a->limits.flows == b->limits.flows},
        {"limits.buffers", a->limits.buffers == b->limits.buffers},
    };

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (!parts[i].same)
            say(new, CONFIG_LEVEL_INFO, "%s is another now: that takes effect at the next start", parts[i].what);
}

static int apply(struct service *s, const struct config *fresh)
{
    struct policy *policy = config_policy(fresh);
    int cut = policy ? instance_set_policy(s->instance, policy) : -1;

    policy_unref(policy);
    if (cut < 0) {
        say_error("reload", "out of memory; the configuration in force stays");
        return -1;
    }
    instance_set_limits(s->instance, &fresh->instance.limits);
    say(fresh, CONFIG_LEVEL_INFO, "the configuration was read again: %zu rules, %d live flows were ended",
        config_rule_count(fresh), cut);
    return 0;
}

void reload(struct service *s, const struct args *args, struct config *in_use)
{
    struct problem problem;
    struct config fresh;

    if (args_config(args, &fresh, &problem) < 0) {
        problem_print(&problem);
        say_error("reload", "the configuration in force stays");
        config_deinit(&fresh);
        return;
    }
    if (apply(s, &fresh) < 0) {
        config_deinit(&fresh);
        return;
    }
    say_what_stays(in_use, &fresh);
    config_deinit(in_use);
    *in_use = fresh;
}
