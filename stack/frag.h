/*
 * Reassembly of the guest's IP fragments, per guest: FRAG_DATAGRAMS_MAX datagrams, FRAG_BYTES_MAX bytes,
 * FRAG_AGE_MS. Any overlap drops the whole datagram, in both families (RFC 5722 section 3 for IPv6; for
 * IPv4 because two readings of one datagram are an attack). No timer: age is checked when a fragment comes.
 */
#ifndef WEIR_STACK_FRAG_H
#define WEIR_STACK_FRAG_H

#include <stdint.h>

#include "base/counters.h"
#include "base/pool.h"
#include "stack/frame.h"

enum {
    FRAG_DATAGRAMS_MAX = 8,
    FRAG_BYTES_MAX = 128 * 1024, /* of datagrams held; a big buffer counts 60 KiB, though one may hold 64 */
    FRAG_AGE_MS = 2000,
    FRAG_HOLES_MAX = 64,         /* runs of missing bytes a datagram may have; an order needing more is dropped */
};

struct frag_datagram {
    struct buf *buf;     /* owned: headers and payload, small until more is known to come; NULL: the slot is free */
    struct addr src, dst;
    uint32_t id;
    uint8_t proto;
    uint64_t since_ms;
    uint32_t bytes_known; /* total l4 bytes once the last fragment came, else 0 */
    uint32_t hole_count;
    struct frag_hole {
        uint32_t from, to; /* missing bytes [from, to) */
    } holes[FRAG_HOLES_MAX];
};

struct frag_table {
    struct frag_datagram datagrams[FRAG_DATAGRAMS_MAX];
    uint32_t expired; /* datagrams dropped by age, for the caller to count as IP_FRAG and to zero */
};

void frag_init(struct frag_table *table);
void frag_deinit(struct frag_table *table); /* frees what is held; may be called twice */

/**
 * Add one fragment.
 *
 * @f:        a frame with f->fragment; bytes are copied
 * @out_buf:  on completion: given, the datagram's buffer
 *
 * On completion @f is changed to describe the whole datagram (l4, l4_bytes, fragment = false), with l4 inside *out_buf.
 *
 * Return: 1 complete; 0 taken, more to come; -ENOBUFS, -EEXIST (overlap), -E2BIG dropped, to be counted as IP_FRAG.
 */
int frag_add(struct frag_table *table, struct pool *pool, struct frame *f, uint64_t now_ms,
             struct buf **out_buf);

#endif
