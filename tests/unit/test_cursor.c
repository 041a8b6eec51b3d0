#include "base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

static void test_integers(void **state)
{
    struct cursor c = cursor_of(bytes, sizeof(bytes));
    uint8_t a;
    uint16_t b;
    uint32_t d, e;

    (void)state;
    assert_true(cursor_u8(&c, &a) && a == 1);
    assert_true(cursor_u16(&c, &b) && b == 0x0203);
    assert_true(cursor_u24(&c, &d) && d == 0x040506);
    assert_true(cursor_u32(&c, &e) && e == 0x0708090a);
    assert_int_equal(cursor_left(&c), 0);
}

/* A read past the end fails, moves nothing and writes nothing. */
static void test_short_reads(void **state)
{
    uint8_t a = 0xee, out[3] = {0xee};
    uint16_t b = 0xeeee;
    uint32_t d = 0xeeee;
    struct cursor sub = {0};

    (void)state;
    for (size_t have = 0; have < 4; have++) {
        struct cursor c = cursor_of(bytes, have), before = c;

        if (have < 1)
            assert_false(cursor_u8(&c, &a));
        if (have < 2)
            assert_false(cursor_u16(&c, &b));
        if (have < 3) {
            assert_false(cursor_u24(&c, &d));
            assert_false(cursor_bytes(&c, out, 3));
            assert_false(cursor_skip(&c, 3));
            assert_false(cursor_sub(&c, 3, &sub));
        }
        assert_false(cursor_u32(&c, &d));
        assert_false(cursor_skip(&c, SIZE_MAX));
        assert_ptr_equal(c.at, before.at);
        assert_int_equal(cursor_left(&c), have);
    }
    assert_true(a == 0xee && b == 0xeeee && d == 0xeeee && out[0] == 0xee && !sub.at);
}

static void test_nothing(void **state)
{
    struct cursor c = cursor_of(NULL, 0);
    uint8_t a;

    (void)state;
    assert_int_equal(cursor_left(&c), 0);
    assert_false(cursor_u8(&c, &a));
    assert_true(cursor_skip(&c, 0));
    assert_true(cursor_bytes(&c, NULL, 0));
}

/* An inner cursor ends where its length says, and the outer one goes on behind it. */
static void test_nesting(void **state)
{
    struct cursor c = cursor_of(bytes, sizeof(bytes)), sub, subsub;
    uint8_t a;
    uint16_t b;

    (void)state;
    assert_true(cursor_skip(&c, 1));
    assert_true(cursor_sub(&c, 3, &sub));
    assert_true(cursor_u8(&c, &a) && a == 5);
    assert_int_equal(cursor_left(&sub), 3);
    assert_true(cursor_u16(&sub, &b) && b == 0x0203);
    assert_false(cursor_u16(&sub, &b));
    assert_false(cursor_sub(&sub, 2, &subsub));
    assert_true(cursor_sub(&sub, 1, &subsub));
    assert_true(cursor_u8(&subsub, &a) && a == 4);
    assert_int_equal(cursor_left(&sub), 0);
}

static void test_writer(void **state)
{
    uint8_t out[12] = {0};
    struct writer w = writer_of(out, sizeof(out));

    (void)state;
    writer_u8(&w, 1);
    writer_u16(&w, 0x0203);
    writer_u32(&w, 0x04050607);
    writer_bytes(&w, bytes + 7, 3);
    writer_bytes(&w, NULL, 0);
    assert_int_equal(writer_done(&w), 10);
    assert_memory_equal(out, bytes, 10);
    writer_patch_u16(&w, 1, 0xaabb);
    assert_memory_equal(out, ((uint8_t[]){1, 0xaa, 0xbb, 4}), 4);
    writer_patch_u16(&w, 9, 0xaabb); /* not written yet: left alone */
    assert_int_equal(out[9], 10);
}

/* What does not fit is not written in part, and is remembered. */
static void test_writer_overflow(void **state)
{
    uint8_t out[8] = {0};
    struct writer w = writer_of(out, 3);

    (void)state;
    writer_u16(&w, 0x0102);
    writer_u32(&w, 0xffffffff);
    writer_u8(&w, 3); /* would fit, but the message has a hole by now */
    assert_int_equal(writer_done(&w), -1);
    assert_memory_equal(out, ((uint8_t[]){1, 2, 0, 0, 0, 0, 0, 0}), 8);
    assert_null(writer_room(&w, 0));
    writer_patch_u16(&w, 0, 0xaabb);
    assert_int_equal(out[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_short_reads),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_writer),
        cmocka_unit_test(test_writer_overflow),
    };

    return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
