#include "base/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MIB = 1024 * 1024, SMALL_MAX = POOL_SMALL_BYTES - (int)sizeof(struct buf) };

static struct pool pool;

static int setup(void **state)
{
    (void)state;
    return pool_init(&pool, MIB);
}

static int teardown(void **state)
{
    (void)state;
    pool_deinit(&pool); /* CHECKs that nothing is out */
    return 0;
}

static void test_sizes(void **state)
{
    struct buf *a = pool_get(&pool, 0), *b = pool_get(&pool, SMALL_MAX), *c = pool_get(&pool, SMALL_MAX + 1);

    (void)state;
    assert_int_equal(a->cap, SMALL_MAX);
    assert_int_equal(b->cap, SMALL_MAX);
    assert_true(c->cap >= 65535 + 14); /* a frame of any length */
    assert_int_equal(pool.bytes_used, 2 * POOL_SMALL_BYTES + POOL_BIG_BYTES);
    assert_int_equal(pool_left(&pool), MIB - POOL_RESERVE_BYTES - pool.bytes_used);
    memset(a->data, 1, a->cap);
    memset(b->data, 2, b->cap);
    memset(c->data, 3, c->cap);
    assert_int_equal(a->data[a->cap - 1], 1);
    assert_int_equal(b->data[0], 2);
    buf_unref(a);
    buf_unref(b);
    buf_unref(c);
    assert_int_equal(pool.bytes_used, 0);
    buf_unref(NULL);
}

static void test_references(void **state)
{
    struct buf *a = pool_get(&pool, 10), *b;

    (void)state;
    a->len = 5;
    a->start = 3;
    a->holder = &pool;
    assert_ptr_equal(buf_ref(a), a);
    buf_unref(a);
    assert_int_equal(pool.bytes_used, POOL_SMALL_BYTES);
    assert_int_equal(a->len, 5);
    buf_unref(a);
    assert_int_equal(pool.bytes_used, 0);
    b = pool_get(&pool, 10); /* newest first, and as new */
    assert_ptr_equal(b, a);
    assert_true(b->len == 0 && b->start == 0 && !b->holder && b->refs == 1);
    buf_unref(b);
}

/* Both sizes together stay below the ceiling; what comes back is there again. */
static void test_ceiling(void **state)
{
    struct buf *held[MIB / POOL_SMALL_BYTES + 1];
    int n = 0;

    (void)state;
    held[n++] = pool_get(&pool, SMALL_MAX + 1);
    while ((held[n] = pool_get(&pool, 1)))
        n++;
    assert_int_equal(n, 1 + (MIB - POOL_RESERVE_BYTES - POOL_BIG_BYTES) / POOL_SMALL_BYTES);
    assert_true(pool.bytes_used <= MIB - POOL_RESERVE_BYTES);
    assert_int_equal(pool.refused, 1);
    assert_null(pool_get(&pool, SMALL_MAX + 1));
    assert_int_equal(pool.refused, 2);
    buf_unref(held[0]);
    for (int i = 0; i < POOL_BIG_BYTES / POOL_SMALL_BYTES; i++)
        assert_non_null(held[n + i] = pool_get(&pool, 1));
    assert_null(pool_get(&pool, 1));
    for (int i = 1; i < n + POOL_BIG_BYTES / POOL_SMALL_BYTES; i++)
        buf_unref(held[i]);
    assert_int_equal(pool_left(&pool), MIB - POOL_RESERVE_BYTES);
}

/* What is queued fills all but the reserve; frames are still read, and what they took is for the wire alone. */
static void test_reserve(void **state)
{
    struct buf *queued[MIB / POOL_BIG_BYTES], *wire[MIB / POOL_BIG_BYTES + 1];
    int n = 0, w = 0;

    (void)state;
    while ((queued[n] = pool_get(&pool, SMALL_MAX + 1)))
        n++;
    assert_int_equal(n, (MIB - POOL_RESERVE_BYTES) / POOL_BIG_BYTES);
    while ((wire[w] = pool_get_wire(&pool, SMALL_MAX + 1)))
        w++;
    assert_in_range(w, POOL_RESERVE_BYTES / POOL_BIG_BYTES, POOL_RESERVE_BYTES / POOL_BIG_BYTES + 1);
    assert_true(pool.bytes_used <= MIB);
    assert_int_equal(pool_left(&pool), 0);
    assert_int_equal(pool.refused, 2);

    /* A queued one that comes back fills the reserve first. */
    buf_unref(queued[--n]);
    assert_int_equal(pool_left(&pool), 0);
    assert_null(pool_get(&pool, 1));
    assert_non_null(queued[n++] = pool_get_wire(&pool, SMALL_MAX + 1));
    while (w > 0)
        buf_unref(wire[--w]);
    buf_unref(queued[--n]);
    assert_non_null(queued[n++] = pool_get(&pool, SMALL_MAX + 1));
    while (n > 0)
        buf_unref(queued[--n]);
}

/* After a burst the pages of all but a few go back, some at a time; the buffers come again, distinct and writable. */
static void test_trim(void **state)
{
    enum { N = POOL_TRIM_BATCH + 2 * POOL_WARM_BIG };
    static struct pool large;
    static struct buf *held[N];

    (void)state;
    assert_int_equal(pool_init(&large, POOL_RESERVE_BYTES + (size_t)N * POOL_BIG_BYTES), 0);
    for (int round = 0; round < 3; round++) {
        assert_false(pool_wants_trim(&large));
        for (size_t i = 0; i < N; i++) {
            assert_non_null(held[i] = pool_get(&large, 60000));
            memset(held[i]->data, (int)i, held[i]->cap);
        }
        assert_null(pool_get(&large, 60000));
        pool_trim(&large); /* nothing is free */
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(held[i]->data[0], (uint8_t)i);
            assert_int_equal(held[i]->data[held[i]->cap - 1], (uint8_t)i);
            buf_unref(held[i]);
        }
        assert_true(pool_wants_trim(&large));
        pool_trim(&large);
        assert_true(pool_wants_trim(&large)); /* one batch was not all */
        pool_trim(&large);
    }
    pool_deinit(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_references, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ceiling, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reserve, setup, teardown),
        cmocka_unit_test(test_trim),
    };

    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
