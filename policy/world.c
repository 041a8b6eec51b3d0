#include "policy/world.h"

#include <string.h>

#include "base/check.h"

bool worlds_is_dns_bypass(const struct worlds *worlds)
{
    const struct facts *f = worlds->facts;

    return (f->proto == RULE_TCP || f->proto == RULE_UDP) && f->port == MATCH_PORT_DOT;
}

/* Elsewhere than on QUIC's own port a rule has to write its ports: not all UDP of a name is QUIC. */
static bool inspects(const struct rule *rule, const struct facts *f)
{
    return f->proto == RULE_UDP && rule->quic_inspect &&
           (f->port == MATCH_PORT_QUIC || rule->port_count > 0);
}

static void view_fill(struct view *view, const struct worlds *worlds, const struct layer *layer)
{
    const struct facts *f = worlds->facts;
    /* Encrypted DNS is opened by a rule written for its port, never in passing. */
    bool bypass = worlds_is_dns_bypass(worlds);

    view->layer = layer;
    view->by_name_count = 0;
    view->decider = -1;
    view->name_allows = view->name_denies = view->name_audits = view->inspects = view->decider_audits = false;
    view->name_limits = false;
    view->decider_allows = !layer->present || (layer->allow_default && !bypass &&
                                               worlds->dst.group == GROUP_PUBLIC && !worlds->dst.unrouted);
    for (size_t i = 0; i < layer->rule_count; i++) {
        const struct rule *rule = &layer->rules[i];
        bool deny = rule->action == RULE_DENY;

        if (!match_in_force(rule, f->wall_s) || !rule_covers_port(rule, f->proto, f->port) ||
            (!deny && bypass && !match_lists_port(rule, f->port)))
            continue;
        if (rule_is_by_name(rule)) {
            if (!deny && !match_reach(rule, &worlds->dst))
                continue;
            view->by_name[view->by_name_count++] = (uint16_t)i;
            view->name_allows = view->name_allows || !deny;
            view->name_denies = view->name_denies || deny || rule->ech_deny;
            view->name_audits = view->name_audits || rule->action == RULE_AUDIT;
            view->name_limits = view->name_limits || rule_has_limits(rule);
            view->inspects = view->inspects || inspects(rule, f);
        } else if (match_target(worlds->policy, rule, &worlds->dst)) {
            view->decider = (int)i;
            view->decider_allows = !deny;
            view->decider_audits = rule->action == RULE_AUDIT;
            return;
        }
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

/* Walk one layer; what it says of rule, allow and why is this layer's, the rest adds up over the layers. */
static void view_walk(const struct view *view, const struct worlds *worlds, const struct world *w,
                      struct outcome *o)
{
    bool asked;

    for (unsigned i = 0; i < view->by_name_count; i++) {
        const struct rule *rule = &view->layer->rules[view->by_name[i]];
        bool covers_pin = w->pin && rule_covers_name(rule, w->pin);
        enum rule_need need = need_of(rule, worlds->facts);

        o->rule = view->by_name[i];
        if (rule->action == RULE_DENY) {
            /* Where the pin stands for the name, a denied name is denied by its pin as well. */
            if (covers_pin || (w->said && rule_covers_name(rule, w->said))) {
                o->allow = false;
                o->why = OUTCOME_NAME;
                return;
            }
            o->watched = true;
            continue;
        }
        if (!covers_pin || (worlds->quic ? !quic_said(rule, w) : !need_met(need, w))) {
            o->unmet = o->unmet || covers_pin;
            o->unmet_nameless = o->unmet_nameless || (covers_pin && need_fits(need, w));
            o->watched = o->watched || rule->ech_deny || rule->action == RULE_AUDIT || rule_has_limits(rule);
            continue;
        }
        o->allow = !(rule->ech_deny && w->ech);
        o->why = o->allow ? OUTCOME_NAME : OUTCOME_ECH;
        o->by_name = true;
        o->audited = o->audited || rule->action == RULE_AUDIT;
        o->peeks = o->peeks || need == RULE_NEED_SNI || need == RULE_NEED_HOST;
        o->watched = o->watched || need != RULE_NEED_NONE || rule->ech_deny;
        o->follows_hello = o->follows_hello || need != RULE_NEED_NONE || rule->ech_deny;
        o->follows_http = o->follows_http || (need != RULE_NEED_NONE && !rule->http_first);
        return;
    }
    o->rule = view->decider;
    o->allow = view->decider_allows;
    o->why = view->decider < 0 ? OUTCOME_DEFAULT : OUTCOME_ADDRESS;
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
}
