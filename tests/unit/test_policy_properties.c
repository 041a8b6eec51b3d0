/*
 * What must hold for all rules, addresses, pins and bytes: policies and facts are drawn from a seed, from few words, so
 * that rules meet flows often.
 */
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/policy_setup.h"

enum { POLICIES = 1000, FLOWS = 60, RULES_MAX = 6 };

static const char *const names[] = {"ok.example", "a.ok.example", "b.ok.example", "evil.example", "third.test"};
static const char *const addrs[] = {"203.0.113.10", "198.51.100.66", "10.9.9.9", "169.254.169.254", "192.168.127.254",
                                    "127.0.0.1", "::ffff:203.0.113.10", "2600::10", "64:ff9b::808:808", "203.0.113.99"};
static const char *const flows_to[] = {"tcp/443", "tcp/80", "tcp/22", "tcp/853", "udp/443", "udp/123", "icmp"};
static const char *const evidences[] = {"tls ok.example", "tls a.ok.example", "tls evil.example", "tls ok.example ech", "tls",
                                        "http ok.example", "http evil.example", "http", "opaque", "bad tls.malformed",
                                        "bad name.invalid", "tls third.test", "http b.ok.example"};

static uint64_t seed;

static unsigned draw(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

/* A rule that has a meaning; written as text, so that the parser has its say as well. */
static void draw_rule(char *out, size_t size)
{
    static const char *const actions[] = {"allow", "allow", "allow", "deny", "audit"};
    static const char *const targets[] = {"any", "public", "private", "host", "metadata", "10.0.0.0/8", "203.0.113.0/24",
                                          "203.0.113.10", "169.254.169.254", "0.0.0.0/0", "::/0", "loopback"};
    static const char *const name_targets[] = {"ok.example", ".ok.example", "*.ok.example", "evil.example", "third.test"};
    static const char *const protos[] = {"", "tcp", "tcp/443", "tcp/80", "tcp/22", "udp", "any/443", "tcp/853", "icmp"};
    static const char *const options[] = {"", "", "", "need=none", "need=sni", "need=host", "private=yes", "ech=deny",
                                          "private=10.9.0.0/16", "quic=inspect"};
    const char *action = actions[draw(ARRAY_SIZE(actions))], *proto = protos[draw(ARRAY_SIZE(protos))];
    bool by_name = draw(2) == 0;
    const char *option = by_name ? options[draw(ARRAY_SIZE(options))] : "";

    if ((strncmp(proto, "tcp", 3) == 0 || strcmp(proto, "icmp") == 0) && strcmp(option, "quic=inspect") == 0)
        option = "";
    if (strcmp(action, "deny") == 0 && strcmp(option, "quic=inspect") != 0)
        option = "";
    if (strstr(option, "need=") && (strncmp(proto, "udp", 3) == 0 || strncmp(proto, "icmp", 4) == 0))
        option = "";
    snprintf(out, size, "%s %s %s %s", action,
             by_name ? name_targets[draw(ARRAY_SIZE(name_targets))] : targets[draw(ARRAY_SIZE(targets))], proto, option);
}

static void draw_layer(char *out, size_t size)
{
    unsigned rules = draw(RULES_MAX + 1);
    size_t at = 0;

    out[0] = '\0';
    if (draw(4) == 0)
        at = (size_t)snprintf(out, size, "default allow");
    for (unsigned i = 0; i < rules; i++) {
        char one[128];

        draw_rule(one, sizeof(one));
        at += (size_t)snprintf(out + at, size - at, "%s%s", at > 0 ? ";" : "", one);
    }
    assert_true(at < size);
}

static void draw_flow(struct setup_flow *out_flow)
{
    char to[96], pinned[256] = "";
    unsigned mask = draw(32);

    snprintf(to, sizeof(to), "%s %s", flows_to[draw(ARRAY_SIZE(flows_to))],
             addrs[draw(draw(2) ? 1 : ARRAY_SIZE(addrs))]);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (mask & 1u << i && draw(2))
            snprintf(pinned + strlen(pinned), sizeof(pinned) - strlen(pinned), " %s", names[i]);
    if (draw(12) == 0)
        strcat(pinned, " +");
    setup_flow(to, pinned, evidences[draw(ARRAY_SIZE(evidences))], out_flow);
}

static struct verdict judge(const struct policy *policy, const struct setup_flow *flow, bool open)
{
    struct facts facts = flow->facts;
    struct verdict v;

    if (open)
        facts.evidence = NULL;
    policy_judge(policy, &facts, &v);
    return v;
}

static void explain(const char *what, const char *floor, const char *rules, const struct setup_flow *flow)
{
    char addr[ADDR_TEXT_MAX], pinned[256] = "";

    for (size_t i = 0; i < flow->facts.name_count; i++)
        snprintf(pinned + strlen(pinned), sizeof(pinned) - strlen(pinned), " %s", flow->names[i]);
    fail_msg("%s: floor [%s] rules [%s] proto %d port %u %s pinned%s%s said %d '%s'", what, floor, rules,
             (int)flow->facts.proto, flow->facts.port, addr_format(&flow->facts.dst, addr), pinned,
             flow->facts.names_more ? " +" : "", (int)flow->evidence.kind, flow->evidence.name);
}

/* Narrowing: what two layers allow together, each allows alone; at open, with bytes, in silence, for names and answers. */
static void test_c16_compose_never_allows_what_one_denies(void **state)
{
    unsigned allowed = 0, denied = 0;

    (void)state;
    seed = 16;
    for (unsigned i = 0; i < POLICIES; i++) {
        char texts[2][1024];
        struct policy *both, *alone[2];

        draw_layer(texts[0], sizeof(texts[0]));
        draw_layer(texts[1], sizeof(texts[1]));
        both = setup_policy(texts[0], texts[1]);
        alone[0] = setup_policy(NULL, texts[0]);
        alone[1] = setup_policy(NULL, texts[1]);
        for (unsigned j = 0; j < FLOWS; j++) {
            struct setup_flow flow;
            struct verdict v, one, silent;
            const char *name = names[draw(ARRAY_SIZE(names))];

            draw_flow(&flow);
            v = judge(both, &flow, false);
            allowed += v.action == VERDICT_ALLOW;
            denied += v.action == VERDICT_DENY;
            for (unsigned k = 0; k < 2; k++) {
                one = judge(alone[k], &flow, false);
                if (v.action == VERDICT_ALLOW && one.action != VERDICT_ALLOW)
                    explain("allowed by both alone denies", texts[0], texts[1], &flow);
                policy_judge_silent(both, &flow.facts, &silent);
                policy_judge_silent(alone[k], &flow.facts, &one);
                if (silent.action == VERDICT_ALLOW && one.action != VERDICT_ALLOW)
                    explain("silence is allowed by both, alone it is not", texts[0], texts[1], &flow);
                policy_judge_name(both, name, SETUP_NOW_S, &v);
                policy_judge_name(alone[k], name, SETUP_NOW_S, &one);
                assert_true(v.action == VERDICT_DENY || one.action == VERDICT_ALLOW);
                assert_true(!policy_may_answer(both, name, &flow.facts.dst, SETUP_NOW_S) ||
                            policy_may_answer(alone[k], name, &flow.facts.dst, SETUP_NOW_S));
                v = judge(both, &flow, false);
            }
        }
        policy_unref(both);
        policy_unref(alone[0]);
        policy_unref(alone[1]);
    }
    assert_true(allowed > POLICIES * FLOWS / 50 && denied > POLICIES * FLOWS / 50);
}

/*
 * Stages: what is final at open is what all facts at once give, whatever bytes come. The policy that is asked with all
 * facts has a deny rule for a name nobody says: with it nothing is final at open, and nothing else may change.
 */
static void test_c13_stages_agree(void **state)
{
    unsigned early = 0, late = 0;

    (void)state;
    seed = 13;
    for (unsigned i = 0; i < POLICIES; i++) {
        char text[1024], watched[1100];
        struct policy *staged, *at_once;

        draw_layer(text, sizeof(text));
        snprintf(watched, sizeof(watched), "deny nobody.says.this tcp%s%s", text[0] ? ";" : "", text);
        staged = setup_policy(NULL, text);
        at_once = setup_policy(NULL, watched);
        for (unsigned j = 0; j < FLOWS; j++) {
            struct setup_flow flow;
            struct verdict open, all;

            draw_flow(&flow);
            open = judge(staged, &flow, true);
            all = judge(at_once, &flow, false);
            assert_true(all.action == VERDICT_ALLOW || all.action == VERDICT_DENY);
            if (open.action == VERDICT_ALLOW || open.action == VERDICT_DENY) {
                early++;
                if (open.action != all.action)
                    explain("final at open, otherwise with all facts", "", text, &flow);
                continue;
            }
            late++;
            open = judge(staged, &flow, false);
            if (open.action != all.action || open.reason != all.reason || strcmp(open.name, all.name) != 0)
                explain("a deny rule for another name changes the verdict", "", text, &flow);
        }
        policy_unref(staged);
        policy_unref(at_once);
    }
    assert_true(early > 1000 && late > 1000);
}

static bool is_pinned(const struct setup_flow *flow, const char *name)
{
    for (size_t i = 0; i < flow->facts.name_count; i++)
        if (strcmp(flow->names[i], name) == 0)
            return true;
    return false;
}

/* Where only names allow: nothing passes but to an address that a pinned name led to, and under a name of some rule. */
static void test_c11_t01_t02_names_alone(void **state)
{
    static const char rules[] = "deny a.ok.example;allow .ok.example;allow third.test tcp/22 need=none";
    struct policy *policy = setup_policy(NULL, rules);
    unsigned allowed = 0;

    (void)state;
    seed = 11;
    for (unsigned j = 0; j < POLICIES * FLOWS; j++) {
        struct setup_flow flow;
        struct verdict v;

        draw_flow(&flow);
        v = judge(policy, &flow, false);
        if (v.action == VERDICT_DENY)
            continue;
        allowed++;
        if (!is_pinned(&flow, v.name) || strcmp(v.name, "evil.example") == 0 || strcmp(v.name, "a.ok.example") == 0 ||
            policy_group(policy, &flow.facts.dst) != GROUP_PUBLIC)
            explain("allowed", "", rules, &flow);
        if (flow.facts.proto == RULE_TCP && strcmp(v.name, "third.test") != 0 && flow.evidence.kind != EVIDENCE_OPAQUE &&
            strcmp(flow.evidence.name, v.name) != 0)
            explain("allowed under another name than was said", "", rules, &flow);
    }
    assert_true(allowed > 500);
    policy_unref(policy);
}

/* One more pinned name that no rule covers is one more thing the guest could mean: never a better verdict. */
static void test_c12_a_further_name_never_helps(void **state)
{
    (void)state;
    seed = 12;
    for (unsigned i = 0; i < POLICIES; i++) {
        struct policy *policy;
        char text[1024];

        draw_layer(text, sizeof(text));
        policy = setup_policy(NULL, text);
        for (unsigned j = 0; j < FLOWS; j++) {
            struct verdict before, after, silent_before, silent_after;
            struct setup_flow flow;

            draw_flow(&flow);
            before = judge(policy, &flow, false);
            policy_judge_silent(policy, &flow.facts, &silent_before);
            flow.names[flow.facts.name_count++] = "further.test";
            after = judge(policy, &flow, false);
            policy_judge_silent(policy, &flow.facts, &silent_after);
            if ((before.action == VERDICT_DENY && after.action != VERDICT_DENY) ||
                (silent_before.action == VERDICT_DENY && silent_after.action != VERDICT_DENY))
                explain("a further name helps", "", text, &flow);
            /* Silence is never better than bytes that say nothing. */
            flow.evidence = setup_evidence("opaque");
            after = judge(policy, &flow, false);
            if (silent_after.action == VERDICT_ALLOW && after.action != VERDICT_ALLOW)
                explain("silence helps", "", text, &flow);
        }
        policy_unref(policy);
    }
}

/* Whatever the rules: a floor group opens only where a rule writes it, or the exact address; mapped addresses never. */
static void test_c08_t128_the_floor_stands(void **state)
{
    static const struct { const char *addr, *group, *exact; } closed[] = {
        { "169.254.169.254", " metadata", " 169.254.169.254" }, { "127.0.0.1", " loopback", " 127.0.0.1" },
        { "192.168.127.254", " host", " 192.168.127.254" },
        { "::ffff:203.0.113.10", NULL, NULL },
    };

    (void)state;
    seed = 8;
    for (unsigned i = 0; i < POLICIES; i++) {
        struct policy *policy;
        char text[1024];

        draw_layer(text, sizeof(text));
        policy = setup_policy(NULL, text);
        for (unsigned j = 0; j < ARRAY_SIZE(closed); j++) {
            struct setup_flow flow;
            char to[64];

            if (closed[j].group && (strstr(text, closed[j].group) || strstr(text, closed[j].exact)))
                continue;
            snprintf(to, sizeof(to), "%s %s", flows_to[draw(ARRAY_SIZE(flows_to))], closed[j].addr);
            setup_flow(to, draw(2) ? "ok.example" : "", evidences[draw(ARRAY_SIZE(evidences))], &flow);
            if (judge(policy, &flow, false).action != VERDICT_DENY || judge(policy, &flow, true).action != VERDICT_DENY)
                explain("the floor is open", "", text, &flow);
            if (policy_may_answer(policy, "ok.example", &flow.facts.dst, SETUP_NOW_S))
                explain("the floor may be told", "", text, &flow);
        }
        policy_unref(policy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c16_compose_never_allows_what_one_denies),
        cmocka_unit_test(test_c13_stages_agree),
        cmocka_unit_test(test_c11_t01_t02_names_alone),
        cmocka_unit_test(test_c12_a_further_name_never_helps),
        cmocka_unit_test(test_c08_t128_the_floor_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
