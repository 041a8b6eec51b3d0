#include "datapath/half.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_open_says_nothing(void **state)
{
    struct half half = {.state = HALF_OPEN};

    (void)state;
    assert_false(half_should_shut(&half, 0));
    assert_false(half_should_shut(&half, 10));
    assert_int_equal(half.state, HALF_OPEN);
}

/* The sink hears of the end after the last byte, once. */
static void test_end_waits_for_the_last_byte(void **state)
{
    struct half half = {.state = HALF_OPEN};

    (void)state;
    half_source_end(&half);
    assert_int_equal(half.state, HALF_DRAIN);
    assert_false(half_should_shut(&half, 10));
    assert_false(half_should_shut(&half, 1));
    assert_true(half_should_shut(&half, 0));
    assert_false(half_should_shut(&half, 0)); /* it is on its way */
    assert_int_equal(half.state, HALF_DRAIN);
    half_sink_shut(&half);
    assert_int_equal(half.state, HALF_SHUT);
    assert_false(half_should_shut(&half, 0));
}

static void test_end_twice(void **state)
{
    struct half half = {.state = HALF_OPEN};

    (void)state;
    half_source_end(&half);
    half_source_end(&half);
    assert_int_equal(half.state, HALF_DRAIN);
    assert_true(half_should_shut(&half, 0));
    half_source_end(&half);
    assert_false(half_should_shut(&half, 0));
    half_sink_shut(&half);
    half_source_end(&half); /* does not open it again */
    assert_int_equal(half.state, HALF_SHUT);
    assert_false(half_should_shut(&half, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_says_nothing),
        cmocka_unit_test(test_end_waits_for_the_last_byte),
        cmocka_unit_test(test_end_twice),
    };

    return cmocka_run_group_tests_name("half", tests, NULL, NULL);
}
