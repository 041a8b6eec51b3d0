#include "datapath/resolver_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/named.h"

enum { QUERY_BYTES_MAX = 512 };

struct question *resolver_question_new(struct resolver *r, const struct question *asked)
{
    struct question *q = r->questions < RESOLVER_QUESTIONS_MAX ? malloc(sizeof(*q)) : NULL;

    if (!q)
        return NULL;
    *q = *asked;
    list_init(&q->node);
    r->questions++;
    return q;
}

void resolver_question_free(struct resolver *r, struct question *q)
{
    hook_forget(r->instance, q->token);
    list_unlink(&q->node);
    free(q);
    r->questions--;
}

/*
 * @answer NULL: nobody gave one; @ede says why not. Answering may start new lookups, or end sessions with questions of
 * this one.
 */
static void lookup_finish(struct lookup *l, const struct dns_answer *answer, int ede)
{
    struct resolver *r = l->resolver;

    if (l->generation == r->generation) /* else what was kept since comes from others */
        dns_cache_put(r->cache, l->name, l->type, answer, instance_now(r->instance));
    list_unlink(&l->node);
    list_append(&r->finishing, &l->node);
    stack_set_time(r->instance->stack, instance_now(r->instance));
    while (!list_empty(&l->questions)) {
        struct question *q = LIST_ENTRY(l->questions.next, struct question, node);
        struct question asked = *q;

        resolver_question_free(r, q);
        if (answer)
            resolver_tell_answer(r, &asked, answer);
        else
            resolver_tell_failure(r, &asked, ede);
    }
    for (struct list *node; (node = list_take_first(&l->flows));)
        named_resolved(LIST_ENTRY(node, struct flow, wait_node), answer);
    list_unlink(&l->node);
    free(l);
}

static enum upstream_take on_message(void *ctx, const uint8_t *bytes, size_t len, uint16_t id)
{
    struct lookup *l = ctx;
    struct instance *in = l->resolver->instance;
    struct dns_answer answer;
    int err = dns_answer_read(bytes, len, id, l->name, l->type, &answer);

    if (err < 0) {
        instance_count(in, COUNTER_DNS_UPSTREAM_BAD);
        return err == -ENOENT ? UPSTREAM_IGNORE : UPSTREAM_NEXT;
    }
    if (answer.truncated)
        return UPSTREAM_USE_TCP;
    if (answer.rcode != DNS_NOERROR && answer.rcode != DNS_NXDOMAIN)
        return UPSTREAM_NEXT;
    lookup_finish(l, &answer, DNS_EDE_NONE);
    return UPSTREAM_DONE;
}

static void on_failure(void *ctx, bool answered)
{
    lookup_finish(ctx, NULL, answered ? DNS_EDE_NETWORK_ERROR : DNS_EDE_NO_REACHABLE_AUTHORITY);
}

static const struct upstream_owner owner = {.on_message = on_message, .on_failure = on_failure};

static struct lookup *lookup_start(struct resolver *r, const char *name, uint16_t type)
{
    struct lookup *l = calloc(1, sizeof(*l));
    uint8_t message[QUERY_BYTES_MAX];
    int len;

    if (!l)
        return NULL;
    l->resolver = r;
    l->generation = r->generation; /* look_up_cache() has just looked */
    l->type = type;
    strcpy(l->name, name);
    list_init(&l->node);
    list_init(&l->questions);
    list_init(&l->flows);
    len = dns_query_write(message, sizeof(message), 0, l->name, l->type);
    if (len < 0 || upstream_ask(&r->upstream, message, (size_t)len, &owner, l) < 0) {
        free(l);
        return NULL;
    }
    list_append(&r->lookups, &l->node);
    return l;
}

/* The one that is on its way already, or a new one; NULL: none can be. */
static struct lookup *lookup_of(struct resolver *r, const char *name, uint16_t type)
{
    LIST_FOR_EACH(node, &r->lookups) {
        struct lookup *l = LIST_ENTRY(node, struct lookup, node);

        if (l->type == type && l->generation == r->generation && strcmp(l->name, name) == 0)
            return l;
    }
    return lookup_start(r, name, type);
}

static enum dns_cache_result look_up_cache(struct resolver *r, const char *name, uint16_t type,
                                           struct dns_answer *out_answer)
{
    unsigned generation = upstream_generation(&r->upstream);

    if (generation != r->generation)
        dns_cache_clear(r->cache);
    r->generation = generation;
    return dns_cache_get(r->cache, name, type, instance_now(r->instance), out_answer);
}

bool resolver_tell_cached(struct resolver *r, const struct question *q)
{
    struct dns_answer answer;

    switch (look_up_cache(r, q->query.name, q->query.type, &answer)) {
    case DNS_CACHE_MISS:
        return false;
    case DNS_CACHE_ANSWER:
        resolver_tell_answer(r, q, &answer);
        break;
    case DNS_CACHE_FAILURE:
        resolver_tell_failure(r, q, DNS_EDE_CACHED_ERROR);
        break;
    }
    instance_count(r->instance, COUNTER_DNS_CACHED);
    return true;
}

bool resolver_ask_upstream(struct resolver *r, const struct question *asked)
{
    struct question *q = resolver_question_new(r, asked);
    struct lookup *l = q ? lookup_of(r, asked->query.name, asked->query.type) : NULL;

    if (l)
        list_append(&l->questions, &q->node);
    else if (q)
        resolver_question_free(r, q);
    return l != NULL;
}

void resolver_find(struct resolver *r, struct flow *flow, const char *name, uint16_t type)
{
    struct dns_answer answer;
    struct lookup *l;

    switch (look_up_cache(r, name, type, &answer)) {
    case DNS_CACHE_ANSWER:
        named_resolved(flow, &answer);
        return;
    case DNS_CACHE_FAILURE:
        named_resolved(flow, NULL);
        return;
    case DNS_CACHE_MISS:
        break;
    }
    l = lookup_of(r, name, type);
    if (l)
        list_append(&l->flows, &flow->wait_node);
    else
        named_resolved(flow, NULL);
}
