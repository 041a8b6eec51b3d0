/*
 * An index of a layer's rules: which of them can apply to a name or an address, found without a scan. Built once,
 * immutable. It only proposes: whether a proposed rule applies is the caller's to find out (match.h, rule.h), and the
 * proposed ones come in no order of their numbers, so that the first match is the smallest number that applies:
 *
 *     unsigned first = layer->rule_count;
 *     struct index_walk walk = index_by_addr(&layer->index, &dst->addr);
 *
 *     for (int i; (i = index_next(&walk, first)) >= 0;)
 *         if (match_target(policy, &layer->rules[i], dst))
 *             first = (unsigned)i;
 *
 * Name rules hang on the text of their target: a keyed hash of a name's last labels finds it, and it knows the next
 * shorter target that it ends in. Address rules hang on their prefix, in an array sorted by address, where each knows
 * the next wider one around it. Rules for `any` and groups are a list of their own. Incoming rules are left out.
 *
 * Memory: some 40 bytes a rule.
 */
#ifndef WEIR_POLICY_INDEX_H
#define WEIR_POLICY_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/siphash.h"
#include "policy/name.h"
#include "policy/rule.h"

enum { INDEX_LABELS_MAX = (NAME_TEXT_MAX + 1) / 2 };

/* All zero: the index of no rules. */
struct rule_index {
    const struct rule *rules; /* borrowed from the layer */
    struct siphash_key key;
    uint16_t *order;          /* owned: rule numbers; those of a node lie together, ascending */
    struct index_node *nodes; /* owned: the wide rules' node, then those of names, then those of prefixes */
    unsigned names_end, nodes_end;
    uint16_t *slots;          /* owned: the hash table of names' nodes */
    unsigned slot_count;      /* a power of two */
    bool depths[INDEX_LABELS_MAX + 1]; /* numbers of labels that some rule's name has */
    uint16_t *shapes;         /* owned: see index_init() */
    unsigned shape_count;
};

/* Where a walk is. Borrows the index. */
struct index_walk {
    const struct rule_index *index;
    const uint16_t *at, *end; /* rule numbers of the node in hand */
    uint16_t next;            /* the node behind it */
};

/**
 * @rules: borrowed for the life of the index, at most POLICY_RULES_MAX
 *
 * `shapes` holds the number of the first name rule of each shape, ascending: two are of one shape when they differ in
 * nothing but their names and in what counts only where a name is covered (need=, tag=).
 *
 * Return: whether there was memory; else nothing is left to free.
 */
bool index_init(struct rule_index *out_index, const struct rule *rules, size_t count);
void index_deinit(struct rule_index *index);

/** The name rules that can cover canonical @name. */
struct index_walk index_by_name(const struct rule_index *index, const char *name);

/** The rules by address, group or `any` that can apply to @a. */
struct index_walk index_by_addr(const struct rule_index *index, const struct addr *a);

/** The rules for a group or `any`. */
struct index_walk index_wide(const struct rule_index *index);

/** The next rule of the walk numbered less than @below, which must not grow from call to call; -1: none is left. */
int index_next(struct index_walk *walk, unsigned below);

#endif
