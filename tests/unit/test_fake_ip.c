#include "policy/fake_ip.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

enum { NOW_MS = 1000 };

static struct addr addr_of(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static void test_t120_pool(void **state)
{
    static const struct {
        const char *addr;
        bool in;
    } cases[] = {
        { "198.18.0.0", true }, { "198.19.255.255", true }, { "198.17.255.255", false }, { "198.20.0.0", false },
        { "fd77:6569:7265:6661::", true }, { "fd77:6569:7265:6661:ffff::1", true },
        { "fd77:6569:7265:6662::1", false }, { "::ffff:198.18.0.1", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct addr a = addr_of(cases[i].addr);

        if (fake_ip_is(&a) != cases[i].in)
            fail_msg("%s", cases[i].addr);
    }
}

static struct addr pick(const struct siphash_key *key, struct pins *pins, const char *name, enum addr_family family)
{
    struct addr a;

    assert_int_equal(fake_ip_pick(key, pins, name, family, NOW_MS, &a), 0);
    assert_true(fake_ip_is(&a));
    assert_int_equal(a.family, family);
    return a;
}

static void test_d13_one_address_a_name(void **state)
{
    struct siphash_key key = {{1, 2}}, other = {{1, 3}};
    struct pins *pins = pins_new(), *fresh = pins_new();
    struct addr a, b;

    (void)state;
    assert_non_null(pins);
    assert_non_null(fresh);
    for (int i = 0; i < PINS_NAMES_MAX; i++) {
        enum addr_family family = i % 2 ? ADDR_V4 : ADDR_V6;
        char name[32];
        const char *names[2];

        (void)snprintf(name, sizeof(name), "n%d.example", i);
        a = pick(&key, pins, name, family);
        assert_int_equal(pins_add(pins, name, &a, FAKE_IP_KEEP_S, NOW_MS), 0);
        assert_int_equal(pins_names_of(pins, &a, NOW_MS, names, 2), 1); /* nobody else's */
        assert_string_equal(names[0], name);
        b = pick(&key, pins, name, family);
        assert_true(addr_equal(&a, &b)); /* and for ever the same */
    }
    /* With the key kept, a restart (no pins) gives the same; another key gives others. */
    a = pick(&key, pins, "n0.example", ADDR_V6);
    b = pick(&key, fresh, "n0.example", ADDR_V6);
    assert_true(addr_equal(&a, &b));
    b = pick(&other, fresh, "n0.example", ADDR_V6);
    assert_false(addr_equal(&a, &b));
    pins_free(pins);
    pins_free(fresh);
}

/* An address that is taken is passed over, and the search has an end. */
static void test_d13_taken_addresses(void **state)
{
    struct siphash_key key = {{5, 6}};
    struct pins *pins = pins_new();
    struct addr first, next;
    int err = 0;
    int taken = 0;

    (void)state;
    assert_non_null(pins);
    first = pick(&key, pins, "ok.example", ADDR_V4);
    while ((err = fake_ip_pick(&key, pins, "ok.example", ADDR_V4, NOW_MS, &next)) == 0) {
        char name[32];

        (void)snprintf(name, sizeof(name), "squatter%d.example", taken++);
        assert_int_equal(pins_add(pins, name, &next, 1000, NOW_MS), 0);
        assert_in_range(addr_to_v4(&next) - addr_to_v4(&first), 0, FAKE_IP_PROBES_MAX);
    }
    assert_int_equal(err, -ENOSPC);
    assert_in_range(taken, FAKE_IP_PROBES_MAX - 2, FAKE_IP_PROBES_MAX);
    pins_free(pins);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t120_pool),
        cmocka_unit_test(test_d13_one_address_a_name),
        cmocka_unit_test(test_d13_taken_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
