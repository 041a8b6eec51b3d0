/*
 * What the files of the resolver share.
 *
 *   resolver.c         questions: judged, asked about, or passed on
 *   resolver_lookup.c  upstreams: one lookup for all who want the same, and the cache
 *   resolver_answer.c  what the guest is told
 */
#ifndef WEIR_DATAPATH_RESOLVER_PRIVATE_H
#define WEIR_DATAPATH_RESOLVER_PRIVATE_H

#include "base/siphash.h"
#include "datapath/instance_private.h"
#include "datapath/resolver.h"
#include "policy/dns.h"
#include "policy/dns_cache.h"

/* Who asked, and what. */
struct question {
    struct list node;            /* on its lookup, or on resolver.asking */
    uint64_t token, due_ms;      /* while the embedder is asked about it */
    struct link *link;           /* borrowed */
    struct dns_session *session; /* borrowed; NULL: over UDP */
    struct flow_key key;         /* guest and asked address */
    struct dns_query query;
};

/* One (name, type) on its way to the upstreams, for everybody who asked it meanwhile. */
struct lookup {
    struct list node; /* on resolver.lookups */
    struct resolver *resolver;
    struct list questions;       /* owned */
    struct list flows;           /* by flow.wait_node: those that need it to know where they go */
    unsigned generation;         /* of the upstreams that are asked */
    uint16_t type;
    char name[NAME_TEXT_MAX + 1];
};

struct resolver {
    struct instance *instance; /* borrowed */
    struct upstream upstream;
    struct dns_cache *cache;   /* owned */
    unsigned generation;       /* of the upstreams that filled it */
    struct list lookups;       /* owned, with their questions */
    struct list finishing;     /* owned: those whose questions are being answered, up the stack of calls */
    struct list asking;        /* owned: questions about which the embedder is asked, the oldest first */
    unsigned questions;
    struct siphash_key fake_ip_key;
};

/* ---- resolver_answer.c ---- */

void resolver_tell_rcode(struct resolver *r, const struct question *q, int rcode, int ede);
void resolver_tell_failure(struct resolver *r, const struct question *q, int ede);

/** An upstream's answer: what is forbidden is cut out, the rest tied to the name. */
void resolver_tell_answer(struct resolver *r, const struct question *q, const struct dns_answer *a);

/** Reverse names are answered from the pins: they tell nobody outside who is being looked at. */
void resolver_tell_reverse(struct resolver *r, const struct question *q);

/** Return: whether the name is one that weir itself knows; then it was told. */
bool resolver_tell_own(struct resolver *r, const struct question *q);

void resolver_record(const struct question *q, enum reason reason);

static inline bool resolver_is_address(uint16_t type)
{
    return type == DNS_TYPE_A || type == DNS_TYPE_AAAA;
}

/* ---- resolver_lookup.c ---- */

/** One that waits, and so must outlive the call. Return: NULL: there are too many, or there is no memory. */
struct question *resolver_question_new(struct resolver *r, const struct question *asked);
void resolver_question_free(struct resolver *r, struct question *q);

/** Return: whether the answer was there. */
bool resolver_tell_cached(struct resolver *r, const struct question *q);

/** Return: whether an answer will come. */
bool resolver_ask_upstream(struct resolver *r, const struct question *asked);

#endif
