/*
 * lwIP's heap and the buffer pool with one malloc() a block, to be linked instead of stack/heap.c and
 * base/pool.c: under ASan every use after free, overrun and leak of a segment or a frame's buffer shows, which
 * slabs and mappings hide. Bounds and accounting are those of the originals.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/pool.h"
#include "stack/heap.h"

/* ---- stack/heap.h ---- */

static struct {
    size_t used, bytes_max;
    uint64_t refused;
} heap;

void heap_init(size_t bytes_max)
{
    heap.bytes_max = bytes_max;
    heap.refused = 0;
}

void heap_deinit(void)
{
    CHECK(heap.used == 0);
}

size_t heap_bytes_used(void)
{
    return heap.used;
}

uint64_t heap_refused(void)
{
    return heap.refused;
}

void *heap_malloc(size_t size)
{
    size_t *block = size <= HEAP_CLASS_BYTES_MAX && heap.bytes_max - heap.used >= size
                        ? malloc(2 * sizeof(size_t) + size)
                        : NULL;

    if (!block) {
        heap.refused++;
        return NULL;
    }
    block[0] = size;
    heap.used += size;
    return block + 2;
}

void *heap_calloc(size_t count, size_t size)
{
    void *p = heap_malloc(size == 0 || count <= HEAP_CLASS_BYTES_MAX / size ? count * size : SIZE_MAX);

    if (p)
        memset(p, 0, count * size);
    return p;
}

void heap_free(void *ptr)
{
    size_t *block = ptr;

    if (!ptr)
        return;
    heap.used -= block[-2];
    free(block - 2);
}

/* ---- base/pool.h ---- */

int pool_init(struct pool *pool, size_t bytes_max)
{
    memset(pool, 0, sizeof(*pool));
    pool->bytes_max = bytes_max;
    return 0;
}

void pool_deinit(struct pool *pool)
{
    CHECK(pool->bytes_used == 0);
}

static struct buf *take(struct pool *pool, size_t want, size_t keep)
{
    size_t slot = want <= POOL_SMALL_BYTES - sizeof(struct buf) ? POOL_SMALL_BYTES : POOL_BIG_BYTES;
    struct buf *buf;

    CHECK(want <= slot - sizeof(struct buf));
    buf = pool->bytes_max - pool->bytes_used >= slot + keep ? malloc(slot) : NULL;
    if (!buf) {
        pool->refused++;
        return NULL;
    }
    pool->bytes_used += slot;
    *buf = (struct buf){.pool = pool, .refs = 1, .cap = (uint32_t)(slot - sizeof(*buf))};
    return buf;
}

struct buf *pool_get(struct pool *pool, size_t want)
{
    return take(pool, want, POOL_RESERVE_BYTES);
}

struct buf *pool_get_wire(struct pool *pool, size_t want)
{
    return take(pool, want, 0);
}

bool pool_wants_trim(const struct pool *pool)
{
    (void)pool;
    return false;
}

void pool_trim(struct pool *pool)
{
    (void)pool; /* free() gave it all back */
}

size_t pool_left(const struct pool *pool)
{
    size_t free_bytes = pool->bytes_max - pool->bytes_used;

    return free_bytes > POOL_RESERVE_BYTES ? free_bytes - POOL_RESERVE_BYTES : 0;
}

bool pool_is_short(const struct pool *pool)
{
    return pool_left(pool) < pool->bytes_max / 4;
}

struct buf *buf_ref(struct buf *buf)
{
    CHECK(buf->refs > 0);
    buf->refs++;
    return buf;
}

void buf_unref(struct buf *buf)
{
    if (!buf)
        return;
    CHECK(buf->refs > 0);
    if (--buf->refs > 0)
        return;
    buf->pool->bytes_used -= buf->cap + sizeof(*buf);
    free(buf);
}
