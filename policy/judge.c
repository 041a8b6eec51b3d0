/*
 * The verdict of a flow: what its worlds (world.h) say together.
 *
 * The worlds of an open flow are: no name at all; each pinned name, said; and a name that is not
 * pinned, for which no rule allows that would not allow without a name. When they agree, the verdict
 * is final; when they do not, it is JUDGE (dial, hold the guest's bytes) or PEEK (do not dial either).
 *
 * What is final at open stays final: the evidence is read only when open left the verdict to it.
 */
#include "policy/policy.h"

#include <string.h>

#include "base/check.h"
#include "policy/world.h"

static struct verdict verdict_of(const struct outcome *o, enum verdict_action action,
                                 enum reason reason, const char *name)
{
    struct verdict v = {.action = action, .reason = reason, .layer = o->layer, .rule = o->rule};

    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        v.rules[i] = action != VERDICT_DENY || i < o->layer ? o->rules[i] : -1;
    v.audited = action != VERDICT_DENY && o->audited;
    v.follows_hello = action == VERDICT_ALLOW && o->follows_hello;
    v.follows_http = action == VERDICT_ALLOW && o->follows_http;
    if (name) {
        CHECK(strlen(name) <= NAME_TEXT_MAX);
        strcpy(v.name, name);
    }
    return v;
}

static struct verdict allowed(const struct outcome *o, enum verdict_action action, const char *name)
{
    enum reason reason = o->rule >= 0 ? REASON_OK_RULE : o->let_in ? REASON_OK_HOOK : REASON_OK_DEFAULT;

    return verdict_of(o, action, reason, o->by_name ? name : NULL);
}

static enum reason floor_reason(const struct destination *dst)
{
    switch (dst->group) {
    case GROUP_LOOPBACK:
        return REASON_FLOOR_LOOPBACK;
    case GROUP_LINK_LOCAL:
        return REASON_FLOOR_LINK_LOCAL;
    case GROUP_METADATA:
        return REASON_FLOOR_METADATA;
    case GROUP_MULTICAST:
        return REASON_FLOOR_MULTICAST;
    case GROUP_UNSPECIFIED:
        return REASON_FLOOR_UNSPECIFIED;
    case GROUP_HOST:
        return REASON_FLOOR_HOST;
    case GROUP_PRIVATE:
        return REASON_FLOOR_PRIVATE;
    case GROUP_GUEST:
        return REASON_FLOOR_GUEST;
    case GROUP_RESERVED:
        return dst->embedded ? REASON_FLOOR_EMBEDDED : REASON_FLOOR_RESERVED;
    case GROUP_PUBLIC:
    case GROUP_COUNT:
        break;
    }
    return REASON_DENY_DEFAULT;
}

/* Denied whatever the guest would say; @o is the walk without a name. */
static struct verdict denied_at_open(const struct worlds *worlds, const struct outcome *o)
{
    enum reason reason = REASON_DENY_DEFAULT;

    if (o->why != OUTCOME_DEFAULT)
        reason = REASON_DENY_RULE;
    else if (worlds->dst.group != GROUP_PUBLIC)
        reason = floor_reason(&worlds->dst);
    else if (worlds->views[o->layer].name_allows)
        reason = REASON_NAME_UNPINNED;
    else if (worlds_is_dns_bypass(worlds))
        reason = REASON_DNS_BYPASS;
    return verdict_of(o, VERDICT_DENY, reason, NULL);
}

/* Whether it matters which name it is, even when all are allowed: one is under audit or has limits of its own. */
static bool names_matter(const struct worlds *worlds)
{
    const struct view *floor = &worlds->views[POLICY_LAYER_FLOOR], *policy = &worlds->views[POLICY_LAYER_POLICY];

    return floor->name_audits || floor->name_limits || policy->name_audits || policy->name_limits;
}

static bool names_allowed(const struct worlds *worlds)
{
    return worlds->views[POLICY_LAYER_FLOOR].name_allows || worlds->views[POLICY_LAYER_POLICY].name_allows;
}

/* UDP and ICMP: nothing is read, so the pins decide. */
static struct verdict judge_unread(const struct worlds *worlds)
{
    struct world w = {.kind = WORLD_OPAQUE};
    struct outcome plain = worlds_walk(worlds, &w);
    struct survey s;

    if (plain.allow)
        return allowed(&plain, VERDICT_ALLOW, NULL);
    s = worlds_survey(worlds, w, false);
    if (worlds_agree(worlds, &s))
        return allowed(&s.first, VERDICT_ALLOW, s.name);
    if (s.allowed > 0 || (worlds->names_more && names_allowed(worlds)))
        return verdict_of(&plain, VERDICT_DENY, REASON_NAME_AMBIGUOUS, NULL);
    return denied_at_open(worlds, &plain);
}

/* Whether a layer that denies a name and lets others pass has QUIC refused, whatever the other layer has read. */
static bool refuses_quic(const struct worlds *worlds, enum policy_layer layer)
{
    const struct view *view = &worlds->views[layer];

    return worlds->facts->port == MATCH_PORT_QUIC && view->decider_allows && view->name_denies && !view->inspects;
}

/* QUIC before its hello: read where a rule says so and it could be allowed; else refused under name rules. */
static struct verdict judge_quic(const struct worlds *worlds)
{
    struct world w = {.kind = WORLD_IDEAL};
    struct outcome plain = worlds_walk(worlds, &w);
    bool by_name = plain.why == OUTCOME_DEFAULT && worlds->views[plain.layer].name_allows;
    const struct view *views = worlds->views;
    bool inspects = views[POLICY_LAYER_FLOOR].inspects || views[POLICY_LAYER_POLICY].inspects;
    bool refused = refuses_quic(worlds, POLICY_LAYER_FLOOR) || refuses_quic(worlds, POLICY_LAYER_POLICY);
    struct survey s;
    struct verdict v;

    if (plain.allow && !worlds_names_denied(worlds) && !(inspects && names_matter(worlds)))
        return allowed(&plain, VERDICT_ALLOW, NULL);
    if ((plain.allow || by_name) && (refused || !inspects))
        return verdict_of(&plain, VERDICT_DENY, REASON_QUIC_DENIED, NULL);
    if (plain.allow) {
        v = allowed(&plain, VERDICT_PEEK, NULL);
        v.other_rules = names_matter(worlds);
        return v;
    }
    s = worlds_survey(worlds, w, true);
    if (refused || (s.allowed == 0 && !(worlds->names_more && names_allowed(worlds) && inspects)))
        return by_name && s.unmet ? verdict_of(&plain, VERDICT_DENY, REASON_QUIC_DENIED, NULL)
                                  : denied_at_open(worlds, &plain);
    v = s.allowed > 0 ? allowed(&s.first, VERDICT_PEEK, s.name)
                      : verdict_of(&plain, VERDICT_PEEK, REASON_NAME_AMBIGUOUS, NULL);
    v.strict = true;
    v.other_rules = s.differs || worlds->names_more;
    return v;
}

/* TCP before the first byte. */
static struct verdict judge_open(const struct worlds *worlds)
{
    struct world w = {.kind = WORLD_IDEAL};
    struct outcome plain = worlds_walk(worlds, &w);
    struct survey s;
    struct verdict v;

    if (plain.allow) {
        v = allowed(&plain, worlds_names_denied(worlds) || names_matter(worlds) ? VERDICT_JUDGE : VERDICT_ALLOW, NULL);
        v.other_rules = names_matter(worlds);
        return v;
    }
    s = worlds_survey(worlds, w, true);
    if (worlds_agree(worlds, &s)) {
        v = allowed(&s.first, s.watched ? VERDICT_JUDGE : VERDICT_ALLOW, s.name);
        v.strict = s.peeks;
        v.other_rules = s.watched && s.differs;
        return v;
    }
    if (s.allowed > 0) {
        v = allowed(&s.first, VERDICT_PEEK, s.name);
        v.strict = true;
        v.other_rules = s.differs || worlds->names_more;
        return v;
    }
    if (worlds->names_more && names_allowed(worlds)) {
        /* One of the names that did not fit may be allowed. */
        v = verdict_of(&plain, VERDICT_PEEK, REASON_NAME_AMBIGUOUS, NULL);
        v.strict = true;
        return v;
    }
    return denied_at_open(worlds, &plain);
}

/* No name was said, or the bytes are no TLS or HTTP. */
static struct verdict judge_nameless(const struct worlds *worlds, const struct world *w)
{
    struct outcome plain = worlds_walk(worlds, w);
    enum reason reason = REASON_PROTO_UNKNOWN;
    struct survey s;

    /* What a server of TLS stumbles over, one of QUIC drops, and takes the hello behind it: a denied name's, maybe. */
    if (plain.allow && !(worlds->quic && w->kind == WORLD_BAD && worlds_names_denied(worlds)))
        return allowed(&plain, VERDICT_ALLOW, NULL);
    s = worlds_survey(worlds, *w, false);
    if (worlds_agree(worlds, &s))
        return allowed(&s.first, VERDICT_ALLOW, s.name);
    if (w->kind == WORLD_BAD)
        reason = worlds->facts->evidence->bad;
    else if (s.ech)
        reason = REASON_ECH_DENIED;
    else if (w->kind != WORLD_OPAQUE && (s.unmet_nameless || !s.unmet))
        reason = REASON_NAME_MISSING;
    else if (w->kind == WORLD_OPAQUE && (s.allowed > 0 || !s.unmet))
        reason = REASON_NAME_AMBIGUOUS;
    return verdict_of(&plain, VERDICT_DENY, reason, NULL);
}

/* A ClientHello or a request head that names @w's `said`. */
static struct verdict judge_said(const struct worlds *worlds, struct world w)
{
    enum reason reason = REASON_NAME_MISMATCH;
    struct outcome o;
    struct survey s;

    for (size_t i = 0; i < worlds->name_count && !w.pin; i++)
        if (strcmp(worlds->facts->names[i], w.said) == 0)
            w.pin = w.said;
    o = worlds_walk(worlds, &w);
    if (o.allow)
        return allowed(&o, VERDICT_ALLOW, w.said);
    /* Under need=none the pins decide whatever was said, short of a name denied before that rule. */
    s = worlds_survey(worlds, w, false);
    if (worlds_agree(worlds, &s))
        return allowed(&s.first, VERDICT_ALLOW, s.name);
    if (o.why == OUTCOME_NAME)
        reason = REASON_DENY_RULE;
    else if (o.why == OUTCOME_ECH)
        reason = REASON_ECH_DENIED;
    else if (o.unmet)
        reason = worlds->quic ? REASON_QUIC_DENIED : REASON_PROTO_UNKNOWN;
    return verdict_of(&o, VERDICT_DENY, reason, w.said);
}

static struct verdict judge_evidence(const struct worlds *worlds)
{
    const struct evidence *e = worlds->facts->evidence;
    struct world w = {.ech = e->ech};

    switch (e->kind) {
    case EVIDENCE_TLS:
        w.kind = WORLD_TLS;
        break;
    case EVIDENCE_HTTP:
        w.kind = WORLD_HTTP;
        break;
    case EVIDENCE_BAD:
        w.kind = WORLD_BAD;
        return judge_nameless(worlds, &w);
    case EVIDENCE_OPAQUE:
    case EVIDENCE_UNKNOWN:
        w.kind = WORLD_OPAQUE;
        return judge_nameless(worlds, &w);
    }
    if (e->name[0] == '\0')
        return judge_nameless(worlds, &w);
    w.said = e->name;
    return judge_said(worlds, w);
}

void policy_judge(const struct policy *policy, const struct facts *facts,
                  struct verdict *out_verdict)
{
    struct worlds worlds;
    struct verdict v;

    worlds_init(&worlds, policy, facts);
    v = facts->proto == RULE_TCP ? judge_open(&worlds) : worlds.quic ? judge_quic(&worlds) : judge_unread(&worlds);
    if ((v.action == VERDICT_JUDGE || v.action == VERDICT_PEEK) && facts->evidence &&
        facts->evidence->kind != EVIDENCE_UNKNOWN)
        v = judge_evidence(&worlds);
    v.by_default = v.action == VERDICT_DENY && v.layer == POLICY_LAYER_POLICY && v.rule < 0 &&
                   v.reason != REASON_QUIC_DENIED && worlds_default_reaches(&worlds);
    *out_verdict = v;
}

void policy_judge_silent(const struct policy *policy, const struct facts *facts,
                         struct verdict *out_verdict)
{
    static const struct evidence opaque = {.kind = EVIDENCE_OPAQUE};
    struct facts silent = *facts;
    struct verdict open, v;

    silent.evidence = NULL;
    policy_judge(policy, &silent, &open);
    silent.evidence = &opaque;
    policy_judge(policy, &silent, &v);
    if (open.strict && (open.action == VERDICT_JUDGE || open.action == VERDICT_PEEK)) {
        v.action = VERDICT_DENY;
        v.reason =
            open.action == VERDICT_PEEK ? REASON_NAME_AMBIGUOUS : REASON_PEEK_TIMEOUT;
        v.audited = false;
        v.name[0] = '\0';
    }
    *out_verdict = v;
}
