#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int n;
    struct list node;
};

static struct item items[5];
static struct list head, other;

static int setup(void **state)
{
    (void)state;
    list_init(&head);
    list_init(&other);
    for (int i = 0; i < 5; i++) {
        items[i].n = i;
        list_init(&items[i].node);
    }
    return 0;
}

/* The items on @list as decimal digits, first one leftmost, behind a 1. */
static int digits(const struct list *list)
{
    int n = 1;

    for (const struct list *it = list->next; it != list; it = it->next) {
        assert_ptr_equal(it->next->prev, it);
        n = n * 10 + LIST_ENTRY((struct list *)(uintptr_t)it, struct item, node)->n;
    }
    return n;
}

static void append(struct list *list, int from, int to)
{
    for (int i = from; i < to; i++)
        list_append(list, &items[i].node);
}

static void test_order(void **state)
{
    (void)state;
    assert_true(list_empty(&head));
    append(&head, 0, 3);
    assert_false(list_empty(&head));
    assert_int_equal(digits(&head), 1012);
    assert_ptr_equal(list_take_first(&head), &items[0].node);
    list_append(&head, &items[0].node);
    assert_int_equal(digits(&head), 1120);
}

static void test_unlink_twice(void **state)
{
    (void)state;
    append(&head, 0, 3);
    assert_true(list_linked(&items[1].node));
    list_unlink(&items[1].node);
    assert_false(list_linked(&items[1].node));
    list_unlink(&items[1].node);
    assert_int_equal(digits(&head), 102);
    list_append(&other, &items[1].node);
    assert_int_equal(digits(&other), 11);
}

static void test_take_until_empty(void **state)
{
    int n = 0;

    (void)state;
    append(&head, 0, 5);
    for (struct list *node; (node = list_take_first(&head)); n++)
        assert_int_equal(LIST_ENTRY(node, struct item, node)->n, n);
    assert_int_equal(n, 5);
    assert_null(list_take_first(&head));
}

static void test_splice(void **state)
{
    (void)state;
    append(&head, 0, 2);
    append(&other, 2, 5);
    list_splice(&head, &other);
    assert_int_equal(digits(&head), 101234);
    assert_true(list_empty(&other));
    list_splice(&head, &other); /* nothing */
    assert_int_equal(digits(&head), 101234);
    list_splice(&other, &head); /* onto nothing */
    assert_int_equal(digits(&other), 101234);
    assert_true(list_empty(&head));
}

/* The current node may go away in the body. */
static void test_walk_and_unlink(void **state)
{
    (void)state;
    append(&head, 0, 5);
    LIST_FOR_EACH(node, &head)
        if (LIST_ENTRY(node, struct item, node)->n % 2 == 0)
            list_unlink(node);
    assert_int_equal(digits(&head), 113);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_order, setup),
        cmocka_unit_test_setup(test_unlink_twice, setup),
        cmocka_unit_test_setup(test_take_until_empty, setup),
        cmocka_unit_test_setup(test_splice, setup),
        cmocka_unit_test_setup(test_walk_and_unlink, setup),
    };

    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
