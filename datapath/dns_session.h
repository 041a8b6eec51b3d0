/*
 * DNS over TCP from a guest (RFC 7766): a connection that ends at the gateway's resolver.
 *
 * Length-prefixed questions in, answers out in the order they become ready. At most DNS_SESSION_QUESTIONS_MAX wait
 * at a time (more stay unread behind the guest's window); a length no question can have ends the connection.
 */
#ifndef WEIR_DATAPATH_DNS_SESSION_H
#define WEIR_DATAPATH_DNS_SESSION_H

#include "datapath/flow.h"

enum {
    DNS_SESSION_QUESTIONS_MAX = 16,
    DNS_SESSION_QUESTION_BYTES_MAX = 2048, /* a name, its type and options are a fraction of this */
    DNS_SESSION_IDLE_MS = 10000,
};

struct dns_session;

/** Give @flow (FLOW_DNS_TCP) a session. Return: 0, or -ENOMEM. */
int dns_session_open(struct flow *flow);
void dns_session_close(struct flow *flow); /* its connection is gone; may be called twice */

/* Events of the flow's connection. */
void dns_session_input(struct flow *flow);
void dns_session_acked(struct flow *flow, size_t n);
void dns_session_eof(struct flow *flow);

/** An answer, borrowed for the call. @len 0: there is none, the question is over. */
void dns_session_reply(struct dns_session *session, const uint8_t *bytes, size_t len);

struct link *dns_session_link(const struct dns_session *session);
const struct flow_key *dns_session_key(const struct dns_session *session);

#endif
