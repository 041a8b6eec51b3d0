/*
 * Which word was meant.
 */
#include "policy/distance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

static void test_distances(void **state)
{
    static const struct {
        const char *why, *word, *known;
        unsigned want;
    } cases[] = {
        {"the same", "policy", "policy", 0},
        {"in other case", "PoliCY", "policy", 0},
        {"one left out", "polcy", "policy", 1},
        {"one too many", "pollicy", "policy", 1},
        {"one changed", "pplicy", "policy", 1},
        {"two exchanged are two changes", "polciy", "policy", 2},
        {"nothing at all", "", "abc", 3},
        {"the classic", "kitten", "sitting", 3},
        {"the longest that is compared", "abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvwx", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (distance(cases[i].word, strlen(cases[i].word), cases[i].known) != cases[i].want)
            fail_msg("%s", cases[i].why);
    assert_true(distance("abcdefghijklmnopqrstuvwxy", 25, "abc") > DISTANCE_NEAR_MAX);
    assert_true(distance("abc", 3, "abcdefghijklmnopqrstuvwxy") > DISTANCE_NEAR_MAX);
    assert_int_equal(distance("floor tcp", 5, "floor"), 0); /* as far as it is told, no further */
}

static void test_nearest(void **state)
{
    static const char *const known[] = {"policy", "floor", "of"};
    static const struct {
        const char *word, *want;
    } cases[] = {
        {"polcy", "policy"}, {"flor", "floor"}, {"FLOOR", "floor"},
        {"xy", NULL}, /* two edits make any word of two letters */
        {"network", NULL}, {"averyveryverylongwordindeed", NULL}, {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *got = distance_nearest(cases[i].word, strlen(cases[i].word), known, ARRAY_SIZE(known));

        if (cases[i].want ? !got || strcmp(got, cases[i].want) != 0 : got != NULL)
            fail_msg("'%s': %s", cases[i].word, got ? got : "nothing");
    }
    assert_null(distance_nearest("policy", 6, known, 0));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distances),
        cmocka_unit_test(test_nearest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
