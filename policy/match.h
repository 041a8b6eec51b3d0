/*
 * Whether one rule applies to one address, name or port: the part of the policy that knows what a
 * target word opens (docs/policy.md, "The floor"). Internal to policy/.
 */
#ifndef WEIR_POLICY_MATCH_H
#define WEIR_POLICY_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/index.h"
#include "policy/policy.h"

enum { MATCH_PORT_DNS = 53, MATCH_PORT_QUIC = 443, MATCH_PORT_DOT = 853 };

struct layer {
    bool present; /* an absent layer allows */
    bool allow_default;
    struct rule *rules; /* owned by the policy that was made with them */
    size_t rule_count;
    struct rule_index index; /* owned like the rules */
};

struct policy {
    unsigned refs;
    struct policy *source; /* shared: the one that owns the rules of the layers; NULL: this one does */
    struct layer layers[POLICY_LAYERS];
    unsigned slots; /* of rules that count their flows */
    struct group_table groups;
};

/* A destination with what every rule asks about it. */
struct destination {
    struct addr addr;
    enum group group;
    bool embedded;
    bool unrouted; /* group_is_unrouted() */
};

struct destination match_destination(const struct policy *policy, const struct addr *a);

/** Whether the rule counts for outgoing flows at @wall_s: not an ingress rule, not expired. */
bool match_in_force(const struct rule *rule, int64_t wall_s);

/**
 * Whether a rule by address, group or `any` applies to @dst; false for name rules.
 *
 * A deny applies to every address it contains; an allow or audit only to what it may open.
 */
bool match_target(const struct policy *policy, const struct rule *rule,
                  const struct destination *dst);

/** Whether a name rule may lead to @dst: public, or private with `private=`. */
bool match_reach(const struct rule *rule, const struct destination *dst);

/** Whether the rule names this one port, not a range around it. */
bool match_lists_port(const struct rule *rule, uint16_t port);

/** Whether the rule holds for every protocol and port. */
bool match_everything(const struct rule *rule);

#endif
