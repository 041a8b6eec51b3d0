/*
 * What `weir check` says about rules that are valid and probably not meant. Pure.
 */
#ifndef WEIR_CMD_LINT_H
#define WEIR_CMD_LINT_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/policy.h"
#include "policy/rule.h"

enum { LINT_TEXT_MAX = 160, LINT_RULES_MAX = 1024 };

/* Which of the remarks hold for one rule. */
enum lint_remark {
    LINT_SHADOWED = 1 << 0,    /* an earlier rule decides wherever this one would */
    LINT_EXPIRED = 1 << 1,
    LINT_WIDE_SUFFIX = 1 << 2, /* anybody can register a name below it */
    LINT_ALL_NAMES = 1 << 3,   /* every name may be asked of the resolver */
    LINT_RESOLVER = 1 << 4,    /* a resolver of the guest's choice is reached: names are not judged */
    LINT_PORT_53 = 1 << 5,     /* has no effect: port 53 ends at the gateway's resolver */
    LINT_ENCRYPTED_DNS = 1 << 6,
    LINT_PROXY = 1 << 7,       /* a port of proxies */
    LINT_LAST = LINT_PROXY,
};

/**
 * Look at rule @index of a layer.
 *
 * @groups:        entries that move addresses
 * @out_shadowing: index of the earlier rule, written when LINT_SHADOWED is set
 *
 * Return: the remarks that hold. Shadowing is looked for among the first LINT_RULES_MAX rules.
 */
unsigned lint_rule(const struct rule *rules, size_t index, const struct group_table *groups, int64_t wall_s,
                   size_t *out_shadowing);

/** Whether @a decides every flow that @b could: with @a in front, @b is never asked. */
bool lint_covers(const struct rule *a, const struct rule *b, const struct group_table *groups);

/** What a remark means, for its reader. */
const char *lint_text(enum lint_remark remark);

#endif
