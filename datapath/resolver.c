#include "datapath/resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "datapath/dns_session.h"
#include "datapath/flow_end.h"
#include "datapath/instance_private.h"
#include "datapath/named.h"
#include "datapath/verdicts.h"
#include "policy/dns.h"
#include "policy/dns_budget.h"
#include "policy/dns_cache.h"
#include "policy/fake_ip.h"
#include "proxy/host_dgram.h"

enum { REPLY_BYTES_MAX = 20480, QUERY_BYTES_MAX = 512 };

/* Beside the data: 10 bytes in front of each record's length, and 300 for header, question and OPT. */
_Static_assert(REPLY_BYTES_MAX >= DNS_RECORDS_BYTES_MAX + 10 * DNS_RECORDS_MAX + 300, "every answer fits");

static const char own_zone[] = "weir.internal"; /* never asked upstream */
static const char gateway_name[] = "gateway.weir.internal";

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
    struct list questions;
    struct list flows;           /* by flow.wait_node: those that need it to know where they go */
    unsigned generation; /* of the upstreams that are asked */
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
    list_init(&r->asking);
    r->fake_ip_key = in->config.fake_ip_key;
    if ((r->fake_ip_key.k[0] | r->fake_ip_key.k[1]) == 0)
        siphash_key_random(&r->fake_ip_key);
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
                         uint32_t ttl_s, int ede)
{
    struct dns_reply reply = {
        .rcode = DNS_NOERROR,
        .ede = ede,
        .ttl_s = ttl_s,
        .addrs = addrs,
        .addr_count = count,
        .soa = count == 0,
    };

    send_answer(r, q, &reply);
}

/* Records that are no addresses: nothing is pinned by them. */
static void answer_records(struct resolver *r, const struct question *q, const struct dns_answer *a, uint32_t ttl_s)
{
    struct dns_reply reply = {.rcode = DNS_NOERROR, .ttl_s = ttl_s, .answer = a, .soa = a->record_count == 0};

    reply.ede = a->cut ? DNS_EDE_FORGED_ANSWER : DNS_EDE_NONE;
    send_answer(r, q, &reply);
}

static void record(const struct question *q, enum reason reason)
{
    struct verdict v = verdict_deny(reason);

    strcpy(v.name, q->query.name);
    flow_record_dns(q->link->instance, q->link, &q->key, &v);
}

static void answer_failure(struct resolver *r, const struct question *q, int ede)
{
    instance_count(r->instance, COUNTER_DNS_UPSTREAM);
    record(q, REASON_DNS_UPSTREAM);
    answer_rcode(r, q, DNS_SERVFAIL, ede);
}

/* Instead of @count addresses, the one that stands for the name. Return: how many there are now. */
static size_t fake(const struct question *q, struct addr *addrs, size_t count)
{
    struct instance *in = q->link->instance;
    struct pins *pins = q->link->pins;
    enum addr_family family = q->query.type == DNS_TYPE_A ? ADDR_V4 : ADDR_V6;

    if (count == 0)
        return 0;
    if (fake_ip_pick(&in->resolver->fake_ip_key, pins, q->query.name, family, instance_now(in), &addrs[0]) == 0 &&
        pins_add(pins, q->query.name, &addrs[0], FAKE_IP_KEEP_S, instance_now(in)) == 0)
        return 1;
    instance_count(in, COUNTER_LIMIT_PINS);
    return 0;
}

/* Tie the name to what may be told, and keep only that; @out_ede: was it all? Return: how many addresses are left. */
static size_t vet(const struct question *q, const struct dns_answer *a, struct addr *out_addrs, int *out_ede)
{
    struct instance *in = q->link->instance;
    size_t n = 0, forbidden = 0;

    for (size_t i = 0; i < a->addr_count; i++) {
        if (!policy_may_answer(in->policy, q->query.name, &a->addrs[i], instance_wall_s()))
            forbidden++;
        else if (in->config.unrouted_strip && !host_dgram_reaches(&a->addrs[i]))
            instance_count(in, COUNTER_DNS_UNROUTED); /* a guest would only try it in vain (RFC 8305 section 1) */
        else if (!in->config.fake_ip &&
                 pins_add(q->link->pins, q->query.name, &a->addrs[i], a->ttl_s, instance_now(in)) < 0)
            instance_count(in, COUNTER_LIMIT_PINS); /* untold: it could never be used */
        else
            out_addrs[n++] = a->addrs[i];
    }
    *out_ede = forbidden == 0 ? DNS_EDE_NONE : DNS_EDE_FORGED_ANSWER;
    if (forbidden == 0)
        return n;
    instance_count(in, COUNTER_DNS_REBIND);
    record(q, REASON_DNS_REBIND);
    return in->config.rebind_strip ? n : 0;
}

static bool is_address(uint16_t type)
{
    return type == DNS_TYPE_A || type == DNS_TYPE_AAAA;
}

static void answer_from_upstream(struct resolver *r, const struct question *q, const struct dns_answer *a)
{
    struct addr addrs[DNS_ADDRS_MAX];
    uint32_t ttl_s = a->ttl_s < PINS_TTL_CAP_S ? a->ttl_s : PINS_TTL_CAP_S;
    size_t n;
    int ede;

    if (a->rcode == DNS_NXDOMAIN) {
        answer_rcode(r, q, DNS_NXDOMAIN, DNS_EDE_NONE);
        return;
    }
    if (!is_address(q->query.type)) {
        answer_records(r, q, a, a->record_count > 0 ? ttl_s : RESOLVER_NEGATIVE_TTL_S);
        return;
    }
    n = vet(q, a, addrs, &ede);
    if (r->instance->config.fake_ip) {
        n = fake(q, addrs, n);
        ttl_s = RESOLVER_OWN_TTL_S;
    }
    answer_addrs(r, q, addrs, n, n > 0 ? ttl_s : RESOLVER_NEGATIVE_TTL_S, ede);
}

/* ---- upstream ---- */

/* One that waits, and so must outlive the call. Return: NULL: there are too many, or there is no memory. */
static struct question *question_new(struct resolver *r, const struct question *asked)
{
    struct question *q = r->questions < RESOLVER_QUESTIONS_MAX ? malloc(sizeof(*q)) : NULL;

    if (!q)
        return NULL;
    *q = *asked;
    list_init(&q->node);
    r->questions++;
    return q;
}

static void question_free(struct resolver *r, struct question *q)
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

        question_free(r, q);
        if (answer)
            answer_from_upstream(r, &asked, answer);
        else
            answer_failure(r, &asked, ede);
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

/* Return: whether the answer was there. */
static bool answer_from_cache(struct resolver *r, const struct question *q)
{
    struct dns_answer answer;

    switch (look_up_cache(r, q->query.name, q->query.type, &answer)) {
    case DNS_CACHE_MISS:
        return false;
    case DNS_CACHE_ANSWER:
        answer_from_upstream(r, q, &answer);
        break;
    case DNS_CACHE_FAILURE:
        answer_failure(r, q, DNS_EDE_CACHED_ERROR);
        break;
    }
    instance_count(r->instance, COUNTER_DNS_CACHED);
    return true;
}

static bool ask_upstream(struct resolver *r, const struct question *asked)
{
    struct question *q = question_new(r, asked);
    struct lookup *l = q ? lookup_of(r, asked->query.name, asked->query.type) : NULL;

    if (l)
        list_append(&l->questions, &q->node);
    else if (q)
        question_free(r, q);
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

/* ---- questions ---- */

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
    if (!dns_type_is_data(q->query.type)) {
        answer_rcode(r, q, DNS_REFUSED, DNS_EDE_NOT_SUPPORTED);
        return true;
    }
    if (!is_address(q->query.type))
        count = 0;
    for (size_t i = 0; i < count; i++)
        (void)pins_add(q->link->pins, q->query.name, &addrs[i], RESOLVER_OWN_TTL_S, instance_now(r->instance));
    answer_addrs(r, q, addrs, count, RESOLVER_OWN_TTL_S, DNS_EDE_NONE);
    return true;
}

/* Addresses of a family that the guest does not have are of no use to it. */
static bool is_useful(const struct guest *guest, uint16_t type)
{
    return !is_address(type) || guest_gateway(guest, type == DNS_TYPE_A ? ADDR_V4 : ADDR_V6).family != ADDR_NONE;
}

/* Return: whether the type may go upstream; else the guest has been told. */
static bool judge_type(struct resolver *r, const struct question *q)
{
    struct instance *in = r->instance;
    uint16_t type = q->query.type;
    enum dns_type_verdict v = dns_types_judge(&in->config.dns_types, type, policy_allows_by_default(in->policy));

    if (v == DNS_TYPE_ASK && is_useful(q->link->guest, type))
        return true;
    instance_count(in, COUNTER_DNS_TYPE);
    /* Every browser asks for SVCB and HTTPS beside addresses: nothing is denied by their absence. */
    if (v != DNS_TYPE_ASK && type != DNS_TYPE_SVCB && type != DNS_TYPE_HTTPS)
        record(q, REASON_DNS_TYPE);
    if (v == DNS_TYPE_REFUSED)
        answer_rcode(r, q, DNS_REFUSED, DNS_EDE_NOT_SUPPORTED);
    else
        answer_rcode(r, q, DNS_NOERROR, v == DNS_TYPE_WITHHELD ? DNS_EDE_FORGED_ANSWER : DNS_EDE_NONE);
    return false;
}

static bool within_budget(const struct question *q, const struct verdict *v)
{
    struct instance *in = q->link->instance;
    const char *scope = policy_name_scope(in->policy, v, q->query.name);

    return !scope || dns_budget_take(q->link->dns_budget, scope, q->query.name, instance_now(in));
}

/* The name is judged. */
static void go_on(struct resolver *r, const struct question *q, const struct verdict *v)
{
    if (v->action == VERDICT_DENY) {
        instance_count(r->instance, COUNTER_DNS_DENIED);
        flow_record_dns(r->instance, q->link, &q->key, v);
        answer_rcode(r, q, DNS_NXDOMAIN, DNS_EDE_BLOCKED);
        return;
    }
    if (!judge_type(r, q))
        return;
    if (!within_budget(q, v)) {
        instance_count(r->instance, COUNTER_DNS_BUDGET);
        record(q, REASON_DNS_BUDGET);
        answer_rcode(r, q, DNS_NXDOMAIN, DNS_EDE_BLOCKED);
        return;
    }
    if (!answer_from_cache(r, q) && !ask_upstream(r, q))
        answer_failure(r, q, DNS_EDE_NOT_READY);
}

/* ---- the embedder ---- */

static struct decide_facts facts_of(const struct question *q)
{
    return (struct decide_facts){
        .stage = DECIDE_DNS,
        .guest = link_guest_name(q->link),
        .proto = q->session ? RULE_TCP : RULE_UDP,
        .src = q->key.guest,
        .src_port = q->key.guest_port,
        .dst = q->key.dst,
        .target = q->key.dst,
        .dst_port = q->key.port,
        .name = q->query.name,
        .dns_type = q->query.type,
    };
}

/* Return: whether the question waits, or was answered for want of room; else @v is what holds. */
static bool ask_embedder(struct resolver *r, const struct question *asked, struct verdict *v)
{
    struct instance *in = r->instance;
    uint32_t decide_ms = in->config.hook.decide_ms < HOOK_DNS_MS ? in->config.hook.decide_ms : HOOK_DNS_MS;
    struct decide_facts facts = facts_of(asked);
    uint64_t token = hook_ask(in, &facts, v);
    struct question *q = token != 0 ? question_new(r, asked) : NULL;

    if (token == 0)
        return false;
    if (!q) {
        hook_forget(in, token);
        answer_failure(r, asked, DNS_EDE_NOT_READY);
        return true;
    }
    q->token = token;
    q->due_ms = instance_now(in) + decide_ms;
    list_append(&r->asking, &q->node);
    hook_bind_question(in, token, q);
    return true;
}

void resolver_decided(struct resolver *r, struct question *q, enum decide_answer answer)
{
    struct question asked = *q;
    struct decide_facts facts = facts_of(&asked);
    struct verdict v;

    q->token = 0;
    question_free(r, q);
    policy_judge_name(r->instance->policy, asked.query.name, instance_wall_s(), &v);
    hook_apply(r->instance, &facts, answer, &v);
    go_on(r, &asked, &v);
}

uint64_t resolver_next_due(const struct resolver *r)
{
    return list_empty(&r->asking) ? 0 : LIST_ENTRY(r->asking.next, struct question, node)->due_ms;
}

void resolver_due(struct resolver *r)
{
    uint64_t due_ms;

    while ((due_ms = resolver_next_due(r)) > 0 && due_ms <= instance_now(r->instance)) {
        struct question *q = LIST_ENTRY(r->asking.next, struct question, node);
        struct question asked = *q;

        question_free(r, q);
        record(&asked, REASON_HOOK_TIMEOUT);
        answer_rcode(r, &asked, DNS_SERVFAIL, DNS_EDE_NONE);
    }
}

/* Return: whether an answer will come or has come. */
static bool judge(struct resolver *r, const struct question *q)
{
    struct verdict v;

    if (!dns_rate_take(&q->link->dns_rate, r->instance->config.limits.dns_qps, instance_now(r->instance))) {
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
    if (r->instance->hook && ask_embedder(r, q, &v))
        return true;
    go_on(r, q, &v);
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
    if (result == DNS_QUERY_INVALID_NAME)
        record(q, REASON_NAME_INVALID);
    answer_rcode(r, q, rcodes[result], q->query.ede);
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

static void forget_questions(struct resolver *r, struct list *questions, const struct link *link,
                             const struct dns_session *session)
{
    LIST_FOR_EACH(n, questions) {
        struct question *q = LIST_ENTRY(n, struct question, node);

        if ((link && q->link == link) || (session && q->session == session))
            question_free(r, q);
    }
}

static void forget_in(struct resolver *r, struct list *lookups, const struct link *link,
                      const struct dns_session *session)
{
    LIST_FOR_EACH(l, lookups)
        forget_questions(r, &LIST_ENTRY(l, struct lookup, node)->questions, link, session);
}

static void forget(struct resolver *r, const struct link *link, const struct dns_session *session)
{
    forget_questions(r, &r->asking, link, session);
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
    LIST_FOR_EACH(n, &r->asking)
        question_free(r, LIST_ENTRY(n, struct question, node));
    LIST_FOR_EACH(l, &r->lookups) {
        struct lookup *lookup = LIST_ENTRY(l, struct lookup, node);

        LIST_FOR_EACH(n, &lookup->questions)
            question_free(r, LIST_ENTRY(n, struct question, node));
        while (list_take_first(&lookup->flows))
            ;
        list_unlink(&lookup->node);
        free(lookup);
    }
    upstream_close(&r->upstream, on_upstream_idle);
}
