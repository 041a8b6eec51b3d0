#include "base/pool.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

static int class_init(struct pool_class *c, size_t slot_bytes, size_t bytes_max)
{
    memset(c, 0, sizeof(*c));
    c->slot_bytes = slot_bytes;
    c->slots = bytes_max / slot_bytes;
    c->base = mmap(NULL, c->slots * slot_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (c->base == MAP_FAILED) {
        c->base = NULL;
        return -ENOMEM;
    }
    return 0;
}

static void class_deinit(struct pool_class *c)
{
    if (c->base)
        (void)munmap(c->base, c->slots * c->slot_bytes);
    c->base = NULL;
}

int pool_init(struct pool *pool, size_t bytes_max)
{
    memset(pool, 0, sizeof(*pool));
    CHECK(bytes_max >= (size_t)POOL_RESERVE_BYTES + POOL_BIG_BYTES);
    pool->bytes_max = bytes_max;
    if (class_init(&pool->big, POOL_BIG_BYTES, bytes_max) < 0 ||
        class_init(&pool->small, POOL_SMALL_BYTES, bytes_max) < 0) {
        class_deinit(&pool->big);
        return -ENOMEM;
    }
    return 0;
}

void pool_deinit(struct pool *pool)
{
    CHECK(pool->bytes_used == 0);
    class_deinit(&pool->big);
    class_deinit(&pool->small);
}

static struct buf *class_take(struct pool_class *c)
{
    struct buf *buf = c->free;

    if (buf) {
        c->free = buf->next;
        c->free_count--;
    } else if (c->cold) {
        buf = c->cold;
        c->cold = buf->next;
    } else if (c->next_fresh < c->slots) {
        buf = (void *)(c->base + c->next_fresh++ * c->slot_bytes);
    }
    return buf;
}

static void class_give(struct pool_class *c, struct buf *buf)
{
    buf->next = c->free;
    c->free = buf;
    c->free_count++;
}

bool pool_wants_trim(const struct pool *pool)
{
    return pool->big.free_count > POOL_WARM_BIG;
}

void pool_trim(struct pool *pool)
{
    struct pool_class *c = &pool->big; /* a small one is a page, which keeps the free list's link */

    for (int i = 0; i < POOL_TRIM_BATCH && pool_wants_trim(pool); i++) {
        struct buf *buf = c->free;

        c->free = buf->next;
        c->free_count--;
        /* The first page keeps the link, the others go. */
        (void)madvise((uint8_t *)buf + 4096, c->slot_bytes - 4096, MADV_DONTNEED);
        buf->next = c->cold;
        c->cold = buf;
    }
}

/* As long as @keep bytes are left behind it. */
static struct buf *take(struct pool *pool, size_t want, size_t keep)
{
    struct pool_class *c =
        want <= POOL_SMALL_BYTES - sizeof(struct buf) ? &pool->small : &pool->big;
    struct buf *buf;

    CHECK(want <= c->slot_bytes - sizeof(struct buf));
    if (pool->bytes_max - pool->bytes_used < c->slot_bytes + keep || !(buf = class_take(c))) {
        pool->refused++;
        return NULL;
    }
    pool->bytes_used += c->slot_bytes;
    buf->pool = pool;
    buf->next = NULL;
    buf->refs = 1;
    buf->cap = (uint32_t)(c->slot_bytes - sizeof(*buf));
    buf->len = 0;
    buf->start = 0;
    buf->holder = NULL;
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
    struct pool *pool;
    struct pool_class *c;

    if (!buf)
        return;
    CHECK(buf->refs > 0);
    if (--buf->refs > 0)
        return;
    pool = buf->pool;
    c = buf->cap > POOL_SMALL_BYTES ? &pool->big : &pool->small;
    pool->bytes_used -= c->slot_bytes;
    class_give(c, buf);
}
