/*
 * Intrusive doubly linked list, circular with a head node.
 *
 * A node belongs to at most one list; an unlinked node points to itself, so list_unlink() may be
 * called twice and list_linked() answers whether a node is on any list.
 */
#ifndef WEIR_BASE_LIST_H
#define WEIR_BASE_LIST_H

#include <stdbool.h>

#include "base/check.h"

struct list {
    struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}

static inline bool list_linked(const struct list *l)
{
    return l->next != l;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_append(struct list *head, struct list *node)
{
    CHECK(!list_linked(node));
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_unlink(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/** Unlink and return the first node, or NULL. */
static inline struct list *list_take_first(struct list *head)
{
    struct list *node = head->next;

    if (node == head)
        return NULL;
    list_unlink(node);
    return node;
}

/** Move all of @from (left empty) to the end of @to. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)

/** Walk a list; the current node may be unlinked in the body. */
#define LIST_FOR_EACH(it, head)                                                                    \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

#endif
