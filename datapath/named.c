#include "datapath/named.h"

#include <string.h>

#include "datapath/admit.h"
#include "datapath/asking.h"
#include "datapath/flow_end.h"
#include "datapath/instance_private.h"
#include "datapath/relay.h"
#include "datapath/resolver.h"
#include "datapath/verdicts.h"
#include "policy/fake_ip.h"
#include "proxy/host_dgram.h"

/* What was asked of the flow's name, and what came of it: flow.asked. */
enum { ASKED_A = 1, ASKED_AAAA = 2, GOT_FORBIDDEN = 4, GOT_DENIED = 8, GOT_ADDRESS = 16 };

bool named_is(const struct instance *in, const struct addr *dst)
{
    return in->config.fake_ip && fake_ip_is(dst);
}

const char *named_name(const struct link *link, const struct addr *dst)
{
    const char *name = NULL;

    (void)pins_names_of(link->pins, dst, instance_now(link->instance), &name, 1);
    return name;
}

static void ask(struct flow *flow, enum addr_family family)
{
    flow->asked |= family == ADDR_V4 ? ASKED_A : ASKED_AAAA;
    resolver_find(flow->instance->resolver, flow, pins_held_name(flow->pin),
                  family == ADDR_V4 ? DNS_TYPE_A : DNS_TYPE_AAAA);
}

/* ---- the verdict ---- */

/*
 * Where the flow may go: the first address that is allowed and, for TCP, the next one of which the very same is said.
 *
 * Return: whether there is one; then @out_verdict and @out_group are of it.
 */
static bool choose(struct flow *flow, const struct dns_answer *answer, struct verdict *out_verdict,
                   enum group *out_group)
{
    const struct policy *policy = flow->instance->policy;
    unsigned count = 0;

    *out_group = GROUP_PUBLIC;
    for (size_t i = 0; i < answer->addr_count && count < (flow->kind == FLOW_TCP ? DIAL_ADDRS_MAX : 1); i++) {
        const struct addr *a = &answer->addrs[i];
        struct verdict v;
        enum group group;

        /* The alias is a guest's word for the host; behind a name it would be somebody else's address. */
        if (guest_is_alias(flow->link->guest, a) ||
            !policy_may_answer(policy, pins_held_name(flow->pin), a, instance_wall_s())) {
            flow->asked |= GOT_FORBIDDEN;
            continue;
        }
        flow->asked |= GOT_ADDRESS;
        if (!host_dgram_reaches(a))
            continue;
        verdict_open(flow->link, &flow->key, a, &v, &group);
        if (v.action == VERDICT_DENY && !hook_may_overturn(flow->instance, DECIDE_OPEN, &v)) {
            if (!(flow->asked & GOT_DENIED))
                flow_set_verdict(flow, &v); /* should nothing better come */
            flow->asked |= GOT_DENIED;
            continue;
        }
        if (count > 0 && (!verdict_same(&v, out_verdict) || group != *out_group))
            continue;
        flow->to[count++] = *a;
        *out_verdict = v;
        *out_group = group;
    }
    return count > 0;
}

static void refuse(struct flow *flow, struct verdict *v)
{
    strcpy(v->name, pins_held_name(flow->pin));
    if (flow->kind == FLOW_TCP)
        admit_refuse(flow, v);
    else
        relay_refuse_held(flow, v);
}

/* What no rule allows the embedder may allow: when it is asked, or as it did when the guest was told of the name. */
static bool may_be_overturned(const struct instance *in, const struct verdict *v)
{
    return hook_may_overturn(in, DECIDE_DNS, v) || hook_may_overturn(in, DECIDE_OPEN, v);
}

/* The name leads nowhere: as if its host were not there. */
static void unreachable(struct flow *flow, enum reason reason)
{
    if (flow->kind == FLOW_TCP)
        admit_unreachable(flow, reason);
    else
        relay_unreachable(flow, reason);
}

void named_resolved(struct flow *flow, const struct dns_answer *answer)
{
    bool more = flow->kind == FLOW_TCP && (flow->asked & (ASKED_A | ASKED_AAAA)) != (ASKED_A | ASKED_AAAA);
    struct verdict v;
    enum group group;

    flow->dns_ms = (uint32_t)(instance_now(flow->instance) - flow->opened_ms);
    if (answer && choose(flow, answer, &v, &group)) {
        asking_open(flow, &v, group);
    } else if (flow->pin && more) { /* of the other family; a socket for datagrams is of the guest's */
        ask(flow, flow->key.dst.family == ADDR_V4 ? ADDR_V6 : ADDR_V4);
    } else if (flow->asked & GOT_DENIED) {
        flow_get_verdict(flow, &v);
        refuse(flow, &v);
    } else if (flow->asked & GOT_FORBIDDEN && !(flow->asked & GOT_ADDRESS)) {
        v = verdict_deny(REASON_DNS_REBIND);
        refuse(flow, &v);
    } else {
        unreachable(flow, answer ? REASON_DIAL_UNREACHABLE : REASON_DNS_UPSTREAM);
    }
}

void named_start(struct flow *flow)
{
    struct instance *in = flow->instance;
    const char *name = named_name(flow->link, &flow->key.dst);
    struct verdict v = verdict_unknown();

    flow_set_deadline(&in->flows, flow, instance_now(in) + in->config.limits.dial_timeout_ms);
    if (name)
        flow->pin = pins_hold(flow->link->pins, name);
    if (flow->pin) /* the guest was told of it under the policy of then */
        policy_judge_name(in->policy, name, instance_wall_s(), &v);
    if (v.action == VERDICT_DENY && !may_be_overturned(in, &v)) {
        v.reason = v.rule >= 0 ? REASON_DENY_RULE : REASON_DENY_DEFAULT;
        refuse(flow, &v); /* it does not leave this machine */
    } else if (flow->pin) {
        ask(flow, flow->key.dst.family); /* what the guest wanted, first */
    } else {
        named_resolved(flow, NULL);
    }
}

void named_silence(struct flow *flow)
{
    list_unlink(&flow->wait_node);
    flow->asked |= ASKED_A | ASKED_AAAA;
    named_resolved(flow, NULL);
}
