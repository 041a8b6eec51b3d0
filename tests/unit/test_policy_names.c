/*
 * What the resolver asks of the policy, and which addresses no rule opens in passing.
 */
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/policy_setup.h"

/* --- the built-in floor ------------------------------------------------------------------------ */

struct floor_case {
    const char *why;
    const char *rules;
    const char *to;
    const char *want; /* the reason; "" is allowed */
};

static const struct floor_case floor_cases[] = {
    { "T124 metadata", "allow any", "tcp/80 169.254.169.254", "deny.floor.metadata" },
    { "T124 ECS", "allow any", "tcp/80 169.254.170.2", "deny.floor.metadata" },
    { "T124 EKS", "allow any", "tcp/80 169.254.170.23", "deny.floor.metadata" },
    { "T124 Azure", "allow any", "tcp/80 168.63.129.16", "deny.floor.metadata" },
    { "T124 Alibaba", "allow any", "tcp/80 100.100.100.200", "deny.floor.metadata" },
    { "T124 Oracle", "allow any", "tcp/80 192.0.0.192", "deny.floor.metadata" },
    { "T124 EC2 over IPv6", "allow any", "tcp/80 fd00:ec2::254", "deny.floor.metadata" },
    { "T124 GCE over IPv6", "allow any", "tcp/80 fd20:ce::254", "deny.floor.metadata" },
    { "T124 a CIDR around it", "allow 169.254.0.0/16", "tcp/80 169.254.169.254", "deny.floor.metadata" },
    { "T124 one bit wider than it", "allow 169.254.169.254/31", "tcp/80 169.254.169.254", "deny.floor.metadata" },
    { "T124 everything", "allow 0.0.0.0/0", "tcp/80 169.254.169.254", "deny.floor.metadata" },
    { "T124 link-local does not stand for it", "allow link-local", "tcp/80 169.254.169.254", "deny.floor.metadata" },
    { "T124 a default", "default allow", "tcp/80 169.254.169.254", "deny.floor.metadata" },
    { "T124 its exact address", "allow 169.254.169.254 tcp/80", "tcp/80 169.254.169.254", "" },
    { "T124 its group", "allow metadata tcp/80", "tcp/80 169.254.169.254", "" },
    { "T124 ... on that port", "allow metadata tcp/80", "tcp/81 169.254.169.254", "deny.floor.metadata" },
    { "T126 loopback", "allow any", "tcp/22 127.0.0.1", "deny.floor.loopback" },
    { "T126 all of it", "allow any", "tcp/22 127.1.2.3", "deny.floor.loopback" },
    { "T126 over IPv6", "allow any", "tcp/22 ::1", "deny.floor.loopback" },
    { "T126 by its network", "allow 127.0.0.0/8", "tcp/22 127.0.0.1", "deny.floor.loopback" },
    { "T126 the gateway", "allow any", "tcp/22 192.168.127.1", "deny.floor.guest" },
    { "T126 the guest's network, said", "allow guest", "tcp/22 192.168.127.1", "" },
    { "T127 0.0.0.0", "allow any", "tcp/22 0.0.0.0", "deny.floor.unspecified" },
    { "T127 0.1.2.3", "allow 0.0.0.0/0", "tcp/22 0.1.2.3", "deny.floor.unspecified" },
    { "T127 ::", "allow ::/0", "tcp/22 ::", "deny.floor.unspecified" },
    { "T128 mapped metadata", "allow any", "tcp/80 ::ffff:169.254.169.254", "deny.floor.metadata" },
    { "T128 mapped loopback, both said", "allow 127.0.0.1;allow loopback", "tcp/80 ::ffff:127.0.0.1", "deny.floor.loopback" },
    { "T128 mapped and public", "allow any;allow ::/0", "tcp/80 ::ffff:203.0.113.10", "deny.floor.embedded" },
    { "T129 compatible", "allow loopback", "tcp/80 ::127.0.0.1", "deny.floor.loopback" },
    { "T129 translated", "allow any;allow reserved", "tcp/80 ::ffff:0:8.8.8.8", "deny.floor.embedded" },
    { "T130 NAT64 of metadata", "allow any", "tcp/80 64:ff9b::a9fe:a9fe", "deny.floor.metadata" },
    { "T130 NAT64 of a public address", "allow any", "tcp/80 64:ff9b::808:808", "" },
    { "T130 NAT64 of a private address", "allow any", "tcp/80 64:ff9b::a00:1", "deny.floor.private" },
    { "T130 local NAT64", "allow any", "tcp/80 64:ff9b:1::808:808", "deny.floor.reserved" },
    { "T130 ISATAP", "allow any", "tcp/80 2600::5efe:127.0.0.1", "deny.floor.loopback" },
    { "T130 6to4 of metadata", "allow any", "tcp/80 2002:a9fe:a9fe::1", "deny.floor.reserved" },
    { "T132 link-local", "allow any", "tcp/80 fe80::1", "deny.floor.link-local" },
    { "T132 site-local", "allow any", "tcp/80 fec0::1", "deny.floor.reserved" },
    { "T132 unique local", "allow any", "tcp/80 fd12::1", "deny.floor.private" },
    { "T134 limited broadcast", "allow any", "udp/67 255.255.255.255", "deny.floor.unspecified" },
    { "T134 the guest's broadcast", "allow guest", "udp/67 192.168.127.255", "deny.floor.unspecified" },
    { "T134 T116 multicast", "allow any", "udp/5353 224.0.0.251", "deny.floor.multicast" },
    { "T134 over IPv6", "allow any", "udp/5353 ff02::fb", "deny.floor.multicast" },
    { "T134 class E", "allow any", "udp/1 240.0.0.1", "deny.floor.reserved" },
    { "T135 CGNAT", "allow any", "tcp/80 100.64.0.1", "deny.floor.private" },
    { "T135 RFC 1918", "allow any", "tcp/80 172.20.0.1", "deny.floor.private" },
    { "T135 benchmarks", "allow any", "tcp/80 198.18.0.1", "deny.floor.reserved" },
    { "T135 documentation", "allow any", "tcp/80 192.0.2.1", "deny.floor.reserved" },
    { "T135 documentation, IPv6", "allow any", "tcp/80 2001:db8::1", "deny.floor.reserved" },
    { "T135 a network wholly inside private", "allow 10.0.0.0/8", "tcp/80 10.9.9.9", "" },
    { "T135 one that is wider", "allow 10.0.0.0/7", "tcp/80 10.9.9.9", "deny.floor.private" },
    { "T135 reserved by its network", "allow 192.0.2.0/24", "tcp/80 192.0.2.1", "deny.floor.reserved" },
    { "T135 reserved by its address", "allow 192.0.2.1", "tcp/80 192.0.2.1", "" },
    { "T136 the host's own address", "allow any", "tcp/22 10.1.2.3", "deny.floor.host" },
    { "T136 a public one of its own", "allow any", "tcp/22 2600::5", "deny.floor.host" },
    { "T136 by a network around it", "allow 10.0.0.0/8", "tcp/22 10.1.2.3", "deny.floor.host" },
    { "T136 the group stands for the alias alone", "allow host", "tcp/22 10.1.2.3", "deny.floor.host" },
    { "T136 its exact address", "allow 10.1.2.3 tcp/22", "tcp/22 10.1.2.3", "" },
    { "the alias", "allow host tcp/5432", "tcp/5432 192.168.127.254", "" },
    { "the alias over IPv6", "allow host tcp/5432", "tcp/5432 fd77::ffff:ffff:ffff:fffe", "" },
    { "the alias, another port", "allow host tcp/5432", "tcp/22 192.168.127.254", "deny.floor.host" },
    { "the alias is not the guest's network", "allow guest;allow 192.168.127.0/24", "tcp/22 192.168.127.254",
      "deny.floor.host" },
    { "a deny holds for every address it contains", "deny 10.0.0.0/7;allow private", "tcp/80 10.9.9.9", "deny.rule" },
    { "a deny of a floor group says so", "deny metadata", "tcp/80 169.254.169.254", "deny.rule" },
    { "any and defaults mean public", "deny any;allow private", "tcp/80 10.9.9.9", "" },
};

static void test_c08_t124_t126_t127_t130_t132_t134_t136_the_floor(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(floor_cases); i++) {
        const struct floor_case *c = &floor_cases[i];
        struct policy *policy = setup_policy(NULL, c->rules);
        struct setup_flow flow;
        struct verdict v;
        bool allow = c->want[0] == '\0';

        setup_flow(c->to, "", NULL, &flow);
        policy_judge(policy, &flow.facts, &v);
        policy_unref(policy);
        if (v.action != (allow ? VERDICT_ALLOW : VERDICT_DENY) || (!allow && strcmp(reason_text(v.reason), c->want) != 0))
            fail_msg("%s [%s, %s]: %d %s", c->why, c->rules, c->to, (int)v.action, reason_text(v.reason));
    }
}

/* No name rule leads to a floor address, even if the name were pinned to it. */
static const struct floor_case pinned_cases[] = {
    { "T137 private, without private=", "allow ok.example", "tcp/5432 10.9.9.9", "deny.floor.private" },
    { "T137 with it", "allow ok.example private=10.9.0.0/16", "tcp/5432 10.9.9.9", "" },
    { "T137 with another network", "allow ok.example private=10.8.0.0/16", "tcp/5432 10.9.9.9", "deny.floor.private" },
    { "T137 with all of them", "allow ok.example private=yes", "tcp/5432 10.9.9.9", "" },
    { "T137 never metadata", "allow ok.example private=yes", "tcp/80 100.100.100.200", "deny.floor.metadata" },
    { "T137 never metadata, by a network said", "allow ok.example private=100.64.0.0/10", "tcp/80 100.100.100.200",
      "deny.floor.metadata" },
    { "T137 never loopback", "allow ok.example private=127.0.0.0/8", "tcp/5432 127.0.0.1", "deny.floor.loopback" },
    { "T137 never the host", "allow ok.example private=10.0.0.0/8", "tcp/5432 10.1.2.3", "deny.floor.host" },
    { "T137 never the guest's network", "allow ok.example private=yes", "tcp/5432 192.168.127.1", "deny.floor.guest" },
    { "T128 never mapped", "allow ok.example private=yes", "tcp/5432 ::ffff:10.9.9.9", "deny.floor.private" },
    { "T136 never the alias", "allow ok.example private=yes", "tcp/5432 192.168.127.254", "deny.floor.host" },
};

static void test_c08_t137_names_and_the_floor(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pinned_cases); i++) {
        const struct floor_case *c = &pinned_cases[i];
        struct policy *policy = setup_policy(NULL, c->rules);
        struct setup_flow flow;
        struct verdict v;
        bool allow = c->want[0] == '\0';

        setup_flow(c->to, "ok.example", "opaque", &flow);
        policy_judge(policy, &flow.facts, &v);
        policy_unref(policy);
        if (v.action != (allow ? VERDICT_ALLOW : VERDICT_DENY) || (!allow && strcmp(reason_text(v.reason), c->want) != 0))
            fail_msg("%s [%s, %s]: %d %s", c->why, c->rules, c->to, (int)v.action, reason_text(v.reason));
    }
}

/* --- which names may be asked for -------------------------------------------------------------- */

struct name_case {
    const char *why;
    const char *floor, *rules;
    const char *name;
    bool want;
};

static const struct name_case name_cases[] = {
    { "D4 T94 a name of a rule", NULL, "allow ok.example tcp/443", "ok.example", true },
    { "D4 T94 any other", NULL, "allow ok.example tcp/443", "evil.example", false },
    { "D4 whatever the port", NULL, "allow ok.example udp/7", "ok.example", true },
    { "T123 a search list", NULL, "allow ok.example tcp/443", "ok.example.corp.local", false },
    { "T39 a look-alike", NULL, "allow .ok.example", "evilok.example", false },
    { "T40 the apex of *.", NULL, "allow *.ok.example", "ok.example", false },
    { "T40 below it", NULL, "allow *.ok.example", "a.ok.example", true },
    { "nothing", NULL, "", "ok.example", false },
    { "the default", NULL, "default allow", "ok.example", true },
    { "a rule for any", NULL, "allow any tcp/443", "ok.example", true },
    { "a rule for a group", NULL, "allow public tcp/443", "ok.example", true },
    { "address rules open no names", NULL, "allow 203.0.113.0/24", "ok.example", false },
    { "not even all of them", NULL, "allow 0.0.0.0/0", "ok.example", false },
    { "nor the host alias", NULL, "allow host", "ok.example", false },
    { "a deny by name", NULL, "deny ok.example;default allow", "ok.example", false },
    { "a deny by name on one port: another may be open", NULL, "deny ok.example tcp/80;default allow", "ok.example", true },
    { "a deny of everything", NULL, "deny any;allow ok.example", "ok.example", false },
    { "a deny of everything on one port", NULL, "deny any tcp/25;allow ok.example", "ok.example", true },
    { "a deny of private addresses says nothing about names", NULL, "deny private;allow ok.example", "ok.example", true },
    { "an expired rule", NULL, "allow ok.example expires=2020-01-01T00:00:00Z", "ok.example", false },
    { "a rule for incoming flows", NULL, "allow in any", "ok.example", false },
    { "audit", NULL, "audit ok.example", "ok.example", true },
    { "C16 both layers", "allow ok.example", "allow any", "ok.example", true },
    { "C16 the floor does not", "allow ok.example", "allow any", "evil.example", false },
    { "C16 the policy does not", "default allow", "allow ok.example", "evil.example", false },
    { "T38 one label, under an allow for all", NULL, "allow any", "metadata", false },
    { "T38 under a default of allow", NULL, "default allow", "localhost", false },
    { "T38 by its rule", NULL, "allow instance-data tcp/80", "instance-data", true },
    { "T38 metadata.google.internal is a name like others", NULL, "allow ok.example", "metadata.google.internal", false },
    { "T99 a DoH resolver, under an allow for all", NULL, "allow any", "dns.google", false },
    { "T99 under a default of allow", NULL, "default allow", "cloudflare-dns.com", false },
    { "T99 a name below one", NULL, "default allow", "mozilla.cloudflare-dns.com", false },
    { "T99 and another", NULL, "default allow", "abc.dns.nextdns.io", false },
    { "T99 by its rule", NULL, "allow dns.google tcp/443", "dns.google", true },
    { "T99 by a rule for its domain", NULL, "allow .cloudflare-dns.com", "mozilla.cloudflare-dns.com", true },
    { "T99 a look-alike is no resolver", NULL, "default allow", "xdns.google.example", true },
    { "T99 the canary", NULL, "default allow", "use-application-dns.net", false },
    { "T99 the canary, by its domain", NULL, "allow .use-application-dns.net", "use-application-dns.net", false },
    { "T99 the canary, by its rule", NULL, "allow use-application-dns.net", "use-application-dns.net", true },
};

static void test_d04_t38_t94_t99_t123_names_asked_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(name_cases); i++) {
        const struct name_case *c = &name_cases[i];
        struct policy *policy = setup_policy(c->floor, c->rules);
        struct verdict v;

        policy_judge_name(policy, c->name, SETUP_NOW_S, &v);
        policy_unref(policy);
        if (v.action != (c->want ? VERDICT_ALLOW : VERDICT_DENY) || (!c->want && v.reason != REASON_DNS_DENIED) ||
            strcmp(v.name, c->name) != 0)
            fail_msg("%s [%s, %s]: %d %s", c->why, c->rules, c->name, (int)v.action, reason_text(v.reason));
    }
}

/* --- which addresses may be told --------------------------------------------------------------- */

struct answer_case {
    const char *why;
    const char *floor, *rules;
    const char *addr;
    bool want;
};

static const struct answer_case answer_cases[] = {
    { "a public address", NULL, "allow ok.example", "203.0.113.10", true },
    { "IPv6", NULL, "allow ok.example", "2600::10", true },
    { "T101 private", NULL, "allow ok.example", "10.0.0.5", false },
    { "T101 loopback", NULL, "allow ok.example", "127.0.0.1", false },
    { "T101 loopback, IPv6", NULL, "allow ok.example", "::1", false },
    { "T101 metadata", NULL, "allow ok.example", "169.254.169.254", false },
    { "T101 unspecified", NULL, "allow ok.example", "0.0.0.0", false },
    { "T101 the host", NULL, "allow ok.example", "10.1.2.3", false },
    { "T101 the alias", NULL, "allow ok.example", "192.168.127.254", false },
    { "T101 the gateway", NULL, "allow ok.example", "192.168.127.1", false },
    { "T128 mapped", NULL, "allow ok.example private=yes;allow private", "::ffff:10.0.0.5", false },
    { "T128 mapped and public", NULL, "allow ok.example", "::ffff:203.0.113.10", false },
    { "T130 NAT64 of metadata", NULL, "allow ok.example", "64:ff9b::a9fe:a9fe", false },
    { "T130 NAT64 of a public address", NULL, "allow ok.example", "64:ff9b::808:808", true },
    { "C8 T137 private=", NULL, "allow ok.example private=10.0.0.0/8", "10.0.0.5", true },
    { "T137 another network", NULL, "allow ok.example private=10.0.0.0/16", "10.9.0.5", false },
    { "T137 of another name's rule", NULL, "allow ok.example;allow b.example private=yes", "10.0.0.5", false },
    { "T137 never metadata", NULL, "allow ok.example private=yes", "100.100.100.200", false },
    { "a rule for the address itself", NULL, "allow ok.example;allow 10.0.0.0/8", "10.0.0.5", true },
    { "a deny of it in front", NULL, "deny 10.0.0.0/8;allow private", "10.0.0.5", false },
    { "a deny of one of its ports", NULL, "deny 10.0.0.0/8 tcp/22;allow private", "10.0.0.5", true },
    { "C16 both layers must open it", "allow any", "allow ok.example private=yes", "10.0.0.5", false },
    { "C16 and both do", "allow private", "allow ok.example private=yes", "10.0.0.5", true },
    { "expired", NULL, "allow ok.example private=yes expires=2020-01-01T00:00:00Z", "10.0.0.5", false },
};

static void test_c08_t101_t102_t137_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(answer_cases); i++) {
        const struct answer_case *c = &answer_cases[i];
        struct policy *policy = setup_policy(c->floor, c->rules);
        struct addr a = setup_addr(c->addr);

        if (policy_may_answer(policy, "ok.example", &a, SETUP_NOW_S) != c->want)
            fail_msg("%s [%s, %s]", c->why, c->rules, c->addr);
        policy_unref(policy);
    }
}

/* --- the alias and other resolvers ------------------------------------------------------------- */

struct opens_case {
    const char *floor, *rules;
    bool want;
};

static const struct opens_case host_cases[] = {
    { NULL, "allow host tcp/5432", true }, { NULL, "allow 192.168.127.254 tcp/5432", true }, { NULL, "allow any", false },
    { NULL, "default allow", false }, { NULL, "allow ok.example private=yes", false }, { NULL, "deny host;allow host", false },
    { NULL, "deny host tcp/22;allow host", true }, { "allow any", "allow host", false }, { "allow host", "allow host", true },
    { NULL, "allow host expires=2020-01-01T00:00:00Z", false },
};

static const struct opens_case resolver_cases[] = {
    { NULL, "allow 8.8.8.8 udp/53", true }, { NULL, "allow 8.8.8.0/24 udp/50,53", true }, { NULL, "allow 8.8.8.8", false },
    { NULL, "allow 8.8.8.8 udp/1-100", false }, { NULL, "allow any udp/53", false }, { NULL, "allow public udp/53", false },
    { NULL, "default allow", false }, { NULL, "allow 8.8.8.8 tcp/53", false }, { NULL, "allow 8.8.8.8 any/53", true },
    { NULL, "deny public udp/53;allow 8.8.8.8 udp/53", false }, { "allow any", "allow 8.8.8.8 udp/53", false },
    { "allow 8.8.8.8 udp/53", "allow 8.8.8.8 udp/53", true }, { NULL, "allow 9.9.9.9 udp/53", false },
};

static void test_d03_t96_other_resolvers(void **state)
{
    struct addr a = setup_addr("8.8.8.8");

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(resolver_cases); i++) {
        const struct opens_case *c = &resolver_cases[i];
        struct policy *policy = setup_policy(c->floor, c->rules);

        if (policy_opens_resolver(policy, RULE_UDP, &a, SETUP_NOW_S) != c->want)
            fail_msg("[%s | %s]", c->floor ? c->floor : "", c->rules);
        policy_unref(policy);
    }
}

static void test_opens_host(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(host_cases); i++) {
        const struct opens_case *c = &host_cases[i];
        struct policy *policy = setup_policy(c->floor, c->rules);

        if (policy_opens_host(policy, SETUP_NOW_S) != c->want)
            fail_msg("[%s | %s]", c->floor ? c->floor : "", c->rules);
        policy_unref(policy);
    }
}

/* --- the object -------------------------------------------------------------------------------- */

static void test_t156_storage(void **state)
{
    static struct rule rules[POLICY_RULES_MAX + 1];
    struct policy_config config = {.layers[POLICY_LAYER_POLICY] = {true, false, rules, POLICY_RULES_MAX + 1}};
    struct policy *policy;
    struct setup_flow flow;
    struct verdict v;

    (void)state;
    assert_null(policy_new(&config));
    config.layers[POLICY_LAYER_POLICY].rule_count = POLICY_RULES_MAX;
    policy = policy_new(&config);
    assert_non_null(policy);
    assert_ptr_equal(policy_ref(policy), policy);
    policy_unref(policy);
    assert_non_null(policy_rule(policy, POLICY_LAYER_POLICY, POLICY_RULES_MAX - 1));
    assert_null(policy_rule(policy, POLICY_LAYER_POLICY, POLICY_RULES_MAX));
    assert_null(policy_rule(policy, POLICY_LAYER_FLOOR, 0));
    policy_unref(policy);
    policy_unref(NULL);
    /* A configuration that forgot its policy allows nothing. */
    config = (struct policy_config){.groups = setup_groups()};
    policy = policy_new(&config);
    setup_flow("tcp/443 203.0.113.10", "ok.example", NULL, &flow);
    policy_judge(policy, &flow.facts, &v);
    assert_int_equal(v.action, VERDICT_DENY);
    assert_int_equal(policy_group(policy, &flow.facts.dst), GROUP_PUBLIC);
    policy_unref(policy);
}

static void test_rules_over_other_groups(void **state)
{
    struct policy *policy = setup_policy("default allow", "deny 192.0.2.0/24; allow public"), *first, *second;
    struct group_table groups = *policy_groups(policy);
    struct addr_prefix moved;
    struct setup_flow flow;
    struct verdict v;

    (void)state;
    setup_flow("udp/7 203.0.113.10", "", NULL, &flow);
    assert_int_equal(addr_prefix_parse("203.0.113.10/32", &moved), 0);
    assert_int_equal(group_table_add(&groups, &moved, GROUP_PRIVATE), 0);
    first = policy_with_groups(policy, &groups);
    policy_judge(first, &flow.facts, &v);
    assert_int_equal(v.action, VERDICT_DENY);
    policy_judge(policy, &flow.facts, &v); /* the other is as it was */
    assert_int_equal(v.action, VERDICT_ALLOW);
    second = policy_with_groups(first, policy_groups(policy));
    policy_unref(policy);
    policy_unref(first); /* the rules outlive whoever brought them */
    policy_judge(second, &flow.facts, &v);
    assert_int_equal(v.action, VERDICT_ALLOW);
    assert_int_equal(policy_rule(second, v.layer, (unsigned)v.rule)->action, RULE_ALLOW);
    policy_unref(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c08_t124_t126_t127_t130_t132_t134_t136_the_floor),
        cmocka_unit_test(test_c08_t137_names_and_the_floor),
        cmocka_unit_test(test_d04_t38_t94_t99_t123_names_asked_for),
        cmocka_unit_test(test_c08_t101_t102_t137_answers),
        cmocka_unit_test(test_d03_t96_other_resolvers),
        cmocka_unit_test(test_opens_host),
        cmocka_unit_test(test_t156_storage),
        cmocka_unit_test(test_rules_over_other_groups),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
