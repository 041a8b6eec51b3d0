/*
 * The judgement on a flow's first bytes (states PEEKING and JUDGING).
 *
 * The guest's bytes stay held by its connection until they are judged; what is judged is exactly what is sent. One
 * absolute deadline: INSTANCE_PEEK_MS from the SYN-ACK where silence cannot stand, else from the guest's first byte.
 */
#ifndef WEIR_DATAPATH_PEEK_H
#define WEIR_DATAPATH_PEEK_H

#include "datapath/flow.h"
#include "datapath/hook.h"

enum {
    /* A reader decides once it has seen its own bound and the head of one record more. */
    PEEK_BYTES_MAX = 64 + (EVIDENCE_TLS_BYTES_MAX > EVIDENCE_HTTP_BYTES_MAX ? EVIDENCE_TLS_BYTES_MAX
                                                                             : EVIDENCE_HTTP_BYTES_MAX),
};

/** The guest has been accepted in PEEKING or JUDGING: the budget starts where silence must end. */
void peek_start(struct flow *flow);

/** More of the guest's bytes are held, or it sent FIN: read them and decide if they suffice. */
void peek_bytes(struct flow *flow);

/** The budget is over. */
void peek_silence(struct flow *flow);

/** The embedder has answered what was asked about the bytes. */
void peek_decided(struct flow *flow, enum decide_answer answer);

/** Keep what the bytes gave, for records and for judging anew. */
void peek_keep(struct flow *flow, const struct evidence *evidence);

/** Whence a flow has its name once that was judged; static. */
const char *peek_name_src(const struct evidence *evidence);

/** The flow holds no unjudged bytes any more. Idempotent. */
void peek_over(struct flow *flow);

#endif
