#include "base/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

int table_init(struct table *t, uint32_t max, size_t key_bytes,
               const void *(*key_of)(const void *ctx, uint32_t index), const void *ctx)
{
    uint32_t slots = 16;

    memset(t, 0, sizeof(*t));
    CHECK(max < 1u << 30);
    while (slots < max * 2)
        slots *= 2;
    /* Mapped, not allocated: untouched pages of a large table cost nothing. */
    t->slots = mmap(NULL, slots * sizeof(*t->slots), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t->slots == MAP_FAILED) {
        t->slots = NULL;
        return -ENOMEM;
    }
    siphash_key_random(&t->hash_key);
    t->mask = slots - 1;
    t->max = max;
    t->key_bytes = key_bytes;
    t->key_of = key_of;
    t->ctx = ctx;
    return 0;
}

void table_deinit(struct table *t)
{
    if (t->slots)
        (void)munmap(t->slots, (t->mask + 1) * sizeof(*t->slots));
    t->slots = NULL;
}

static uint32_t home_of(const struct table *t, const void *key)
{
    return (uint32_t)siphash(&t->hash_key, key, t->key_bytes) & t->mask;
}

uint32_t table_find(const struct table *t, const void *key)
{
    for (uint32_t at = home_of(t, key); t->slots[at] != 0; at = (at + 1) & t->mask) {
        uint32_t index = t->slots[at] - 1;

        if (memcmp(t->key_of(t->ctx, index), key, t->key_bytes) == 0)
            return index;
    }
    return TABLE_NONE;
}

void table_add(struct table *t, uint32_t index)
{
    uint32_t at = home_of(t, t->key_of(t->ctx, index));

    CHECK(t->count < t->max);
    while (t->slots[at] != 0)
        at = (at + 1) & t->mask;
    t->slots[at] = index + 1;
    t->count++;
}

void table_remove(struct table *t, uint32_t index)
{
    uint32_t at = home_of(t, t->key_of(t->ctx, index)), hole;

    while (t->slots[at] != index + 1) {
        CHECK(t->slots[at] != 0);
        at = (at + 1) & t->mask;
    }
    hole = at;
    t->slots[hole] = 0;
    t->count--;
    for (at = (at + 1) & t->mask; t->slots[at] != 0; at = (at + 1) & t->mask) {
        uint32_t home = home_of(t, t->key_of(t->ctx, t->slots[at] - 1));

        /* Move it back unless its home lies cyclically in (hole, at]. */
        if (((at - home) & t->mask) < ((at - hole) & t->mask))
            continue;
        t->slots[hole] = t->slots[at];
        t->slots[at] = 0;
        hole = at;
    }
}
