/*
 * Reassembly by hole list (RFC 815), with a rule added: a fragment must lie wholly in one hole. What touches
 * bytes that are already there, even a copy of them, ends the datagram.
 *
 * A datagram starts in a small buffer and moves once to a big one, so that the eight of them fit the bound.
 */
#include "stack/frag.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "stack/ip4.h"
#include "stack/ip6.h"

enum { HEADER_ROOM = IP6_HEADER_BYTES }; /* before the payload: the IP header ends there, and either family's fits */

static const uint32_t no_end = UINT32_MAX; /* of the last hole, while the last fragment is missing */

void frag_init(struct frag_table *table)
{
    memset(table, 0, sizeof(*table));
}

static void drop(struct frag_datagram *d)
{
    buf_unref(d->buf);
    d->buf = NULL;
}

void frag_deinit(struct frag_table *table)
{
    for (size_t i = 0; i < FRAG_DATAGRAMS_MAX; i++)
        drop(&table->datagrams[i]);
}

static void drop_old(struct frag_table *table, uint64_t now_ms)
{
    for (size_t i = 0; i < FRAG_DATAGRAMS_MAX; i++)
        if (table->datagrams[i].buf && now_ms - table->datagrams[i].since_ms >= FRAG_AGE_MS) {
            drop(&table->datagrams[i]);
            table->expired++;
        }
}

static struct frag_datagram *find(struct frag_table *table, const struct frame *f)
{
    for (size_t i = 0; i < FRAG_DATAGRAMS_MAX; i++) {
        struct frag_datagram *d = &table->datagrams[i];

        if (d->buf && d->id == f->frag_id && d->proto == f->proto && addr_equal(&d->src, &f->src) &&
            addr_equal(&d->dst, &f->dst))
            return d;
    }
    return NULL;
}

/* What a buffer costs is what it can hold, however little of it is used: two large ones fit, and two small beside. */
static size_t charge(const struct buf *buf)
{
    if (!buf)
        return 0;
    return buf->cap > POOL_SMALL_BYTES ? FRAG_BYTES_MAX / 2 - POOL_SMALL_BYTES : POOL_SMALL_BYTES;
}

/* A buffer with room for @l4_bytes of payload, or NULL: the bound or the pool is met. */
static struct buf *get_buffer(const struct frag_table *table, struct pool *pool, uint32_t l4_bytes)
{
    struct buf *buf = pool_get(pool, HEADER_ROOM + l4_bytes);
    size_t held = charge(buf);

    for (size_t i = 0; i < FRAG_DATAGRAMS_MAX; i++)
        held += charge(table->datagrams[i].buf);
    if (held > FRAG_BYTES_MAX) {
        buf_unref(buf);
        return NULL;
    }
    return buf;
}

/* A free slot for a datagram not seen before, or NULL. Young ones are not evicted: a flood would win. */
static struct frag_datagram *claim(struct frag_table *table, struct pool *pool, const struct frame *f,
                                   uint64_t now_ms)
{
    struct frag_datagram *d = table->datagrams;

    while (d < table->datagrams + FRAG_DATAGRAMS_MAX && d->buf)
        d++;
    if (d == table->datagrams + FRAG_DATAGRAMS_MAX)
        return NULL;
    d->buf = get_buffer(table, pool, f->frag_offset + f->l4_bytes);
    if (!d->buf)
        return NULL;
    d->src = f->src;
    d->dst = f->dst;
    d->id = f->frag_id;
    d->proto = f->proto;
    d->since_ms = now_ms;
    d->bytes_known = 0;
    d->hole_count = 1;
    d->holes[0] = (struct frag_hole){.from = 0, .to = no_end};
    return d;
}

static int make_room(struct frag_table *table, struct pool *pool, struct frag_datagram *d, uint32_t l4_bytes)
{
    struct buf *larger;

    if (d->buf->cap >= HEADER_ROOM + l4_bytes)
        return 0;
    larger = get_buffer(table, pool, frame_l4_bytes_max(FRAME_IPV6));
    if (!larger)
        return -ENOBUFS;
    memcpy(larger->data, d->buf->data, d->buf->cap);
    buf_unref(d->buf);
    d->buf = larger;
    return 0;
}

/* Take [from, to) out of the hole it lies in. */
static int fill(struct frag_datagram *d, uint32_t from, uint32_t to, bool more)
{
    struct frag_hole *hole = d->holes, *end = d->holes + d->hole_count;
    uint32_t after;

    while (hole < end && (from < hole->from || to > hole->to))
        hole++;
    if (hole == end || (!more && hole->to != no_end))
        return -EEXIST; /* overlap; or an end where one is known, or before bytes we have */
    if (!more)
        d->bytes_known = hole->to = to;
    after = hole->to;
    if (from > hole->from && to < after) {
        if (d->hole_count == FRAG_HOLES_MAX)
            return -E2BIG;
        *end = (struct frag_hole){.from = to, .to = after};
        d->hole_count++;
        hole->to = from;
    } else if (from > hole->from) {
        hole->to = from;
    } else if (to < after) {
        hole->from = to;
    } else {
        *hole = end[-1];
        d->hole_count--;
    }
    return 0;
}

static size_t header_bytes(const struct frame *f)
{
    return f->kind == FRAME_IPV6 ? IP6_HEADER_BYTES : IP4_HEADER_BYTES;
}

static int add(struct frag_table *table, struct pool *pool, struct frag_datagram *d, const struct frame *f)
{
    uint32_t from = f->frag_offset, to = from + f->l4_bytes;
    int err = make_room(table, pool, d, to);

    if (err == 0)
        err = fill(d, from, to, f->frag_more);
    if (err < 0)
        return err;
    memcpy(d->buf->data + HEADER_ROOM + from, f->l4, f->l4_bytes);
    if (from == 0)
        memcpy(d->buf->data + HEADER_ROOM - header_bytes(f), f->ip, header_bytes(f));
    return 0;
}

/* The first fragment's header, made that of the whole datagram. */
static void finish4(uint8_t *ip, uint32_t l4_bytes)
{
    struct ip4_header header;

    ip4_read(ip, &header);
    header.total_bytes = (uint16_t)(IP4_HEADER_BYTES + l4_bytes); /* frag_add() saw that it fits */
    header.fragment = 0;
    ip4_write(&header, ip);
}

static void finish6(uint8_t *ip, uint32_t l4_bytes, uint8_t proto)
{
    ip[4] = (uint8_t)(l4_bytes >> 8); /* frag_add() saw that it fits */
    ip[5] = (uint8_t)l4_bytes;
    ip[6] = proto;
}

/* @f describes the whole datagram. */
static void finish(struct frag_datagram *d, struct frame *f)
{
    f->ip = d->buf->data + HEADER_ROOM - header_bytes(f);
    f->ip_bytes = (uint32_t)header_bytes(f) + d->bytes_known;
    if (f->kind == FRAME_IPV6)
        finish6(f->ip, d->bytes_known, d->proto);
    else
        finish4(f->ip, d->bytes_known);
    f->dont_fragment = false;
    f->fragment = f->frag_more = false;
    f->frag_offset = 0;
    f->l4 = d->buf->data + HEADER_ROOM;
    f->l4_bytes = d->bytes_known;
    d->buf->start = HEADER_ROOM;
    d->buf->len = d->bytes_known;
}

int frag_add(struct frag_table *table, struct pool *pool, struct frame *f, uint64_t now_ms,
             struct buf **out_buf)
{
    struct frag_datagram *d;
    int err;

    CHECK(f->kind != FRAME_ARP && f->fragment);
    drop_old(table, now_ms);
    d = find(table, f);
    if (f->frag_offset + f->l4_bytes > frame_l4_bytes_max(f->kind)) {
        if (d)
            drop(d);
        return -E2BIG;
    }
    if (!d)
        d = claim(table, pool, f, now_ms);
    if (!d)
        return -ENOBUFS;
    err = add(table, pool, d, f);
    if (err < 0) {
        drop(d);
        return err;
    }
    if (d->hole_count > 0)
        return 0;
    finish(d, f);
    *out_buf = d->buf;
    d->buf = NULL;
    return 1;
}
