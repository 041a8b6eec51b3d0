/*
 * The gateway's resolver: every question a guest asks on port 53, whatever address it asks, unless a rule opens that
 * address by itself.
 *
 *   question → readable? → budget → own names → name judged → type → upstream (single flight) → addresses judged,
 *   pinned, told
 *
 * Only names some rule could allow leave this machine, and only what was pinned is told. An answer is a fresh message.
 */
#ifndef WEIR_DATAPATH_RESOLVER_H
#define WEIR_DATAPATH_RESOLVER_H

#include "datapath/flow.h"
#include "datapath/hook.h"
#include "datapath/link.h"
#include "policy/rule.h"

enum {
    RESOLVER_PORT = 53,
    RESOLVER_QUESTIONS_MAX = 1024,     /* waiting for upstreams */
    RESOLVER_OWN_TTL_S = 60,           /* of static names */
    RESOLVER_NEGATIVE_TTL_S = 30,      /* of denials and empty answers made here */
};

struct resolver;
struct dns_session;
struct question; /* a guest's */

struct resolver *resolver_new(struct instance *in); /* NULL: out of memory */
void resolver_free(struct resolver *r);             /* NULL is fine; after its instance_child_closed() */

/** End all questions; instance_child_closed() once the last handle is closed. */
void resolver_close(struct resolver *r);

/** Whether port 53 at @dst ends here for this guest. */
bool resolver_takes(const struct link *link, enum rule_proto proto, const struct addr *dst);

/** A question over UDP; the answer comes from the address that was asked. */
void resolver_datagram(struct resolver *r, struct link *link, const struct frame *f);

/**
 * A question over TCP (without its length). The answer comes through dns_session_reply(), perhaps before this returns.
 *
 * Return: whether an answer will come or has come.
 */
bool resolver_message(struct resolver *r, struct dns_session *session, const uint8_t *bytes, size_t len);

/**
 * Addresses (@type: A or AAAA) of canonical @name for a flow to it: named_resolved() tells them, perhaps before this
 * returns.
 */
void resolver_find(struct resolver *r, struct flow *flow, const char *name, uint16_t type);

/** The embedder's answer about a question's name. */
void resolver_decided(struct resolver *r, struct question *q, enum decide_answer answer);

/** When the next question has waited for long enough that the embedder was asked about; 0: none waits. */
uint64_t resolver_next_due(const struct resolver *r);
void resolver_due(struct resolver *r); /* and it is that time */

/** The session is gone: its questions are answered to nobody. */
void resolver_forget_session(struct resolver *r, const struct dns_session *session);

/** The link is gone: likewise. */
void resolver_forget_link(struct resolver *r, const struct link *link);

#endif
