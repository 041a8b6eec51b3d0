#include "base/counters.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Scripts read these names: lower case words joined by dots, each once. */
static void test_names(void **state)
{
    (void)state;
    for (int c = 0; c < COUNTER_COUNT; c++) {
        const char *name = counter_name((enum counter)c);

        assert_non_null(name);
        assert_true(strlen(name) > 2 && islower((unsigned char)name[0]));
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._"), strlen(name));
        for (int other = 0; other < c; other++)
            assert_string_not_equal(name, counter_name((enum counter)other));
    }
    assert_string_equal(counter_name(COUNTER_FRAMES_IN), "frames.in");
    assert_string_equal(counter_name(COUNTER_LOG_LOST), "log.lost");
}

static void test_bump(void **state)
{
    struct counters counters = {{0}};

    (void)state;
    counter_bump(&counters, COUNTER_IP_FRAG);
    counter_bump(&counters, COUNTER_IP_FRAG);
    for (int c = 0; c < COUNTER_COUNT; c++)
        assert_int_equal(counters.n[c], c == COUNTER_IP_FRAG ? 2 : 0);
}

/* A counter that is a reason to drop a frame must not be the zero that means none (stack/frame.h). */
static void test_no_drop_reason_is_zero(void **state)
{
    (void)state;
    assert_int_equal(COUNTER_FRAMES_IN, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bump),
        cmocka_unit_test(test_no_drop_reason_is_zero),
    };

    return cmocka_run_group_tests_name("counters", tests, NULL, NULL);
}
