/*
 * The index of the rules (policy/index.h): every answer of the policy is the one that asking all rules in turn gives
 * (policy_scan.h). Policies and facts are drawn from a seed; names and prefixes lie in one another often.
 */
#include "policy/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/policy_scan.h"
#include "tests/unit/policy_setup.h"

enum { POLICIES = 2000, MANY_POLICIES = 40, FLOWS = 60, RULES_FEW = 12, RULES_MANY = 600, NAMES_MAX = 6 };

static uint64_t seed;

static unsigned draw(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

#define DRAW(list) ((list)[draw(ARRAY_SIZE(list))])

/* --- what is drawn ----------------------------------------------------------------------------- */

/* One to five labels of few, so that they end in one another; sometimes one with a meaning of its own. */
static void draw_name(char *out, size_t size)
{
    static const char *const labels[] = {"a", "b", "aa", "ok", "cdn"};
    static const char *const special[] = {"dns.google", "x.dns.google", "use-application-dns.net", "localhost", "example"};
    unsigned depth = draw(5);

    if (draw(16) == 0) {
        (void)snprintf(out, size, "%s", DRAW(special));
        return;
    }
    out[0] = '\0';
    for (unsigned i = 0; i < depth; i++)
        (void)snprintf(out + strlen(out), size - strlen(out), "%s.", DRAW(labels));
    (void)snprintf(out + strlen(out), size - strlen(out), "%s", draw(2) ? "ok.example" : "a.test");
}

/* An address of few, often with low bits of its own. */
static struct addr draw_addr(void)
{
    static const char *const open[] = {"203.0.113.10", "198.51.100.66", "20.1.2.3", "20.1.128.0", "2600::10", "2600:1:8000::1"};
    static const char *const others[] = {
        "203.0.113.99", "255.255.255.255", "0.0.0.0", "10.9.9.9", "10.9.9.9", "172.16.0.1", "169.254.169.254", "192.168.127.254",
        "192.168.127.2", "127.0.0.1", "::ffff:203.0.113.10", "64:ff9b::808:808", "2600::5", "fd77::ffff:ffff:ffff:fffe", "fd00::1",
        "ff02::1",
    };
    struct addr a = setup_addr(draw(4) > 0 ? DRAW(open) : DRAW(others));

    if (draw(3) == 0)
        a.bytes[addr_size(&a) - 1 - draw(3)] ^= (uint8_t)(1u << draw(8));
    return a;
}

static void draw_prefix(char out[static ADDR_PREFIX_TEXT_MAX])
{
    struct addr_prefix p = {.base = draw_addr()};
    unsigned bits = 8 * addr_size(&p.base);

    p.bits = (uint8_t)(draw(3) == 0 ? bits : draw(2) ? bits - draw(12) : draw(bits + 1));
    for (unsigned i = p.bits; i < bits; i++)
        p.base.bytes[i / 8] &= (uint8_t)~(0x80 >> i % 8);
    addr_prefix_format(&p, out);
}

static void draw_target(char *out, size_t size)
{
    static const char *const wide[] = {"any", "any", "public", "private", "host", "metadata", "loopback", "reserved", "guest"};
    static const char *const marks[] = {"", ".", "*."};
    char text[NAME_TEXT_MAX + 1];

    switch (draw(12)) {
    case 0:
        (void)snprintf(out, size, "%s", DRAW(wide));
        return;
    case 1:
    case 2:
    case 3:
    case 4:
        draw_prefix(text);
        (void)snprintf(out, size, "%s", text);
        return;
    default:
        draw_name(text, sizeof(text));
        (void)snprintf(out, size, "%s%s", DRAW(marks), text);
    }
}

/* Written as text, so that only rules that have a meaning come; most do. */
static void draw_rule(struct rule *out_rule)
{
    static const char *const actions[] = {"allow", "allow", "allow", "deny", "deny", "audit", "allow in", "deny in"};
    static const char *const protos[] = {"", "", "tcp", "tcp/443", "tcp/80", "tcp/22,443", "tcp/1-1024", "tcp/853", "udp",
                                         "udp/443", "udp/8443", "any/443", "any/53", "udp/53,123", "icmp"};
    static const char *const options[] = {"", "", "", "", "need=none", "need=sni", "need=host", "private=yes", "ech=deny",
                                          "private=10.9.0.0/16", "private=172.16.0.0/12", "quic=inspect",
                                          "quic=inspect need=none", "force=yes", "ech=deny private=10.0.0.0/8,fd00::/8",
                                          "conns=9", "up=1M need=host", "http=first"};
    static const char *const ends[] = {"", "", "", "", "", "expires=2029-01-01T00:00:00Z", "expires=2031-01-01T01:46:40Z",
                                       "expires=2033-01-01T00:00:00Z"};
    struct rule_error error;
    char text[RULE_TEXT_MAX];

    do {
        char target[NAME_TEXT_MAX + 8];

        draw_target(target, sizeof(target));
        (void)snprintf(text, sizeof(text), "%s %s %s %s %s", DRAW(actions), target, DRAW(protos), DRAW(options), DRAW(ends));
    } while (rule_parse(text, out_rule, &error) < 0);
}

/* @open: mostly by default, so that the other layer has its say. */
static void draw_layer(struct rule *rules, unsigned most, bool open, struct policy_layer_config *out_layer)
{
    unsigned count = draw(most + 1);

    for (unsigned i = 0; i < count; i++)
        draw_rule(&rules[i]);
    *out_layer = (struct policy_layer_config){
        .present = true, .allow_default = open == (draw(4) > 0), .rules = rules, .rule_count = count};
}

static struct policy *draw_policy(unsigned most)
{
    static struct rule rules[POLICY_LAYERS][RULES_MANY];
    struct policy_config config = {.groups = setup_groups()};
    struct policy *policy;

    if (draw(2))
        draw_layer(rules[0], most, true, &config.layers[POLICY_LAYER_FLOOR]);
    draw_layer(rules[1], most, false, &config.layers[POLICY_LAYER_POLICY]);
    policy = policy_new(&config);
    assert_non_null(policy);
    memset(rules, 0xa5, sizeof(rules)); /* everything was copied */
    return policy;
}

/* The same rules where other addresses are public and private; the policy they came from is gone. */
static struct policy *move_groups(struct policy *policy)
{
    struct group_table groups = {.alias4 = setup_addr("20.1.2.3")};
    struct policy *moved;
    struct addr_prefix p;

    assert_int_equal(addr_prefix_parse("20.1.0.0/16", &p), 0);
    assert_int_equal(group_table_add(&groups, &p, GROUP_PRIVATE), 0);
    assert_int_equal(addr_prefix_parse("10.9.0.0/16", &p), 0);
    assert_int_equal(group_table_add(&groups, &p, GROUP_PUBLIC), 0);
    moved = policy_with_groups(policy, &groups);
    assert_non_null(moved);
    policy_unref(policy);
    return moved;
}

/* Facts, and what they point at. */
struct drawn {
    struct facts facts;
    struct evidence evidence;
    const char *names[NAMES_MAX];
    char texts[NAMES_MAX][NAME_TEXT_MAX + 1];
};

/* Protocol, port and address at which the rule could apply, and its name or one that ends in it. */
static void aim(const struct rule *rule, struct drawn *out)
{
    struct facts *f = &out->facts;

    if (rule->proto != RULE_PROTO_ANY)
        f->proto = rule->proto;
    f->port = f->proto == RULE_ICMP ? 0 : rule->port_count > 0 ? rule->ports[draw(rule->port_count)].hi : f->port;
    if (rule->target == RULE_PREFIX)
        f->dst = addr_prefix_nth(&rule->prefix, draw(3) > 0 || rule->prefix.bits % 32 == 0 ? 0 : 1 + draw(4));
    if (rule->private_count > 0 && draw(4) > 0)
        f->dst = addr_prefix_nth(&rule->private_nets[draw(rule->private_count)], 1 + draw(2));
    if (rule_is_by_name(rule)) {
        (void)snprintf(out->texts[0], sizeof(out->texts[0]), "%s%.200s", draw(2) ? "" : "a.ok.", rule->name);
        if (f->name_count == 0)
            f->name_count = draw(4) > 0;
    }
}

static void draw_flow(const struct policy *policy, struct drawn *out)
{
    static const struct { enum rule_proto proto; uint16_t port; } to[] = {
        { RULE_TCP, 443 }, { RULE_TCP, 443 }, { RULE_TCP, 80 }, { RULE_TCP, 22 }, { RULE_TCP, 853 }, { RULE_TCP, 53 },
        { RULE_UDP, 443 }, { RULE_UDP, 443 }, { RULE_UDP, 8443 }, { RULE_UDP, 123 }, { RULE_UDP, 853 }, { RULE_ICMP, 0 },
    };
    static const char *const kinds[] = {"tls", "tls", "http", "opaque", "bad tls.malformed", "bad name.invalid"};
    static const int64_t times[] = {SETUP_NOW_S, SETUP_NOW_S, 1800000000, 1925000000 /* just when one ends */, 2000000000};
    const struct layer *layer = &policy->layers[draw(3) == 0 ? POLICY_LAYER_FLOOR : POLICY_LAYER_POLICY];
    unsigned at = draw(ARRAY_SIZE(to));
    struct facts *f = &out->facts;

    *f = (struct facts){.proto = to[at].proto, .port = to[at].port, .dst = draw_addr(), .names = out->names,
                        .names_more = draw(12) == 0, .wall_s = DRAW(times)};
    f->name_count = draw(2) ? draw(2) : draw(NAMES_MAX + 1);
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        draw_name(out->texts[i], sizeof(out->texts[i]));
        out->names[i] = out->texts[i];
    }
    if (layer->rule_count > 0 && draw(4) > 0)
        aim(&layer->rules[draw((unsigned)layer->rule_count)], out);
    out->evidence = setup_evidence(DRAW(kinds));
    out->evidence.ech = draw(4) == 0;
    if ((out->evidence.kind == EVIDENCE_TLS || out->evidence.kind == EVIDENCE_HTTP) && draw(6) > 0)
        strcpy(out->evidence.name, out->names[draw(3) > 0 ? 0 : draw(NAMES_MAX)]);
    f->evidence = draw(2) == 0 ? NULL : &out->evidence;
    f->let_in = draw(4) == 0;
}

/* --- comparing --------------------------------------------------------------------------------- */

static bool same(const struct verdict *a, const struct verdict *b)
{
    return a->action == b->action && a->reason == b->reason && a->layer == b->layer && a->rule == b->rule &&
           a->audited == b->audited && a->strict == b->strict && memcmp(a->rules, b->rules, sizeof(a->rules)) == 0 &&
           a->other_rules == b->other_rules && a->by_default == b->by_default &&
           a->follows_hello == b->follows_hello && a->follows_http == b->follows_http && strcmp(a->name, b->name) == 0;
}

/* The rules that two answers name, and what they were asked. */
static void explain(const char *what, const struct policy *policy, const struct facts *f, const struct verdict *is,
                    const struct verdict *scanned)
{
    char texts[2][RULE_TEXT_MAX] = {"", ""}, addr[ADDR_TEXT_MAX];
    const struct verdict *verdicts[2] = {is, scanned};

    for (unsigned i = 0; i < 2; i++)
        if (verdicts[i]->rule >= 0)
            rule_format(policy_rule(policy, verdicts[i]->layer, (unsigned)verdicts[i]->rule), texts[i]);
    fail_msg("%s: action %d %s layer %d rule %d '%s' name '%s', scanned: %d %s layer %d rule %d '%s' name '%s'; proto %d port %u %s",
             what, (int)is->action, reason_text(is->reason), (int)is->layer, is->rule, texts[0], is->name, (int)scanned->action,
             reason_text(scanned->reason), (int)scanned->layer, scanned->rule, texts[1], scanned->name, (int)f->proto, f->port,
             addr_format(&f->dst, addr));
}

static unsigned actions[4], by_rule[2], answers[2], resolvers[2], hosts[2], asked[2];

static void compare_flow(const struct policy *policy, const struct facts *f)
{
    struct verdict is, scanned;

    policy_judge(policy, f, &is);
    scan_judge(policy, f, &scanned);
    if (!same(&is, &scanned))
        explain("verdict", policy, f, &is, &scanned);
    actions[is.action]++;
    by_rule[is.rule >= 0]++;
    policy_judge_silent(policy, f, &is);
    scan_judge_silent(policy, f, &scanned);
    if (!same(&is, &scanned))
        explain("verdict of a silent flow", policy, f, &is, &scanned);
}

static void compare_questions(const struct policy *policy, const struct facts *f)
{
    char name[NAME_TEXT_MAX + 1];
    struct verdict is, scanned;
    bool yes;

    draw_name(name, sizeof(name));
    policy_judge_name(policy, name, f->wall_s, &is);
    scanned = scan_judge_name(policy, name, f->wall_s);
    if (!same(&is, &scanned))
        explain("a name", policy, f, &is, &scanned);
    asked[is.action == VERDICT_ALLOW]++;
    yes = policy_may_answer(policy, name, &f->dst, f->wall_s);
    assert_int_equal(yes, scan_may_answer(policy, name, &f->dst, f->wall_s));
    answers[yes]++;
    yes = policy_opens_resolver(policy, f->proto, &f->dst, f->wall_s);
    assert_int_equal(yes, scan_opens_resolver(policy, f->proto, &f->dst, f->wall_s));
    resolvers[yes]++;
    yes = policy_opens_host(policy, f->wall_s);
    assert_int_equal(yes, scan_opens_host(policy, f->wall_s));
    hosts[yes]++;
}

static void compare_policies(unsigned policies, unsigned rules)
{
    for (unsigned i = 0; i < policies; i++) {
        struct policy *policy = draw_policy(rules);

        if (draw(3) == 0)
            policy = move_groups(policy);
        for (unsigned j = 0; j < FLOWS; j++) {
            struct drawn flow;

            draw_flow(policy, &flow);
            compare_flow(policy, &flow.facts);
            compare_questions(policy, &flow.facts);
        }
        policy_unref(policy);
    }
}

/* Every answer was seen, so that all were compared. */
static void assert_all_seen(void)
{
    const unsigned *const pairs[] = {by_rule, answers, resolvers, hosts, asked};

    for (unsigned i = 0; i < ARRAY_SIZE(actions); i++)
        assert_true(actions[i] > POLICIES);
    for (unsigned i = 0; i < ARRAY_SIZE(pairs); i++)
        assert_true(pairs[i][0] > POLICIES / 10 && pairs[i][1] > POLICIES / 10);
}

static void test_c06_c07_few_rules_as_scanned(void **state)
{
    (void)state;
    seed = 6;
    compare_policies(POLICIES, RULES_FEW);
    assert_all_seen();
}

/* Where a scan has far to go: long lists of one name, of one prefix, names in names, prefixes in prefixes. */
static void test_c06_c07_many_rules_as_scanned(void **state)
{
    (void)state;
    seed = 7;
    compare_policies(MANY_POLICIES, RULES_MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c06_c07_few_rules_as_scanned),
        cmocka_unit_test(test_c06_c07_many_rules_as_scanned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
