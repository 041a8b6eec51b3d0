#include "datapath/resolver_private.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/dns_session.h"
#include "datapath/flow_end.h"
#include "datapath/verdicts.h"
#include "policy/dns_budget.h"

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

/* ---- questions ---- */

/* Addresses of a family that the guest does not have are of no use to it. */
static bool is_useful(const struct guest *guest, uint16_t type)
{
    enum addr_family family = type == DNS_TYPE_A ? ADDR_V4 : ADDR_V6;

    return !resolver_is_address(type) || guest_gateway(guest, family).family != ADDR_NONE;
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
        resolver_record(q, REASON_DNS_TYPE);
    if (v == DNS_TYPE_REFUSED)
        resolver_tell_rcode(r, q, DNS_REFUSED, DNS_EDE_NOT_SUPPORTED);
    else
        resolver_tell_rcode(r, q, DNS_NOERROR, v == DNS_TYPE_WITHHELD ? DNS_EDE_FORGED_ANSWER : DNS_EDE_NONE);
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
        if (v->reason == REASON_HOOK_TIMEOUT) /* the name was not denied, there was no place to ask */
            resolver_tell_rcode(r, q, DNS_SERVFAIL, DNS_EDE_NOT_READY);
        else
            resolver_tell_rcode(r, q, DNS_NXDOMAIN, DNS_EDE_BLOCKED);
        return;
    }
    if (!judge_type(r, q))
        return;
    if (!within_budget(q, v)) {
        instance_count(r->instance, COUNTER_DNS_BUDGET);
        resolver_record(q, REASON_DNS_BUDGET);
        resolver_tell_rcode(r, q, DNS_NXDOMAIN, DNS_EDE_BLOCKED);
        return;
    }
    if (!resolver_tell_cached(r, q) && !resolver_ask_upstream(r, q))
        resolver_tell_failure(r, q, DNS_EDE_NOT_READY);
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
        .name_src = "dns",
        .dns_type = q->query.type,
    };
}

/* Return: whether the question waits, or was answered for want of room; else @v is what holds. */
static bool ask_embedder(struct resolver *r, const struct question *asked, struct verdict *v)
{
    struct instance *in = r->instance;
    uint32_t decide_ms = in->config.hook.decide_ms < HOOK_DNS_MS ? in->config.hook.decide_ms : HOOK_DNS_MS;
    struct decide_facts facts = facts_of(asked);
    uint64_t token = hook_ask(asked->link, &facts, v);
    struct question *q = token != 0 ? resolver_question_new(r, asked) : NULL;

    if (token == 0)
        return false;
    if (!q) {
        hook_forget(in, token);
        resolver_tell_failure(r, asked, DNS_EDE_NOT_READY);
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

    q->token = asked.token = 0;
    resolver_question_free(r, q);
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

        resolver_question_free(r, q);
        resolver_record(&asked, REASON_HOOK_TIMEOUT);
        resolver_tell_rcode(r, &asked, DNS_SERVFAIL, DNS_EDE_NONE);
    }
}

/* Return: whether an answer will come or has come. */
static bool judge(struct resolver *r, const struct question *q)
{
    struct verdict v;

    if (!dns_rate_take(&q->link->dns_rate, r->instance->config.limits.dns_qps, instance_now(r->instance))) {
        instance_count(r->instance, COUNTER_LIMIT_DNS);
        resolver_record(q, REASON_LIMIT_DNS);
        resolver_tell_rcode(r, q, DNS_SERVFAIL, DNS_EDE_NONE);
        return true;
    }
    if (q->query.type == DNS_TYPE_PTR) {
        resolver_tell_reverse(r, q);
        return true;
    }
    if (resolver_tell_own(r, q))
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
        resolver_record(q, REASON_NAME_INVALID);
    resolver_tell_rcode(r, q, rcodes[result], q->query.ede);
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
            resolver_question_free(r, q);
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
        resolver_question_free(r, LIST_ENTRY(n, struct question, node));
    LIST_FOR_EACH(l, &r->lookups) {
        struct lookup *lookup = LIST_ENTRY(l, struct lookup, node);

        LIST_FOR_EACH(n, &lookup->questions)
            resolver_question_free(r, LIST_ENTRY(n, struct question, node));
        while (list_take_first(&lookup->flows))
            ;
        list_unlink(&lookup->node);
        free(lookup);
    }
    upstream_close(&r->upstream, on_upstream_idle);
}
