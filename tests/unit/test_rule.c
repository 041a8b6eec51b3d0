#include "policy/rule.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

static struct rule parsed(const char *text)
{
    struct rule_error error;
    struct rule rule;

    if (rule_parse(text, &rule, &error) < 0)
        fail_msg("'%s': column %u: %s", text, error.column, error.message);
    return rule;
}

/* --- rules that are right ---------------------------------------------------------------------- */

struct spelling {
    const char *text;
    const char *canonical; /* NULL: the same */
};

static const struct spelling spellings[] = {
    { "allow www.example tcp/443", NULL },
    { "allow .files.example tcp/443", NULL },
    { "allow *.cdn.example tcp/80,443,8000-8099 need=host", NULL },
    { "allow 192.0.2.0/24 udp/123", NULL },
    { "allow host tcp/5432", NULL },
    { "allow db.corp.example tcp/5432 private=10.2.0.0/16", NULL },
    { "allow www.example udp/443 quic=refuse", "allow www.example udp/443" },
    { "allow www.example udp/443 quic=inspect", NULL },
    { "deny .ads.example quic=inspect", NULL },
    { "allow www.example private=yes quic=inspect ech=deny", NULL },
    { "deny  public tcp/25", "deny public tcp/25" },
    { "audit tracker.example any", "audit tracker.example" },
    { "allow in any tcp/80", NULL },
    { "allow\tok.example \t tcp/443  ", "allow ok.example tcp/443" },
    { "allow OK.Example. tcp/443", "allow ok.example tcp/443" },
    { "allow any", NULL },
    { "allow any any", "allow any" },
    { "allow any any/53", NULL },
    { "allow public icmp", NULL },
    { "allow localhost tcp/80", NULL },
    { "deny link-local", NULL },
    { "deny metadata", NULL },
    { "allow guest", NULL },
    { "allow reserved", NULL },
    { "allow multicast udp/5353", NULL },
    { "allow loopback", NULL },
    { "allow private", NULL },
    { "allow 10.1.2.3 tcp/22", NULL },
    { "allow 10.1.2.3/32 tcp/22", "allow 10.1.2.3 tcp/22" },
    { "allow 2001:DB8::1", "allow 2001:db8::1" },
    { "allow 2001:db8::/32", NULL },
    { "allow 0.0.0.0/0", NULL },
    { "allow ok.example tcp/1-65535", NULL },
    { "allow ok.example tcp/80-80", "allow ok.example tcp/80" },
    { "allow ok.example tcp/443 need=auto", "allow ok.example tcp/443" },
    { "allow ok.example need=sni", NULL },
    { "allow ok.example tcp/443 need=none", NULL },
    { "allow ok.example udp need=none", NULL },
    { "allow ok.example private=yes", NULL },
    { "allow ok.example private=10.0.0.0/8,fd00::/8,192.168.1.1", NULL },
    { "allow ok.example ech=any", "allow ok.example" },
    { "allow ok.example tcp/443 ech=deny", NULL },
    { "allow ok.example expires=2030-01-31T18:00:00Z", NULL },
    { "allow ok.example expires=2030-01-31T18:00:00+02:00", "allow ok.example expires=2030-01-31T16:00:00Z" },
    { "allow ok.example expires=2028-02-29T00:00:00-00:30", "allow ok.example expires=2028-02-29T00:30:00Z" },
    { "deny ok.example tag=why#1", NULL },
    { "allow .co.uk force=yes", NULL },
    { "allow *.netlify.app force=yes", NULL },
    { "allow .ok.example force=yes", "allow .ok.example" },
    { "allow host. tcp/80", NULL }, /* the name, not the group */
    { "allow in.", NULL },
    { "allow tcp.", NULL },
    { "allow privat. tcp/80", NULL },
    { "allow localhost.", "allow localhost" },
    { "allow api", NULL },
    { "allow host1", NULL },
    { "allow _sip.ok.example", NULL },
    { "allow xn--80ak6aa92e.example", NULL },
    { "allow in 192.0.2.0/24", NULL },
    { "allow ok.example tcp/443 conns=5 rate=10 up=1k down=2M", NULL },
    { "allow any down=3G up=1023 rate=4294967295 conns=1", "allow any conns=1 rate=4294967295 up=1023 down=3G" },
    { "audit 192.0.2.0/24 icmp rate=5", NULL },
    { "allow in any tcp/80 conns=100 up=1G", NULL },
    { "allow any up=1024 down=1048576", "allow any up=1k down=1M" },
    { "allow any up=1073741824 down=1536k", "allow any up=1G down=1536k" },
    { "allow any up=1048577 down=2048k", "allow any up=1048577 down=2M" },
    { "allow any up=18446744073709551615 down=17179869183G", NULL }, /* the most that 64 bits hold */
    { "allow ok.example ech=deny conns=2 expires=2030-01-31T18:00:00Z tag=x", NULL },
};

static void test_c06_c07_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(spellings); i++) {
        const struct spelling *s = &spellings[i];
        const char *want = s->canonical ? s->canonical : s->text;
        struct rule rule = parsed(s->text), again;
        char text[RULE_TEXT_MAX];

        if (strcmp(rule_format(&rule, text), want) != 0)
            fail_msg("'%s' became '%s'", s->text, text);
        again = parsed(text);
        assert_memory_equal(&again, &rule, sizeof(rule)); /* equal rules are equal bytewise */
    }
}

static void test_fields(void **state)
{
    struct rule r = parsed("audit *.cdn.example tcp/80,8000-8099 need=host private=10.2.0.0/16 ech=deny tag=t "
                           "expires=1970-01-01T00:00:01Z");

    (void)state;
    assert_int_equal(r.action, RULE_AUDIT);
    assert_int_equal(r.direction, RULE_OUT);
    assert_int_equal(r.target, RULE_BELOW);
    assert_string_equal(r.name, "cdn.example");
    assert_int_equal(r.proto, RULE_TCP);
    assert_int_equal(r.port_count, 2);
    assert_int_equal(r.ports[0].lo, 80);
    assert_int_equal(r.ports[0].hi, 80);
    assert_int_equal(r.ports[1].lo, 8000);
    assert_int_equal(r.ports[1].hi, 8099);
    assert_int_equal(r.need, RULE_NEED_HOST);
    assert_false(r.private_any);
    assert_int_equal(r.private_count, 1);
    assert_int_equal(r.private_nets[0].bits, 16);
    assert_true(r.ech_deny);
    assert_int_equal(r.expires_s, 1);
    assert_string_equal(r.tag, "t");
    r = parsed("allow 192.0.2.0/24");
    assert_int_equal(r.proto, RULE_PROTO_ANY); /* a missing protocol is any */
    assert_int_equal(r.target, RULE_PREFIX);
    r = parsed("deny in link-local udp");
    assert_int_equal(r.direction, RULE_IN);
    assert_int_equal(r.group, GROUP_LINK_LOCAL);
    assert_int_equal(parsed("allow a.example private=yes").private_any, true);
    r = parsed("allow any conns=3 rate=7 up=2k down=1G");
    assert_int_equal(r.conns, 3);
    assert_int_equal(r.rate, 7);
    assert_int_equal(r.up_max, 2048);
    assert_int_equal(r.down_max, UINT64_C(1) << 30);
    assert_true(rule_has_limits(&r));
    r = parsed("deny any");
    assert_false(rule_has_limits(&r));
}

/* --- rules that are wrong ---------------------------------------------------------------------- */

struct wrong {
    const char *text;
    unsigned column;
    const char *message; /* a part of it */
    const char *hint;    /* a part of it; "" for none asked */
};

static const struct wrong wrongs[] = {
    { "", 1, "empty", "ACTION TARGET" },
    { "   ", 4, "empty", "" },
    { "alow ok.example", 1, "'alow'", "did you mean 'allow'?" },
    { "ALLOW ok.example", 1, "begins with", "'allow'" },
    { "permit ok.example", 1, "begins with", "" },
    { "allow", 6, "target is missing", "allow example.org" },
    { "allow in", 9, "target is missing", "" },
    { "allow tcp/443", 7, "before the protocol", "any" },
    { "allow udp", 7, "before the protocol", "" },
    { "allow *", 7, "'*'", "write 'any'" },
    { "allow all", 7, "'all'", "write 'any'" },
    { "allow unspecified", 7, "not a target", "" },
    { "deny pubic tcp/25", 6, "not a group", "did you mean 'public'?" },
    { "deny linklocal", 6, "not a group", "'link-local'" },
    { "deny Metadata", 6, "not a group", "end it with a dot" },
    { "allow need=sni", 7, "before the options", "" },
    { "allow ok..example", 7, "not a valid name", "" },
    { "allow -ok.example", 7, "not a valid name", "" },
    { "allow m\xc3\xbcnchen.example", 7, "ASCII", "xn--" },
    { "allow ok.*.example", 7, "in front", "*.name" },
    { "allow *ok.example", 7, "in front", "" },
    { "allow *.*.example", 7, "in front", "" },
    { "allow *.example", 7, "two labels", "" },
    { "allow .com", 7, "two labels", "" },
    { "allow .", 7, "not a", "" },
    { "allow *.", 7, "", "" },
    { "allow .co.uk", 7, "anybody can register", "force=yes" },
    { "allow *.netlify.app tcp/443", 7, "anybody can register", "force=yes" },
    { "allow ok.example force=yes", 18, "suffixes", "" },
    { "allow .ok.example force=no", 25, "yes", "" },
    { "allow 2130706433", 7, "not a", "" },
    { "allow 127.1", 7, "not a name, an address", "" },
    { "allow 0177.0.0.1", 7, "not a name, an address", "" },
    { "allow 0x7f.1", 7, "not a", "" },
    { "allow 10.0.0.010", 7, "not a name, an address", "" },
    { "allow fe80::1%eth0", 7, "zone", "" },
    { "allow [::1]", 7, "brackets", "" },
    { "allow ok.example:443", 7, "", "tcp/443" },
    { "allow https://ok.example/", 7, "", "tcp/443" },
    { "allow 10.0.0.1/8", 7, "prefix length", "write 10.0.0.0/8" },
    { "allow 2001:db8::1/32", 7, "prefix length", "write 2001:db8::/32" },
    { "allow 10.0.0.0/33", 7, "not a", "" },
    { "allow 10.0.0.0/08", 7, "not a", "" },
    { "allow ::ffff:10.0.0.1", 7, "inside IPv6", "write 10.0.0.1" },
    { "allow ::ffff:10.0.0.0/104", 7, "inside IPv6", "" },
    { "allow ok.example 443", 18, "not a protocol", "tcp/443" },
    { "allow ok.example tpc/443", 18, "not a protocol", "did you mean 'tcp'?" },
    { "allow ok.example TCP/443", 18, "not a protocol", "tcp" },
    { "allow ok.example icmp/8", 18, "no ports", "icmp" },
    { "allow ok.example tcp/", 18, "ports", "" },
    { "allow ok.example tcp/0", 18, "ports", "" },
    { "allow ok.example tcp/65536", 18, "ports", "" },
    { "allow ok.example tcp/080", 18, "ports", "" },
    { "allow ok.example tcp/-80", 18, "ports", "" },
    { "allow ok.example tcp/80-", 18, "ports", "" },
    { "allow ok.example tcp/80,,81", 18, "ports", "" },
    { "allow ok.example tcp/80,", 18, "ports", "" },
    { "allow ok.example tcp/1-2-3", 18, "ports", "" },
    { "allow ok.example tcp/90-80", 18, "low to high", "" },
    { "allow ok.example tcp/80 443", 25, "unexpected", "key=value" },
    { "allow ok.example tcp/443 nede=sni", 26, "not an option", "did you mean 'need'?" },
    { "allow ok.example tcp/443 need=", 26, "no value", "" },
    { "allow ok.example tcp/443 need=sin", 31, "need= is", "did you mean 'sni'?" },
    { "allow ok.example tcp/443 need=sni need=sni", 35, "twice", "" },
    { "allow ok.example udp/443 need=sni", 26, "only TCP", "" },
    { "allow public tcp/443 need=sni", 22, "a name", "" },
    { "deny ok.example need=sni", 17, "deny", "" },
    { "allow ok.example private=", 18, "no value", "" },
    { "allow ok.example private=no", 18, "not an address", "" },
    { "allow ok.example private=10.0.0.1/8", 18, "prefix length", "10.0.0.0/8" },
    { "allow ok.example private=10.0.0.0/8,", 18, "not an address", "" },
    { "allow ok.example private=1.0.0.0/8,2.0.0.0/8,3.0.0.0/8,4.0.0.0/8,5.0.0.0/8,6.0.0.0/8,7.0.0.0/8,8.0.0.0/8,"
      "9.0.0.0/8", 18, "up to 8", "" },
    { "allow ok.example ech=maybe", 22, "ech=", "" },
    { "allow ok.example quic=", 18, "no value", "" },
    { "allow ok.example quic=allow", 23, "quic= is refuse or inspect", "" },
    { "allow ok.example quic=refuse quic=inspect", 30, "twice", "" },
    { "allow public udp/443 quic=inspect", 22, "a name", "" },
    { "allow ok.example expires=2030-01-31", 26, "point in time", "2030-01-31T18:00:00Z" },
    { "allow ok.example expires=2030-02-29T00:00:00Z", 26, "point in time", "" },
    { "allow ok.example expires=2030-01-31T24:00:00Z", 26, "point in time", "" },
    { "allow ok.example expires=2030-01-31T18:00:00z", 26, "point in time", "" },
    { "allow ok.example expires=1970-01-01T00:00:00Z", 26, "point in time", "" },
    { "allow ok.example tag=a\"b", 18, "tag", "" },
    { "allow ok.example tag=0123456789012345678901234567890123456789012345678901234567890123", 18, "63 bytes", "" },
    { "allow ok.example via=corp", 18, "this version", "" },
    { "allow ok.example http=all", 23, "http= is first or every", "" },
    { "allow ok.example udp/443 http=first", 26, "tcp or any", "" },
    { "allow 192.0.2.1 tcp/80 http=first", 24, "a name", "" },
    { "deny ok.example tcp/80 http=first", 24, "deny", "" },
    { "allow ok.example conns=0", 24, "not a number of flows", "from 1 to" },
    { "allow ok.example conns=-1", 24, "not a number of flows", "" },
    { "allow ok.example conns=+1", 24, "not a number of flows", "" },
    { "allow ok.example conns=05", 24, "not a number of flows", "" },
    { "allow ok.example conns=1k", 24, "not a number of flows", "plain" },
    { "allow ok.example conns=1.5", 24, "not a number of flows", "" },
    { "allow ok.example conns=0x10", 24, "not a number of flows", "" },
    { "allow ok.example conns=4294967296", 24, "not a number of flows", "4294967295" },
    { "allow ok.example conns=99999999999999999999999999", 24, "not a number of flows", "" },
    { "allow ok.example conns=", 18, "no value", "" },
    { "allow ok.example conns=1 conns=1", 26, "twice", "" },
    { "allow ok.example rate=0", 23, "not a number of flows", "" },
    { "allow ok.example rate=10/s", 23, "not a number of flows", "plain" },
    { "allow ok.example rate=1 rate=2", 25, "twice", "" },
    { "allow ok.example up=0", 21, "not a number of bytes", "64k" },
    { "allow ok.example up=0k", 21, "not a number of bytes", "" },
    { "allow ok.example up=k", 21, "not a number of bytes", "" },
    { "allow ok.example up=-1k", 21, "not a number of bytes", "" },
    { "allow ok.example up=01k", 21, "not a number of bytes", "" },
    { "allow ok.example up=1K", 21, "not a number of bytes", "64k" },
    { "allow ok.example up=1MiB", 21, "not a number of bytes", "10M" },
    { "allow ok.example up=1kk", 21, "not a number of bytes", "" },
    { "allow ok.example up=18446744073709551616", 21, "not a number of bytes", "" },
    { "allow ok.example down=18014398509481984k", 23, "not a number of bytes", "" },
    { "allow ok.example down=17179869184G", 23, "not a number of bytes", "" },
    { "allow ok.example down=1 down=1", 25, "twice", "" },
    { "deny ok.example conns=1", 17, "deny", "" },
    { "deny any rate=1", 10, "deny", "" },
    { "deny any up=1", 10, "deny", "" },
    { "deny in any down=1", 13, "deny", "" },
    { "allow ok.example conn=1", 18, "not an option", "'conns'" },
    { "allow in ok.example", 10, "no name", "any" },
    { "allow ok.example\n", 17, "control", "" },
    { "allow ok.example \x1b[2J", 18, "control", "" },
};

static void test_c06_c13_t133_t156_t165_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
        const struct wrong *w = &wrongs[i];
        struct rule rule, untouched;
        struct rule_error error;

        memset(&rule, 0xa5, sizeof(rule));
        untouched = rule;
        if (rule_parse(w->text, &rule, &error) != -EINVAL)
            fail_msg("'%s' is taken", w->text);
        assert_memory_equal(&rule, &untouched, sizeof(rule));
        if (error.column != w->column || !strstr(error.message, w->message) || !strstr(error.hint, w->hint))
            fail_msg("'%s': column %u: %s (%s)", w->text, error.column, error.message, error.hint);
        for (const char *p = error.message; *p; p++)
            assert_in_range((unsigned char)*p, 0x20, 0x7e); /* it may go to a terminal */
    }
}

static void test_longest_rule(void **state)
{
    char text[2 * RULE_TEXT_MAX];
    struct rule_error error;
    struct rule rule;

    (void)state;
    memset(text, ' ', sizeof(text));
    memcpy(text, "allow ok.example", 16);
    text[RULE_TEXT_MAX - 128] = '\0';
    assert_int_equal(rule_parse(text, &rule, &error), 0);
    text[RULE_TEXT_MAX - 128] = ' ';
    text[RULE_TEXT_MAX - 127] = '\0';
    assert_int_equal(rule_parse(text, &rule, &error), -EINVAL);
    assert_non_null(strstr(error.message, "too long"));
}

static void test_port_list_bounds(void **state)
{
    char text[256] = "allow ok.example tcp/1";
    struct rule_error error;
    struct rule rule;

    (void)state;
    for (unsigned i = 2; i <= RULE_PORTS_MAX; i++)
        snprintf(text + strlen(text), 8, ",%u", i);
    assert_int_equal(parsed(text).port_count, RULE_PORTS_MAX);
    strcat(text, ",99");
    assert_int_equal(rule_parse(text, &rule, &error), -EINVAL);
}

/* --- what falls under a rule ------------------------------------------------------------------- */

struct cover_case {
    const char *rule, *name;
    bool want;
};

static const struct cover_case cover_cases[] = {
    { "allow ok.example", "ok.example", true }, { "allow ok.example", "a.ok.example", false },
    { "allow ok.example", "evilok.example", false },
    /* T40 */
    { "allow *.ok.example", "ok.example", false }, { "allow *.ok.example", "a.ok.example", true },
    { "allow *.ok.example", "a.b.ok.example", true }, { "allow .ok.example", "ok.example", true },
    { "allow .ok.example", "a.b.ok.example", true },
    /* T39 */
    { "allow *.ok.example", "evilok.example", false }, { "allow .ok.example", "xok.example", false },
    { "allow .ok.example", "ok.example.evil.net", false }, { "allow *.ok.example", "a.ok.example.evil.net", false },
    /* T17 */
    { "allow *.ok.example", "xn--80ak6aa92e.ok.example", true }, { "allow ok.example", "xn--k-y8a.example", false },
    { "allow any", "ok.example", false }, { "allow public", "ok.example", false }, { "allow 10.0.0.1", "ok.example", false },
};

static void test_c06_t17_t39_t40_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cover_cases); i++) {
        struct rule rule = parsed(cover_cases[i].rule);

        if (rule_covers_name(&rule, cover_cases[i].name) != cover_cases[i].want)
            fail_msg("'%s' and %s", cover_cases[i].rule, cover_cases[i].name);
    }
}

struct port_case {
    const char *rule;
    enum rule_proto proto;
    uint16_t port;
    bool want;
};

static const struct port_case port_cases[] = {
    { "allow any tcp/80,8000-8099", RULE_TCP, 80, true }, { "allow any tcp/80,8000-8099", RULE_TCP, 8000, true },
    { "allow any tcp/80,8000-8099", RULE_TCP, 8099, true }, { "allow any tcp/80,8000-8099", RULE_TCP, 8100, false },
    { "allow any tcp/80,8000-8099", RULE_TCP, 7999, false }, { "allow any tcp/80", RULE_UDP, 80, false },
    { "allow any tcp", RULE_TCP, 1, true }, { "allow any tcp", RULE_ICMP, 0, false }, { "allow any", RULE_ICMP, 0, true },
    { "allow any icmp", RULE_ICMP, 0, true }, { "allow any icmp", RULE_TCP, 1, false },
    { "allow any any/53", RULE_UDP, 53, true }, { "allow any any/53", RULE_TCP, 53, true },
    { "allow any any/53", RULE_ICMP, 0, false }, { "allow any any/1-65535", RULE_TCP, 65535, true },
};

static void test_c07_ports(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(port_cases); i++) {
        struct rule rule = parsed(port_cases[i].rule);

        if (rule_covers_port(&rule, port_cases[i].proto, port_cases[i].port) != port_cases[i].want)
            fail_msg("'%s': protocol %d port %u", port_cases[i].rule, (int)port_cases[i].proto, port_cases[i].port);
    }
}

/* Texts from a seed: whatever is taken has a spelling, and the spelling is the same rule. */
static void test_t156_random_texts(void **state)
{
    static const char *const words[] = {
        "allow", "deny", "audit", "in", "any", "ok.example", ".ok.example", "*.a.b.example", "10.0.0.0/8", "2001:db8::/32",
        "public", "host", "tcp", "tcp/443", "udp/1-9,53", "icmp", "any/80", "need=sni", "need=host", "private=yes",
        "private=10.0.0.0/8,fd00::/8", "ech=deny", "quic=inspect", "force=yes", "tag=x", "expires=2030-01-31T18:00:00Z",
        ".com.au", "=", "/", "tcp/", "::ff00:1", "*", "private=", "\x80", "host.", "in.", "pubic.", "any.", "icmp.",
        "conns=3", "rate=9", "up=4096", "down=7M", "up=0",
    };
    unsigned taken = 0;
    uint64_t seed = 3;

    (void)state;
    for (unsigned run = 0; run < 200000; run++) {
        char text[RULE_TEXT_MAX] = "", spelled[RULE_TEXT_MAX];
        struct rule_error error;
        struct rule rule, again;

        for (unsigned i = 0; i < 5; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            if (i < 3 || seed >> 63)
                strcat(text, words[(seed >> 33) % (i == 0 ? 3 : ARRAY_SIZE(words))]);
            strcat(text, " ");
        }
        if (rule_parse(text, &rule, &error) < 0) {
            assert_in_range(error.column, 1, strlen(text) + 1);
            continue;
        }
        taken++;
        assert_int_equal(rule_parse(rule_format(&rule, spelled), &again, &error), 0);
        assert_memory_equal(&again, &rule, sizeof(rule));
    }
    assert_in_range(taken, 5000, 200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c06_c07_rules),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_c06_c13_t133_t156_t165_errors),
        cmocka_unit_test(test_longest_rule),
        cmocka_unit_test(test_port_list_bounds),
        cmocka_unit_test(test_c06_t17_t39_t40_names),
        cmocka_unit_test(test_c07_ports),
        cmocka_unit_test(test_t156_random_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
