/* Questions a second, and new names under a wildcard (policy/dns_budget.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/dns_budget.h"

static struct dns_budget *budget;

static int setup(void **state)
{
    (void)state;
    budget = dns_budget_new();
    assert_non_null(budget);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dns_budget_free(budget);
    return 0;
}

static bool ask(const char *scope, unsigned number, uint64_t now_ms)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "n%u.example", number);
    return dns_budget_take(budget, scope, name, now_ms);
}

/* T95: what a guest can say in labels is so many names, however fast it asks them. */
static void test_d05_t95_a_hundred_names_in_ten_minutes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DNS_BUDGET_NAMES_MAX; i++)
        assert_true(ask(".example", i, i));
    assert_false(ask(".example", 1000, 100));
    assert_true(ask(".example", 0, 200));  /* not new */
    assert_true(ask(".example", 99, 300));
    assert_true(ask(".other", 1000, 300)); /* another scope */
    assert_false(ask(".example", 1001, DNS_BUDGET_WINDOW_MS - 1));
    assert_true(ask(".example", 1001, DNS_BUDGET_WINDOW_MS));
}

/* A window begins with its first name and is not moved by later ones: no trickle keeps it open or renews it. */
static void test_d05_windows_do_not_slide(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DNS_BUDGET_NAMES_MAX; i++)
        assert_true(ask(".example", i, i * (DNS_BUDGET_WINDOW_MS / DNS_BUDGET_NAMES_MAX)));
    assert_false(ask(".example", 1000, DNS_BUDGET_WINDOW_MS - 1));
    for (unsigned i = 0; i < DNS_BUDGET_NAMES_MAX; i++)
        assert_true(ask(".example", 2000 + i, DNS_BUDGET_WINDOW_MS));
    assert_false(ask(".example", 3000, DNS_BUDGET_WINDOW_MS));
}

/* As many scopes as there is room for, and no further: memory is bounded, and what is not counted is not asked. */
static void test_d05_scopes_are_bounded(void **state)
{
    char scope[32];

    (void)state;
    for (unsigned i = 0; i < DNS_BUDGET_SCOPES_MAX; i++) {
        (void)snprintf(scope, sizeof(scope), "s%u.example", i);
        assert_true(ask(scope, 1, 1000));
    }
    assert_false(ask("one.more", 1, 1001));
    assert_true(ask("s7.example", 2, 1001));
    assert_true(ask("one.more", 1, 1000 + DNS_BUDGET_WINDOW_MS)); /* the others' windows are over */
}

struct rate_case {
    const char *why;
    uint32_t per_s;
    uint64_t step_ms; /* between questions */
    unsigned asked, want; /* at most, after the burst was used up */
};

static const struct rate_case rate_cases[] = {
    { "T117 a guest that never stops gets what it may have, to the question", 50, 1, 10000, 500 },
    { "T117 several in a millisecond", 50, 0, 10000, 0 },
    { "one a second", 1, 10, 1000, 10 },
    { "slower than its rate, every one is answered", 50, 100, 100, 100 },
    { "more than one a millisecond, and no whole number of them", 1500, 1, 1000, 1000 },
    { "three questions in two milliseconds, of 1,500 a second", 1500, 0, 3, 0 },
};

static void test_t117_questions_a_second(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rate_cases) / sizeof(rate_cases[0]); i++) {
        const struct rate_case *c = &rate_cases[i];
        struct dns_rate rate = {0};
        unsigned burst = 0, got = 0;
        uint64_t now_ms = 7;

        while (dns_rate_take(&rate, c->per_s, now_ms) && burst <= DNS_RATE_BURST_S * c->per_s)
            burst++;
        if (burst != DNS_RATE_BURST_S * c->per_s)
            fail_msg("%s: %u at once", c->why, burst);
        for (unsigned n = 0; n < c->asked; n++) {
            now_ms += c->step_ms;
            got += dns_rate_take(&rate, c->per_s, now_ms);
        }
        if (got != c->want)
            fail_msg("%s: %u", c->why, got);
    }
}

/* Between two milliseconds a fast rate is exact: no fraction of a token is lost, or given twice. */
static void test_t117_fractions_of_a_question(void **state)
{
    struct dns_rate rate = {0};
    unsigned got = 0;

    (void)state;
    for (uint64_t now_ms = 1; now_ms <= 1001; now_ms++)
        while (dns_rate_take(&rate, 1501, now_ms))
            got++;
    assert_int_equal(got, 5 * 1501);
}

static void test_t117_a_rate_that_changes(void **state)
{
    struct dns_rate rate = {0};
    unsigned got = 0;

    (void)state;
    assert_true(dns_rate_take(&rate, 1000000, 1));
    while (dns_rate_take(&rate, 1, 2)) /* what was saved up under the other rate is not kept */
        got++;
    assert_int_equal(got, DNS_RATE_BURST_S);
    assert_true(dns_rate_take(&rate, 1000000, UINT64_C(1) << 44)); /* 500 years later */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_d05_t95_a_hundred_names_in_ten_minutes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_d05_windows_do_not_slide, setup, teardown),
        cmocka_unit_test_setup_teardown(test_d05_scopes_are_bounded, setup, teardown),
        cmocka_unit_test(test_t117_questions_a_second),
        cmocka_unit_test(test_t117_fractions_of_a_question),
        cmocka_unit_test(test_t117_a_rate_that_changes),
    };

    return cmocka_run_group_tests_name("dns_budget", tests, NULL, NULL);
}
