#include "base/addr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

static const struct {
    const char *why, *text, *formatted; /* formatted NULL: refused */
} literals[] = {
    {"IPv4", "192.0.2.1", "192.0.2.1"},
    {"zero", "0.0.0.0", "0.0.0.0"},
    {"broadcast", "255.255.255.255", "255.255.255.255"},
    {"IPv6 is normalised", "2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
    {"mapped stays IPv6", "::ffff:192.0.2.1", "::ffff:192.0.2.1"},
    {"unspecified", "::", "::"},
    {"a short form, which inet_aton takes", "127.1", NULL},
    {"a number", "2130706433", NULL},
    {"hexadecimal", "0x7f.0.0.1", NULL},
    {"too large a part", "1.2.3.256", NULL},
    {"five parts", "1.2.3.4.5", NULL},
    {"a zone", "fe80::1%eth0", NULL},
    {"brackets", "[::1]", NULL},
    {"a port", "1.2.3.4:80", NULL},
    {"blanks", " 1.2.3.4", NULL},
    {"a name", "localhost", NULL},
    {"nothing", "", NULL},
};

static void test_literals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(literals); i++) {
        struct addr a = {.family = 99};
        char text[ADDR_TEXT_MAX];
        int err = addr_parse(literals[i].text, &a);

        if (!literals[i].formatted) {
            if (err != -EINVAL || a.family != 99) /* written only on success */
                fail_msg("%s: %d", literals[i].why, err);
            continue;
        }
        if (err != 0 || strcmp(addr_format(&a, text), literals[i].formatted) != 0)
            fail_msg("%s: %d, %s", literals[i].why, err, text);
    }
}

/* An octet with a leading zero is decimal to some and octal to others: it is nothing to us. */
static void test_leading_zero(void **state)
{
    struct addr a;

    (void)state;
    assert_int_equal(addr_parse("010.0.0.1", &a), -EINVAL);
    assert_int_equal(addr_parse("1.2.3.00", &a), -EINVAL);
}

static void test_numbers(void **state)
{
    static const uint8_t bytes[4] = {192, 0, 2, 1};
    struct addr a = addr_v4(0xc0000201), b = addr_from_v4(bytes), c;

    (void)state;
    assert_true(addr_equal(&a, &b));
    assert_int_equal(addr_to_v4(&a), 0xc0000201);
    assert_int_equal(addr_parse("192.0.2.1", &c), 0);
    assert_true(addr_equal(&a, &c));
    assert_int_equal(addr_size(&a), 4);
    assert_int_equal(addr_parse("::c000:201", &c), 0);
    assert_false(addr_equal(&a, &c));
    assert_int_equal(addr_size(&c), 16);
    c.family = ADDR_NONE;
    assert_int_equal(addr_size(&c), 0);
}

static const struct {
    const char *why, *text;
    int err;
    const char *formatted;
} prefixes[] = {
    {"the usual", "10.0.0.0/8", 0, "10.0.0.0/8"},
    {"everything", "0.0.0.0/0", 0, "0.0.0.0/0"},
    {"an address is its full length", "192.0.2.1", 0, "192.0.2.1/32"},
    {"and may say so", "192.0.2.1/32", 0, "192.0.2.1/32"},
    {"not on a byte's edge", "172.16.0.0/12", 0, "172.16.0.0/12"},
    {"IPv6", "2001:db8::/32", 0, "2001:db8::/32"},
    {"all of IPv6", "::/0", 0, "::/0"},
    {"an IPv6 address", "::1", 0, "::1/128"},
    {"host bits: 10/8 or 10.0.0.1?", "10.0.0.1/8", -ERANGE, NULL},
    {"the last host bit", "172.17.0.0/12", -ERANGE, NULL},
    {"host bits of IPv6", "2001:db8::1/64", -ERANGE, NULL},
    {"too long", "10.0.0.0/33", -EINVAL, NULL},
    {"too long for IPv6", "::/129", -EINVAL, NULL},
    {"a leading zero", "10.0.0.0/08", -EINVAL, NULL},
    {"no length", "10.0.0.0/", -EINVAL, NULL},
    {"a sign", "10.0.0.0/+8", -EINVAL, NULL},
    {"negative", "10.0.0.0/-1", -EINVAL, NULL},
    {"a mask", "10.0.0.0/255.0.0.0", -EINVAL, NULL},
    {"two lengths", "10.0.0.0/8/8", -EINVAL, NULL},
    {"more digits than a number has", "10.0.0.0/4294967304", -EINVAL, NULL},
    {"no address", "/8", -EINVAL, NULL},
    {"an endless one", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb/8", -EINVAL, NULL},
};

static void test_prefixes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        struct addr_prefix p = {0};
        char text[ADDR_PREFIX_TEXT_MAX];
        int err = addr_prefix_parse(prefixes[i].text, &p);

        if (err != prefixes[i].err)
            fail_msg("%s: %d", prefixes[i].why, err);
        if (err == 0 && strcmp(addr_prefix_format(&p, text), prefixes[i].formatted) != 0)
            fail_msg("%s: %s", prefixes[i].why, text);
    }
}

static const struct {
    const char *outer, *inner;
    bool covers;
} coverings[] = {
    {"10.0.0.0/8", "10.255.255.255", true},
    {"10.0.0.0/8", "11.0.0.0", false},
    {"10.0.0.0/8", "9.255.255.255", false},
    {"172.16.0.0/12", "172.31.255.255", true},
    {"172.16.0.0/12", "172.32.0.0", false},
    {"0.0.0.0/0", "255.255.255.255", true},
    {"0.0.0.0/0", "::1", false},
    {"::/0", "1.2.3.4", false},
    {"2001:db8::/33", "2001:db8:7fff::1", true},
    {"2001:db8::/33", "2001:db8:8000::1", false},
    {"10.0.0.0/8", "10.0.0.0/8", true},
    {"10.0.0.0/8", "10.1.0.0/16", true},
    {"10.1.0.0/16", "10.0.0.0/8", false},
    {"10.0.0.0/16", "10.0.0.0/8", false},
    {"192.0.2.1/32", "192.0.2.1/32", true},
    {"192.0.2.1/32", "192.0.2.0/31", false},
};

static void test_contains_and_covers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(coverings); i++) {
        struct addr_prefix outer, inner;

        assert_int_equal(addr_prefix_parse(coverings[i].outer, &outer), 0);
        assert_int_equal(addr_prefix_parse(coverings[i].inner, &inner), 0);
        if (addr_prefix_covers(&outer, &inner) != coverings[i].covers)
            fail_msg("%s and %s", coverings[i].outer, coverings[i].inner);
        if (inner.bits == addr_size(&inner.base) * 8 &&
            addr_prefix_contains(&outer, &inner.base) != coverings[i].covers)
            fail_msg("%s in %s", coverings[i].inner, coverings[i].outer);
    }
}

static void test_nth(void **state)
{
    struct addr_prefix p;
    struct addr a;
    char text[ADDR_TEXT_MAX];

    (void)state;
    assert_int_equal(addr_prefix_parse("192.168.127.0/24", &p), 0);
    a = addr_prefix_nth(&p, 0);
    assert_true(addr_equal(&a, &p.base));
    a = addr_prefix_nth(&p, 254);
    assert_string_equal(addr_format(&a, text), "192.168.127.254");
    assert_int_equal(addr_prefix_parse("198.18.0.0/15", &p), 0);
    a = addr_prefix_nth(&p, 65536 + 258); /* carries */
    assert_string_equal(addr_format(&a, text), "198.19.1.2");
    assert_int_equal(addr_prefix_parse("fd00::/64", &p), 0);
    a = addr_prefix_nth(&p, 0x10002);
    assert_string_equal(addr_format(&a, text), "fd00::1:2");
}

static void test_endpoints(void **state)
{
    static const struct addr none = {.family = ADDR_NONE};
    char text[ADDR_ENDPOINT_TEXT_MAX];
    struct addr a;

    (void)state;
    a = addr_v4(0x7f000001);
    assert_string_equal(addr_endpoint_format(&a, 80, text), "127.0.0.1:80");
    assert_int_equal(addr_parse("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", &a), 0);
    assert_string_equal(addr_endpoint_format(&a, 65535, text), "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    assert_string_equal(addr_endpoint_format(&none, 1, text), "-:1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_leading_zero),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_contains_and_covers),
        cmocka_unit_test(test_nth),
        cmocka_unit_test(test_endpoints),
    };

    return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
