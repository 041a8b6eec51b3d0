#include "datapath/resolver_private.h"

#include <string.h>

#include "datapath/dns_session.h"
#include "datapath/flow_end.h"
#include "datapath/verdicts.h"
#include "policy/fake_ip.h"
#include "proxy/host_dgram.h"

enum { REPLY_BYTES_MAX = 20480 };

/* Beside the data: 10 bytes in front of each record's length, and 300 for header, question and OPT. */
_Static_assert(REPLY_BYTES_MAX >= DNS_RECORDS_BYTES_MAX + 10 * DNS_RECORDS_MAX + 300, "every answer fits");

static const char own_zone[] = "weir.internal"; /* never asked upstream */
static const char gateway_name[] = "gateway.weir.internal";

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

void resolver_tell_rcode(struct resolver *r, const struct question *q, int rcode, int ede)
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

void resolver_record(const struct question *q, enum reason reason)
{
    struct verdict v = verdict_deny(reason);

    strcpy(v.name, q->query.name);
    flow_record_dns(q->link->instance, q->link, &q->key, &v);
}

void resolver_tell_failure(struct resolver *r, const struct question *q, int ede)
{
    instance_count(r->instance, COUNTER_DNS_UPSTREAM);
    resolver_record(q, REASON_DNS_UPSTREAM);
    resolver_tell_rcode(r, q, DNS_SERVFAIL, ede);
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
    resolver_record(q, REASON_DNS_REBIND);
    return in->config.rebind_strip ? n : 0;
}

void resolver_tell_answer(struct resolver *r, const struct question *q, const struct dns_answer *a)
{
    struct addr addrs[DNS_ADDRS_MAX];
    uint32_t ttl_s = a->ttl_s < PINS_TTL_CAP_S ? a->ttl_s : PINS_TTL_CAP_S;
    size_t n;
    int ede;

    if (a->rcode == DNS_NXDOMAIN) {
        resolver_tell_rcode(r, q, DNS_NXDOMAIN, DNS_EDE_NONE);
        return;
    }
    if (!resolver_is_address(q->query.type)) {
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

/* ---- names of our own ---- */

void resolver_tell_reverse(struct resolver *r, const struct question *q)
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
        resolver_tell_rcode(r, q, DNS_NXDOMAIN, DNS_EDE_NONE);
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

bool resolver_tell_own(struct resolver *r, const struct question *q)
{
    struct addr addrs[DNS_ADDRS_MAX];
    size_t count;

    if (!own_addrs(q, addrs, &count))
        return false;
    if (count == 0) {
        resolver_tell_rcode(r, q, DNS_NXDOMAIN, DNS_EDE_NONE);
        return true;
    }
    if (!dns_type_is_data(q->query.type)) {
        resolver_tell_rcode(r, q, DNS_REFUSED, DNS_EDE_NOT_SUPPORTED);
        return true;
    }
    if (!resolver_is_address(q->query.type))
        count = 0;
    for (size_t i = 0; i < count; i++)
        (void)pins_add(q->link->pins, q->query.name, &addrs[i], RESOLVER_OWN_TTL_S, instance_now(r->instance));
    answer_addrs(r, q, addrs, count, RESOLVER_OWN_TTL_S, DNS_EDE_NONE);
    return true;
}
