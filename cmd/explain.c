/*
 * `weir explain`: ask the policy about a flow, stage by stage, and print each answer with the rule it is from. Nothing
 * is sent; names are not resolved: what the resolver told the guest is given by --name, or supposed where the
 * destination is a name. What the guest then says is given by --sni or --host.
 */
#include "cmd/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cmd/endpoint.h"
#include "cmd/say.h"
#include "datapath/policy_build.h"
#include "policy/fake_ip.h"

enum { PORT_DEFAULT = 443, STAND_IN_TRIES = 4096 };

struct question {
    const struct config *config;  /* borrowed */
    const struct policy *policy;  /* borrowed */
    enum rule_proto proto;
    bool by_name;                 /* the destination is names[0]; dst is an address that stands in */
    bool pooled;                  /* the destination is an address of fake-ip's pool */
    struct addr dst;
    uint16_t port;
    char names[ARGS_NAMES_MAX + 1][NAME_TEXT_MAX + 1];
    const char *pinned[ARGS_NAMES_MAX + 1];
    size_t name_count;
    struct evidence said;         /* EVIDENCE_UNKNOWN: nothing */
    int64_t wall_s;
};

/* ---- reading the question ---- */

static int fail(const char *word, const char *what)
{
    say_error(word, "%s", what);
    return -EINVAL;
}

static int take_proto(const char *word, enum rule_proto *out)
{
    static const struct {
        const char *word;
        enum rule_proto proto;
    } protos[] = {{"tcp", RULE_TCP}, {"udp", RULE_UDP}, {"icmp", RULE_ICMP}};

    for (size_t i = 0; i < ARRAY_SIZE(protos); i++) {
        if (strcmp(word, protos[i].word) == 0) {
            *out = protos[i].proto;
            return 0;
        }
    }
    return fail(word, "the protocol is tcp, udp or icmp");
}

static int add_name(struct question *q, const char *text)
{
    char *name = q->names[q->name_count];

    if (name_canonical(text, strlen(text), name) < 0)
        return fail(text, "not a valid name (name.invalid)");
    q->pinned[q->name_count++] = name;
    return 0;
}

static int take_dest(struct question *q, const char *word)
{
    char host[NAME_TEXT_MAX + 2];
    uint16_t port = 0;
    int err = endpoint_split(word, host, sizeof(host), &port);

    if (err == -ERANGE)
        return fail(word, "a port is a number from 1 to 65535");
    if (err < 0)
        return fail(word, "not a destination; write NAME:PORT, ADDRESS:PORT or [ADDRESS]:PORT");
    if (port > 0 && q->proto == RULE_ICMP)
        return fail(word, "icmp has no ports");
    q->port = port > 0 || q->proto == RULE_ICMP ? port : PORT_DEFAULT;
    if (addr_parse(host, &q->dst) == 0)
        return 0;
    q->by_name = true;
    return add_name(q, host);
}

static int take_said(struct question *q, const struct args *args)
{
    const char *option = args->sni ? "--sni" : "--host", *text = args->sni ? args->sni : args->host;

    if (!text)
        return 0;
    if (args->sni && args->host)
        return fail("--host", "a flow begins with a ClientHello or with a request, not with both");
    if (args->host && q->proto != RULE_TCP)
        return fail(option, "only a TCP flow has its requests read");
    if (q->proto == RULE_ICMP)
        return fail(option, "a ping says no name");
    q->said.kind = args->sni ? EVIDENCE_TLS : EVIDENCE_HTTP;
    return name_canonical(text, strlen(text), q->said.name) < 0 ? fail(option, "not a valid name (name.invalid)") : 0;
}

/* In mode fake-ip each name has an address of its own, and real addresses have none. */
static void settle_names(struct question *q)
{
    if (!q->config->instance.fake_ip)
        return;
    q->pooled = !q->by_name && fake_ip_is(&q->dst);
    if (!q->by_name && !q->pooled)
        q->name_count = 0;
    else if (q->name_count > 1)
        q->name_count = 1;
}

static int take_question(struct question *q, const struct args *args)
{
    q->proto = RULE_TCP;
    if (args->rest_count == 2 && take_proto(args->rest[0], &q->proto) < 0)
        return -EINVAL;
    if (take_dest(q, args->rest[args->rest_count - 1]) < 0)
        return -EINVAL;
    for (unsigned i = 0; i < args->name_count; i++)
        if (add_name(q, args->names[i]) < 0)
            return -EINVAL;
    return take_said(q, args);
}

/* ---- a public address no rule speaks of, for a name's own ---- */

static bool spoken_of(const struct config *c, const struct addr *a)
{
    for (unsigned layer = 0; layer < POLICY_LAYERS; layer++)
        for (size_t i = 0; i < c->layers[layer].count; i++)
            if (c->layers[layer].rules[i].target == RULE_PREFIX &&
                addr_prefix_contains(&c->layers[layer].rules[i].prefix, a))
                return true;
    return false;
}

static struct addr stand_in(const struct question *q)
{
    struct addr a = addr_v4(0);

    for (uint32_t i = 0; i < STAND_IN_TRIES; i++) {
        a = addr_v4(UINT32_C(0x01010101) + i * UINT32_C(0x000d1b05)); /* steps through most of the space */
        if (policy_group(q->policy, &a) == GROUP_PUBLIC && !spoken_of(q->config, &a))
            break;
    }
    return a;
}

/* ---- answers ---- */

static const char *action_word(const struct question *q, const struct verdict *v)
{
    switch (v->action) {
    case VERDICT_ALLOW:
        return v->audited ? "allow (audit: a deny would have been recorded)" : "allow";
    case VERDICT_DENY:
        return "deny";
    case VERDICT_JUDGE:
        return "dial, and judge the guest's first bytes before any of them leaves";
    case VERDICT_PEEK:
        return q->proto == RULE_UDP ? "hold the guest's datagrams until the name in QUIC's ClientHello is read"
                                    : "wait for the guest's first bytes, and dial only when they allow it";
    }
    CHECK(!"a verdict");
    return "";
}

/* Of every rule that lets it pass, for each counts. */
static void print_limits(const struct question *q, const struct verdict *v)
{
    for (unsigned i = 0; i < POLICY_LAYERS && v->action != VERDICT_DENY; i++) {
        const struct config_layer *layer = &q->config->layers[i];
        const struct rule *rule = v->rules[i] >= 0 ? &layer->rules[v->rules[i]] : NULL;
        char where[PROBLEM_WHERE_MAX];

        if (!rule || !rule_has_limits(rule))
            continue;
        (void)printf("limits   of rule %d (%s), for each guest:\n", v->rules[i] + 1,
                     config_place_format(q->config, &layer->places[v->rules[i]], where));
        if (rule->conns > 0)
            (void)printf("         %" PRIu32 " flows at a time, else limit.flows\n", rule->conns);
        if (rule->rate > 0)
            (void)printf("         %" PRIu32 " %s a second, else limit.rate\n", rule->rate,
                         q->proto == RULE_ICMP ? "echoes" : "new flows");
        if (rule->up_max > 0)
            (void)printf("         %" PRIu64 " bytes up in each flow, then limit.bytes\n", rule->up_max);
        if (rule->down_max > 0)
            (void)printf("         %" PRIu64 " bytes down in each flow, then limit.bytes\n", rule->down_max);
    }
}

static void print_answer(const struct question *q, const char *stage, const struct verdict *v)
{
    static const char *const layers[] = {[POLICY_LAYER_FLOOR] = "floor", [POLICY_LAYER_POLICY] = "policy"};
    char where[PROBLEM_WHERE_MAX], text[RULE_TEXT_MAX];
    const struct config_layer *layer = &q->config->layers[v->layer];

    (void)printf("%-9s%s\n", stage, action_word(q, v));
    (void)printf("         reason %s, layer %s, ", reason_text(v->reason), layers[v->layer]);
    if (v->rule >= 0)
        (void)printf("rule %d (%s): %s\n", v->rule + 1,
                     config_place_format(q->config, &layer->places[v->rule], where),
                     rule_format(&layer->rules[v->rule], text));
    else
        (void)printf("no rule; the default is %s\n", layer->allow_default ? "allow" : "deny");
    if (v->name[0] != '\0')
        (void)printf("         by the name %s\n", v->name);
}

static void print_question(const struct question *q)
{
    static const char *const protos[] = {[RULE_TCP] = "tcp", [RULE_UDP] = "udp", [RULE_ICMP] = "icmp"};
    char text[ADDR_TEXT_MAX];

    (void)printf("%s ", protos[q->proto]);
    if (q->by_name)
        (void)printf("%s", q->names[0]);
    else
        (void)printf(q->dst.family == ADDR_V6 ? "[%s]" : "%s", addr_format(&q->dst, text));
    if (q->proto != RULE_ICMP)
        (void)printf(":%u", q->port);
    if (q->by_name)
        (void)puts(", supposing the resolver answers a public address that no rule mentions");
    else
        (void)printf(", group %s\n", group_name(policy_group(q->policy, &q->dst)));
}

/* Names the policy does not let the guest ask for are never pinned. */
static void judge_names(struct question *q)
{
    size_t kept = 0;

    for (size_t i = 0; i < q->name_count; i++) {
        struct verdict v;
        char stage[NAME_TEXT_MAX + 8];

        policy_judge_name(q->policy, q->pinned[i], q->wall_s, &v);
        (void)snprintf(stage, sizeof(stage), "dns %s\n         ", q->pinned[i]);
        v.name[0] = '\0';
        print_answer(q, stage, &v);
        if (v.action != VERDICT_DENY)
            q->pinned[kept++] = q->pinned[i];
    }
    q->name_count = kept;
}

/* What is decided elsewhere than by rules. */
static void print_notes(const struct question *q)
{
    const struct instance_config *in = &q->config->instance;
    struct networks nets = networks_plan(&in->net4, &in->net6);
    const struct network *net = q->dst.family == ADDR_V6 ? &nets.v6 : &nets.v4;

    if (net->net.base.family == ADDR_NONE)
        (void)printf("note     guests have no IPv%d here: such packets are dropped before any rule\n", q->dst.family);
    if (q->proto == RULE_ICMP)
        (void)puts("note     an allowed echo has at most 64 bytes, one a second or as many as rate= says; the gateway "
                   "answers by itself");
    else if (q->pooled)
        (void)puts("note     an address that stands for a name; where the name leads, a public address is supposed "
                   "that no rule mentions");
    else if (q->by_name && in->fake_ip)
        (void)puts("note     the guest dials an address that stands for this name alone (dns mode fake-ip)");
    else if (in->fake_ip)
        (void)puts("note     real addresses have no names (dns mode fake-ip): only rules by address open them");
    if (q->proto != RULE_ICMP && q->port == 53 && (addr_equal(&q->dst, &net->gateway) ||
                               !policy_opens_resolver(q->policy, q->proto, &q->dst, q->wall_s)))
        (void)puts("note     the gateway's resolver answers port 53, whatever address was asked, and judges each name");
}

/* What becomes of what the guest says behind the bytes that were allowed. */
static void print_later(const struct question *q, const struct verdict *v)
{
    if (v->action == VERDICT_DENY)
        return;
    if (q->said.kind == EVIDENCE_HTTP)
        (void)puts(v->follows_http ? "later    each further request of the connection is judged like the first"
                                   : "later    further requests of the connection are not read");
    else if (q->proto == RULE_TCP)
        (void)puts(v->follows_hello ? "later    a second ClientHello (HelloRetryRequest) is judged like the first"
                                    : "later    nothing more is read");
}

static void print_silence(const struct question *q, const struct facts *facts)
{
    struct verdict v;

    if (q->proto == RULE_TCP) {
        policy_judge_silent(q->policy, facts, &v);
        print_answer(q, "silence", &v);
    }
    (void)printf("bytes    decide; ask with --sni NAME%s\n", q->proto == RULE_TCP ? " or --host NAME" : "");
}

static void judge_flow(const struct question *q)
{
    struct facts facts = {
        .proto = q->proto,
        .dst = q->dst,
        .port = q->port,
        .names = q->pinned,
        .name_count = q->name_count,
        .wall_s = q->wall_s,
    };
    struct verdict v;

    if (q->pooled && q->name_count == 0)
        v = (struct verdict){
            .action = VERDICT_DENY, .reason = REASON_NAME_UNPINNED, .layer = POLICY_LAYER_POLICY, .rule = -1};
    else
        policy_judge(q->policy, &facts, &v);
    print_answer(q, q->proto == RULE_UDP ? "datagram" : "open", &v);
    if (v.action == VERDICT_ALLOW || v.action == VERDICT_DENY) {
        if (q->said.kind != EVIDENCE_UNKNOWN)
            (void)puts("bytes    not read: the verdict is final before them");
    } else if (q->said.kind != EVIDENCE_UNKNOWN) {
        facts.evidence = &q->said;
        policy_judge(q->policy, &facts, &v);
        print_answer(q, "bytes", &v);
        print_later(q, &v);
    } else {
        print_silence(q, &facts);
    }
    print_limits(q, &v);
}

/* The policy that an instance would enforce now. Return: 0, or -errno after an error line. */
static int make_policy(const struct config *c, struct policy **out_policy)
{
    struct networks nets = networks_plan(&c->instance.net4, &c->instance.net6);
    struct host_addrs host;
    struct policy *given = NULL;
    int err = host_addrs_read(&host);

    if (err == 0 && (!(given = config_policy(c)) || !(*out_policy = policy_build(given, &nets, &host))))
        err = -ENOMEM;
    policy_unref(given);
    if (err < 0)
        say_error("explain", "the policy cannot be made: %s",
                  err == -E2BIG ? "the host has too many addresses to close" : strerror(-err));
    return err;
}

int explain_command(const struct args *args, const struct config *config)
{
    struct question *q = calloc(1, sizeof(*q));
    struct policy *policy = NULL;
    int err = q ? 0 : -ENOMEM;

    if (!q)
        say_error("explain", "out of memory");
    if (err == 0) {
        q->config = config;
        q->wall_s = instance_wall_s();
        err = take_question(q, args);
    }
    if (err == 0)
        err = make_policy(config, &policy);
    if (err == 0) {
        q->policy = policy;
        settle_names(q);
        if (q->by_name)
            q->dst = stand_in(q);
        print_question(q);
        print_notes(q);
        judge_names(q);
        if (q->pooled && q->name_count > 0)
            q->dst = stand_in(q);
        judge_flow(q);
    }
    policy_unref(policy);
    free(q);
    return err == 0 ? EXIT_DONE : err == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
}
