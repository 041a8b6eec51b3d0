#include "base/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

enum { MAX = 300, OPERATIONS = 200000 };

struct key {
    uint32_t a, b;
};

static struct key keys[MAX];
static bool present[MAX];

static const void *key_of(const void *ctx, uint32_t index)
{
    const struct key *all = ctx;

    return &all[index];
}

static uint32_t next_random(uint32_t *x)
{
    *x = *x * 1664525 + 1013904223;
    return *x >> 8;
}

static uint32_t find_in_model(const struct key *key)
{
    for (uint32_t i = 0; i < MAX; i++)
        if (present[i] && memcmp(&keys[i], key, sizeof(*key)) == 0)
            return i;
    return TABLE_NONE;
}

/* Random operations against a plain array: after each one a look-up agrees, present or not. */
static void test_against_a_model(void **state)
{
    struct table t;
    uint32_t x = 1, count = 0;

    (void)state;
    memset(present, 0, sizeof(present));
    assert_int_equal(table_init(&t, MAX, sizeof(struct key), key_of, keys), 0);
    for (int i = 0; i < OPERATIONS; i++) {
        uint32_t index = next_random(&x) % MAX;
        struct key key = {next_random(&x) % 40, next_random(&x) % 40};

        if (present[index] && (i / 1000) % 2 == 0) { /* thousands that shrink it, thousands that fill it */
            table_remove(&t, index);
            present[index] = false;
            count--;
        } else if (!present[index] && find_in_model(&key) == TABLE_NONE) {
            keys[index] = key;
            table_add(&t, index);
            present[index] = true;
            count++;
        }
        assert_int_equal(t.count, count);
        key = (struct key){next_random(&x) % 40, next_random(&x) % 40};
        assert_int_equal(table_find(&t, &key), find_in_model(&key));
        assert_int_equal(table_find(&t, &keys[index]), find_in_model(&keys[index]));
    }
    table_deinit(&t);
    table_deinit(&t);
}

/* Full to its limit, with every key found, then empty again. */
static void test_full(void **state)
{
    struct table t;

    (void)state;
    assert_int_equal(table_init(&t, MAX, sizeof(struct key), key_of, keys), 0);
    for (uint32_t i = 0; i < MAX; i++) {
        keys[i] = (struct key){i, ~i};
        table_add(&t, i);
    }
    for (uint32_t i = 0; i < MAX; i++)
        assert_int_equal(table_find(&t, &(struct key){i, ~i}), i);
    assert_int_equal(table_find(&t, &(struct key){MAX, 0}), TABLE_NONE);
    for (uint32_t i = 0; i < MAX; i += 2)
        table_remove(&t, i);
    for (uint32_t i = 0; i < MAX; i++)
        assert_int_equal(table_find(&t, &(struct key){i, ~i}), i % 2 ? i : TABLE_NONE);
    table_deinit(&t);
}

/* Whoever chooses the keys does not choose the slots: two tables place them differently. */
static void test_hash_is_keyed(void **state)
{
    struct table a, b;

    (void)state;
    assert_int_equal(table_init(&a, MAX, sizeof(struct key), key_of, keys), 0);
    assert_int_equal(table_init(&b, MAX, sizeof(struct key), key_of, keys), 0);
    for (uint32_t i = 0; i < 100; i++) {
        keys[i] = (struct key){i, 0};
        table_add(&a, i);
        table_add(&b, i);
    }
    assert_int_equal(a.mask, b.mask);
    assert_memory_not_equal(a.slots, b.slots, (a.mask + 1) * sizeof(*a.slots));
    table_deinit(&a);
    table_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_hash_is_keyed),
    };

    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
