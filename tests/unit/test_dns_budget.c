/* New names under a wildcard (policy/dns_budget.h). */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_d05_t95_a_hundred_names_in_ten_minutes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_d05_windows_do_not_slide, setup, teardown),
        cmocka_unit_test_setup_teardown(test_d05_scopes_are_bounded, setup, teardown),
    };

    return cmocka_run_group_tests_name("dns_budget", tests, NULL, NULL);
}
