/*
 * Six bytes a fragment: identification, flag and family; age; offset; length. A model of bytes beside the table says what must come
 * out: datagrams of both families, kept apart, byte by byte, and none that overlapped. What is held stays within its bounds.
 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "stack/frag.h"
#include "stack/ip6.h"

enum {
    ID = 15, MORE = 16, V6 = 32, /* bits of a fragment's first byte */
    KEYS = (ID | V6) + 1,
    UNIT = 8,
    SPAN = 65536,       /* more than a datagram of either family has */
    PIECE_MAX = 1024 * UNIT,
    PATTERN = 251,      /* a prime: no fragment's bytes are those of the one before */
    HELD_MAX = 2 * (POOL_BIG_BYTES + POOL_SMALL_BYTES), /* of slots: the large ones count less than they are */
};

static struct model {
    bool live, have[SPAN / UNIT];
    uint8_t bytes[SPAN + UNIT];
    uint64_t since_ms;
    uint32_t end, top, units; /* end: 0 until the last fragment came; top: behind the highest byte */
} models[KEYS];

static uint8_t pattern[PATTERN + PIECE_MAX], ip[IP6_HEADER_BYTES];

static struct frame fragment(const uint8_t *data, unsigned n)
{
    bool v6 = data[0] & V6, more = data[0] & MORE;
    enum addr_family family = v6 ? ADDR_V6 : ADDR_V4;

    ip[0] = v6 ? 0x60 : 0x45;
    return (struct frame){.kind = v6 ? FRAME_IPV6 : FRAME_IPV4, .ip = ip, .src.family = family, .dst.family = family, .proto = 17,
        .fragment = true, .frag_id = data[0] & ID, .frag_more = more, .frag_offset = ((data[2] << 8 | data[3]) & 0x1fff) * 8u,
        .l4 = pattern + n % PATTERN, .l4_bytes = ((data[4] << 8 | data[5]) & 1023) * 8u + (more ? 8 : 1)};
}

static unsigned expire(uint64_t now_ms)
{
    unsigned count = 0;

    for (struct model *m = models; m < models + KEYS; m++)
        if (m->live && now_ms - m->since_ms >= FRAG_AGE_MS) {
            m->live = false;
            count++;
        }
    return count;
}

static unsigned live(void)
{
    unsigned count = 0;

    for (struct model *m = models; m < models + KEYS; m++)
        count += m->live;
    return count;
}

/* Return: whether @f says nothing against what is there. */
static bool take(struct model *m, const struct frame *f, uint64_t now_ms)
{
    uint32_t from = f->frag_offset, to = from + f->l4_bytes;
    bool fits = true;

    if (to > frame_l4_bytes_max(f->kind))
        return false;
    if (!m->live) {
        memset(m->have, 0, sizeof(m->have));
        m->live = true;
        m->since_ms = now_ms;
        m->end = m->top = m->units = 0;
    }
    if ((m->end && (to > m->end || !f->frag_more)) || (!f->frag_more && m->top > to))
        return false;
    for (uint32_t unit = from / UNIT; unit * UNIT < to; unit++) {
        fits = fits && !m->have[unit];
        m->have[unit] = true;
        m->units++;
    }
    memcpy(m->bytes + from, f->l4, f->l4_bytes);
    m->end = f->frag_more ? m->end : to;
    m->top = to > m->top ? to : m->top;
    return fits;
}

static void check_whole(const struct frame *f, const struct model *m, const struct buf *whole)
{
    uint32_t header = f->kind == FRAME_IPV6 ? 40 : 20;

    CHECK(m->end > 0 && m->units == (m->end + UNIT - 1) / UNIT && !f->fragment && f->l4_bytes == m->end);
    CHECK(f->ip >= whole->data && f->l4 == f->ip + header && f->l4 + f->l4_bytes <= whole->data + whole->cap);
    CHECK(memcmp(f->l4, m->bytes, f->l4_bytes) == 0 && f->ip[0] >> 4 == (header == 40 ? 6 : 4));
    CHECK(f->ip_bytes == header + m->end && (header == 40 ? f->ip[4] << 8 | f->ip[5] : f->ip[2] << 8 | f->ip[3]) ==
          (int)(header == 40 ? m->end : f->ip_bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct frag_table table;
    uint64_t now_ms = 0;
    struct pool pool; /* a new one each time: no bytes of another run stand in for those that are missing */

    CHECK(pool_init(&pool, 8 * POOL_BIG_BYTES) == 0);
    for (uint32_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i % PATTERN);
    for (unsigned n = 0; size >= 6; data += 6, size -= 6, n++) {
        struct model *m = &models[data[0] & (ID | V6)];
        struct frame f = fragment(data, n);
        struct buf *whole = NULL;
        unsigned expired = expire(now_ms += data[1]), others = live() - m->live;
        bool fits = take(m, &f, now_ms);
        int r = frag_add(&table, &pool, &f, now_ms, &whole);

        CHECK(table.expired == expired && (fits || r < 0) && (r != -EEXIST || !fits));
        CHECK(r != -ENOBUFS || others >= 2); /* two of the largest are always taken */
        CHECK(r != 0 || m->units < (m->end + UNIT - 1) / UNIT || !m->end);
        if (r == 1)
            check_whole(&f, m, whole);
        m->live = m->live && r == 0;
        table.expired = 0;
        buf_unref(whole);
        CHECK(live() <= FRAG_DATAGRAMS_MAX && pool.bytes_used <= HELD_MAX);
    }
    frag_deinit(&table);
    pool_deinit(&pool); /* CHECKs that all of it came back */
    (void)expire(UINT64_MAX); /* of the model as well */
    return 0;
}
