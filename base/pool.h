/*
 * The buffer pool: all payload memory of an instance, below one ceiling.
 *
 * Two sizes: POOL_BIG holds a super-segment with its headers, POOL_SMALL an ordinary frame. The
 * address space is reserved once and touched only when used; free buffers are reused newest first,
 * so that a busy loop works on warm memory. After a burst pool_trim() gives the kernel back the pages of all
 * but POOL_WARM_BIG of them. Never blocks, never calls malloc after pool_init().
 *
 * POOL_RESERVE_BYTES of it are the wire's: what is queued or held (pool_get()) can fill the rest, but never keeps
 * a link from reading the next frame (pool_get_wire()): the acknowledgements in those frames free a full pool.
 *
 * Single thread. Buffers are reference counted; the last unref returns them to their pool.
 */
#ifndef WEIR_BASE_POOL_H
#define WEIR_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    POOL_BIG_BYTES = 17 * 4096, /* whole slot: struct buf + headroom + 65,535 of IP + link headers */
    POOL_SMALL_BYTES = 4096,
    POOL_RESERVE_BYTES = 4 * POOL_BIG_BYTES, /* what only pool_get_wire() hands out */
    POOL_WARM_BIG = 16,         /* free ones that keep their pages through a trim */
    POOL_TRIM_BATCH = 256,      /* buffers one pool_trim() gives back */
};

struct pool;

struct buf {
    struct pool *pool; /* borrowed */
    struct buf *next;  /* free list, or the holder's queue */
    uint32_t refs;
    uint32_t cap;      /* bytes at data[] */
    uint32_t len;      /* the holder's: bytes in use */
    uint32_t start;    /* the holder's: first byte in use */
    void *holder;      /* the holder's */
    uint8_t data[];
};

struct pool_class {
    uint8_t *base;          /* owned: the reserved mapping */
    struct buf *free, *cold; /* with pages, and without (but for the first) */
    size_t slot_bytes, slots, next_fresh, free_count;
};

struct pool {
    struct pool_class big, small;
    size_t bytes_max;    /* the ceiling */
    size_t bytes_used;   /* slots handed out */
    uint64_t refused;    /* counter: a buffer was asked for and there was none */
};

/** Reserve address space. Return: 0, or -ENOMEM. @bytes_max is at least POOL_RESERVE_BYTES and one big slot. */
int pool_init(struct pool *pool, size_t bytes_max);

/** CHECKs that every buffer came back. */
void pool_deinit(struct pool *pool);

/** A buffer with at least @want bytes at data[] and one reference, or NULL: only the reserve is left. */
struct buf *pool_get(struct pool *pool, size_t want);

/**
 * The same out of the whole pool: for a frame being read from a link, or one on its way to the guest, which nothing
 * keeps beyond the call while the pool is full. NULL at the ceiling.
 */
struct buf *pool_get_wire(struct pool *pool, size_t want);

/** Whether pool_trim() would give something back. */
bool pool_wants_trim(const struct pool *pool);

/** Give pages of free buffers back to the kernel, POOL_TRIM_BATCH of them at most: for when a burst is over. */
void pool_trim(struct pool *pool);

/** Bytes that pool_get() may still hand out; the reserve is not among them. */
size_t pool_left(const struct pool *pool);

/**
 * Whether the last quarter is reached. It is for those who hold little: whoever queues or holds bytes of others takes
 * POOL_SMALL_BYTES a flow and no more now, so that no number of stalled flows takes everything from the others.
 */
bool pool_is_short(const struct pool *pool);

struct buf *buf_ref(struct buf *buf);
void buf_unref(struct buf *buf); /* NULL is fine */

#endif
