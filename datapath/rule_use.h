/*
 * What a guest uses of the limits of its rules (docs/policy.md, "Limits"): per link and rule with conns= or rate= the
 * flows open under it and what is left of its pace. Bytes are bounded per flow, in struct flow.
 *
 *     verdict_open() ─ rule_use_check()       is there room? nothing is taken yet
 *     a flow is made ─ rule_use_hold()        taken
 *     its bytes show another rule ─ rule_use_move()
 *     a new policy ─ rule_use_renew(), then rule_use_recount() of every flow that stays
 *     its end ─ rule_use_give()
 *
 * A flow is under the rules that its verdict names (struct verdict, `rules`), one in each layer.
 */
#ifndef WEIR_DATAPATH_RULE_USE_H
#define WEIR_DATAPATH_RULE_USE_H

#include <stdbool.h>

#include "datapath/flow.h"
#include "datapath/link.h"

/**
 * Make a link's counters for the policy in force: nothing is used, every pace is full.
 *
 * Return: 0; -ENOMEM: then flows under rules that count are refused.
 */
int rule_use_renew_link(struct link *link);

void rule_use_free(struct link *link); /* its flows are gone */

/** A new policy is in force: as above for every link; no flow is counted until rule_use_recount(). */
void rule_use_renew(struct instance *in);

/**
 * Whether a new flow fits the limits of the rules that allow it.
 *
 * @v: when it does not fit, it becomes the refusal by the rule that is met, which is counted. Where the guest's bytes
 *     may yet show that other rules allow the flow it becomes a PEEK: nothing is dialled, and nothing held by a rule,
 *     before they do.
 *
 * The pace is not asked for pings: theirs is of echoes.
 */
void rule_use_check(struct link *link, const struct flow_key *key, struct verdict *v);

/**
 * The flow is under the rules of this verdict from now on: for rule_use_check() has just let it pass, or it has moved.
 */
void rule_use_hold(struct flow *flow, const struct verdict *v);

/**
 * The final verdict, an ALLOW: what the flow holds of other rules is given back, what it needs is taken.
 *
 * @out_refusal: written when a rule's limit is met
 *
 * Return: false when it is.
 */
bool rule_use_move(struct flow *flow, const struct verdict *v, struct verdict *out_refusal);

/** A live flow is under these rules now. It is counted, and may bring them above their limits. */
void rule_use_recount(struct flow *flow, const struct verdict *v);

/** The flow ends, or only TIME_WAIT is left of it. Idempotent. */
void rule_use_give(struct flow *flow);

/** Whether every rule that lets a ping pass has a pace, and there is one: else the built-in one of echoes holds too. */
bool rule_use_paces_echoes(const struct link *link, const struct verdict *v);

/**
 * Take one echo from the pace of the rules that let a ping pass.
 *
 * @v: when a pace is met, it becomes the refusal
 *
 * Return: false when one is; then nothing is taken.
 */
bool rule_use_echo(struct link *link, struct verdict *v);

enum rule_use_way { RULE_USE_UP, RULE_USE_DOWN };

/** There are more bytes than the flow may have in that direction: it ends, and its record names the rule. */
void rule_use_spent(struct flow *flow, enum rule_use_way way);

#endif
