#include "stack/heap.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* Block sizes with their header. lwIP asks for pcbs (~300), segments (~40) and headers (~150). */
static const uint16_t class_bytes[] = {64, 96, 160, 256, 384, 512, 1024, HEAP_CLASS_BYTES_MAX + 16};

struct block {
    union {
        struct block *next; /* free */
        size_t class;       /* in use */
    } as;
    uint64_t guard; /* HEAP_LIVE while in use: a double free is ours and is caught */
    unsigned char bytes[];
};

struct slab {
    struct slab *next;
    uint64_t pad;
    unsigned char bytes[];
};

enum { HEAP_LIVE = 0x11fe };

static struct {
    struct block *free[ARRAY_SIZE(class_bytes)];
    struct slab *slabs;
    size_t slab_bytes, bytes_max, used;
    size_t class_slab_bytes[ARRAY_SIZE(class_bytes)];
    uint64_t refused;
} heap;

void heap_init(size_t bytes_max)
{
    heap.bytes_max = bytes_max;
    heap.refused = 0;
}

void heap_deinit(void)
{
    struct slab *slab = heap.slabs;

    CHECK(heap.used == 0);
    while (slab) {
        struct slab *next = slab->next;

        free(slab);
        slab = next;
    }
    memset(&heap, 0, sizeof(heap));
}

size_t heap_bytes_used(void)
{
    return heap.used;
}

uint64_t heap_refused(void)
{
    return heap.refused;
}

static void refill(size_t class)
{
    struct slab *slab;
    size_t size = class_bytes[class];

    /* No class takes it all: segments must not leave a newcomer without a pcb. */
    if (heap.bytes_max - heap.slab_bytes < HEAP_SLAB_BYTES ||
        heap.class_slab_bytes[class] > heap.bytes_max / 4 * 3)
        return;
    slab = malloc(HEAP_SLAB_BYTES);
    if (!slab)
        return;
    heap.slab_bytes += HEAP_SLAB_BYTES;
    heap.class_slab_bytes[class] += HEAP_SLAB_BYTES;
    slab->next = heap.slabs;
    heap.slabs = slab;
    for (size_t at = 0; at + size <= HEAP_SLAB_BYTES - sizeof(*slab); at += size) {
        struct block *b = (void *)(slab->bytes + at);

        b->guard = 0;
        b->as.next = heap.free[class];
        heap.free[class] = b;
    }
}

void *heap_malloc(size_t size)
{
    struct block *b;
    size_t class = 0;

    while (class < ARRAY_SIZE(class_bytes) && size > class_bytes[class] - sizeof(*b))
        class++;
    if (class == ARRAY_SIZE(class_bytes)) {
        heap.refused++;
        return NULL;
    }
    if (!heap.free[class])
        refill(class);
    b = heap.free[class];
    if (!b) {
        heap.refused++;
        return NULL;
    }
    heap.free[class] = b->as.next;
    b->as.class = class;
    b->guard = HEAP_LIVE;
    heap.used += class_bytes[class];
    return b->bytes;
}

void *heap_calloc(size_t count, size_t size)
{
    void *p;

    if (size > 0 && count > HEAP_CLASS_BYTES_MAX / size) {
        heap.refused++;
        return NULL;
    }
    p = heap_malloc(count * size);
    if (p)
        memset(p, 0, count * size);
    return p;
}

void heap_free(void *ptr)
{
    struct block *b;
    size_t class;

    if (!ptr)
        return;
    b = CONTAINER_OF(ptr, struct block, bytes);
    CHECK(b->guard == HEAP_LIVE);
    class = b->as.class;
    b->guard = 0;
    heap.used -= class_bytes[class];
    b->as.next = heap.free[class];
    heap.free[class] = b;
}
