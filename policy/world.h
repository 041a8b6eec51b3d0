/*
 * The worlds of a flow, and what the rules say in each. Internal to policy/; judge.c draws the
 * verdicts.
 *
 * Facts are missing while the guest has not spoken: under which name it wants the address. So the
 * rules are walked once for every world the missing fact still allows. A world is
 *
 *     pin   the pinned name that name rules may allow by, or none
 *     said  the name the guest's bytes gave (or would give), or none
 *     kind  what the guest's bytes are
 */
#ifndef WEIR_POLICY_WORLD_H
#define WEIR_POLICY_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/match.h"

/* What a layer's rules say of this flow whatever its name, found once for all its worlds. */
struct view {
    const struct layer *layer;
    unsigned end;        /* number of the first rule by address that applies; beyond the rules: the default */
    bool decider_allows; /* what that one, or the default, says */
    bool decider_audits;
    bool let_in;         /* decider_allows for facts.let_in alone */
    bool name_allows;    /* among the name rules before it that bear on the flow is an allow or audit */
    bool name_denies;    /* ... a deny, or an allow with ech=deny */
    bool name_audits;    /* ... an audit */
    bool name_limits;    /* ... an allow or audit with limits */
    bool inspects;       /* ... a rule with quic=inspect, for a UDP flow */
    unsigned watch;      /* number of the first of these that denies, audits or has limits; `end` if none does */
};

enum world_kind {
    WORLD_IDEAL,  /* bytes yet to come: they say `pin` in the form the rule needs */
    WORLD_TLS,
    WORLD_HTTP,
    WORLD_OPAQUE, /* no name can be said: the pin stands for it */
    WORLD_BAD,
};

struct world {
    const char *pin;
    const char *said;
    enum world_kind kind;
    bool ech;
};

enum outcome_why { OUTCOME_DEFAULT, OUTCOME_ADDRESS, OUTCOME_NAME, OUTCOME_ECH };

struct outcome {
    bool allow, audited;
    enum outcome_why why; /* what kind of rule decided, in the layer that decided */
    enum policy_layer layer;
    int rule;
    int rules[POLICY_LAYERS]; /* what let it pass in each layer; -1: no rule */
    bool by_name;         /* allowed, and by name in some layer */
    bool let_in;          /* allowed by the policy's default for facts.let_in alone */
    bool watched;         /* other bytes could have changed an allow */
    bool peeks;           /* a deciding rule needs TLS or HTTP */
    bool follows_hello;   /* allowed where the bytes were asked ... */
    bool follows_http;    /* ... and http=first was not said */
    bool unmet;           /* a rule for this pin was passed over: its need was not met ... */
    bool unmet_nameless;  /* ... for want of a name alone */
};

/* A flow and its worlds. Lives for one question; borrows the policy and the facts. */
struct worlds {
    const struct policy *policy;
    const struct facts *facts;
    struct destination dst;
    size_t name_count; /* of facts->names: at most POLICY_WORLDS_MAX */
    bool names_more;   /* there are pinned names beyond these */
    bool quic;         /* UDP to QUIC's port, or where a rule has it read: only what it says opens it by name */
    struct view views[POLICY_LAYERS];
};

/* What came of walking the world of every pinned name. */
struct survey {
    size_t allowed, denied;
    bool watched, peeks;
    bool differs; /* other allowed worlds are under other rules than the first one */
    bool unmet, unmet_nameless, ech;
    const char *name;     /* of the first allowed world */
    struct outcome first; /* its outcome */
};

/** Gather the rules that can bear on the flow. @policy and @facts are borrowed as long as @worlds. */
void worlds_init(struct worlds *worlds, const struct policy *policy, const struct facts *facts);

/** Ask every layer in turn; the first that denies decides, else the last. */
struct outcome worlds_walk(const struct worlds *worlds, const struct world *world);

/**
 * Walk the world of every pinned name, otherwise like @world.
 *
 * @said_is_pin: the bytes would say that very name
 */
struct survey worlds_survey(const struct worlds *worlds, struct world world, bool said_is_pin);

/** Whether every name pinned to the destination, and there is one, is allowed. */
bool worlds_agree(const struct worlds *worlds, const struct survey *survey);

/** Whether some layer asks a rule by name that denies before its decider. */
bool worlds_names_denied(const struct worlds *worlds);

/**
 * Whether the embedder's word can open the destination: a default `allow` would (no floor forbids it, no rule has to
 * name it), and where nobody reads what is said, no name is denied that could be in it.
 */
bool worlds_default_reaches(const struct worlds *worlds);

/** Whether the flow is encrypted DNS by its port (RFC 7858, RFC 9250). */
bool worlds_is_dns_bypass(const struct worlds *worlds);

#endif
