/*
 * Admission: from a SYN to a connected pair of sockets, or to a refusal. The whole policy story of a TCP flow is here and in
 * peek.c.
 */
#ifndef WEIR_DATAPATH_ADMIT_H
#define WEIR_DATAPATH_ADMIT_H

#include "datapath/flow.h"
#include "datapath/link.h"

/* Events of the stack (stack/stack.h); @ctx is the instance. */
void admit_segment(void *ctx, struct guest *guest, struct frame *f, struct buf *buf);
void admit_echo(void *ctx, struct guest *guest, struct frame *f);

/** A flow's deadline passed; what that means depends on its state. */
void admit_deadline(struct flow *flow);

/** Let the idle limit of an open flow run from its last traffic. */
void admit_arm_idle(struct flow *flow);

/** Start the host side of a flow whose verdict is in. */
void admit_dial(struct flow *flow);

/** Kill all flows of a link whose monitor is gone. */
void admit_link_gone(struct link *link);

/** The policy was swapped: judge every live flow anew and reset those that are denied now (policy.revoked). */
void admit_rejudge(struct instance *in);

/* Facts about a flow, with room for the names they borrow. */
struct admit_facts {
    struct facts facts;
    const char *names[POLICY_WORLDS_MAX];
};

/**
 * What is known about a destination before the first byte: address, port, names pinned to it.
 *
 * @out_facts: valid until a pin is added
 */
void admit_gather(const struct link *link, const struct flow_key *key, struct admit_facts *out_facts);

/**
 * Judge a destination for a guest with what is known before the first byte.
 *
 * @out_group: the destination's group, to be compared again before connect()
 */
void admit_judge_open(const struct link *link, const struct flow_key *key,
                      struct verdict *out_verdict, enum group *out_group);

/** Keep a flow's verdict; the pin it was decided by is held for as long as the flow lives. */
void admit_settle_verdict(struct flow *flow, const struct verdict *verdict, const char *name_src);

#endif
