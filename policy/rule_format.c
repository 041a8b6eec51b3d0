/*
 * A rule read back: its canonical spelling, and what falls under it.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "policy/rule.h"
#include "policy/rule_parser.h"

const struct rule_unit rule_units[RULE_UNITS] = {
    {"", 1},
    {"k", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
};

struct text {
    char *out; /* borrowed; RULE_TEXT_MAX bytes */
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(t->out + t->len, RULE_TEXT_MAX - t->len, format, args);
    va_end(args);
    /* rule_parse() takes no rule whose spelling could be longer. */
    CHECK(n >= 0 && (size_t)n < RULE_TEXT_MAX - t->len);
    t->len += (size_t)n;
}

static void put_prefix(struct text *t, const struct addr_prefix *prefix)
{
    char text[ADDR_PREFIX_TEXT_MAX];

    if (prefix->bits == 8 * addr_size(&prefix->base))
        put(t, "%s", addr_format(&prefix->base, text));
    else
        put(t, "%s", addr_prefix_format(prefix, text));
}

static void put_target(struct text *t, const struct rule *rule)
{
    switch (rule->target) {
    case RULE_ANY:
        put(t, "any");
        break;
    case RULE_NAME:
        put(t, "%s%s", rule->name, rule_name_is_word(rule->name) ? "." : "");
        break;
    case RULE_BELOW:
        put(t, "*.%s", rule->name);
        break;
    case RULE_SUFFIX:
        put(t, ".%s", rule->name);
        break;
    case RULE_PREFIX:
        put_prefix(t, &rule->prefix);
        break;
    case RULE_GROUP:
        put(t, "%s", group_name(rule->group));
        break;
    }
}

static void put_ports(struct text *t, const struct rule *rule)
{
    static const char *const protos[] = {
        [RULE_PROTO_ANY] = "any",
        [RULE_TCP] = "tcp",
        [RULE_UDP] = "udp",
        [RULE_ICMP] = "icmp",
    };

    if (rule->proto == RULE_PROTO_ANY && rule->port_count == 0)
        return;
    put(t, " %s", protos[rule->proto]);
    for (unsigned i = 0; i < rule->port_count; i++) {
        const struct rule_ports *ports = &rule->ports[i];

        put(t, "%c%u", i == 0 ? '/' : ',', ports->lo);
        if (ports->hi != ports->lo)
            put(t, "-%u", ports->hi);
    }
}

static void put_size(struct text *t, const char *key, uint64_t bytes)
{
    unsigned unit = RULE_UNITS - 1;

    if (bytes == 0)
        return;
    while (bytes % rule_units[unit].bytes != 0)
        unit--;
    put(t, " %s=%" PRIu64 "%s", key, bytes / rule_units[unit].bytes, rule_units[unit].name);
}

static void put_limits(struct text *t, const struct rule *rule)
{
    if (rule->conns > 0)
        put(t, " conns=%" PRIu32, rule->conns);
    if (rule->rate > 0)
        put(t, " rate=%" PRIu32, rule->rate);
    put_size(t, "up", rule->up_max);
    put_size(t, "down", rule->down_max);
}

static void put_options(struct text *t, const struct rule *rule)
{
    static const char *const needs[] = {
        [RULE_NEED_SNI] = "sni",
        [RULE_NEED_HOST] = "host",
        [RULE_NEED_NONE] = "none",
    };

    if (rule->need != RULE_NEED_AUTO)
        put(t, " need=%s", needs[rule->need]);
    if (rule->private_any)
        put(t, " private=yes");
    for (unsigned i = 0; i < rule->private_count; i++) {
        put(t, "%s", i == 0 ? " private=" : ",");
        put_prefix(t, &rule->private_nets[i]);
    }
    if (rule->quic_inspect)
        put(t, " quic=inspect");
    if (rule->http_first)
        put(t, " http=first");
    if (rule->ech_deny)
        put(t, " ech=deny");
    if ((rule->target == RULE_BELOW || rule->target == RULE_SUFFIX) &&
        !name_registrable(rule->name))
        put(t, " force=yes");
    put_limits(t, rule);
    if (rule->expires_s != 0) {
        time_t when = (time_t)rule->expires_s;
        char stamp[32];
        struct tm tm;

        CHECK(gmtime_r(&when, &tm));
        CHECK(strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
        put(t, " expires=%s", stamp);
    }
    if (rule->tag[0] != '\0')
        put(t, " tag=%s", rule->tag);
}

char *rule_format(const struct rule *rule, char out[static RULE_TEXT_MAX])
{
    static const char *const actions[] = {
        [RULE_ALLOW] = "allow",
        [RULE_DENY] = "deny",
        [RULE_AUDIT] = "audit",
    };
    struct text t = {.out = out};

    put(&t, "%s%s ", actions[rule->action], rule->direction == RULE_IN ? " in" : "");
    put_target(&t, rule);
    put_ports(&t, rule);
    put_options(&t, rule);
    return out;
}

bool rule_is_by_name(const struct rule *rule)
{
    return rule->target == RULE_NAME || rule->target == RULE_BELOW || rule->target == RULE_SUFFIX;
}

bool rule_has_limits(const struct rule *rule)
{
    return rule->conns > 0 || rule->rate > 0 || rule->up_max > 0 || rule->down_max > 0;
}

bool rule_covers_name(const struct rule *rule, const char *name)
{
    switch (rule->target) {
    case RULE_NAME:
        return strcmp(name, rule->name) == 0;
    case RULE_BELOW:
        return name_below(name, rule->name) && strcmp(name, rule->name) != 0;
    case RULE_SUFFIX:
        return name_below(name, rule->name);
    case RULE_ANY:
    case RULE_PREFIX:
    case RULE_GROUP:
        break;
    }
    return false;
}

bool rule_covers_port(const struct rule *rule, enum rule_proto proto, uint16_t port)
{
    if (rule->proto != RULE_PROTO_ANY && rule->proto != proto)
        return false;
    if (rule->port_count == 0)
        return true;
    if (proto == RULE_ICMP)
        return false;
    for (unsigned i = 0; i < rule->port_count; i++)
        if (port >= rule->ports[i].lo && port <= rule->ports[i].hi)
            return true;
    return false;
}
