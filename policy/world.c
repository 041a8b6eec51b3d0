#include "policy/world.h"

#include <string.h>

#include "base/check.h"

bool worlds_is_dns_bypass(const struct worlds *worlds)
{
    const struct facts *f = worlds->facts;

    return (f->proto == RULE_TCP || f->proto == RULE_UDP) && f->port == MATCH_PORT_DOT;
}

bool worlds_names_denied(const struct worlds *worlds)
{
    return worlds->views[POLICY_LAYER_FLOOR].name_denies || worlds->views[POLICY_LAYER_POLICY].name_denies;
}

static bool default_opens(const struct worlds *worlds)
{
    /* Encrypted DNS is opened by a rule written for its port, never in passing. */
    return worlds->dst.group == GROUP_PUBLIC && !worlds->dst.unrouted && !worlds_is_dns_bypass(worlds);
}

bool worlds_default_reaches(const struct worlds *worlds)
{
    return default_opens(worlds) && !(worlds->facts->proto == RULE_UDP && worlds_names_denied(worlds));
}

/* Elsewhere than on QUIC's own port a rule has to write its ports: not all UDP of a name is QUIC. */
static bool inspects(const struct rule *rule, const struct facts *f)
{
    return f->proto == RULE_UDP && rule->quic_inspect &&
           (f->port == MATCH_PORT_QUIC || rule->port_count > 0);
}

/* Whether the rule counts for this flow, if its name is one that the rule covers. */
static bool bears(const struct worlds *worlds, const struct rule *rule)
{
    const struct facts *f = worlds->facts;
    bool deny = rule->action == RULE_DENY;

    if (!match_in_force(rule, f->wall_s) || !rule_covers_port(rule, f->proto, f->port))
        return false;
    /* Encrypted DNS is opened by a rule written for its port, never in passing. */
    if (!deny && worlds_is_dns_bypass(worlds) && !match_lists_port(rule, f->port))
        return false;
    if (rule_is_by_name(rule))
        return deny || match_reach(rule, &worlds->dst);
    return match_target(worlds->policy, rule, &worlds->dst);
}

static void find_decider(struct view *view, const struct worlds *worlds)
{
    const struct layer *layer = view->layer;
    struct index_walk walk = index_by_addr(&layer->index, &worlds->facts->dst);

    view->end = (unsigned)layer->rule_count;
    for (int i; (i = index_next(&walk, view->end)) >= 0;)
        if (bears(worlds, &layer->rules[i]))
            view->end = (unsigned)i;
    if (view->end < layer->rule_count) {
        view->decider_allows = layer->rules[view->end].action != RULE_DENY;
        view->decider_audits = layer->rules[view->end].action == RULE_AUDIT;
    } else {
        view->decider_allows = !layer->present || (layer->allow_default && default_opens(worlds));
        view->decider_audits = false;
    }
}

/* Name rules of one shape bear on the flow all or none, so the first one of each tells. */
static void view_fill(struct view *view, const struct worlds *worlds, const struct layer *layer)
{
    const struct rule_index *index = &layer->index;

    view->layer = layer;
    find_decider(view, worlds);
    view->name_allows = view->name_denies = view->name_audits = view->inspects = false;
    view->name_limits = view->let_in = false;
    view->watch = view->end;
    for (unsigned i = 0; i < index->shape_count && index->shapes[i] < view->end; i++) {
        const struct rule *rule = &layer->rules[index->shapes[i]];
        bool deny = rule->action == RULE_DENY, audit = rule->action == RULE_AUDIT;

        if (!bears(worlds, rule))
            continue;
        view->name_allows = view->name_allows || !deny;
        view->name_denies = view->name_denies || deny || rule->ech_deny;
        view->name_audits = view->name_audits || audit;
        view->name_limits = view->name_limits || rule_has_limits(rule);
        view->inspects = view->inspects || inspects(rule, worlds->facts);
        if (view->watch == view->end && (deny || rule->ech_deny || audit || rule_has_limits(rule)))
            view->watch = index->shapes[i];
    }
}

/* RULE_NEED_AUTO here means: the pin decides unless the bytes contradict it. */
static enum rule_need need_of(const struct rule *rule, const struct facts *f)
{
    static const uint16_t sni_ports[] = {443, 8443, 853};
    static const uint16_t host_ports[] = {80, 8000, 8008, 8080};

    if (rule->need != RULE_NEED_AUTO || f->proto != RULE_TCP)
        return rule->need;
    for (size_t i = 0; i < ARRAY_SIZE(sni_ports); i++)
        if (f->port == sni_ports[i])
            return RULE_NEED_SNI;
    for (size_t i = 0; i < ARRAY_SIZE(host_ports); i++)
        if (f->port == host_ports[i])
            return RULE_NEED_HOST;
    return RULE_NEED_AUTO;
}

/* Whether the world's bytes are of the form the need asks for, a name in them or not. */
static bool need_fits(enum rule_need need, const struct world *w)
{
    switch (need) {
    case RULE_NEED_SNI:
        return w->kind == WORLD_IDEAL || w->kind == WORLD_TLS;
    case RULE_NEED_HOST:
        return w->kind == WORLD_IDEAL || w->kind == WORLD_HTTP;
    case RULE_NEED_AUTO:
        return w->kind != WORLD_BAD;
    case RULE_NEED_NONE:
        return true; /* the bytes are not asked, so what they are cannot matter */
    }
    CHECK(!"a rule need");
    return false;
}

/* The pin stands for no QUIC connection: its name is there to be read. */
static bool quic_said(const struct rule *rule, const struct world *w)
{
    return rule->quic_inspect && (w->kind == WORLD_IDEAL || w->kind == WORLD_TLS) && w->said &&
           strcmp(w->said, w->pin) == 0;
}

static bool need_met(enum rule_need need, const struct world *w)
{
    if (!need_fits(need, w))
        return false;
    if (need == RULE_NEED_NONE || (need == RULE_NEED_AUTO && w->kind == WORLD_OPAQUE))
        return true;
    return w->said && strcmp(w->said, w->pin) == 0;
}

/* Numbers of name rules in a world; the view's `end`: none. */
struct naming {
    unsigned first;          /* the first that decides */
    unsigned unmet;          /* the first that covers the pin and whose need is not met, maybe behind `first` */
    unsigned unmet_nameless; /* ... for want of a name alone */
};

static void ask_pin(const struct view *view, const struct worlds *worlds, const struct world *w, struct naming *n)
{
    struct index_walk walk = index_by_name(&view->layer->index, w->pin);

    for (int i; (i = index_next(&walk, n->first)) >= 0;) {
        const struct rule *rule = &view->layer->rules[i];
        enum rule_need need;

        if (!bears(worlds, rule) || !rule_covers_name(rule, w->pin))
            continue;
        need = need_of(rule, worlds->facts);
        /* Where the pin stands for the name, a denied name is denied by its pin as well. */
        if (rule->action == RULE_DENY || (worlds->quic ? quic_said(rule, w) : need_met(need, w))) {
            n->first = (unsigned)i;
            continue;
        }
        if ((unsigned)i < n->unmet)
            n->unmet = (unsigned)i;
        if ((unsigned)i < n->unmet_nameless && need_fits(need, w))
            n->unmet_nameless = (unsigned)i;
    }
}

/* A said name is allowed by its pin alone, but denied without one. */
static void ask_said(const struct view *view, const struct worlds *worlds, const struct world *w, struct naming *n)
{
    struct index_walk walk = index_by_name(&view->layer->index, w->said);

    for (int i; (i = index_next(&walk, n->first)) >= 0;) {
        const struct rule *rule = &view->layer->rules[i];

        if (rule->action == RULE_DENY && bears(worlds, rule) && rule_covers_name(rule, w->said))
            n->first = (unsigned)i;
    }
}

static void decide_by_name(const struct worlds *worlds, const struct world *w, const struct rule *rule,
                           struct outcome *o)
{
    enum rule_need need = need_of(rule, worlds->facts);

    if (rule->action == RULE_DENY) {
        o->allow = false;
        o->why = OUTCOME_NAME;
        return;
    }
    o->allow = !(rule->ech_deny && w->ech);
    o->why = o->allow ? OUTCOME_NAME : OUTCOME_ECH;
    o->by_name = true;
    o->audited = o->audited || rule->action == RULE_AUDIT;
    o->peeks = o->peeks || need == RULE_NEED_SNI || need == RULE_NEED_HOST;
    o->watched = o->watched || need != RULE_NEED_NONE || rule->ech_deny;
    o->follows_hello = o->follows_hello || need != RULE_NEED_NONE || rule->ech_deny;
    o->follows_http = o->follows_http || (need != RULE_NEED_NONE && !rule->http_first);
}

/* Walk one layer; what it says of rule, allow and why is this layer's, the rest adds up over the layers. */
static void view_walk(const struct view *view, const struct worlds *worlds, const struct world *w,
                      struct outcome *o)
{
    struct naming n = {view->end, view->end, view->end};
    bool asked;

    if (w->pin)
        ask_pin(view, worlds, w, &n);
    if (w->said && !(w->pin && strcmp(w->said, w->pin) == 0))
        ask_said(view, worlds, w, &n);
    o->unmet = o->unmet || n.unmet < n.first;
    o->unmet_nameless = o->unmet_nameless || n.unmet_nameless < n.first;
    o->watched = o->watched || view->watch < n.first;
    if (n.first < view->end) {
        o->rule = (int)n.first;
        decide_by_name(worlds, w, &view->layer->rules[n.first], o);
        return;
    }
    o->rule = view->end < view->layer->rule_count ? (int)view->end : -1;
    o->allow = view->decider_allows;
    o->why = o->rule < 0 ? OUTCOME_DEFAULT : OUTCOME_ADDRESS;
    o->let_in = view->let_in;
    o->audited = o->audited || view->decider_audits;
    asked = view->name_denies || view->name_audits || view->name_limits;
    o->follows_hello = o->follows_hello || asked;
    o->follows_http = o->follows_http || asked;
}

struct outcome worlds_walk(const struct worlds *worlds, const struct world *w)
{
    struct outcome o = {.allow = true, .rule = -1, .rules = {-1, -1}};

    for (unsigned i = 0; i < POLICY_LAYERS && o.allow; i++) {
        if (!worlds->views[i].layer->present)
            continue;
        o.layer = (enum policy_layer)i;
        view_walk(&worlds->views[i], worlds, w, &o);
        o.rules[i] = o.rule;
    }
    return o;
}

struct survey worlds_survey(const struct worlds *worlds, struct world w, bool said_is_pin)
{
    struct survey s = {0};

    for (size_t i = 0; i < worlds->name_count; i++) {
        struct outcome o;

        w.pin = worlds->facts->names[i];
        if (said_is_pin)
            w.said = w.pin;
        o = worlds_walk(worlds, &w);
        s.unmet = s.unmet || o.unmet;
        s.unmet_nameless = s.unmet_nameless || o.unmet_nameless;
        s.ech = s.ech || o.why == OUTCOME_ECH;
        if (!o.allow) {
            s.denied++;
            continue;
        }
        s.watched = s.watched || o.watched;
        s.peeks = s.peeks || o.peeks;
        s.differs = s.differs || (s.allowed > 0 && memcmp(o.rules, s.first.rules, sizeof(o.rules)) != 0);
        if (s.allowed++ == 0) {
            s.first = o;
            s.name = w.pin;
        }
    }
    return s;
}

bool worlds_agree(const struct worlds *worlds, const struct survey *s)
{
    return s->allowed > 0 && s->denied == 0 && !worlds->names_more;
}

void worlds_init(struct worlds *worlds, const struct policy *policy, const struct facts *facts)
{
    struct view *policy_view;

    worlds->policy = policy;
    worlds->facts = facts;
    worlds->dst = match_destination(policy, &facts->dst);
    worlds->names_more = facts->names_more || facts->name_count > POLICY_WORLDS_MAX;
    worlds->name_count =
        facts->name_count > POLICY_WORLDS_MAX ? POLICY_WORLDS_MAX : facts->name_count;
    worlds->quic = facts->proto == RULE_UDP && facts->port == MATCH_PORT_QUIC;
    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        view_fill(&worlds->views[i], worlds, &policy->layers[i]);
        worlds->quic = worlds->quic || worlds->views[i].inspects;
    }
    policy_view = &worlds->views[POLICY_LAYER_POLICY];
    if (facts->let_in && policy_view->end == policy_view->layer->rule_count && !policy_view->decider_allows &&
        worlds_default_reaches(worlds))
        policy_view->decider_allows = policy_view->let_in = true;
}
