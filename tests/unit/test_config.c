/*
 * The configuration file: what is taken, what is refused, and that a refusal points at its place.
 */
#include "cmd/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "cmd/setting.h"

static int parse(const char *text, struct config *c, struct problem *p)
{
    int err;

    config_init(c);
    err = config_parse(text, strlen(text), "f.yaml", c, p);
    return err < 0 ? err : config_finish(c, p);
}

static void expect_good(const char *text, struct config *c)
{
    struct problem p;

    if (parse(text, c, &p) < 0)
        fail_msg("refused: %s: %s", p.where, p.what);
}

/* ---- good files ---- */

static const char whole[] =
    "name: vm1\n"
    "network: {ipv4: 10.9.0.0/24, ipv6: off, mtu: 9000, guest_mac: \"52:54:00:12:34:56\", hostname: box}\n"
    "dns:\n"
    "  mode: pinned\n"
    "  key: /var/lib/vm1.key\n"
    "  upstream: [192.0.2.53, \"192.0.2.54:5353\", \"[2001:db8::5]:54\", 2001:db8::6]\n"
    "  hosts: {DB.test.: 10.9.0.254, v6.test: 2001:db8::7}\n"
    "  search: [corp.example, lab]\n"
    "  rebind: refuse\n"
    "  types: [A, mx, TXT, SRV, TYPE257, TXT]\n"
    "policy:\n"
    "  default: allow\n"
    "  refuse: icmp\n"
    "  rules:\n"
    "    - allow example.org tcp/443\n"
    "    - \"deny .evil.example\" # with a comment\n"
    "floor:\n"
    "  default: allow\n"
    "  rules: ['deny public tcp/25']\n"
    "groups: {public: [203.0.113.0/24], private: [192.0.2.0/24, 198.51.100.1]}\n"
    "host_alias: [host.test, other.test]\n"
    "limits: {flows: 7, half_open: 8, dials: 9, buffers: 64MiB, flow_buffer: 128KiB, dial_timeout: 1500ms, idle: 2h,\n"
    "  dns_qps: 20000, udp_idle: 5m, lifetime: 24h, keepalive: 0, guest_timeout: 90s}\n"
    "log: {flows: /var/log/flows, level: debug}\n"
    "links: [\"stream,path=/tmp/x.sock\"]\n";

static void test_every_key(void **state)
{
    static const uint8_t search[] = "\4corp\7example\0\3lab";
    const struct instance_config *in;
    struct config c;

    (void)state;
    expect_good(whole, &c);
    in = &c.instance;
    assert_string_equal(in->name, "vm1");
    assert_string_equal(in->hostname, "box");
    assert_string_equal(c.dns_key, "/var/lib/vm1.key");
    assert_int_equal(addr_to_v4(&in->net4.base), 0x0a090000);
    assert_int_equal(in->net4.bits, 24);
    assert_int_equal(in->mtu, 9000);
    assert_int_equal(in->resolver_count, 4);
    assert_int_equal(in->resolvers[0].port, 53);
    assert_int_equal(in->resolvers[1].port, 5353);
    assert_int_equal(in->resolvers[2].port, 54);
    assert_int_equal(in->resolvers[3].port, 53);
    assert_int_equal(in->resolvers[3].addr.bytes[15], 6);
    assert_int_equal(in->host_count, 2);
    assert_string_equal(in->hosts[0].name, "db.test"); /* canonical */
    assert_int_equal(in->search_len, sizeof(search));
    assert_memory_equal(in->search, search, sizeof(search));
    assert_false(in->rebind_strip);
    assert_true(in->refuse_icmp);
    assert_int_equal(in->alias_count, 2);
    assert_string_equal(in->aliases[0], "host.test"); /* the default one is gone */
    assert_int_equal(in->limits.flows, 7);
    assert_int_equal(in->limits.half_open, 8);
    assert_int_equal(in->limits.dials, 9);
    assert_int_equal(in->limits.buffers, 64 << 20);
    assert_int_equal(in->limits.flow_buffer, 128 << 10);
    assert_int_equal(in->limits.dial_timeout_ms, 1500);
    assert_int_equal(in->limits.idle_ms, 7200000);
    assert_int_equal(in->limits.udp_idle_ms, 300000);
    assert_int_equal(in->limits.lifetime_ms, 86400000);
    assert_int_equal(in->limits.keepalive_ms, 0);
    assert_int_equal(in->limits.dns_qps, 20000);
    assert_int_equal(in->dns_types.count, 4); /* A needs no listing, and TXT is one */
    assert_memory_equal(in->dns_types.listed, ((uint16_t[]){15, 16, 33, 257}), 8);
    assert_int_equal(in->limits.guest_timeout_ms, 90000);
    assert_true(c.layers[POLICY_LAYER_POLICY].allow_default && c.layers[POLICY_LAYER_FLOOR].allow_default);
    assert_true(c.layers[POLICY_LAYER_FLOOR].present);
    assert_int_equal(c.layers[POLICY_LAYER_POLICY].count, 2);
    assert_int_equal(c.layers[POLICY_LAYER_FLOOR].count, 1);
    assert_int_equal(c.layers[POLICY_LAYER_POLICY].places[1].line, 16);
    assert_int_equal(c.layers[POLICY_LAYER_POLICY].places[1].column, 7);
    assert_int_equal(c.groups.entry_count, 3);
    assert_string_equal(c.log, "/var/log/flows");
    assert_int_equal(c.level, CONFIG_LEVEL_DEBUG);
    assert_int_equal(c.link_count, 1);
    assert_true(c.links[0].spec.mac_pinned); /* guest_mac is the single link's */
    assert_int_equal(c.links[0].spec.mac[5], 0x56);
    config_deinit(&c);
}

static void test_c05_an_empty_file_denies(void **state)
{
    static const char *const empty[] = {"", "\n", "# nothing\n", "policy: {}\n", "floor: {}\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
        struct config c;

        expect_good(empty[i], &c);
        assert_false(c.layers[POLICY_LAYER_POLICY].allow_default);
        assert_true(c.layers[POLICY_LAYER_POLICY].present);
        assert_false(c.layers[POLICY_LAYER_FLOOR].allow_default);
        assert_int_equal(c.layers[POLICY_LAYER_FLOOR].present, i == 4);
        config_deinit(&c);
    }
}

static void test_json_is_taken(void **state)
{
    struct config c;

    (void)state;
    expect_good("{\"limits\": {\"flows\": 16, \"dial_timeout\": \"1s\"}, "
                "\"policy\": {\"rules\": [\"allow any\"]}}", &c);
    assert_int_equal(c.instance.limits.flows, 16);
    assert_int_equal(c.instance.limits.dial_timeout_ms, 1000);
    assert_int_equal(c.layers[POLICY_LAYER_POLICY].count, 1);
    config_deinit(&c);
}

static void test_printed_reads_as_the_same(void **state)
{
    char *first = NULL, *second = NULL;
    size_t first_len, second_len;
    struct config c, again;
    FILE *out;

    (void)state;
    expect_good(whole, &c);
    out = open_memstream(&first, &first_len);
    config_print(&c, out);
    (void)fclose(out);
    expect_good(first, &again);
    out = open_memstream(&second, &second_len);
    config_print(&again, out);
    (void)fclose(out);
    assert_string_equal(first, second);
    config_deinit(&c);
    config_deinit(&again);
    free(first);
    free(second);
}

/* ---- refusals ---- */

struct bad {
    const char *why;
    const char *text;
    const char *where; /* behind "f.yaml:" */
    const char *what;  /* in the message */
    const char *hint;  /* in the hint; NULL: any */
};

static const struct bad bad[] = {
    /* keys */
    {"an unknown key, with what was meant", "polcy: {}\n", "1:1", "'polcy' is not a key", "'policy'"},
    {"an unknown key below", "dns: {upstreams: []}\n", "1:7", "not a key of dns", "'upstream'"},
    {"nothing is near", "frobnicate: 1\n", "1:1", "not a key", ""},
    {"C13 a key twice", "name: a\nname: b\n", "2:1", "twice", NULL},
    {"a key twice below", "limits:\n  flows: 1\n  flows: 2\n", "3:3", "twice", NULL},
    {"a static name twice", "dns: {hosts: {a.b: 10.0.0.1, A.b: 10.0.0.2}}\n", "1:35", "twice", NULL},
    {"a group's key twice", "groups: {public: [], public: []}\n", "1:22", "twice", NULL},
    {"a key that is a list", "[a]: b\n", "1:1", "one value", NULL},
    {"ingress needs published ports", "policy: {ingress: allow}\n", "1:10", "not in this version", NULL},
    {"publish likewise", "publish: []\n", "1:1", "not in this version", NULL},
    {"a type that is none", "dns: {types: [MX, NAPTRR]}\n", "1:19", "'NAPTRR' is not a record type", "TYPE257"},
    {"a type with a number too high", "dns: {types: [TYPE65536]}\n", "1:15", "not a record type", NULL},
    {"T113 a transfer", "dns: {types: [AXFR]}\n", "1:15", "never go upstream", NULL},
    {"T122 reverse names", "dns: {types: [PTR]}\n", "1:15", "never go upstream", NULL},
    {"T91 records with addresses in them", "dns: {types: [HTTPS]}\n", "1:15", "never go upstream", NULL},
    {"no question at all", "limits: {dns_qps: 0}\n", "1:19", "", NULL},
    /* shapes */
    {"the top is no mapping", "- a\n", "1:1", "a mapping is expected", NULL},
    {"an empty document holds an empty value", "---\n...\n", "2:1", "a mapping is expected", NULL},
    {"a list where one value is", "name: [a]\n", "1:7", "one value is expected", NULL},
    {"one value where a list is", "links: tap\n", "1:8", "a list is expected", NULL},
    {"nothing where a list is", "policy:\n  rules:\n", "2:9", "a list is expected", NULL},
    {"a list in a list", "policy: {rules: [[a]]}\n", "1:18", "one value is expected", NULL},
    {"a mapping is missing", "network: x\n", "1:10", "a mapping is expected", NULL},
    {"group members are a list", "groups: {public: 203.0.113.0/24}\n", "1:18", "a list of networks", NULL},
    /* rules: the place is inside the text */
    {"C13 the word of the rule", "policy:\n  rules:\n    - allow a.example tpc/443\n", "3:23", "'tpc'", "'tcp'"},
    {"in double quotes", "policy: {rules: [\"allow a.example tpc\"]}\n", "1:35", "'tpc'", NULL},
    {"in single quotes", "policy: {rules: ['alow any']}\n", "1:19", "'alow'", "'allow'"},
    {"with escapes the text as a whole", "policy: {rules: [\"allow a.ex\\x61mple tpc\"]}\n", "1:18", "'tpc'", NULL},
    {"over two lines the text as a whole", "policy:\n  rules:\n    - allow a.example\n      tpc/443\n", "3:7", "'tpc'",
     NULL},
    {"rules of the floor too", "floor: {rules: [allow host x]}\n", "1:28", "'x'", NULL},
    {"rules for what comes in", "policy: {rules: [allow in any]}\n", "1:18", "published ports", NULL},
    {"options this version does not have", "policy: {rules: [allow a.example tcp via=p]}\n", "1:38", "via", NULL},
    /* values */
    {"a default", "policy: {default: alow}\n", "1:19", "'alow'", "'allow'"},
    {"a floor's default", "floor: {default: permit}\n", "1:18", "'permit'", NULL},
    {"refuse", "policy: {refuse: drop}\n", "1:18", "'drop'", NULL},
    {"no mode of the resolver", "dns: {mode: fakeip}\n", "1:13", "'fakeip'", "fake-ip"},
    {"a key without a file", "dns: {key: \"\"}\n", "1:12", "not a file for a key", "a path"},
    {"rebind", "dns: {rebind: maybe}\n", "1:15", "'maybe'", NULL},
    {"system is no list member", "dns: {upstream: [system, 192.0.2.1]}\n", "1:26", "alone", NULL},
    {"nor the last one", "dns: {upstream: [192.0.2.1, system]}\n", "1:29", "alone", NULL},
    {"a name is no resolver", "dns: {upstream: [dns.example]}\n", "1:18", "'dns.example'", NULL},
    {"port 0", "dns: {upstream: [\"192.0.2.1:0\"]}\n", "1:18", "'192.0.2.1:0'", NULL},
    {"half a bracket", "dns: {upstream: [\"[::1\"]}\n", "1:18", "'[::1'", NULL},
    {"text behind a bracket", "dns: {upstream: [\"[::1]x:53\"]}\n", "1:18", "'[::1]x:53'", NULL},
    {"a bad static name", "dns: {hosts: {a..b: 10.0.0.1}}\n", "1:21", "'a..b'", NULL},
    {"a bad static address", "dns: {hosts: {a.b: 10.0.0}}\n", "1:20", "'10.0.0'", NULL},
    {"a bad search name", "dns: {search: [\"a b\"]}\n", "1:16", "'a b'", NULL},
    {"no IPv6 network", "network: {ipv6: \"10.0.0.0/24\"}\n", "1:17", "IPv6", "fd77"},
    {"an IPv6 network too small", "network: {ipv6: \"fd00::/80\"}\n", "1:17", "/48 to /64", NULL},
    {"host bits", "network: {ipv4: 10.0.0.1/24}\n", "1:17", "bits are set", NULL},
    {"no room for a guest", "network: {ipv4: 10.0.0.0/30}\n", "1:17", "/29", NULL},
    {"no room for a gateway", "network: {ipv4: 10.0.0.0/31}\n", "1:17", "/29", NULL},
    {"one address", "network: {ipv4: 10.0.0.1}\n", "1:17", "/29", NULL},
    {"too big", "network: {ipv4: 10.0.0.0/7}\n", "1:17", "/8", NULL},
    {"all of it", "network: {ipv4: 0.0.0.0/0}\n", "1:17", "/29", NULL},
    {"loopback is no guest's network", "network: {ipv4: 127.0.0.0/8}\n", "1:17", "loopback", NULL},
    {"a network around link-local", "network: {ipv4: 169.0.0.0/8}\n", "1:17", "link-local", NULL},
    {"MTU below", "network: {mtu: 575}\n", "1:16", "576 to 65520", NULL},
    {"MTU above", "network: {mtu: 65521}\n", "1:16", "576 to 65520", NULL},
    {"a group's MAC", "network: {guest_mac: \"01:00:5e:00:00:01\"}\n", "1:22", "group", NULL},
    {"a short MAC", "network: {guest_mac: \"52:54:00:12:34\"}\n", "1:22", "not a MAC", NULL},
    {"a MAC with other joints", "network: {guest_mac: \"52-54-00-12-34-56\"}\n", "1:22", "not a MAC", NULL},
    {"a name with a space", "name: \"a b\"\n", "1:7", "'a b'", NULL},
    {"an empty name", "name: \"\"\n", "1:7", "not a valid", NULL},
    {"no such group", "groups: {pubic: [10.0.0.0/8]}\n", "1:18", "'pubic'", "'public'"},
    {"a group that is no word", "groups: {unspecified: [10.0.0.0/8]}\n", "1:24", "'unspecified'", ""},
    {"C8 metadata cannot be moved", "groups: {public: [169.254.169.254]}\n", "1:19", "cannot be moved", NULL},
    {"C8 nor what contains loopback", "groups: {public: [0.0.0.0/1]}\n", "1:19", "cannot be moved", NULL},
    {"an unknown link", "links: [vsock]\n", "1:9", "'vsock'", NULL},
    {"the same link twice", "links: [\"stream,path=/a\", \"stream,path=/a\"]\n", "", "twice", NULL},
    {"guest_mac and two links",
     "network: {guest_mac: \"52:54:00:12:34:56\"}\nlinks: [\"stream,path=/a\", \"stream,path=/b\"]\n",
     "", "single link", NULL},
    {"a level", "log: {level: loud}\n", "1:14", "'loud'", NULL},
    /* numbers */
    {"zero flows", "limits: {flows: 0}\n", "1:17", "out of range", NULL},
    {"a negative number", "limits: {flows: -1}\n", "1:17", "not a number", NULL},
    {"a unit on a plain number", "limits: {flows: 1k}\n", "1:17", "unknown unit", NULL},
    {"beyond 64 bits", "limits: {buffers: 99999999999999999999}\n", "1:19", "not a number", NULL},
    {"beyond 64 bits by its unit", "limits: {buffers: 18446744073709551615GiB}\n", "1:19", "too big", NULL},
    {"MB is not MiB", "limits: {buffers: 64MB}\n", "1:19", "unknown unit", "MiB"},
    {"a time without a unit", "limits: {dial_timeout: 10}\n", "1:24", "has no unit", "10s"},
    {"a fraction", "limits: {udp_idle: 1.5s}\n", "1:20", "unknown unit", NULL},
    {"no time", "limits: {udp_idle: 0}\n", "1:20", "out of range", NULL},
    /* YAML that a configuration has no use for */
    {"an anchor", "name: &a vm\n", "1:7", "anchors", NULL},
    {"an alias", "policy: {rules: [*a]}\n", "1:18", "aliases", NULL},
    {"an anchor on a mapping", "dns: &d {mode: pinned}\n", "1:6", "anchors", NULL},
    {"a tag", "name: !!str vm\n", "1:7", "tags", NULL},
    {"a second document", "name: a\n---\nname: b\n", "2:1", "second document", NULL},
    {"nested too deeply", "name: [[[[[[[[[a]]]]]]]]]\n", "1:14", "deeply", NULL},
    {"a control character", "name: \"a\\tb\"\n", "1:7", "control character", NULL},
    {"a NUL", "name: \"a\\0b\"\n", "1:7", "control character", NULL},
    {"lines kept", "name: |\n  a\n  b\n", "1:7", "control character", NULL},
    {"not YAML", "name: [a\n", "2:1", "", NULL},
    {"a tab for indentation", "dns:\n\tmode: pinned\n", "2:1", "", NULL},
};

static void test_c13_what_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const struct bad *b = &bad[i];
        char where[64];
        struct problem p;
        struct config c;

        if (parse(b->text, &c, &p) == 0)
            fail_msg("%s: taken", b->why);
        config_deinit(&c);
        (void)snprintf(where, sizeof(where), "f.yaml%s%s", b->where[0] != '\0' ? ":" : "", b->where);
        if (strcmp(p.where, where) != 0)
            fail_msg("%s: at %s, not %s (%s)", b->why, p.where, where, p.what);
        if (!strstr(p.what, b->what))
            fail_msg("%s: '%s' does not say '%s'", b->why, p.what, b->what);
        if (b->hint && (b->hint[0] == '\0' ? p.hint[0] != '\0' : !strstr(p.hint, b->hint)))
            fail_msg("%s: the hint is '%s', not '%s'", b->why, p.hint, b->hint);
    }
}

/* Texts that are made: too long for a table. */
static char *repeat(const char *head, const char *part, size_t count, const char *tail)
{
    size_t size = strlen(head) + count * strlen(part) + strlen(tail) + 1;
    char *text = malloc(size), *at = text;

    at = stpcpy(at, head);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, part);
    (void)stpcpy(at, tail);
    return text;
}

static void expect_bad(char *text, const char *what)
{
    struct problem p;
    struct config c;

    if (parse(text, &c, &p) == 0)
        fail_msg("taken: %.60s...", text);
    if (!strstr(p.what, what))
        fail_msg("%.60s...: %s", text, p.what);
    config_deinit(&c);
    free(text);
}

static void test_bounds(void **state)
{
    (void)state;
    expect_bad(repeat("#", "x", CONFIG_BYTES_MAX, "\n"), "bigger than");
    expect_bad(repeat("name: ", "x", CONFIG_VALUE_MAX, "\n"), "too long");
    expect_bad(repeat("", "[", 500000, "\n"), "deeply");
    expect_bad(repeat("", "{a: ", 200000, "\n"), "deeply");
    expect_bad(repeat("policy: {rules: [", "allow any, ", POLICY_RULES_MAX + 1, "]}\n"), "more than 4096 rules");
    expect_bad(repeat("dns: {upstream: [", "192.0.2.1, ", RESOLVCONF_SERVERS_MAX + 1, "]}\n"), "more than 8 resolvers");
    expect_bad(repeat("dns: {search: [", "a.example, ", 64, "]}\n"), "search list");
    expect_bad(strdup("dns: {types: [TYPE1000, TYPE1001, TYPE1002, TYPE1003, TYPE1004, TYPE1005, TYPE1006, TYPE1007, TYPE1008, "
                      "TYPE1009, TYPE1010, TYPE1011, TYPE1012, TYPE1013, TYPE1014, TYPE1015, TYPE1016, TYPE1017, TYPE1018, "
                      "TYPE1019, TYPE1020, TYPE1021, TYPE1022, TYPE1023, TYPE1024, TYPE1025, TYPE1026, TYPE1027, TYPE1028, "
                      "TYPE1029, TYPE1030, TYPE1031, TYPE1032]}\n"), "more than 32 record types");
    expect_bad(repeat("host_alias: [", "a.example, ", INSTANCE_ALIASES_MAX + 1, "]\n"), "more than 8 names");
    expect_bad(repeat("links: [", "\"stream,path=/a\", ", INSTANCE_LINKS_MAX + 1, "]\n"), "more than 250 links");
}

static void test_too_many_group_entries(void **state)
{
    char *text = malloc(64 + 32 * (GROUP_ENTRIES_MAX + 1)), *at = text;

    (void)state;
    at = stpcpy(at, "groups: {public: [");
    for (unsigned i = 0; i <= GROUP_ENTRIES_MAX; i++)
        at += sprintf(at, "203.%u.%u.0/24, ", i / 256, i % 256);
    (void)stpcpy(at, "]}\n");
    expect_bad(text, "more than 256 entries");
}

/* Whatever a file is cut to, or which byte of it is broken: an error or a configuration, never a fault. */
static void test_every_cut_and_every_broken_byte(void **state)
{
    static const unsigned char bytes[] = {0x00, 0x22, 0x26, 0x3a, 0x5b, 0x7b, 0x80, 0xff};
    char text[sizeof(whole)];
    struct problem p;
    struct config c;

    (void)state;
    for (size_t len = 0; len < sizeof(whole); len++) {
        config_init(&c);
        (void)config_parse(whole, len, "f.yaml", &c, &p);
        config_deinit(&c);
        memcpy(text, whole, sizeof(whole));
        text[len] = (char)bytes[len % sizeof(bytes)];
        config_init(&c);
        (void)config_parse(text, sizeof(whole) - 1, "f.yaml", &c, &p);
        config_deinit(&c);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_c05_an_empty_file_denies),
        cmocka_unit_test(test_json_is_taken),
        cmocka_unit_test(test_printed_reads_as_the_same),
        cmocka_unit_test(test_c13_what_is_refused),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_too_many_group_entries),
        cmocka_unit_test(test_every_cut_and_every_broken_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
