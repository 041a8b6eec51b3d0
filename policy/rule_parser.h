/*
 * What the two halves of the rule parser share: rule.c reads the words in order, rule_option.c the
 * key=value words behind them. Internal to policy/.
 */
#ifndef WEIR_POLICY_RULE_PARSER_H
#define WEIR_POLICY_RULE_PARSER_H

#include <stddef.h>

#include "policy/rule.h"

/* One word of the text, borrowed. */
struct rule_word {
    const char *at;
    size_t len;
};

/* A unit of sizes. */
struct rule_unit {
    const char *name;
    uint64_t bytes;
};

enum { RULE_UNITS = 4 };
extern const struct rule_unit rule_units[RULE_UNITS]; /* the smallest, which has no name, first */

struct rule_parser {
    const char *text;        /* borrowed: the whole rule, for columns */
    const char *next;        /* borrowed: first byte not yet read */
    struct rule rule;        /* filled as it goes */
    struct rule_error *error; /* borrowed */
    unsigned options_seen;   /* bit per option of rule_option.c */
    bool force;              /* force=yes */
};

/**
 * Refuse the rule because of @word.
 *
 * @hint:   may be empty
 * @format: the message; "%s" may stand for the word, made printable
 *
 * Return: -EINVAL.
 */
int rule_fail(struct rule_parser *p, struct rule_word word, const char *hint, const char *message);

/** Refuse @word with "did you mean" when one of the @count known words is near. Return: -EINVAL. */
int rule_fail_unknown(struct rule_parser *p, struct rule_word word, const char *const *known,
                      size_t count, const char *message);

bool rule_word_is(struct rule_word word, const char *text);

/**
 * Copy @word as a string.
 *
 * Return: @out, or NULL when it does not fit.
 */
const char *rule_word_copy(struct rule_word word, char *out, size_t size);

/** Cut the part before @separator off @rest; all of it when there is none. */
struct rule_word rule_word_cut(struct rule_word *rest, char separator);

/**
 * Read an address or CIDR of word @whole out of its part @part.
 *
 * Return: 0, or -EINVAL with the error filled (host bits set: with the network as hint).
 */
int rule_prefix(struct rule_parser *p, struct rule_word whole, struct rule_word part,
                struct addr_prefix *out_prefix);

/**
 * Whether canonical @name, written bare, would be read as a word of the language or be taken for a misspelt one: then
 * it is written with a dot behind it.
 */
bool rule_name_is_word(const char *name);

/** Read one key=value word. Return: 0, or -EINVAL. */
int rule_option(struct rule_parser *p, struct rule_word word);

#endif
