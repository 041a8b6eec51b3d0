#include "policy/group.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

static struct addr addr(const char *text)
{
    struct addr a;

    if (addr_parse(text, &a) < 0)
        fail_msg("'%s' is no address", text);
    return a;
}

static struct addr_prefix prefix(const char *text)
{
    struct addr_prefix p;

    if (addr_prefix_parse(text, &p) < 0)
        fail_msg("'%s' is no network", text);
    return p;
}

/* A guest of both families, the alias at their ends, and a host with two addresses. */
static struct group_table table(void)
{
    struct group_table t = {
        .guest4 = prefix("192.168.127.0/24"),
        .guest6 = prefix("fd77::/64"),
        .alias4 = addr("192.168.127.254"),
        .alias6 = addr("fd77::ffff:ffff:ffff:fffe"),
        .host_addr_count = 2,
    };

    t.host_addrs[0] = addr("10.1.2.3");
    t.host_addrs[1] = addr("2600::5");
    return t;
}

struct group_case {
    const char *addr;
    enum group want;
};

/* The first and last addresses of every block, and their neighbours outside. */
static const struct group_case group_cases[] = {
    { "1.1.1.1", GROUP_PUBLIC },
    /* T127 */
    { "0.0.0.0", GROUP_UNSPECIFIED }, { "0.1.2.3", GROUP_UNSPECIFIED }, { "0.255.255.255", GROUP_UNSPECIFIED },
    { "::", GROUP_UNSPECIFIED }, { "1.0.0.0", GROUP_PUBLIC },
    /* T126 */
    { "127.0.0.0", GROUP_LOOPBACK }, { "127.0.0.1", GROUP_LOOPBACK }, { "127.1.2.3", GROUP_LOOPBACK },
    { "127.255.255.255", GROUP_LOOPBACK }, { "126.255.255.255", GROUP_PUBLIC }, { "128.0.0.0", GROUP_PUBLIC },
    { "::1", GROUP_LOOPBACK },
    /* T124 */
    { "169.254.169.254", GROUP_METADATA }, { "169.254.170.2", GROUP_METADATA }, { "169.254.170.23", GROUP_METADATA },
    { "168.63.129.16", GROUP_METADATA }, { "100.100.100.200", GROUP_METADATA }, { "192.0.0.192", GROUP_METADATA },
    { "fd00:ec2::254", GROUP_METADATA }, { "fd20:ce::254", GROUP_METADATA }, { "168.63.129.17", GROUP_PUBLIC },
    { "fd00:ec2::253", GROUP_PRIVATE },
    /* T132 */
    { "169.254.0.0", GROUP_LINK_LOCAL }, { "169.254.255.255", GROUP_LINK_LOCAL }, { "169.253.255.255", GROUP_PUBLIC },
    { "169.255.0.0", GROUP_PUBLIC }, { "fe80::1", GROUP_LINK_LOCAL }, { "febf:ffff::", GROUP_LINK_LOCAL },
    { "fec0::1", GROUP_RESERVED }, { "fe7f::1", GROUP_RESERVED },
    /* T134 */
    { "224.0.0.0", GROUP_MULTICAST }, { "224.0.0.251", GROUP_MULTICAST }, { "239.255.255.255", GROUP_MULTICAST },
    { "223.255.255.255", GROUP_PUBLIC }, { "240.0.0.0", GROUP_RESERVED }, { "255.255.255.254", GROUP_RESERVED },
    { "255.255.255.255", GROUP_UNSPECIFIED }, { "192.168.127.255", GROUP_UNSPECIFIED }, { "ff00::", GROUP_MULTICAST },
    { "ff02::fb", GROUP_MULTICAST }, { "feff::1", GROUP_RESERVED },
    /* T135 */
    { "10.0.0.0", GROUP_PRIVATE }, { "10.255.255.255", GROUP_PRIVATE }, { "9.255.255.255", GROUP_PUBLIC },
    { "11.0.0.0", GROUP_PUBLIC }, { "172.16.0.0", GROUP_PRIVATE }, { "172.31.255.255", GROUP_PRIVATE },
    { "172.15.255.255", GROUP_PUBLIC }, { "172.32.0.0", GROUP_PUBLIC }, { "192.168.0.0", GROUP_PRIVATE },
    { "192.168.255.255", GROUP_PRIVATE }, { "192.169.0.0", GROUP_PUBLIC }, { "100.64.0.0", GROUP_PRIVATE },
    { "100.127.255.255", GROUP_PRIVATE }, { "100.63.255.255", GROUP_PUBLIC }, { "100.128.0.0", GROUP_PUBLIC },
    { "192.0.0.0", GROUP_RESERVED }, { "192.0.0.9", GROUP_RESERVED }, { "192.0.1.0", GROUP_PUBLIC },
    { "192.0.2.1", GROUP_RESERVED }, { "192.88.99.1", GROUP_RESERVED }, { "198.18.0.0", GROUP_RESERVED },
    { "198.19.255.255", GROUP_RESERVED }, { "198.17.255.255", GROUP_PUBLIC }, { "198.20.0.0", GROUP_PUBLIC },
    { "198.51.100.66", GROUP_RESERVED }, { "203.0.113.10", GROUP_RESERVED }, { "203.0.114.0", GROUP_PUBLIC },
    { "fc00::1", GROUP_PRIVATE }, { "fdff::1", GROUP_PRIVATE }, { "2001:db8::1", GROUP_RESERVED },
    { "2001:db9::1", GROUP_PUBLIC }, { "100::1", GROUP_RESERVED }, { "5f00::1", GROUP_RESERVED },
    { "3fff::1", GROUP_RESERVED }, { "3fff:1000::", GROUP_PUBLIC }, { "2001::1", GROUP_RESERVED }, /* Teredo */
    { "2001:1ff::1", GROUP_RESERVED }, { "2001:200::1", GROUP_PUBLIC }, { "2002:a9fe:a9fe::1", GROUP_RESERVED },
    { "2003::1", GROUP_PUBLIC }, { "2600::1", GROUP_PUBLIC }, { "4000::1", GROUP_RESERVED }, { "1fff::1", GROUP_RESERVED },
    { "2001:3::1", GROUP_PUBLIC }, { "2001:4:112::1", GROUP_PUBLIC }, { "2001:4:113::1", GROUP_RESERVED },
    /* T136 and the guest's own */
    { "10.1.2.3", GROUP_HOST }, { "2600::5", GROUP_HOST }, { "192.168.127.254", GROUP_HOST },
    { "fd77::ffff:ffff:ffff:fffe", GROUP_HOST }, { "192.168.127.1", GROUP_GUEST }, { "192.168.127.0", GROUP_GUEST },
    { "192.168.126.255", GROUP_PRIVATE }, { "fd77::1", GROUP_GUEST }, { "fd77:0:0:1::1", GROUP_PRIVATE },
    /* T128: mapped; T129: compatible, translated; T130: NAT64; ISATAP */
    { "::ffff:169.254.169.254", GROUP_METADATA }, { "::ffff:127.0.0.1", GROUP_LOOPBACK }, { "::ffff:10.0.0.1", GROUP_PRIVATE },
    { "::ffff:1.1.1.1", GROUP_RESERVED }, { "::ffff:192.168.127.254", GROUP_HOST }, { "::127.0.0.1", GROUP_LOOPBACK },
    { "::1.1.1.1", GROUP_RESERVED }, { "::2", GROUP_UNSPECIFIED }, { "::ffff:0:127.0.0.1", GROUP_LOOPBACK },
    { "::ffff:0:8.8.8.8", GROUP_RESERVED }, { "64:ff9b::a9fe:a9fe", GROUP_METADATA }, { "64:ff9b::7f00:1", GROUP_LOOPBACK },
    { "64:ff9b::a00:1", GROUP_PRIVATE }, { "64:ff9b::808:808", GROUP_PUBLIC }, { "64:ff9b:1::808:808", GROUP_RESERVED },
    { "64:ff9b:0:0:0:1:808:808", GROUP_RESERVED }, { "2600::5efe:127.0.0.1", GROUP_LOOPBACK },
    { "2600::200:5efe:169.254.169.254", GROUP_METADATA }, { "2600::5efe:8.8.8.8", GROUP_RESERVED },
    { "2600::5efe:10.0.0.1", GROUP_PRIVATE }, { "2001:db8::5efe:10.0.0.1", GROUP_RESERVED },
    { "fe80::5efe:8.8.8.8", GROUP_LINK_LOCAL },
};

static void test_c08_t124_t126_t130_t132_t134_t136_groups(void **state)
{
    struct group_table t = table();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(group_cases); i++) {
        struct addr a = addr(group_cases[i].addr);
        enum group got = group_of(&t, &a, NULL);

        if (got != group_cases[i].want)
            fail_msg("%s: %s, not %s", group_cases[i].addr, group_name(got), group_name(group_cases[i].want));
    }
}

/* No IPv6 form of an address is in a better group than the address. */
static void test_t128_t129_t130_embedded_is_never_better(void **state)
{
    static const char *const forms[] = {"::ffff:0.0.0.0", "::ffff:0:0:0", "64:ff9b::", "2600::5efe:0:0", "fd00::200:5efe:0:0"};
    struct group_table t = table();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(group_cases); i++) {
        struct addr v4 = addr(group_cases[i].addr);
        enum group plain = group_of(&t, &v4, NULL);

        for (size_t f = 0; f < ARRAY_SIZE(forms) && v4.family == ADDR_V4; f++) {
            struct addr v6 = addr(forms[f]);
            bool embedded = false;
            enum group got;

            memcpy(v6.bytes + 12, v4.bytes, 4);
            got = group_of(&t, &v6, &embedded);
            assert_true(embedded);
            if (got != plain && !(plain == GROUP_PUBLIC && got == GROUP_RESERVED))
                fail_msg("%s in %s: %s", group_cases[i].addr, forms[f], group_name(got));
            assert_int_equal(group_is_unrouted(&v6), f < 2);
        }
    }
}

static void test_unrouted(void **state)
{
    static const struct { const char *addr; bool want; } cases[] = {
        { "::ffff:1.2.3.4", true }, { "::1.2.3.4", true }, { "::2", true }, { "::ffff:0:1.2.3.4", true }, { "::", false },
        { "::1", false }, { "64:ff9b::1.2.3.4", false }, { "2600::1", false }, { "1.2.3.4", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct addr a = addr(cases[i].addr);

        if (group_is_unrouted(&a) != cases[i].want)
            fail_msg("%s", cases[i].addr);
    }
}

static void test_a_guest_without_ipv6(void **state)
{
    struct group_table t = {.guest4 = prefix("10.0.2.0/31")};
    struct addr v6 = addr("fd77::1"), zero = addr("::"), last = addr("10.0.2.1"), none = {ADDR_NONE, {0}};

    (void)state;
    assert_int_equal(group_of(&t, &v6, NULL), GROUP_PRIVATE);
    assert_int_equal(group_of(&t, &zero, NULL), GROUP_UNSPECIFIED);
    assert_int_equal(group_of(&t, &last, NULL), GROUP_GUEST); /* RFC 3021: no broadcast in a /31 */
    assert_int_equal(group_of(&t, &none, NULL), GROUP_RESERVED);
}

struct add_case {
    const char *prefix;
    int want;
};

static const struct add_case add_cases[] = {
    { "203.0.113.0/24", 0 },
    { "203.0.113.0/24", 0 }, /* said again: the later word */
    { "127.0.0.0/8", -EPERM }, { "127.0.0.1", -EPERM }, { "::1", -EPERM }, { "169.254.0.0/16", -EPERM },
    { "169.254.169.254", -EPERM }, { "100.64.0.0/10", -EPERM }, /* has a metadata address in it */
    { "100.100.100.200", -EPERM }, { "224.0.0.0/4", -EPERM }, { "224.0.0.1", -EPERM }, { "ff02::1", -EPERM },
    { "fe80::/10", -EPERM }, { "0.0.0.0/0", -EPERM }, { "::/0", -EPERM }, { "::ffff:10.0.0.0/104", -EPERM },
    { "64:ff9b::/96", -EPERM }, { "::/96", -EPERM }, { "fd00::/8", -EPERM }, { "100.64.0.0/11", 0 },
};

static void test_configured_entries(void **state)
{
    struct group_table t = table();
    struct addr a = addr("203.0.113.10");
    struct addr_prefix p = prefix("203.0.113.10");

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(add_cases); i++) {
        struct addr_prefix added = prefix(add_cases[i].prefix);

        if (group_table_add(&t, &added, GROUP_PUBLIC) != add_cases[i].want)
            fail_msg("%s", add_cases[i].prefix);
    }
    assert_int_equal(t.entry_count, 2);
    assert_int_equal(group_of(&t, &a, NULL), GROUP_PUBLIC);
    assert_int_equal(group_table_add(&t, &p, GROUP_PRIVATE), 0);
    assert_int_equal(group_of(&t, &a, NULL), GROUP_PRIVATE); /* the longest prefix */
    a = addr("203.0.113.11");
    assert_int_equal(group_of(&t, &a, NULL), GROUP_PUBLIC);
    /* An embedded form follows its address. */
    a = addr("64:ff9b::203.0.113.10");
    assert_int_equal(group_of(&t, &a, NULL), GROUP_PRIVATE);
    /* The alias is dialled as loopback: nothing makes it public. */
    p = prefix("192.168.127.254");
    assert_int_equal(group_table_add(&t, &p, GROUP_PUBLIC), 0);
    a = addr("192.168.127.254");
    assert_int_equal(group_of(&t, &a, NULL), GROUP_HOST);
    for (unsigned i = 0; t.entry_count < GROUP_ENTRIES_MAX; i++) {
        p = (struct addr_prefix){addr_v4(0x0b000000 + i), 32};
        assert_int_equal(group_table_add(&t, &p, GROUP_PRIVATE), 0);
    }
    p = prefix("12.0.0.1");
    assert_int_equal(group_table_add(&t, &p, GROUP_PRIVATE), -ENOSPC);
}

struct covers_case {
    const char *prefix;
    enum group group;
    bool want;
};

static const struct covers_case covers_cases[] = {
    { "10.0.0.0/8", GROUP_PRIVATE, true }, { "10.2.0.0/16", GROUP_PRIVATE, true }, { "10.0.0.0/7", GROUP_PRIVATE, false },
    { "0.0.0.0/0", GROUP_PRIVATE, false }, { "172.16.0.0/12", GROUP_PRIVATE, true }, { "172.0.0.0/8", GROUP_PRIVATE, false },
    { "fd00::/8", GROUP_PRIVATE, true }, { "fc00::/6", GROUP_PRIVATE, false }, { "192.168.127.0/25", GROUP_GUEST, true },
    { "192.168.0.0/16", GROUP_GUEST, false }, { "fd77::/64", GROUP_GUEST, true }, { "8.8.8.0/24", GROUP_PRIVATE, false },
};

static void test_covers(void **state)
{
    struct group_table t = table();
    struct addr_prefix moved = prefix("11.0.0.0/8"), inside = prefix("11.1.0.0/16");

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(covers_cases); i++) {
        struct addr_prefix p = prefix(covers_cases[i].prefix);

        if (group_covers(&t, covers_cases[i].group, &p) != covers_cases[i].want)
            fail_msg("%s in %s", covers_cases[i].prefix, group_name(covers_cases[i].group));
    }
    assert_false(group_covers(&t, GROUP_PRIVATE, &inside));
    assert_int_equal(group_table_add(&t, &moved, GROUP_PRIVATE), 0);
    assert_true(group_covers(&t, GROUP_PRIVATE, &inside));
}

static void test_words(void **state)
{
    (void)state;
    for (unsigned i = 0; i < GROUP_COUNT; i++) {
        enum group group = GROUP_COUNT;
        int r = group_parse(group_name((enum group)i), &group);

        assert_int_equal(r, i == GROUP_UNSPECIFIED ? -EINVAL : 0); /* nothing opens those */
        assert_int_equal(group, i == GROUP_UNSPECIFIED ? GROUP_COUNT : i);
    }
    assert_int_equal(group_parse("Public", &(enum group){0}), -EINVAL);
    assert_int_equal(group_parse("", &(enum group){0}), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c08_t124_t126_t130_t132_t134_t136_groups),
        cmocka_unit_test(test_t128_t129_t130_embedded_is_never_better),
        cmocka_unit_test(test_unrouted),
        cmocka_unit_test(test_a_guest_without_ipv6),
        cmocka_unit_test(test_configured_entries),
        cmocka_unit_test(test_covers),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
