/*
 * Shadowing is claimed only where it is certain. A name rule that allows may be passed over (its need is not met, the
 * name is not pinned, it does not read QUIC), so it hides only rules that need no less; an address rule that allows
 * does not open the floor, so it hides only what it opens.
 */
#include "cmd/lint.h"

#include <string.h>

#include "base/check.h"

enum { PORT_DNS = 53, PORT_DOT = 853, PORT_SOCKS = 1080, PORT_HTTP_PROXY = 3128 };

static bool is_suffix(const struct rule *rule)
{
    return rule->target == RULE_BELOW || rule->target == RULE_SUFFIX;
}

static bool lists_port(const struct rule *rule, uint16_t port)
{
    for (unsigned i = 0; i < rule->port_count; i++)
        if (rule->ports[i].lo == port && rule->ports[i].hi == port)
            return true;
    return false;
}

static bool covers_ports(const struct rule *a, const struct rule *b)
{
    if (a->proto != RULE_PROTO_ANY && a->proto != b->proto)
        return false;
    /* Port 853 is opened only by rules that list it. */
    if (a->action != RULE_DENY && lists_port(b, PORT_DOT) && !lists_port(a, PORT_DOT))
        return false;
    if (a->port_count == 0)
        return true;
    for (unsigned i = 0; i < b->port_count; i++) {
        bool inside = false;

        for (unsigned j = 0; j < a->port_count; j++)
            inside = inside || (a->ports[j].lo <= b->ports[i].lo && b->ports[i].hi <= a->ports[j].hi);
        if (!inside)
            return false;
    }
    return b->port_count > 0;
}

static bool covers_names(const struct rule *a, const struct rule *b)
{
    bool below = name_below(b->name, a->name), same = strcmp(a->name, b->name) == 0;

    switch (a->target) {
    case RULE_NAME:
        return b->target == RULE_NAME && same;
    case RULE_SUFFIX:
        return below;
    case RULE_BELOW: /* all but the apex */
        return below && (!same || b->target == RULE_BELOW);
    case RULE_ANY:
    case RULE_PREFIX:
    case RULE_GROUP:
        break;
    }
    return false;
}

static bool covers_private(const struct rule *a, const struct rule *b)
{
    if (a->private_any)
        return true;
    if (b->private_any)
        return false;
    for (unsigned i = 0; i < b->private_count; i++) {
        bool inside = false;

        for (unsigned j = 0; j < a->private_count; j++)
            inside = inside || addr_prefix_covers(&a->private_nets[j], &b->private_nets[i]);
        if (!inside)
            return false;
    }
    return true;
}

static bool name_rule_covers(const struct rule *a, const struct rule *b)
{
    if (!rule_is_by_name(b) || !covers_names(a, b))
        return false;
    if (a->action == RULE_DENY)
        return true;
    if (b->action == RULE_DENY)
        return false; /* it also holds for names that are not pinned */
    if (b->quic_inspect && !a->quic_inspect)
        return false; /* where QUIC is read, what does not read it is passed over */
    return (a->need == RULE_NEED_NONE || a->need == b->need) && covers_private(a, b);
}

/* `any` and group public decide for every public address, whatever name leads there. */
static bool public_covers(const struct rule *a, const struct rule *b, const struct group_table *groups)
{
    if (rule_is_by_name(b))
        return !b->private_any && b->private_count == 0;
    if (b->target == RULE_PREFIX)
        return b->prefix.bits == 8 * addr_size(&b->prefix.base) &&
               group_of(groups, &b->prefix.base, NULL) == GROUP_PUBLIC;
    (void)a;
    return b->target == RULE_ANY || (b->target == RULE_GROUP && b->group == GROUP_PUBLIC);
}

static bool group_covers_rule(const struct rule *a, const struct rule *b, const struct group_table *groups)
{
    /* An allow for `host` opens the alias only. */
    if (a->group == GROUP_HOST && a->action != RULE_DENY)
        return b->target == RULE_GROUP && b->group == GROUP_HOST && b->action != RULE_DENY;
    if (b->target == RULE_GROUP)
        return a->group == b->group;
    return b->target == RULE_PREFIX && b->prefix.bits == 8 * addr_size(&b->prefix.base) &&
           group_of(groups, &b->prefix.base, NULL) == a->group;
}

static bool prefix_covers_rule(const struct rule *a, const struct rule *b, const struct group_table *groups)
{
    bool single = b->target == RULE_PREFIX && b->prefix.bits == 8 * addr_size(&b->prefix.base);
    bool same;

    if (b->target != RULE_PREFIX || !addr_prefix_covers(&a->prefix, &b->prefix))
        return false;
    same = a->prefix.bits == b->prefix.bits;
    if (a->action == RULE_DENY || (same && b->action != RULE_DENY))
        return true;
    return (single && group_of(groups, &b->prefix.base, NULL) == GROUP_PUBLIC) ||
           group_covers(groups, GROUP_PRIVATE, &a->prefix);
}

bool lint_covers(const struct rule *a, const struct rule *b, const struct group_table *groups)
{
    if (a->direction != b->direction || !covers_ports(a, b))
        return false;
    if (a->expires_s != 0 && (b->expires_s == 0 || b->expires_s > a->expires_s))
        return false;
    switch (a->target) {
    case RULE_NAME:
    case RULE_BELOW:
    case RULE_SUFFIX:
        return name_rule_covers(a, b);
    case RULE_ANY:
        return public_covers(a, b, groups);
    case RULE_GROUP:
        return a->group == GROUP_PUBLIC ? public_covers(a, b, groups) : group_covers_rule(a, b, groups);
    case RULE_PREFIX:
        return prefix_covers_rule(a, b, groups);
    }
    CHECK(!"a rule target");
    return false;
}

unsigned lint_rule(const struct rule *rules, size_t index, const struct group_table *groups, int64_t wall_s,
                   size_t *out_shadowing)
{
    const struct rule *rule = &rules[index];
    bool opens = rule->action != RULE_DENY;
    unsigned remarks = 0;

    if (rule->expires_s != 0 && rule->expires_s <= wall_s)
        return LINT_EXPIRED;
    for (size_t i = 0; i < index && index < LINT_RULES_MAX && !(remarks & LINT_SHADOWED); i++) {
        if ((rules[i].expires_s == 0 || rules[i].expires_s > wall_s) && lint_covers(&rules[i], rule, groups)) {
            remarks |= LINT_SHADOWED;
            *out_shadowing = i;
        }
    }
    if (!opens)
        return remarks;
    if (is_suffix(rule) && !name_registrable(rule->name))
        remarks |= LINT_WIDE_SUFFIX;
    if (rule->target == RULE_ANY || (rule->target == RULE_GROUP && rule->group != GROUP_HOST))
        remarks |= LINT_ALL_NAMES;
    if (lists_port(rule, PORT_DNS))
        remarks |= rule->target == RULE_PREFIX ? LINT_RESOLVER : LINT_PORT_53;
    if (lists_port(rule, PORT_DOT))
        remarks |= LINT_ENCRYPTED_DNS;
    if ((rule->proto == RULE_TCP || rule->proto == RULE_PROTO_ANY) &&
        (lists_port(rule, PORT_SOCKS) || lists_port(rule, PORT_HTTP_PROXY)))
        remarks |= LINT_PROXY;
    return remarks;
}

const char *lint_text(enum lint_remark remark)
{
    switch (remark) {
    case LINT_SHADOWED:
        return "never decides anything: an earlier rule does, wherever it would";
    case LINT_EXPIRED:
        return "has expired";
    case LINT_WIDE_SUFFIX:
        return "anybody can register a name below this suffix";
    case LINT_ALL_NAMES:
        return "lets the guest ask the resolver for every name, which can carry data out";
    case LINT_RESOLVER:
        return "names asked at this resolver are neither judged nor tied to addresses";
    case LINT_PORT_53:
        return "port 53 ends at the gateway's resolver; only a rule by address or network opens another one";
    case LINT_ENCRYPTED_DNS:
        return "names asked over encrypted DNS there are not seen";
    case LINT_PROXY:
        return "a proxy on that port leads the guest anywhere, whatever the other rules say";
    }
    CHECK(!"a remark");
    return "";
}
