#include "cmd/policy_build.h"

#include <string.h>

struct addr policy_build_alias(const struct addr_prefix *net4)
{
    return addr_prefix_nth(net4, (UINT32_C(1) << (32 - net4->bits)) - 2);
}

struct policy *policy_build(const struct config *c, const struct host_addrs *host)
{
    struct policy_config pc = {.groups = c->groups};

    pc.groups.guest4 = c->instance.net4;
    pc.groups.alias4 = policy_build_alias(&c->instance.net4);
    memcpy(pc.groups.host_addrs, host->addrs, host->count * sizeof(host->addrs[0]));
    pc.groups.host_addr_count = host->count;
    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        pc.layers[i] = (struct policy_layer_config){
            .present = c->layers[i].present,
            .allow_default = c->layers[i].allow_default,
            .rules = c->layers[i].rules,
            .rule_count = c->layers[i].count,
        };
    }
    return policy_new(&pc);
}
