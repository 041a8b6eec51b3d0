/*
 * What the policy is asked about a flow, and what the flow keeps of the answer.
 */
#ifndef WEIR_DATAPATH_VERDICTS_H
#define WEIR_DATAPATH_VERDICTS_H

#include "datapath/flow.h"
#include "datapath/link.h"

/* Facts about a flow, with room for the names they borrow. */
struct verdict_facts {
    struct facts facts;
    const char *names[POLICY_WORLDS_MAX];
};

/**
 * What is known about a destination before the first byte: address, port, names pinned to it.
 *
 * @target:    where the flow really goes; the names are those of @key's destination
 * @out_facts: valid until a pin is added
 */
void verdict_gather(const struct link *link, const struct flow_key *key, const struct addr *target,
                    struct verdict_facts *out_facts);

/**
 * Judge a destination for a guest with what is known before the first byte; limits of its rules are looked at, too.
 *
 * @out_group: the target's group, to be compared again before connect()
 */
void verdict_open(struct link *link, const struct flow_key *key, const struct addr *target,
                  struct verdict *out_verdict, enum group *out_group);

/** The same for a flow that the embedder let in past the default (ok.hook): what rules by name still have to say. */
void verdict_let_in(struct link *link, const struct flow_key *key, const struct addr *target, struct verdict *verdict);

/** Judge a flow by what its bytes said. A name it holds stays pinned to its destination for as long as it lives. */
void verdict_judge_bytes(const struct flow *flow, const struct evidence *evidence, struct verdict *out_verdict);

/** ... or did not say in the time they had. */
void verdict_judge_silent(const struct flow *flow, struct verdict *out_verdict);

/**
 * Keep a flow's verdict; the pin it was decided by is held for as long as the flow lives, and so is what its rules
 * count (datapath/rule_use.h: their limits are looked at before).
 */
void verdict_keep(struct flow *flow, const struct verdict *verdict, const char *name_src);

/** Whether both say the same by the same rules: what one says of a flow to one address holds for the other. */
bool verdict_same(const struct verdict *a, const struct verdict *b);

/** As the policy calls it; @proto: enum frame_proto. */
enum rule_proto verdict_proto(uint8_t proto);

/** A refusal of our own making: for a bound that was met. */
struct verdict verdict_deny(enum reason reason);

/** No rule is known yet: what lets a datagram wait that is asked about. */
struct verdict verdict_unknown(void);

/**
 * The policy was swapped, or a rule of it has ended: judge every live flow anew, reset those that are denied now for
 * @reason, and give the others their new verdict.
 *
 * Return: how many were reset.
 */
unsigned verdict_rejudge(struct instance *in, enum reason reason);

#endif
