/*
 * Times are numbers here. Two bounds are met for real: 4,096 names, 64 addresses.
 */
#include "policy/pins.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

#define S(n) ((uint64_t)(n) * 1000)
#define START S(1000)

static const struct addr ip10 = {ADDR_V4, {203, 0, 113, 10}};
static const struct addr ip20 = {ADDR_V4, {203, 0, 113, 20}};
static const struct addr ip6 = {ADDR_V6, {0x20, 0x01, [15] = 10}};

static int set_up(void **state)
{
    *state = pins_new();
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    pins_free(*state);
    return 0;
}

static char *name_number(unsigned n, char out[static 32])
{
    snprintf(out, 32, "n%u.wild.example", n);
    return out;
}

static struct addr addr_number(uint32_t n)
{
    return addr_v4(0xcb007100u + n);
}

struct ttl_case {
    const char *why;
    uint32_t ttl_s;
    uint64_t lasts_s;
};

static const struct ttl_case ttl_cases[] = {
    { "T104 TTL 0: the floor and the grace", 0, 90 },
    { "below the floor", 29, 90 },
    { "the floor", 30, 90 },
    { "above it", 31, 91 },
    { "a day", 86400, 86460 },
    { "the longest there is counts as a day", UINT32_MAX, 86460 },
};

static void test_c03_t104_a_pin_lasts_ttl_and_grace(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ttl_cases); i++) {
        const struct ttl_case *c = &ttl_cases[i];
        uint64_t end = START + S(c->lasts_s);
        struct pins *pins = pins_new();
        const char *name;

        assert_non_null(pins);
        assert_int_equal(pins_add(pins, "ok.example", &ip10, c->ttl_s, START), 0);
        if (!pins_has(pins, "ok.example", &ip10, end - 1) || pins_has(pins, "ok.example", &ip10, end))
            fail_msg("%s", c->why);
        assert_int_equal(pins_names_of(pins, &ip10, end - 1, &name, 1), 1);
        assert_string_equal(name, "ok.example");
        assert_int_equal(pins_names_of(pins, &ip10, end, &name, 1), 0);
        pins_free(pins);
    }
}

static void test_c03_answers_are_united(void **state)
{
    struct pins *pins = *state;

    assert_int_equal(pins_add(pins, "ok.example", &ip10, 300, START), 0);
    assert_int_equal(pins_add(pins, "ok.example", &ip20, 0, START + S(10)), 0);
    assert_int_equal(pins_add(pins, "ok.example", &ip6, 0, START + S(10)), 0);
    assert_true(pins_has(pins, "ok.example", &ip10, START + S(10)));
    assert_true(pins_has(pins, "ok.example", &ip20, START + S(10)));
    assert_true(pins_has(pins, "ok.example", &ip6, START + S(10)));
    assert_false(pins_has(pins, "evil.example", &ip10, START));
    assert_int_equal(pins_name_count(pins), 1);
    /* T56, T163: a later answer with a shorter TTL takes nothing away, one with a longer adds. */
    assert_int_equal(pins_add(pins, "ok.example", &ip10, 0, START + S(20)), 0);
    assert_true(pins_has(pins, "ok.example", &ip10, START + S(359)));
    assert_int_equal(pins_add(pins, "ok.example", &ip10, 300, START + S(20)), 0);
    assert_true(pins_has(pins, "ok.example", &ip10, START + S(379)));
    assert_false(pins_has(pins, "ok.example", &ip10, START + S(380)));
}

static void test_c12_names_of_a_shared_address(void **state)
{
    struct pins *pins = *state;
    const char *names[2] = {NULL, NULL};
    char text[32];

    assert_int_equal(pins_names_of(pins, &ip20, START, names, 2), 0);
    assert_int_equal(pins_add(pins, "ok.example", &ip20, 0, START), 0);
    assert_int_equal(pins_add(pins, "ok.example", &ip10, 0, START), 0);
    assert_int_equal(pins_add(pins, "evil.example", &ip20, 300, START), 0);
    assert_int_equal(pins_names_of(pins, &ip20, START, names, 2), 2);
    assert_string_equal(names[0], "evil.example"); /* the newest first */
    assert_string_equal(names[1], "ok.example");
    assert_int_equal(pins_names_of(pins, &ip10, START, names, 2), 1);
    assert_int_equal(pins_names_of(pins, &ip20, START + S(90), names, 2), 1);
    assert_string_equal(names[0], "evil.example");
    /* One more than fits says so; the array keeps its bounds. */
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(pins_add(pins, name_number(i, text), &ip20, 0, START), 0);
    names[1] = "untouched";
    assert_int_equal(pins_names_of(pins, &ip20, START, names, 1), 2);
    assert_string_equal(names[1], "untouched");
    assert_int_equal(pins_names_of(pins, &ip20, START, NULL, 0), 1);
}

/* An IPv4 address and an IPv6 one with the same first bytes are two. */
static void test_families_apart(void **state)
{
    struct addr twin = {ADDR_V6, {203, 0, 113, 10}};
    struct pins *pins = *state;

    assert_int_equal(pins_add(pins, "ok.example", &ip10, 0, START), 0);
    assert_false(pins_has(pins, "ok.example", &twin, START));
}

static void fill(struct pins *pins)
{
    struct addr addr;
    char text[32];

    for (unsigned i = 0; i < PINS_NAMES_MAX; i++) {
        addr = addr_number(i);
        assert_int_equal(pins_add(pins, name_number(i, text), &addr, 0, START), 0);
    }
    assert_int_equal(pins_name_count(pins), PINS_NAMES_MAX);
}

static void test_c03_t118_the_least_recently_used_name_goes(void **state)
{
    struct addr a0 = addr_number(0), a1 = addr_number(1), a2 = addr_number(2), a3 = addr_number(3);
    struct pins *pins = *state;
    struct pin_name *held;
    const char *name;

    fill(pins);
    assert_int_equal(pins_add(pins, "n0.wild.example", &a0, 0, START), 0); /* used again */
    held = pins_hold(pins, "n1.wild.example");
    assert_non_null(held);
    pins_release(pins, held); /* used just now as well */
    assert_int_equal(pins_add(pins, "new.example", &ip6, 0, START), 0);
    assert_int_equal(pins_name_count(pins), PINS_NAMES_MAX);
    assert_true(pins_has(pins, "n0.wild.example", &a0, START));
    assert_true(pins_has(pins, "n1.wild.example", &a1, START));
    assert_false(pins_has(pins, "n2.wild.example", &a2, START));
    assert_int_equal(pins_names_of(pins, &a2, START, &name, 1), 0);
    assert_null(pins_hold(pins, "n2.wild.example"));
    assert_true(pins_has(pins, "n3.wild.example", &a3, START));
}

static void test_t118_names_in_use_stay(void **state)
{
    struct pin_name *held[PINS_NAMES_MAX], *second;
    struct pins *pins = *state;
    struct addr a7 = addr_number(7);
    char text[32];

    fill(pins);
    for (unsigned i = 0; i < PINS_NAMES_MAX; i++)
        assert_non_null(held[i] = pins_hold(pins, name_number(i, text)));
    second = pins_hold(pins, "n7.wild.example");
    assert_ptr_equal(second, held[7]);
    assert_int_equal(pins_add(pins, "new.example", &ip10, 0, START), -ENOSPC);
    assert_false(pins_has(pins, "new.example", &ip10, START));
    assert_int_equal(pins_name_count(pins), PINS_NAMES_MAX);
    assert_int_equal(pins_add(pins, "n7.wild.example", &ip10, 0, START), 0); /* a name that is there */
    pins_release(pins, second);
    assert_int_equal(pins_add(pins, "new.example", &ip10, 0, START), -ENOSPC); /* one hold is left */
    pins_release(pins, held[7]);
    assert_int_equal(pins_add(pins, "new.example", &ip10, 0, START), 0);
    assert_false(pins_has(pins, "n7.wild.example", &a7, START));
    for (unsigned i = 0; i < PINS_NAMES_MAX; i++)
        if (i != 7)
            pins_release(pins, held[i]);
    pins_release(pins, NULL);
}

/* Names that expired make room like any others, without a clock of their own. */
static void test_t118_names_without_end(void **state)
{
    struct pins *pins = *state;
    char text[32];

    for (unsigned i = 0; i < 60 * PINS_NAMES_MAX; i++) {
        struct addr addr = addr_number(i % 5000);

        assert_int_equal(pins_add(pins, name_number(i, text), &addr, 0, START + i), 0);
    }
    assert_int_equal(pins_name_count(pins), PINS_NAMES_MAX);
}

static void test_c03_addresses_of_a_name(void **state)
{
    struct addr a0 = addr_number(0), a1 = addr_number(1), a2 = addr_number(2);
    struct pins *pins = *state;
    unsigned live = 0;

    for (unsigned i = 0; i < PINS_ADDRS_MAX; i++) {
        struct addr addr = addr_number(i);

        assert_int_equal(pins_add(pins, "ok.example", &addr, 600, START), 0);
    }
    assert_int_equal(pins_add(pins, "ok.example", &a0, 0, START), 0); /* told again */
    assert_int_equal(pins_add(pins, "ok.example", &ip6, 0, START), 0);
    assert_true(pins_has(pins, "ok.example", &a0, START));
    assert_false(pins_has(pins, "ok.example", &a1, START));
    assert_true(pins_has(pins, "ok.example", &a2, START));
    assert_true(pins_has(pins, "ok.example", &ip6, START));
    for (unsigned i = 0; i < 2 * PINS_ADDRS_MAX; i++) {
        struct addr addr = addr_number(i);

        live += pins_has(pins, "ok.example", &addr, START);
    }
    assert_int_equal(live, PINS_ADDRS_MAX - 1);
    assert_int_equal(pins_name_count(pins), 1);
}

/* Against a plain array: the tables may not lose or invent a pin, whatever the order of events. */
enum { MODEL_NAMES = 12, MODEL_ADDRS = 9, MODEL_STEPS = 50000 };

static void test_random_events_against_a_model(void **state)
{
    uint64_t until[MODEL_NAMES][MODEL_ADDRS] = {{0}}, now = START, seed = 42;
    struct pins *pins = *state;
    char text[32];

    for (unsigned step = 0; step < MODEL_STEPS; step++) {
        unsigned n, a, pinned = 0;
        struct addr addr;
        uint32_t ttl;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        n = (unsigned)(seed >> 33) % MODEL_NAMES;
        a = (unsigned)(seed >> 40) % MODEL_ADDRS;
        ttl = (uint32_t)(seed >> 50) % 60;
        addr = addr_number(a);
        now += seed >> 52;
        if (step % 3 == 0) {
            uint64_t end = now + S((ttl < 30 ? 30 : ttl) + 60);

            assert_int_equal(pins_add(pins, name_number(n, text), &addr, ttl, now), 0);
            until[n][a] = end > until[n][a] ? end : until[n][a];
        }
        assert_int_equal(pins_has(pins, name_number(n, text), &addr, now), now < until[n][a]);
        for (unsigned i = 0; i < MODEL_NAMES; i++)
            pinned += now < until[i][a];
        assert_int_equal(pins_names_of(pins, &addr, now, (const char *[MODEL_NAMES]){NULL}, MODEL_NAMES), pinned);
    }
}

static void test_free_nothing(void **state)
{
    (void)state;
    pins_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c03_t104_a_pin_lasts_ttl_and_grace),
        cmocka_unit_test_setup_teardown(test_c03_answers_are_united, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_c12_names_of_a_shared_address, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_families_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_c03_t118_the_least_recently_used_name_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_t118_names_in_use_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_t118_names_without_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_c03_addresses_of_a_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_random_events_against_a_model, set_up, tear_down),
        cmocka_unit_test(test_free_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
