#include "stack/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { KIB = 1024 };

static int teardown(void **state)
{
    (void)state;
    heap_deinit(); /* CHECKs that nothing is in use */
    return 0;
}

/* Blocks of every size lie apart and are aligned. */
static void test_sizes(void **state)
{
    static const size_t sizes[] = {0, 1, 40, 48, 49, 144, 300, 500, 1000, HEAP_CLASS_BYTES_MAX};
    unsigned char *blocks[sizeof(sizes) / sizeof(sizes[0])];
    size_t n = sizeof(sizes) / sizeof(sizes[0]);

    (void)state;
    heap_init(KIB * KIB);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(blocks[i] = heap_malloc(sizes[i]));
        assert_int_equal((uintptr_t)blocks[i] % 8, 0);
        memset(blocks[i], (int)i + 1, sizes[i]);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t at = 0; at < sizes[i]; at++)
            assert_int_equal(blocks[i][at], i + 1);
    assert_true(heap_bytes_used() >= 40 + 48 + 49 + 144 + 300 + 500 + 1000 + HEAP_CLASS_BYTES_MAX);
    for (size_t i = 0; i < n; i++)
        heap_free(blocks[i]);
    assert_int_equal(heap_bytes_used(), 0);
    heap_free(NULL);
}

static void test_too_large(void **state)
{
    (void)state;
    heap_init(KIB * KIB);
    assert_null(heap_malloc(HEAP_CLASS_BYTES_MAX + 1));
    assert_null(heap_malloc(SIZE_MAX));
    assert_int_equal(heap_refused(), 2);
    assert_int_equal(heap_bytes_used(), 0);
}

static void test_zeroed(void **state)
{
    unsigned char *p;

    (void)state;
    heap_init(KIB * KIB);
    p = heap_malloc(200);
    memset(p, 0xff, 200);
    heap_free(p);
    p = heap_calloc(10, 20);
    assert_non_null(p);
    for (int i = 0; i < 200; i++)
        assert_int_equal(p[i], 0);
    heap_free(p);
    assert_null(heap_calloc(SIZE_MAX / 8 + 2, 8)); /* the product overflows to 8 */
    assert_null(heap_calloc(HEAP_CLASS_BYTES_MAX, 2));
    assert_int_equal(heap_refused(), 2);
}

/* The ceiling is on slabs; a request beyond it is refused, and what was freed serves the next one. */
static void test_ceiling(void **state)
{
    static void *blocks[1000];
    size_t n = 0;

    (void)state;
    heap_init(2 * HEAP_SLAB_BYTES);
    while (n < 1000 && (blocks[n] = heap_malloc(HEAP_CLASS_BYTES_MAX)))
        n++;
    assert_in_range(n, 20, 2 * HEAP_SLAB_BYTES / HEAP_CLASS_BYTES_MAX);
    assert_int_equal(heap_refused(), 1);
    assert_null(heap_malloc(10)); /* all slabs are of the other size */
    heap_free(blocks[--n]);
    assert_non_null(blocks[n] = heap_malloc(HEAP_CLASS_BYTES_MAX));
    for (n++; n > 0; n--)
        heap_free(blocks[n - 1]);
    assert_int_equal(heap_bytes_used(), 0);
}

/* In steady state the same blocks go round. */
static void test_reuse(void **state)
{
    void *a, *b;

    (void)state;
    heap_init(KIB * KIB);
    a = heap_malloc(100);
    heap_free(a);
    b = heap_malloc(90);
    assert_ptr_equal(a, b);
    heap_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_sizes, teardown),
        cmocka_unit_test_teardown(test_too_large, teardown),
        cmocka_unit_test_teardown(test_zeroed, teardown),
        cmocka_unit_test_teardown(test_ceiling, teardown),
        cmocka_unit_test_teardown(test_reuse, teardown),
    };

    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
