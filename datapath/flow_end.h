/*
 * How flows end: refusals the guest can see, resets, orderly ends, and the one record each leaves.
 */
#ifndef WEIR_DATAPATH_FLOW_END_H
#define WEIR_DATAPATH_FLOW_END_H

#include "datapath/flow.h"
#include "datapath/link.h"
#include "datapath/record.h"

/** Record a denial that made no flow (@id 0), or that ends one before it carried bytes. */
void flow_record_deny(struct instance *in, const struct link *link, const struct flow_key *key,
                      const struct verdict *verdict, const char *stage, uint64_t id);

/** Record that a flow is open, if such records are wanted. */
void flow_record_open(struct flow *flow);

/** Record that a policy came into force, or that rules of it ended. */
void flow_record_policy(struct instance *in, enum reason reason, unsigned cut);

/** Record what the resolver refused; @key is the question's way: guest, asked address, port 53. */
void flow_record_dns(struct instance *in, const struct link *link, const struct flow_key *key,
                     const struct verdict *verdict);

/** What a guest whose SYN is refused gets: RST, or ICMP when so configured. */
void flow_answer_denied_syn(const struct link *link, const struct tcp_syn *syn, enum reason reason);

/**
 * End a flow now: RST to the guest if it is still connected (or waits for its SYN-ACK), RST to the host, record, out of
 * the table.
 *
 * Works in any state, from any callback, twice.
 */
void flow_kill(struct flow *flow, enum flow_close how, enum reason reason);

/** Refuse an accepted flow: TLS alert, HTTP 403 or RST (docs/policy.md, "What the guest sees"). */
void flow_refuse_accepted(struct flow *flow, const struct verdict *verdict,
                          const struct evidence *evidence);

/** The dial failed: the guest sees what a host on the wire would have said. */
void flow_dial_failed(struct flow *flow, int error);

/** Both directions have been told their end: let the host stream go, wait for the guest's last ACK. */
void flow_finish(struct flow *flow);

/** In CLOSING: record and free the flow as soon as only TIME_WAIT, or nothing, is left of it. */
void flow_settle(struct flow *flow);

#endif
