/*
 * A keyed hash table from fixed-size keys to array indexes; the keys live in the caller's array.
 *
 * Open addressing, linear probing, deletion by backward shift: no tombstones, no allocation after init, one cache line
 * a look-up as a rule. The hash is keyed, so whoever chooses the keys cannot choose the slots.
 */
#ifndef WEIR_BASE_TABLE_H
#define WEIR_BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"

#define TABLE_NONE UINT32_MAX

struct table {
    struct siphash_key hash_key;
    uint32_t *slots;      /* owned: index + 1, 0 is empty */
    uint32_t mask, count, max;
    size_t key_bytes;
    /** The key of entry @index; borrowed for the call. */
    const void *(*key_of)(const void *ctx, uint32_t index);
    const void *ctx;      /* borrowed */
};

/** Return: 0, or -ENOMEM. @max entries at most. */
int table_init(struct table *t, uint32_t max, size_t key_bytes,
               const void *(*key_of)(const void *ctx, uint32_t index), const void *ctx);
void table_deinit(struct table *t); /* may be called twice */

/** Return: the entry's index, or TABLE_NONE. */
uint32_t table_find(const struct table *t, const void *key);

/** Add an entry whose key is not in the table; CHECKs that there is room. */
void table_add(struct table *t, uint32_t index);

/** Remove an entry that is in the table. */
void table_remove(struct table *t, uint32_t index);

#endif
