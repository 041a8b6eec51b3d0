/* What the embedder may let in, and what rules still say of it then (facts.let_in). */
#include "tests/unit/policy_setup.h"

struct let_in_case {
    const char *why;
    const char *floor, *rules, *to, *names, *evidence;
    bool by_default;          /* what the policy says by itself is a denial by its default alone */
    enum verdict_action want; /* when it was let in */
    const char *reason;       /* of an ALLOW or DENY */
};

static const struct let_in_case cases[] = {
    { "C01 no rule", NULL, "allow ok.example tcp/443", "tcp/80 203.0.113.10", "ok.example", NULL, true, VERDICT_ALLOW, "ok.hook" },
    { "C01 no pin", NULL, "allow ok.example", "tcp/443 203.0.113.10", "", NULL, true, VERDICT_ALLOW, "ok.hook" },
    { "C01 UDP of two names", NULL, "allow ok.example; allow b.example udp/1", "udp/9 203.0.113.10", "ok.example b.example",
      NULL, true, VERDICT_ALLOW, "ok.hook" },
    { "C01 a deny rule", NULL, "deny 203.0.113.10", "tcp/443 203.0.113.10", "", NULL, false, VERDICT_DENY, "deny.rule" },
    { "C01 a deny rule by name: it is looked for", NULL, "deny evil.example", "tcp/443 203.0.113.10", "", NULL, true,
      VERDICT_JUDGE, NULL },
    { "C01 ... and found", NULL, "deny evil.example", "tcp/443 203.0.113.10", "", "tls evil.example", true, VERDICT_DENY, "deny.rule" },
    { "C01 ... or not", NULL, "deny evil.example", "tcp/443 203.0.113.10", "", "tls ok.example", true, VERDICT_ALLOW, "ok.hook" },
    { "C01 ... or nobody can look", NULL, "deny evil.example", "udp/9 203.0.113.10", "", NULL, false, VERDICT_DENY, "deny.default" },
    { "C01 a name that no rule has", NULL, "allow ok.example tcp/443; deny evil.example", "tcp/80 203.0.113.10", "ok.example",
      "http b.example", true, VERDICT_ALLOW, "ok.hook" },
    { "C01 a rule that allows it is not asked, as under any default allow", NULL, "allow ok.example", "tcp/9 203.0.113.10",
      "ok.example", "opaque", false, VERDICT_ALLOW, "ok.hook" },
    { "C08 the built-in floor", NULL, "", "tcp/443 10.0.0.5", "", NULL, false, VERDICT_DENY, "deny.floor.private" },
    { "C08 ... where names of two rules meet", NULL, "allow ok.example udp/9 private=yes; allow b.example udp/1 private=yes",
      "udp/9 10.0.0.5", "ok.example b.example", NULL, false, VERDICT_DENY, "name.ambiguous" },
    { "C08 the host", NULL, "", "tcp/443 192.168.127.254", "", NULL, false, VERDICT_DENY, "deny.floor.host" },
    { "C08 the operator's floor denies", "allow 198.51.100.0/24", "", "tcp/443 203.0.113.10", "", NULL, false, VERDICT_DENY,
      "deny.default" },
    { "C08 ... or does not", "allow 203.0.113.0/24", "", "tcp/443 203.0.113.10", "", NULL, true, VERDICT_ALLOW, "ok.hook" },
    { "D3 encrypted DNS is opened by its rule alone", NULL, "allow ok.example", "tcp/853 203.0.113.10", "", NULL, false, VERDICT_DENY,
      "dns.bypass" },
    { "C23 QUIC that a rule by name refuses", NULL, "allow ok.example", "udp/443 203.0.113.10", "ok.example", NULL, false, VERDICT_ALLOW,
      "ok.hook" },
};

static void test_let_in(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct let_in_case *c = &cases[i];
        struct policy *policy = setup_policy(c->floor, c->rules);
        struct setup_flow flow;
        struct verdict v;

        setup_flow(c->to, c->names, c->evidence, &flow);
        policy_judge(policy, &flow.facts, &v);
        if (v.by_default != c->by_default)
            fail_msg("%s: %s by default", c->why, v.by_default ? "denied" : "not denied");
        flow.facts.let_in = true;
        policy_judge(policy, &flow.facts, &v);
        if (v.action != c->want || (c->reason && v.reason != setup_reason(c->reason)))
            fail_msg("%s: action %d, %s", c->why, v.action, reason_text(v.reason));
        policy_unref(policy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_let_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
