/*
 * The addressing plan: who has which address, and which networks have room for it.
 */
#include "datapath/network.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

static struct addr_prefix prefix(const char *text)
{
    struct addr_prefix p;

    if (addr_prefix_parse(text, &p) < 0)
        fail_msg("'%s' is no prefix", text);
    return p;
}

static void expect(const struct addr *a, const char *want)
{
    char text[ADDR_TEXT_MAX];

    assert_string_equal(addr_format(a, text), want);
}

static void test_plan(void **state)
{
    static const struct {
        const char *net, *gateway, *first, *third, *alias, *broadcast;
    } cases[] = {
        {"192.168.127.0/24", "192.168.127.1", "192.168.127.2", "192.168.127.4", "192.168.127.254", "192.168.127.255"},
        {"10.0.0.8/29", "10.0.0.9", "10.0.0.10", "10.0.0.12", "10.0.0.14", "10.0.0.15"},
        {"10.0.0.0/8", "10.0.0.1", "10.0.0.2", "10.0.0.4", "10.255.255.254", "10.255.255.255"},
        {"fd77::/64", "fd77::1", "fd77::2", "fd77::4", "fd77::ffff:ffff:ffff:fffe", "-"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct addr_prefix net = prefix(cases[i].net);
        struct network n = network_plan(&net);
        struct addr first = network_guest(&n, 0), third = network_guest(&n, 2);

        assert_int_equal(network_check(&net), 0);
        expect(&n.gateway, cases[i].gateway);
        expect(&first, cases[i].first);
        expect(&third, cases[i].third);
        expect(&n.alias, cases[i].alias);
        expect(&n.broadcast, cases[i].broadcast);
    }
}

static void test_guests_end_before_the_alias(void **state)
{
    struct addr_prefix net = prefix("10.0.0.8/29"), none = {.bits = 0};
    struct network n = network_plan(&net), off = network_plan(&none);
    struct addr last = network_guest(&n, 3), beyond = network_guest(&n, 4), far = network_guest(&n, UINT32_MAX);

    (void)state;
    expect(&last, "10.0.0.13");
    expect(&beyond, "-");
    expect(&far, "-"); /* no wrap to the start */
    last = network_guest(&off, 0);
    expect(&last, "-");
    expect(&off.gateway, "-");
    expect(&off.alias, "-");
}

static void test_check(void **state)
{
    static const struct {
        const char *why, *net;
        int want;
    } cases[] = {
        {"the biggest", "10.0.0.0/8", 0},
        {"the smallest", "192.168.0.0/29", 0},
        {"public ones are the user's affair", "203.0.113.0/24", 0},
        {"no room for a guest", "10.0.0.0/30", -ERANGE},
        {"no room for a gateway, RFC 3021", "10.0.0.0/31", -ERANGE},
        {"one address", "10.0.0.1/32", -ERANGE},
        {"two times too big", "10.0.0.0/7", -ERANGE},
        {"everything", "0.0.0.0/0", -ERANGE},
        {"this network", "0.0.0.0/8", -EPERM},
        {"loopback", "127.0.0.0/24", -EPERM},
        {"around link-local", "169.0.0.0/8", -EPERM},
        {"multicast", "224.0.1.0/24", -EPERM},
        {"class E", "240.0.0.0/24", -EPERM},
        {"the limited broadcast", "255.255.255.248/29", -EPERM},
        {"IPv6", "fd77::/64", 0},
        {"IPv6, longer than address configuration can", "fd77::/65", -ERANGE},
        {"IPv6, a /64 for each guest", "fd77::/48", 0},
        {"IPv6, more than that", "fd77::/47", -ERANGE},
        {"IPv6 link-local", "fe80::/64", -EPERM},
        {"IPv6 multicast", "ff02::/64", -EPERM},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct addr_prefix net = prefix(cases[i].net);

        if (network_check(&net) != cases[i].want)
            fail_msg("%s: %d", cases[i].why, network_check(&net));
    }
}

static void expect_link(const struct network *n, unsigned number, const char *want, bool want_own)
{
    char text[ADDR_PREFIX_TEXT_MAX];
    bool own;
    struct addr_prefix net = network_on_link(n, number, &own);

    assert_string_equal(addr_prefix_format(&net, text), want);
    assert_int_equal(own, want_own);
}

/* A14: with room for it each guest has a /64 of its own; gateway and alias are the same for all. */
static void test_a14_a_network_of_networks(void **state)
{
    struct addr_prefix wide = prefix("fd77:1:2::/48"), one = prefix("fd77:1:2::/64");
    struct network n = network_plan(&wide), shared = network_plan(&one);
    struct addr first = network_guest(&n, 0), second = network_guest(&n, 1), last = network_guest(&n, 0xffff);
    struct addr beyond = network_guest(&n, 0x10000);

    (void)state;
    expect(&n.gateway, "fd77:1:2::1");
    expect(&n.alias, "fd77:1:2:0:ffff:ffff:ffff:fffe");
    expect(&first, "fd77:1:2::2");
    expect(&second, "fd77:1:2:1::2");
    expect(&last, "fd77:1:2:ffff::2");
    expect(&beyond, "-");
    expect_link(&n, 0, "fd77:1:2::/64", true);
    expect_link(&n, 0x102, "fd77:1:2:102::/64", true);
    first = network_guest(&shared, 0);
    second = network_guest(&shared, 1);
    expect(&first, "fd77:1:2::2");
    expect(&second, "fd77:1:2::3");
    expect_link(&shared, 0, "fd77:1:2::/64", true);
    expect_link(&shared, 1, "fd77:1:2::/64", false); /* two that choose addresses could meet */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_guests_end_before_the_alias),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_a14_a_network_of_networks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
