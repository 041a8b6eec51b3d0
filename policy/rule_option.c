/*
 * The options of a rule. One function each; an option that could have no effect on its rule is
 * refused, as is one the language has but this version does not carry out.
 */
#include "policy/rule_parser.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"

/* 9999-12-31T23:59:59Z: the last second RFC 3339 can write. */
#define EXPIRES_MAX_S INT64_C(253402300799)

static int option_need(struct rule_parser *p, struct rule_word word, struct rule_word value)
{
    static const char *const words[] = {"auto", "sni", "host", "none"};
    static const enum rule_need needs[] = {RULE_NEED_AUTO, RULE_NEED_SNI, RULE_NEED_HOST,
                                           RULE_NEED_NONE};
    enum rule_proto proto = p->rule.proto;

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (!rule_word_is(value, words[i]))
            continue;
        p->rule.need = needs[i];
        if ((i == 1 || i == 2) && proto != RULE_TCP && proto != RULE_PROTO_ANY)
            return rule_fail(p, word, "", "only TCP can show an SNI or a Host");
        return 0;
    }
    return rule_fail_unknown(p, value, words, ARRAY_SIZE(words), "need= is auto, sni, host or none");
}

static int option_private(struct rule_parser *p, struct rule_word word, struct rule_word value)
{
    struct rule *rule = &p->rule;
    bool more = true;

    if (rule_word_is(value, "yes")) {
        rule->private_any = true;
        return 0;
    }
    while (more) {
        struct rule_word part;

        more = memchr(value.at, ',', value.len) != NULL;
        part = rule_word_cut(&value, ',');
        if (rule->private_count == RULE_PRIVATE_MAX)
            return rule_fail(p, word, "", "private= takes up to 8 networks");
        if (rule_prefix(p, word, part, &rule->private_nets[rule->private_count]) < 0)
            return -EINVAL;
        rule->private_count++;
    }
    return 0;
}

static int option_ech(struct rule_parser *p, struct rule_word word, struct rule_word value)
{
    (void)word;
    if (!rule_word_is(value, "any") && !rule_word_is(value, "deny"))
        return rule_fail(p, value, "", "ech= is any or deny");
    p->rule.ech_deny = rule_word_is(value, "deny");
    return 0;
}

static int option_quic(struct rule_parser *p, struct rule_word word, struct rule_word value)
{
    if (p->rule.proto == RULE_TCP || p->rule.proto == RULE_ICMP)
        return rule_fail(p, word, "", "quic= is for rules of udp or any");
    if (!rule_word_is(value, "inspect") && !rule_word_is(value, "refuse"))
        return rule_fail(p, value, "", "quic= is refuse or inspect");
    p->rule.quic_inspect = rule_word_is(value, "inspect");
    return 0;
}

static int option_http(struct rule_parser *p, struct rule_word word, struct rule_word value)
{
    if (p->rule.proto == RULE_UDP || p->rule.proto == RULE_ICMP)
        return rule_fail(p, word, "", "http= is for rules of tcp or any");
    if (!rule_word_is(value, "first") && !rule_word_is(value, "every"))
        return rule_fail(p, value, "", "http= is first or every");
    p->rule.http_first = rule_word_is(value, "first");
    return 0;
}

static int option_force(struct rule_parser *p, struct rule_word word, struct rule_word value)
{
    if (p->rule.target != RULE_BELOW && p->rule.target != RULE_SUFFIX)
        return rule_fail(p, word, "", "force= is for suffixes: .name and *.name");
    if (!rule_word_is(value, "yes"))
        return rule_fail(p, value, "", "force= is yes or left out");
    p->force = true;
    return 0;
}

/* @count digits at @s as a number within lo..hi, or -1. */
static int digits(const char *s, unsigned count, int lo, int hi)
{
    int n = 0;

    for (unsigned i = 0; i < count; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        n = 10 * n + (s[i] - '0');
    }
    return n >= lo && n <= hi ? n : -1;
}

/* RFC 3339 section 5.6 date-time, without fractions and leap seconds. */
static bool time_read(struct rule_word w, int64_t *out_s)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day, hour, minute, second, days, offset_s = 0;
    struct tm tm = {0};
    int64_t s;

    if (w.len != 20 && w.len != 25)
        return false;
    year = digits(w.at, 4, 1970, 9999);
    month = digits(w.at + 5, 2, 1, 12);
    day = digits(w.at + 8, 2, 1, 31);
    hour = digits(w.at + 11, 2, 0, 23);
    minute = digits(w.at + 14, 2, 0, 59);
    second = digits(w.at + 17, 2, 0, 59);
    if (year < 0 || month < 0 || day < 0 || hour < 0 || minute < 0 || second < 0 ||
        w.at[4] != '-' || w.at[7] != '-' || w.at[10] != 'T' || w.at[13] != ':' || w.at[16] != ':')
        return false;
    days = month_days[month - 1];
    if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
        days = 29;
    if (day > days)
        return false;
    if (w.len == 25) {
        int oh = digits(w.at + 20, 2, 0, 23), om = digits(w.at + 23, 2, 0, 59);

        if (oh < 0 || om < 0 || w.at[22] != ':' || (w.at[19] != '+' && w.at[19] != '-'))
            return false;
        offset_s = (w.at[19] == '+' ? 1 : -1) * (oh * 3600 + om * 60);
    } else if (w.at[19] != 'Z') {
        return false;
    }
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    tm.tm_hour = hour;
    tm.tm_min = minute;
    tm.tm_sec = second;
    s = (int64_t)timegm(&tm) - offset_s;
    if (s <= 0 || s > EXPIRES_MAX_S)
        return false;
    *out_s = s;
    return true;
}

static int option_expires(struct rule_parser *p, struct rule_word word, struct rule_word value)
{
    (void)word;
    if (!time_read(value, &p->rule.expires_s))
        return rule_fail(p, value, "write it like 2030-01-31T18:00:00Z", "not a point in time");
    return 0;
}

static int option_tag(struct rule_parser *p, struct rule_word word, struct rule_word value)
{
    if (value.len > RULE_TAG_MAX)
        return rule_fail(p, word, "", "a tag has at most 63 bytes");
    for (size_t i = 0; i < value.len; i++)
        /* Tags are printed into logs: no quotes, escapes or bytes that a terminal might obey. */
        if (value.at[i] <= 0x20 || value.at[i] >= 0x7f || strchr("\"'\\`", value.at[i]))
            return rule_fail(p, word, "", "a tag is printable ASCII without quotes");
    CHECK(rule_word_copy(value, p->rule.tag, sizeof(p->rule.tag)));
    return 0;
}

/* ---- limits ---- */

/* A number from 1 on, as digits alone. Return: its digits, or 0 when there is none or it is beyond 64 bits. */
static size_t number_read(struct rule_word w, uint64_t *out_n)
{
    uint64_t n = 0;
    size_t len = 0;

    for (; len < w.len && w.at[len] >= '0' && w.at[len] <= '9'; len++) {
        uint64_t digit = (uint64_t)(w.at[len] - '0');

        if (n > (UINT64_MAX - digit) / 10)
            return 0;
        n = 10 * n + digit;
    }
    if (n == 0 || w.at[0] == '0')
        return 0;
    *out_n = n;
    return len;
}

static int count_read(struct rule_parser *p, struct rule_word value, uint32_t *out_count)
{
    uint64_t n;

    if (number_read(value, &n) != value.len || n > UINT32_MAX)
        return rule_fail(p, value, "write a plain number from 1 to 4294967295", "not a number of flows");
    *out_count = (uint32_t)n;
    return 0;
}

static int option_conns(struct rule_parser *p, struct rule_word word, struct rule_word value)
{
    (void)word;
    return count_read(p, value, &p->rule.conns);
}

static int option_rate(struct rule_parser *p, struct rule_word word, struct rule_word value)
{
    (void)word;
    return count_read(p, value, &p->rule.rate);
}

static int size_read(struct rule_parser *p, struct rule_word value, uint64_t *out_bytes)
{
    struct rule_word unit = value;
    uint64_t n = 0;
    size_t len = number_read(value, &n);

    unit.at += len;
    unit.len -= len;
    for (size_t i = 0; len > 0 && i < ARRAY_SIZE(rule_units); i++) {
        if (!rule_word_is(unit, rule_units[i].name))
            continue;
        if (n > UINT64_MAX / rule_units[i].bytes)
            break;
        *out_bytes = n * rule_units[i].bytes;
        return 0;
    }
    return rule_fail(p, value, "write it like 500, 64k, 10M or 1G", "not a number of bytes");
}

static int option_up(struct rule_parser *p, struct rule_word word, struct rule_word value)
{
    (void)word;
    return size_read(p, value, &p->rule.up_max);
}

static int option_down(struct rule_parser *p, struct rule_word word, struct rule_word value)
{
    (void)word;
    return size_read(p, value, &p->rule.down_max);
}

enum option_scope {
    SCOPE_EVERY,      /* any rule */
    SCOPE_OPEN,       /* ... that is no deny */
    SCOPE_NAMES,      /* rules by name */
    SCOPE_NAMES_OPEN, /* ... that are no deny */
};

static const struct option {
    const char *key;
    enum option_scope scope;
    int (*read)(struct rule_parser *p, struct rule_word word, struct rule_word value);
    const char *missing; /* why this version refuses it; then `read` is NULL */
} options[] = {
    {"need", SCOPE_NAMES_OPEN, option_need, NULL},
    {"private", SCOPE_NAMES_OPEN, option_private, NULL},
    {"ech", SCOPE_NAMES_OPEN, option_ech, NULL},
    {"quic", SCOPE_NAMES, option_quic, NULL},
    {"http", SCOPE_NAMES_OPEN, option_http, NULL},
    {"force", SCOPE_NAMES, option_force, NULL},
    {"expires", SCOPE_EVERY, option_expires, NULL},
    {"tag", SCOPE_EVERY, option_tag, NULL},
    {"conns", SCOPE_OPEN, option_conns, NULL},
    {"rate", SCOPE_OPEN, option_rate, NULL},
    {"up", SCOPE_OPEN, option_up, NULL},
    {"down", SCOPE_OPEN, option_down, NULL},
    {"via", SCOPE_EVERY, NULL, "'via=' needs upstream proxies, which this version does not have"},
};

static int option_read(struct rule_parser *p, size_t index, struct rule_word word,
                       struct rule_word value)
{
    const struct option *option = &options[index];

    if (!option->read)
        return rule_fail(p, word, "", option->missing);
    if (p->options_seen & 1u << index)
        return rule_fail(p, word, "", "the option is given twice");
    p->options_seen |= 1u << index;
    if (value.len == 0)
        return rule_fail(p, word, "", "the option has no value");
    if ((option->scope == SCOPE_NAMES || option->scope == SCOPE_NAMES_OPEN) && !rule_is_by_name(&p->rule))
        return rule_fail(p, word, "", "the option is for rules whose target is a name");
    if ((option->scope == SCOPE_OPEN || option->scope == SCOPE_NAMES_OPEN) && p->rule.action == RULE_DENY)
        return rule_fail(p, word, "", "the option has no meaning in a deny rule");
    return option->read(p, word, value);
}

int rule_option(struct rule_parser *p, struct rule_word word)
{
    const char *keys[ARRAY_SIZE(options)];
    struct rule_word value = word, key;

    if (!memchr(word.at, '=', word.len))
        return rule_fail(p, word, "behind the protocol only key=value may follow",
                         "an unexpected word");
    key = rule_word_cut(&value, '=');
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (rule_word_is(key, options[i].key))
            return option_read(p, i, word, value);
        keys[i] = options[i].key;
    }
    return rule_fail_unknown(p, key, keys, ARRAY_SIZE(keys), "not an option");
}
