/*
 * The policy: an immutable, reference-counted set of rules in layers, and the questions asked of it.
 *
 * A verdict is found by evaluating the rules in every world the missing facts still allow (the
 * flow's name is one of the pinned ones, another one, or none): when all worlds agree, it is final.
 * Layers: the operator's floor (optional) and the policy; both must allow. The built-in floor (docs/policy.md)
 * is applied inside each layer: a rule opens a floor group only by naming it or one exact address.
 *
 * Pure: no clock, no sockets, no logging. Single thread.
 */
#ifndef WEIR_POLICY_POLICY_H
#define WEIR_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/evidence.h"
#include "policy/group.h"
#include "policy/pins.h"
#include "policy/reason.h"
#include "policy/rule.h"

enum { POLICY_RULES_MAX = 4096, POLICY_WORLDS_MAX = 64 };

enum policy_layer { POLICY_LAYER_FLOOR, POLICY_LAYER_POLICY, POLICY_LAYERS };

struct policy;

/* How a policy is made. Everything is copied. */
struct policy_layer_config {
    bool present;             /* an absent floor layer allows */
    bool allow_default;
    const struct rule *rules; /* borrowed for the call */
    size_t rule_count;
};
struct policy_config {
    struct policy_layer_config layers[POLICY_LAYERS];
    struct group_table groups;
};

/** NULL: out of memory, or more than POLICY_RULES_MAX rules in a layer. One reference, the caller's. */
struct policy *policy_new(const struct policy_config *config);

/**
 * The same rules over other groups: a policy of its own, which keeps the rules alive. @groups is copied.
 *
 * Return: one reference, the caller's; NULL out of memory.
 */
struct policy *policy_with_groups(struct policy *policy, const struct group_table *groups);

struct policy *policy_ref(struct policy *policy);
void policy_unref(struct policy *policy); /* NULL is fine */

/** Lives as long as the policy. */
const struct group_table *policy_groups(const struct policy *policy);

enum group policy_group(const struct policy *policy, const struct addr *a);
const struct rule *policy_rule(const struct policy *policy, enum policy_layer layer, unsigned index);

/** How many rules, of all layers, count what is open under them: rule.slot is from 1 to so many. */
unsigned policy_limit_slots(const struct policy *policy);

/* What is known of an outgoing flow. */
struct facts {
    enum rule_proto proto;            /* RULE_TCP, RULE_UDP, RULE_ICMP */
    struct addr dst;
    uint16_t port;                    /* destination port; 0 for ICMP */
    const char *const *names;         /* borrowed: canonical names pinned to dst */
    size_t name_count;
    bool names_more;                  /* there are more than fit: unknown pinned names exist */
    const struct evidence *evidence;  /* borrowed; NULL or EVIDENCE_UNKNOWN before the first byte */
    bool let_in;                      /* a verdict was `by_default`, and the embedder allows: the default does, too */
    int64_t wall_s;                   /* for expires= */
};

enum verdict_action {
    VERDICT_ALLOW, /* final */
    VERDICT_DENY,  /* final */
    VERDICT_JUDGE, /* dial now, let bytes flow down, hold the guest's until evidence is in */
    VERDICT_PEEK,  /* accept the guest, hold its bytes, do not dial before evidence is in */
};

/* Copied, never pointed at. */
struct verdict {
    enum verdict_action action;
    enum reason reason;       /* of ALLOW and DENY; provisional for JUDGE and PEEK */
    enum policy_layer layer;  /* the layer that decided */
    int rule;                 /* index in that layer, -1: the default or no rule */
    int rules[POLICY_LAYERS]; /* what allows it in each layer; -1: no rule, not known yet, or that layer denies */
    bool other_rules;         /* JUDGE, PEEK: the guest's bytes may show that other rules allow it */
    bool audited;             /* an audit rule let it pass: would have been denied */
    bool strict;              /* JUDGE: silence or opaque bytes end in a denial; the wait has its own deadline */
    bool by_default;          /* DENY: only since the policy's default is no `allow` (facts.let_in) */
    bool follows_hello;       /* ALLOW by what was read: a second ClientHello would be judged ... */
    bool follows_http;        /* ... and so would be every further request */
    char name[NAME_TEXT_MAX + 1]; /* the name it was decided by, "" when none */
};

/**
 * Judge a flow with the facts known so far.
 *
 * With final evidence (a kind other than EVIDENCE_UNKNOWN), or for protocols without a peek (ICMP, and UDP but for QUIC
 * under rules with quic=inspect), the answer is VERDICT_ALLOW or VERDICT_DENY.
 */
void policy_judge(const struct policy *policy, const struct facts *facts, struct verdict *out_verdict);

/** The verdict of a flow whose guest sent nothing within the peek budget: never better than with opaque bytes; under
 * strict rules peek.timeout or name.ambiguous. */
void policy_judge_silent(const struct policy *policy, const struct facts *facts,
                         struct verdict *out_verdict);

/** Whether a query for canonical @name may go upstream: some rule could allow a flow to it, on any port. */
void policy_judge_name(const struct policy *policy, const char *name, int64_t wall_s,
                       struct verdict *out_verdict);

/** Whether what no rule matches is allowed, in every layer there is. */
bool policy_allows_by_default(const struct policy *policy);

/**
 * What new names are counted under (policy/dns_budget.h) once policy_judge_name() allowed one: the target of a suffix
 * rule, or the registrable domain where the deciding rule or default opens all names.
 *
 * Return: borrowed from @policy or @name; NULL for a name that a rule names in full: there is but one.
 */
const char *policy_name_scope(const struct policy *policy, const struct verdict *verdict, const char *name);

/** Whether an answer may tell the guest that @name has address @a (rebinding: docs/policy.md, "DNS"). */
bool policy_may_answer(const struct policy *policy, const char *name, const struct addr *a,
                       int64_t wall_s);

/** When the next rule with `expires=` ends, as seconds since the epoch and after @wall_s; 0: none does. */
int64_t policy_next_expiry(const struct policy *policy, int64_t wall_s);

/** Whether some rule opens the host alias (group `host`) on any port: only then do its names resolve. */
bool policy_opens_host(const struct policy *policy, int64_t wall_s);

/** Whether a rule by address or CIDR that lists port 53 allows this resolver directly. */
bool policy_opens_resolver(const struct policy *policy, enum rule_proto proto, const struct addr *a,
                           int64_t wall_s);

#endif
