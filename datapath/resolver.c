#include "datapath/resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "datapath/dns_session.h"
#include "datapath/flow_end.h"
#include "datapath/instance_private.h"
#include "datapath/verdicts.h"
#include "policy/dns.h"
#include "policy/dns_budget.h"
#include "policy/dns_cache.h"
#include "proxy/host_dgram.h"

enum { REPLY_BYTES_MAX = 4096, QUERY_BYTES_MAX = 512 };

static const char own_zone[] = "weir.internal"; /* never asked upstream */
static const char gateway_name[] = "gateway.weir.internal";

/* Who asked, and what. */
struct question {
    struct list node;            /* on its lookup */
    struct link *link;           /* borrowed */
    struct dns_session *session; /* borrowed; NULL: over UDP */
    struct flow_key key;         /* guest and asked address */
    struct dns_query query;
};

/* One (name, type) on its way to the upstreams, for everybody who asked it meanwhile. */
struct lookup {
    struct list node; /* on resolver.lookups */
    struct resolver *resolver;
    struct list questions;
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
    unsigned questions;
};

struct resolver *resolver_new(struct instance *in)
{
    struct resolver *r = calloc(1, sizeof(*r));

    if (!r || !(r->cache = dns_cache_new())) {
        free(r);
        return NULL;
    }
    r->instance = in;
    list_init(&r->lookups);
    list_init(&r->finishing);
    upstream_init(&r->upstream, in->loop, in->config.resolvers, in->config.resolver_count, "/etc/resolv.conf");
    return r;
}

void resolver_free(struct resolver *r)
{
    if (r)
        dns_cache_free(r->cache);
    free(r);
}

bool resolver_takes(const struct link *link, enum rule_proto proto, const struct addr *dst)
{
    return guest_is_gateway(link->guest, dst) ||
           !policy_opens_resolver(link->instance->policy, proto, dst, instance_wall_s());
}

/* ---- answers ---- */

static void send_datagram(struct resolver *r, const struct question *q, const uint8_t *bytes, size_t len)
{
    struct datagram d = {
        .src = q->key.dst,
        .dst = q->key.guest,
        .src_port = RESOLVER_PORT,
        .dst_port = q->key.guest_port,
        .bytes = bytes,
        .len = len,
    };

    (void)stack_send_datagram(r->instance->stack, q->link->guest, &d); /* counted there */
}

static void send_answer(struct resolver *r, const struct question *q, const struct dns_reply *reply)
{
    uint8_t out[REPLY_BYTES_MAX];
    size_t max = q->session ? sizeof(out) : q->query.udp_bytes_max;
    int len = dns_reply_write(out, sizeof(out), max < sizeof(out) ? max : sizeof(out), &q->query, reply);

    if (len < 0)
        len = 0;
    if (q->session)
        dns_session_reply(q->session, out, (size_t)len);
    else if (len > 0)
        send_datagram(r, q, out, (size_t)len);
}

static void answer_rcode(struct resolver *r, const struct question *q, int rcode, int ede)
{
    struct dns_reply reply = {
        .rcode = rcode,
        .ede = ede,
        .ttl_s = RESOLVER_NEGATIVE_TTL_S,
        .soa = rcode == DNS_NXDOMAIN || rcode == DNS_NOERROR,
    };

    send_answer(r, q, &reply);
}

static void answer_addrs(struct resolver *r, const struct question *q, const struct addr *addrs, size_t count,
                         uint32_t ttl_s)
{
    struct dns_reply reply = {
        .rcode = DNS_NOERROR,
        .ede = DNS_EDE_NONE,
        .ttl_s = ttl_s,
        .addrs = addrs,
        .addr_count = count,
        .soa = count == 0,
    };

    send_answer(r, q, &reply);
}

static void record(const struct question *q, enum reason reason)
{
    struct verdict v = verdict_deny(reason);

    strcpy(v.name, q->query.name);
    flow_record_dns(q->link->instance, q->link, &q->key, &v);
}

static void answer_failure(struct resolver *r, const struct question *q)
{
    instance_count(r->instance, COUNTER_DNS_UPSTREAM);
    record(q, REASON_DNS_UPSTREAM);
    answer_rcode(r, q, DNS_SERVFAIL, DNS_EDE_NO_REACHABLE_AUTHORITY);
}

/* Tie the name to what may be told, and keep only that. Return: how many addresses are left. */
static size_t vet(const struct question *q, const struct dns_answer *a, struct addr *out_addrs)
{
    struct instance *in = q->link->instance;
    size_t n = 0, forbidden = 0;

    for (size_t i = 0; i < a->addr_count; i++) {
        if (!policy_may_answer(in->policy, q->query.name, &a->addrs[i], instance_wall_s()))
            forbidden++;
        else if (in->config.unrouted_strip && !host_dgram_reaches(&a->addrs[i]))
            instance_count(in, COUNTER_DNS_UNROUTED); /* a guest would only try it in vain (RFC 8305 section 1) */
        else if (pins_add(q->link->pins, q->query.name, &a->addrs[i], a->ttl_s, instance_now(in)) < 0)
            instance_count(in, COUNTER_LIMIT_PINS); /* untold: it could never be used */
        else
            out_addrs[n++] = a->addrs[i];
    }
    if (forbidden == 0)
        return n;
    instance_count(in, COUNTER_DNS_REBIND);
    record(q, REASON_DNS_REBIND);
    return in->config.rebind_strip ? n : 0;
}

static void answer_from_upstream(struct resolver *r, const struct question *q, const struct dns_answer *a)
{
    struct addr addrs[DNS_ADDRS_MAX];
    uint32_t ttl_s = a->ttl_s < PINS_TTL_CAP_S ? a->ttl_s : PINS_TTL_CAP_S;
    size_t n;

    if (a->rcode == DNS_NXDOMAIN) {
        answer_rcode(r, q, DNS_NXDOMAIN, DNS_EDE_NONE);
        return;
    }
    n = vet(q, a, addrs);
    answer_addrs(r, q, addrs, n, n > 0 ? ttl_s : RESOLVER_NEGATIVE_TTL_S);
}

/* ---- upstream ---- */

static void question_free(struct resolver *r, struct question *q)
{
    list_unlink(&q->node);
    free(q);
    r->questions--;
}

/* @answer NULL: nobody gave one. Answering may start new lookups, or end sessions with questions of this one. */
static void lookup_finish(struct lookup *l, const struct dns_answer *answer)
{
    struct resolver *r = l->resolver;

    dns_cache_put(r->cache, l->name, l->type, answer, instance_now(r->instance));
    list_unlink(&l->node);
    list_append(&r->finishing, &l->node);
    stack_set_time(r->instance->stack, instance_now(r->instance));
    while (!list_empty(&l->questions)) {
        struct question *q = LIST_ENTRY(l->questions.next, struct question, node);
        struct question asked = *q;

        question_free(r, q);
        if (answer)
            answer_from_upstream(r, &asked, answer);
        else
            answer_failure(r, &asked);
    }
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
    lookup_finish(l, &answer);
    return UPSTREAM_DONE;
}

static void on_failure(void *ctx)
{
    lookup_finish(ctx, NULL);
}

static const struct upstream_owner owner = {.on_message = on_message, .on_failure = on_failure};

static struct lookup *lookup_of(struct resolver *r, const struct dns_query *query)
{
    LIST_FOR_EACH(node, &r->lookups) {
        struct lookup *l = LIST_ENTRY(node, struct lookup, node);

        if (l->type == query->type && strcmp(l->name, query->name) == 0)
            return l;
    }
    return NULL;
}

static struct lookup *lookup_start(struct resolver *r, const struct dns_query *query)
{
    struct lookup *l = calloc(1, sizeof(*l));
    uint8_t message[QUERY_BYTES_MAX];
    int len;

    if (!l)
        return NULL;
    l->resolver = r;
    l->type = query->type;
    strcpy(l->name, query->name);
    list_init(&l->node);
    list_init(&l->questions);
    len = dns_query_write(message, sizeof(message), 0, l->name, l->type);
    if (len < 0 || upstream_ask(&r->upstream, message, (size_t)len, &owner, l) < 0) {
        free(l);
        return NULL;
    }
    list_append(&r->lookups, &l->node);
    return l;
}

/* Return: whether the answer was there. */
static bool answer_from_cache(struct resolver *r, const struct question *q)
{
    unsigned generation = upstream_generation(&r->upstream);
    struct dns_answer answer;

    if (generation != r->generation)
        dns_cache_clear(r->cache);
    r->generation = generation;
    switch (dns_cache_get(r->cache, q->query.name, q->query.type, instance_now(r->instance), &answer)) {
    case DNS_CACHE_MISS:
        return false;
    case DNS_CACHE_ANSWER:
        answer_from_upstream(r, q, &answer);
        break;
    case DNS_CACHE_FAILURE:
        answer_failure(r, q);
        break;
    }
    instance_count(r->instance, COUNTER_DNS_CACHED);
    return true;
}

static bool ask_upstream(struct resolver *r, const struct question *asked)
{
    struct question *q = r->questions < RESOLVER_QUESTIONS_MAX ? malloc(sizeof(*q)) : NULL;
    struct lookup *l = q ? lookup_of(r, &asked->query) : NULL;

    if (q && !l)
        l = lookup_start(r, &asked->query);
    if (!l) {
        free(q);
        return false;
    }
    *q = *asked;
    list_init(&q->node);
    list_append(&l->questions, &q->node);
    r->questions++;
    return true;
}

/* ---- questions ---- */

static bool take_token(struct link *link)
{
    uint64_t now_ms = instance_now(link->instance), more;

    if (link->dns_refill_ms == 0) {
        link->dns_refill_ms = now_ms;
        link->dns_tokens = RESOLVER_BUDGET_BURST;
    }
    more = (now_ms - link->dns_refill_ms) * RESOLVER_BUDGET_PER_S / 1000;
    if (more > 0) {
        link->dns_refill_ms += more * 1000 / RESOLVER_BUDGET_PER_S;
        link->dns_tokens = more < RESOLVER_BUDGET_BURST - link->dns_tokens ? link->dns_tokens + (uint32_t)more
                                                                           : RESOLVER_BUDGET_BURST;
    }
    if (link->dns_tokens == 0)
        return false;
    link->dns_tokens--;
    return true;
}

/* Reverse names are answered from the pins: they tell nobody outside who is being looked at. */
static void answer_ptr(struct resolver *r, const struct question *q)
{
    struct dns_reply reply = {.rcode = DNS_NOERROR, .ede = DNS_EDE_NONE, .ttl_s = RESOLVER_OWN_TTL_S};
    struct addr addr;
    const char *name = NULL;

    if (dns_ptr_addr(q->query.name, &addr) == 0) {
        if (guest_is_gateway(q->link->guest, &addr))
            name = gateway_name;
        else if (pins_names_of(q->link->pins, &addr, instance_now(r->instance), &name, 1) == 0)
            name = NULL;
    }
    if (!name) {
        answer_rcode(r, q, DNS_NXDOMAIN, DNS_EDE_NONE);
        return;
    }
    reply.ptr = name;
    send_answer(r, q, &reply);
}

/* Append those that exist and for which there is room. Return: how many there are now. */
static size_t add_addrs(struct addr v4, struct addr v6, struct addr out_addrs[static DNS_ADDRS_MAX], size_t n)
{
    if (v4.family != ADDR_NONE && n < DNS_ADDRS_MAX)
        out_addrs[n++] = v4;
    if (v6.family != ADDR_NONE && n < DNS_ADDRS_MAX)
        out_addrs[n++] = v6;
    return n;
}

/* Names weir itself knows. Return: whether @name is one; @out_count 0: it has no address now. */
static bool own_addrs(const struct question *q, struct addr out_addrs[static DNS_ADDRS_MAX], size_t *out_count)
{
    const struct instance_config *c = &q->link->instance->config;
    const struct guest *guest = q->link->guest;
    const char *name = q->query.name;
    bool known = name_below(name, own_zone);
    size_t n = 0;

    for (unsigned i = 0; i < c->host_count; i++) {
        if (strcmp(c->hosts[i].name, name) != 0)
            continue;
        known = true;
        out_addrs[n++] = c->hosts[i].addr; /* INSTANCE_HOSTS_MAX of them at most */
    }
    for (unsigned i = 0; i < c->alias_count; i++) {
        if (strcmp(c->aliases[i], name) != 0)
            continue;
        known = true;
        if (guest->alias_open)
            n = add_addrs(guest_alias(guest, ADDR_V4), guest_alias(guest, ADDR_V6), out_addrs, n);
    }
    if (strcmp(name, gateway_name) == 0)
        n = add_addrs(guest_gateway(guest, ADDR_V4), guest_gateway(guest, ADDR_V6), out_addrs, n);
    *out_count = n;
    return known;
}

_Static_assert((int)INSTANCE_HOSTS_MAX < (int)DNS_ADDRS_MAX + 1, "every static address of a name fits an answer");

static bool answer_own(struct resolver *r, const struct question *q)
{
    struct addr addrs[DNS_ADDRS_MAX];
    size_t count;

    if (!own_addrs(q, addrs, &count))
        return false;
    if (count == 0) {
        answer_rcode(r, q, DNS_NXDOMAIN, DNS_EDE_NONE);
        return true;
    }
    if (q->query.type != DNS_TYPE_A && q->query.type != DNS_TYPE_AAAA)
        count = 0;
    for (size_t i = 0; i < count; i++)
        (void)pins_add(q->link->pins, q->query.name, &addrs[i], RESOLVER_OWN_TTL_S, instance_now(r->instance));
    answer_addrs(r, q, addrs, count, RESOLVER_OWN_TTL_S);
    return true;
}

static bool is_transfer(uint16_t type)
{
    enum { IXFR = 251, AXFR = 252, MAILB = 253, MAILA = 254, ANY = 255 };

    return type >= IXFR && type <= ANY;
}

/* The types that reach an upstream: those of addresses, of a family that the guest has. */
static bool goes_upstream(const struct guest *guest, uint16_t type)
{
    return (type == DNS_TYPE_A && guest_gateway(guest, ADDR_V4).family != ADDR_NONE) ||
           (type == DNS_TYPE_AAAA && guest_gateway(guest, ADDR_V6).family != ADDR_NONE);
}

static bool within_budget(const struct question *q, const struct verdict *v)
{
    struct instance *in = q->link->instance;
    const char *scope = policy_name_scope(in->policy, v, q->query.name);

    return !scope || dns_budget_take(q->link->dns_budget, scope, q->query.name, instance_now(in));
}

/* Return: whether an answer will come or has come. */
static bool judge(struct resolver *r, const struct question *q)
{
    struct verdict v;

    if (!take_token(q->link)) {
        instance_count(r->instance, COUNTER_LIMIT_DNS);
        record(q, REASON_LIMIT_DNS);
        answer_rcode(r, q, DNS_SERVFAIL, DNS_EDE_NONE);
        return true;
    }
    if (q->query.type == DNS_TYPE_PTR) {
        answer_ptr(r, q);
        return true;
    }
    if (answer_own(r, q))
        return true;
    policy_judge_name(r->instance->policy, q->query.name, instance_wall_s(), &v);
    if (v.action == VERDICT_DENY) {
        instance_count(r->instance, COUNTER_DNS_DENIED);
        flow_record_dns(r->instance, q->link, &q->key, &v);
        answer_rcode(r, q, DNS_NXDOMAIN, DNS_EDE_BLOCKED);
        return true;
    }
    if (!goes_upstream(q->link->guest, q->query.type)) {
        instance_count(r->instance, COUNTER_DNS_TYPE);
        answer_rcode(r, q, is_transfer(q->query.type) ? DNS_REFUSED : DNS_NOERROR, DNS_EDE_NONE);
        return true;
    }
    if (!within_budget(q, &v)) {
        instance_count(r->instance, COUNTER_DNS_BUDGET);
        record(q, REASON_DNS_BUDGET);
        answer_rcode(r, q, DNS_NXDOMAIN, DNS_EDE_BLOCKED);
        return true;
    }
    if (!answer_from_cache(r, q) && !ask_upstream(r, q))
        answer_failure(r, q);
    return true;
}

static bool take_question(struct resolver *r, struct question *q, const uint8_t *bytes, size_t len)
{
    static const int rcodes[] = {
        [DNS_QUERY_FORMERR] = DNS_FORMERR,
        [DNS_QUERY_NOTIMP] = DNS_NOTIMP,
        [DNS_QUERY_REFUSED] = DNS_REFUSED,
        [DNS_QUERY_INVALID_NAME] = DNS_NXDOMAIN,
    };
    enum dns_query_result result = dns_query_read(bytes, len, &q->query);

    instance_count(r->instance, COUNTER_DNS_QUERIES);
    if (result == DNS_QUERY_OK)
        return judge(r, q);
    instance_count(r->instance, COUNTER_DNS_MALFORMED);
    if (result == DNS_QUERY_DROP)
        return false;
    answer_rcode(r, q, rcodes[result], DNS_EDE_NONE);
    return true;
}

void resolver_datagram(struct resolver *r, struct link *link, const struct frame *f)
{
    struct question q = {.link = link, .key = flow_key_of(link, f)};

    (void)take_question(r, &q, f->payload, f->payload_bytes);
}

bool resolver_message(struct resolver *r, struct dns_session *session, const uint8_t *bytes, size_t len)
{
    struct question q = {.link = dns_session_link(session), .session = session, .key = *dns_session_key(session)};

    return take_question(r, &q, bytes, len);
}

/* ---- ends ---- */

static void forget_in(struct resolver *r, struct list *lookups, const struct link *link,
                      const struct dns_session *session)
{
    LIST_FOR_EACH(l, lookups) {
        struct lookup *lookup = LIST_ENTRY(l, struct lookup, node);

        LIST_FOR_EACH(n, &lookup->questions) {
            struct question *q = LIST_ENTRY(n, struct question, node);

            if ((link && q->link == link) || (session && q->session == session))
                question_free(r, q);
        }
    }
}

static void forget(struct resolver *r, const struct link *link, const struct dns_session *session)
{
    forget_in(r, &r->lookups, link, session);
    forget_in(r, &r->finishing, link, session);
}

void resolver_forget_session(struct resolver *r, const struct dns_session *session)
{
    forget(r, NULL, session);
}

void resolver_forget_link(struct resolver *r, const struct link *link)
{
    forget(r, link, NULL);
}

static void on_upstream_idle(struct upstream *u)
{
    struct resolver *r = CONTAINER_OF(u, struct resolver, upstream);

    instance_child_closed(r->instance);
}

void resolver_close(struct resolver *r)
{
    LIST_FOR_EACH(l, &r->lookups) {
        struct lookup *lookup = LIST_ENTRY(l, struct lookup, node);

        LIST_FOR_EACH(n, &lookup->questions)
            question_free(r, LIST_ENTRY(n, struct question, node));
        list_unlink(&lookup->node);
        free(lookup);
    }
    upstream_close(&r->upstream, on_upstream_idle);
}
