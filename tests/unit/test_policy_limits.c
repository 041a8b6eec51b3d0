/*
 * Limits of rules: which rules a flow is under, in each layer, and that limits decide nothing else.
 */
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/policy_setup.h"

struct under_case {
    const char *why;
    const char *floor; /* NULL: no such layer */
    const char *rules;
    const char *to, *names, *evidence;
    enum verdict_action action;
    int floor_rule, policy_rule; /* -1: none */
    bool other_rules;
};

#define OK "203.0.113.10"

static const struct under_case under_cases[] = {
    { "C25 by address", NULL, "deny any tcp/25;allow any conns=1", "tcp/443 " OK, "", NULL,
      VERDICT_ALLOW, -1, 1, false },
    { "C25 by the default", NULL, "default allow;allow any tcp/80 conns=1", "tcp/22 " OK, "", NULL,
      VERDICT_ALLOW, -1, -1, false },
    { "C25 both layers", "deny any tcp/25;allow any rate=1", "allow ok.example conns=1", "tcp/22 " OK, "ok.example", NULL,
      VERDICT_JUDGE, 1, 0, false },
    { "C25 both layers, when the bytes are read", "deny any tcp/25;allow any rate=1", "allow ok.example conns=1",
      "tcp/22 " OK, "ok.example", "opaque", VERDICT_ALLOW, 1, 0, false },
    { "C25 the floor's default", "default allow", "allow ok.example need=none conns=1", "tcp/22 " OK, "ok.example", NULL,
      VERDICT_ALLOW, -1, 0, false },
    { "C25 a datagram", NULL, "allow ok.example up=1", "udp/9000 " OK, "ok.example", NULL, VERDICT_ALLOW, -1, 0, false },
    { "C25 a ping", NULL, "allow any tcp;allow any icmp rate=9", "icmp " OK, "", NULL, VERDICT_ALLOW, -1, 1, false },
    { "C25 denied by the floor: under no rule", "allow any tcp/80", "allow any conns=1", "tcp/443 " OK, "", NULL,
      VERDICT_DENY, -1, -1, false },
    { "C25 denied by the policy: the floor's rule is known", "allow any conns=1", "allow any tcp/80", "tcp/443 " OK, "",
      NULL, VERDICT_DENY, 0, -1, false },
    { "C25 two names, two rules: not known yet", NULL, "allow ok.example conns=1;allow b.example", "tcp/22 " OK,
      "ok.example b.example", NULL, VERDICT_JUDGE, -1, 0, true },
    { "C25 ... until one is said", NULL, "allow ok.example conns=1;allow b.example", "tcp/443 " OK,
      "ok.example b.example", "tls b.example", VERDICT_ALLOW, -1, 1, false },
    { "C25 two names, one rule", NULL, "allow .ok.example conns=1", "tcp/22 " OK, "ok.example a.ok.example", NULL,
      VERDICT_JUDGE, -1, 0, false },
    { "C25 two names of three", NULL, "allow ok.example conns=1;allow b.example", "tcp/22 " OK,
      "ok.example b.example c.example", NULL, VERDICT_PEEK, -1, 0, true },
    { "C25 one name of two", NULL, "allow ok.example conns=1", "tcp/22 " OK, "ok.example c.example", NULL,
      VERDICT_PEEK, -1, 0, false },
    { "C25 more names than fit: no rule yet", NULL, "allow ok.example conns=1", "tcp/22 " OK, "c.example +", NULL,
      VERDICT_PEEK, -1, -1, false },
    /* An address rule lets everything pass, and still a name of its own rule is under that rule. */
    { "C25 an address rule behind a limited name", NULL, "allow ok.example up=1;allow any", "tcp/443 " OK, "ok.example",
      NULL, VERDICT_JUDGE, -1, 1, true },
    { "C25 ... the name is said", NULL, "allow ok.example up=1;allow any", "tcp/443 " OK, "ok.example", "tls ok.example",
      VERDICT_ALLOW, -1, 0, false },
    { "C25 ... another one is", NULL, "allow ok.example up=1;allow any", "tcp/443 " OK, "ok.example", "tls b.example",
      VERDICT_ALLOW, -1, 1, false },
    { "C25 ... it is said, but not pinned here", NULL, "allow ok.example up=1;allow any", "tcp/443 " OK, "",
      "tls ok.example", VERDICT_ALLOW, -1, 1, false },
    { "C25 ... in the floor", "allow ok.example down=1;allow any", "allow any", "tcp/443 " OK, "ok.example",
      "tls ok.example", VERDICT_ALLOW, 0, 0, false },
    { "C25 ... a name without limits delays nothing", NULL, "allow ok.example;allow any", "tcp/443 " OK, "ok.example", NULL,
      VERDICT_ALLOW, -1, 1, false },
    { "C25 ... nor one on another port", NULL, "allow ok.example tcp/80 up=1;allow any", "tcp/443 " OK, "ok.example", NULL,
      VERDICT_ALLOW, -1, 1, false },
    { "C25 QUIC: read for a limited name", NULL, "allow ok.example quic=inspect up=1;allow any", "udp/443 " OK, "ok.example",
      NULL, VERDICT_PEEK, -1, 1, true },
    { "C25 ... which is said", NULL, "allow ok.example quic=inspect up=1;allow any", "udp/443 " OK, "ok.example",
      "tls ok.example", VERDICT_ALLOW, -1, 0, false },
};

static void test_c25_rules_a_flow_is_under(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(under_cases); i++) {
        const struct under_case *c = &under_cases[i];
        struct policy *policy = setup_policy(c->floor, c->rules);
        struct setup_flow flow;
        struct verdict v;

        setup_flow(c->to, c->names, c->evidence, &flow);
        policy_judge(policy, &flow.facts, &v);
        if (v.action != c->action || v.rules[POLICY_LAYER_FLOOR] != c->floor_rule ||
            v.rules[POLICY_LAYER_POLICY] != c->policy_rule || v.other_rules != c->other_rules)
            fail_msg("%s: action %d rules %d %d others %d", c->why, (int)v.action, v.rules[POLICY_LAYER_FLOOR],
                     v.rules[POLICY_LAYER_POLICY], v.other_rules);
        policy_unref(policy);
    }
}

static void test_c25_slots(void **state)
{
    struct policy *policy = setup_policy("allow any conns=1;allow host up=5", "allow any;allow host rate=2;allow guest conns=3");
    struct group_table groups = setup_groups();
    struct policy *copy = policy_with_groups(policy, &groups);

    (void)state;
    assert_non_null(copy);
    assert_int_equal(policy_limit_slots(policy), 3);
    assert_int_equal(policy_limit_slots(copy), 3);
    assert_int_equal(policy_rule(copy, POLICY_LAYER_FLOOR, 0)->slot, 1);
    assert_int_equal(policy_rule(copy, POLICY_LAYER_FLOOR, 1)->slot, 0); /* bytes are counted in the flow */
    assert_int_equal(policy_rule(copy, POLICY_LAYER_POLICY, 0)->slot, 0);
    assert_int_equal(policy_rule(copy, POLICY_LAYER_POLICY, 1)->slot, 2);
    assert_int_equal(policy_rule(copy, POLICY_LAYER_POLICY, 2)->slot, 3);
    policy_unref(copy);
    policy_unref(policy);
}

/* ---- limits decide nothing else ---- */

enum { POLICIES = 1500, FLOWS = 40 };

static uint64_t seed = 25;

static unsigned draw(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

static const char *pick(const char *const *words, unsigned count)
{
    return words[draw(count)];
}

/* Rules, and the same ones with limits here and there. */
static void draw_layer(char plain[static 1024], char limited[static 1024])
{
    static const char *const actions[] = {"allow", "allow", "audit", "deny"};
    static const char *const targets[] = {"any", "203.0.113.0/24", "ok.example", ".ok.example", "b.example", "b.example"};
    static const char *const protos[] = {"", "tcp", "tcp/443", "udp", "any/443"};
    static const char *const limits[] = {"", " conns=1", " rate=2", " up=3k", " down=4M"};
    unsigned rules = 1 + draw(4);

    plain[0] = limited[0] = '\0';
    for (unsigned i = 0; i < rules; i++) {
        const char *action = pick(actions, ARRAY_SIZE(actions)), *limit = pick(limits, ARRAY_SIZE(limits));
        char rule[128];

        snprintf(rule, sizeof(rule), "%s%s %s %s", i > 0 ? ";" : "", action, pick(targets, ARRAY_SIZE(targets)),
                 pick(protos, ARRAY_SIZE(protos)));
        strcat(plain, rule);
        strcat(limited, rule);
        if (strcmp(action, "deny") != 0)
            strcat(limited, limit);
    }
}

static void draw_flow(struct setup_flow *out_flow)
{
    static const char *const tos[] = {"tcp/443 " OK, "tcp/22 " OK, "udp/443 " OK, "udp/9000 " OK};
    static const char *const pinned[] = {"", "ok.example", "b.example", "ok.example b.example", "a.ok.example ok.example c.example"};
    static const char *const evidences[] = {"tls ok.example", "tls b.example", "tls c.example", "tls", "opaque",
                                            "bad tls.malformed"};

    setup_flow(pick(tos, ARRAY_SIZE(tos)), pick(pinned, ARRAY_SIZE(pinned)), pick(evidences, ARRAY_SIZE(evidences)), out_flow);
}

/* Each rule that a verdict names would let the flow pass by itself: it is no deny. */
static void check_rules(const struct policy *policy, const struct verdict *v)
{
    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        if (v->action == VERDICT_DENY && i >= v->layer)
            assert_int_equal(v->rules[i], -1);
        else if (v->rules[i] >= 0)
            assert_int_not_equal(policy_rule(policy, (enum policy_layer)i, (unsigned)v->rules[i])->action, RULE_DENY);
    if (v->action == VERDICT_ALLOW)
        assert_int_equal(v->rules[v->layer], v->rule);
}

static void test_c25_limits_decide_nothing_else(void **state)
{
    unsigned allowed = 0, denied = 0;

    (void)state;
    for (unsigned i = 0; i < POLICIES; i++) {
        char plain[POLICY_LAYERS][1024], limited[POLICY_LAYERS][1024];
        bool floor = draw(2);
        struct policy *without, *with;

        draw_layer(plain[0], limited[0]);
        draw_layer(plain[1], limited[1]);
        without = setup_policy(floor ? plain[0] : NULL, plain[1]);
        with = setup_policy(floor ? limited[0] : NULL, limited[1]);
        for (unsigned j = 0; j < FLOWS; j++) {
            struct setup_flow flow;
            struct verdict a, b;

            draw_flow(&flow);
            policy_judge(without, &flow.facts, &a);
            policy_judge(with, &flow.facts, &b);
            if (a.action != b.action || (a.action == VERDICT_DENY && a.reason != b.reason))
                fail_msg("[%s] [%s]: %d %s, with limits %d %s", floor ? limited[0] : "", limited[1], (int)a.action,
                         reason_text(a.reason), (int)b.action, reason_text(b.reason));
            check_rules(with, &b);
            allowed += a.action == VERDICT_ALLOW;
            denied += a.action == VERDICT_DENY;
            flow.facts.evidence = NULL;
            policy_judge(with, &flow.facts, &b);
            check_rules(with, &b);
        }
        policy_unref(without);
        policy_unref(with);
    }
    assert_true(allowed > POLICIES * FLOWS / 20 && denied > POLICIES * FLOWS / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c25_rules_a_flow_is_under),
        cmocka_unit_test(test_c25_slots),
        cmocka_unit_test(test_c25_limits_decide_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
