#include "datapath/policy_build.h"

#include <string.h>

struct policy *policy_build(struct policy *given, const struct networks *nets, const struct host_addrs *host)
{
    struct group_table groups = *policy_groups(given);

    groups.guest4 = nets->v4.net;
    groups.guest6 = nets->v6.net;
    groups.alias4 = nets->v4.alias;
    groups.alias6 = nets->v6.alias;
    memcpy(groups.host_addrs, host->addrs, host->count * sizeof(host->addrs[0]));
    groups.host_addr_count = host->count;
    return policy_with_groups(given, &groups);
}
