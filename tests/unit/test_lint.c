/*
 * Remarks about rules, above all: what is said to be shadowed really never decides, and what may still decide is left
 * alone.
 */
#include "cmd/lint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

static struct rule rule_of(const char *text)
{
    struct rule_error error;
    struct rule rule;

    if (rule_parse(text, &rule, &error) < 0)
        fail_msg("%s: %s", text, error.message);
    return rule;
}

static const struct {
    const char *why, *first, *second;
    bool covers;
} pairs[] = {
    /* names */
    {"the same", "allow a.example", "allow a.example", true},
    {"a name below a suffix", "allow .a.example", "allow x.a.example", true},
    {"the apex of a suffix", "allow .a.example", "allow a.example", true},
    {"the apex is not below", "allow *.a.example", "allow a.example", false},
    {"nor is the suffix with its apex", "allow *.a.example", "allow .a.example", false},
    {"but a narrower one is", "allow *.a.example", "allow .x.a.example", true},
    {"a longer name that only ends alike", "allow .a.example", "allow ba.example", false},
    {"a suffix is not below a name", "allow a.example", "allow .a.example", false},
    {"a deny hides an allow", "deny .a.example", "allow x.a.example", true},
    {"an allow does not hide a deny: it holds unpinned too", "allow .a.example", "deny x.a.example", false},
    {"an audit lets pass like an allow", "audit .a.example", "allow x.a.example", true},
    {"an allow that needs more may be passed over", "allow a.example need=sni", "allow a.example", false},
    {"needs nothing", "allow a.example need=none", "allow a.example need=sni", true},
    {"opens less of the private network", "allow a.example", "allow a.example private=10.0.0.0/8", false},
    {"opens more of it", "allow a.example private=10.0.0.0/8", "allow a.example private=10.1.0.0/16", true},
    {"opens all of it", "allow a.example private=yes", "allow a.example private=10.1.0.0/16", true},
    {"a name hides no address", "deny a.example", "allow any", false},
    {"QUIC is read under the second one alone", "allow a.example", "allow a.example udp/443 quic=inspect", false},
    {"also when the first needs nothing", "allow a.example need=none", "allow a.example udp/443 quic=inspect", false},
    {"QUIC is read under both", "allow a.example quic=inspect", "allow a.example udp/443 quic=inspect", true},
    {"a deny does not read", "deny a.example", "allow a.example udp/443 quic=inspect", true},
    {"what it forgoes to read is not the second one's", "allow .a.example http=first", "allow x.a.example", true},
    {"who is one too many is not the second one's", "allow .a.example conns=1 rate=1 up=1k", "allow x.a.example", true},
    /* ports */
    {"another port", "allow a.example tcp/443", "allow a.example tcp/80", false},
    {"fewer ports", "allow a.example tcp/80,443", "allow a.example tcp/443", true},
    {"inside a range", "allow a.example tcp/1-1000", "allow a.example tcp/80-90,443", true},
    {"half inside", "allow a.example tcp/1-1000", "allow a.example tcp/900-1100", false},
    {"all ports", "allow a.example tcp", "allow a.example tcp/443", true},
    {"more ports", "allow a.example tcp/443", "allow a.example tcp", false},
    {"another protocol", "allow a.example tcp", "allow a.example udp", false},
    {"any protocol", "allow a.example", "allow a.example icmp", true},
    {"any with ports is not icmp", "allow a.example any/1-65535", "allow a.example icmp", false},
    {"853 is opened by its number only", "allow a.example tcp", "allow a.example tcp/853", false},
    {"and so is it hidden", "allow a.example tcp/853", "allow a.example tcp/853", true},
    /* public */
    {"any decides for names", "allow any", "deny a.example", true},
    {"group public likewise", "deny public tcp", "allow a.example tcp/443", true},
    {"not where they lead to the private network", "deny any", "allow a.example private=yes", false},
    {"any is public", "allow any", "allow public", true},
    {"any does not open the floor", "allow any", "allow private", false},
    {"nor an exact address below it", "allow any", "allow 127.0.0.1", false},
    {"a public address", "allow any", "deny 8.8.8.8", true},
    {"a network may reach below the floor", "allow any", "deny 8.0.0.0/8", false},
    /* groups and networks */
    {"the same group", "deny private", "allow private", true},
    {"another group", "deny private", "allow host", false},
    {"an address of the group", "deny private", "allow 10.0.0.1", true},
    {"an allow for host opens the alias only", "allow host", "deny host", false},
    {"the same for host", "allow host", "allow host tcp/80", true},
    {"a network inside", "deny 10.0.0.0/8", "allow 10.1.0.0/16", true},
    {"a network around", "deny 10.1.0.0/16", "allow 10.0.0.0/8", false},
    {"an allow inside the private network", "allow 10.0.0.0/8", "allow 10.1.0.0/16", true},
    {"a wide allow does not open the floor", "allow 0.0.0.0/0", "allow 10.0.0.1", false},
    {"nor loopback", "allow 0.0.0.0/0", "allow 127.0.0.1", false},
    {"other families", "deny 0.0.0.0/0", "allow 2001:db8::1", false},
    /* time */
    {"it expires before the other", "allow a.example expires=2090-01-01T00:00:00Z", "allow a.example", false},
    {"it expires later", "allow a.example expires=2091-01-01T00:00:00Z",
     "allow a.example expires=2090-01-01T00:00:00Z", true},
};

static void test_shadowing(void **state)
{
    static const struct group_table groups;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        struct rule first = rule_of(pairs[i].first), second = rule_of(pairs[i].second);

        if (lint_covers(&first, &second, &groups) != pairs[i].covers)
            fail_msg("%s: '%s' %s '%s'", pairs[i].why, pairs[i].first, pairs[i].covers ? "does not cover" : "covers",
                     pairs[i].second);
    }
}

static void test_t70_remarks(void **state)
{
    static const struct {
        const char *rule;
        unsigned remarks;
    } cases[] = {
        {"allow a.example tcp/443", 0},
        {"deny any", 0},
        {"allow any", LINT_ALL_NAMES},
        {"allow public tcp/443", LINT_ALL_NAMES},
        {"allow private", LINT_ALL_NAMES},
        {"allow host", 0},
        {"allow 203.0.113.0/24", 0},
        {"allow 192.0.2.53 udp/53", LINT_RESOLVER},
        {"allow a.example udp/53", LINT_PORT_53},
        {"allow any tcp/853", LINT_ALL_NAMES | LINT_ENCRYPTED_DNS},
        {"audit any tcp/443", LINT_ALL_NAMES},
        {"allow proxy.example tcp/3128", LINT_PROXY}, /* T70 */
        {"allow 192.0.2.1 tcp/80,1080", LINT_PROXY},
        {"allow host tcp/3128", LINT_PROXY},
        {"allow 192.0.2.1 tcp/1024-4000", 0}, /* a range that happens to hold one */
        {"deny any tcp/1080", 0},
        {"allow a.example udp/3128", 0},
        {"allow .a.example tcp/443 conns=20 rate=5 up=10M down=1G http=first", 0},
        {"allow *.co.uk force=yes", LINT_WIDE_SUFFIX},
        {"deny *.co.uk force=yes", 0},
        {"allow a.example expires=2001-01-01T00:00:00Z", LINT_EXPIRED},
    };
    static const struct group_table groups;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct rule rule = rule_of(cases[i].rule);
        size_t shadowing;

        if (lint_rule(&rule, 0, &groups, 1700000000, &shadowing) != cases[i].remarks)
            fail_msg("%s: other remarks", cases[i].rule);
    }
}

static void test_what_expired_hides_nothing(void **state)
{
    struct rule rules[] = {
        rule_of("deny a.example expires=2090-01-01T00:00:00Z"),
        rule_of("allow a.example expires=2089-01-01T00:00:00Z"),
    };
    static const struct group_table groups;
    size_t shadowing = 9;

    (void)state;
    assert_int_equal(lint_rule(rules, 1, &groups, 0, &shadowing), LINT_SHADOWED);
    assert_int_equal(shadowing, 0);
    rules[0].expires_s = 100;
    rules[1].expires_s = 0;
    assert_int_equal(lint_rule(rules, 1, &groups, 100, &shadowing), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shadowing),
        cmocka_unit_test(test_t70_remarks),
        cmocka_unit_test(test_what_expired_hides_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
