/*
 * lwIP's heap: bounded, counted size-class free lists.
 *
 * Memory comes from libc in slabs and is kept; in steady state no call reaches libc. Requests above the
 * largest class, or beyond the ceiling, get NULL, which lwIP treats as "try later". One per process, as
 * lwIP itself.
 */
#ifndef WEIR_STACK_HEAP_H
#define WEIR_STACK_HEAP_H

#include <stddef.h>
#include <stdint.h>

enum { HEAP_CLASS_BYTES_MAX = 2048, HEAP_SLAB_BYTES = 32 * 1024 };

/** Set the ceiling on slab memory and forget the counters. Keeps slabs of an earlier use. */
void heap_init(size_t bytes_max);

/** Give all slabs back. CHECKs that nothing is in use. */
void heap_deinit(void);

size_t heap_bytes_used(void);  /* of blocks handed out */
uint64_t heap_refused(void);   /* since heap_init(): users see it as HEAP_FULL */

void *heap_malloc(size_t size);
void *heap_calloc(size_t count, size_t size);
void heap_free(void *ptr); /* NULL is fine */

#endif
