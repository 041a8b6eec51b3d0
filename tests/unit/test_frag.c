/*
 * Fragments of both families in any order, and those that are attacks. Time is a number, memory a pool whose use is compared.
 */
#include "stack/frag.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/packets6.h"

enum {
    IP4_BYTES = 20,
    POOL_BYTES = 16 * POOL_BIG_BYTES,
    DATAGRAM_MAX = 61440 + 8, /* 60 KiB of payload */
};

struct world {
    enum frame_kind kind;
    struct pool pool;
    struct frag_table table;
    struct buf *whole;
    struct frame f; /* of the fragment last sent; the datagram once it is complete */
    uint64_t now_ms;
    uint32_t id;
    uint8_t piece[IP6_BYTES + IP6_FRAG_BYTES + FRAME_IP6_BYTES_MAX];
};

static uint8_t datagram[DATAGRAM_MAX]; /* what all fragments are cut from */

static int set_up(void **state, enum frame_kind kind)
{
    struct world *w = calloc(1, sizeof(*w));
    uint64_t x = 2463534242u;

    if (!w || pool_init(&w->pool, POOL_BYTES) < 0)
        return -1;
    frag_init(&w->table);
    w->kind = kind;
    w->id = kind == FRAME_IPV6 ? 0xffff0001 : 1; /* RFC 8200 section 4.5: 32 bits of it */
    for (size_t i = 0; i < sizeof(datagram); i++)
        datagram[i] = (uint8_t)xorshift(&x);
    *state = w;
    return 0;
}

static int set_up4(void **state)
{
    return set_up(state, FRAME_IPV4);
}

static int set_up6(void **state)
{
    return set_up(state, FRAME_IPV6);
}

static int tear_down(void **state)
{
    struct world *w = *state;

    buf_unref(w->whole);
    frag_deinit(&w->table);
    frag_deinit(&w->table); /* may be called twice */
    pool_deinit(&w->pool);  /* CHECKs that every buffer came back */
    free(w);
    return 0;
}

/* The headers of a fragment at w->piece, as far as frame_read() leaves them to frag_add(). Return: their bytes. */
static uint32_t write_headers(struct world *w, uint8_t proto, uint32_t from, uint32_t n)
{
    struct packet head4 = ip_packet(proto, 0), head6 = frag6_packet(proto, 1, 0);

    if (w->kind == FRAME_IPV6) {
        memcpy(w->piece, head6.bytes + IP, IP6_BYTES + IP6_FRAG_BYTES);
        w->piece[1] = from == 0 ? 0x10 : 0; /* the first one's header is the datagram's */
        w->piece[4] = (uint8_t)((IP6_FRAG_BYTES + n) >> 8);
        w->piece[5] = (uint8_t)(IP6_FRAG_BYTES + n);
        return IP6_BYTES + IP6_FRAG_BYTES;
    }
    memcpy(w->piece, head4.bytes + IP, IP4_BYTES);
    w->piece[1] = from == 0 ? 0x10 : 0;
    w->piece[2] = (uint8_t)((IP4_BYTES + n) >> 8);
    w->piece[3] = (uint8_t)(IP4_BYTES + n);
    return IP4_BYTES;
}

/* One fragment [from, to) of the datagram, as frame_read() would describe it. */
static int send_piece(struct world *w, uint8_t proto, uint32_t from, uint32_t to, bool more)
{
    uint32_t n = to - from, header = write_headers(w, proto, from, n);
    bool v6 = w->kind == FRAME_IPV6;

    for (uint32_t i = 0; i < n; i++)
        w->piece[header + i] = from + i < sizeof(datagram) ? datagram[from + i] : 0;
    w->f = (struct frame){
        .kind = w->kind,
        .ip = w->piece,
        .ip_bytes = header + n,
        .src = v6 ? addr_from_v6(w->piece + 8) : addr_from_v4(w->piece + 12),
        .dst = v6 ? addr_from_v6(w->piece + 24) : addr_from_v4(w->piece + 16),
        .proto = proto,
        .fragment = true,
        .frag_id = w->id,
        .frag_offset = from,
        .frag_more = more,
        .l4 = w->piece + header,
        .l4_bytes = n,
    };
    return frag_add(&w->table, &w->pool, &w->f, w->now_ms, &w->whole);
}

/* What a flood costs: the pool's own count of slots handed out. */
static size_t held(const struct world *w)
{
    return w->pool.bytes_used;
}

/* ---- order ---- */

/* A header that can be quoted and answered. */
static void assert_is_header4(const uint8_t *ip, uint32_t len)
{
    uint8_t sum[2];

    assert_int_equal(ip[0], 0x45);
    assert_int_equal(ip[2] << 8 | ip[3], IP4_BYTES + len);
    assert_int_equal(ip[6] << 8 | ip[7], 0);
    put_slow(sum, slow_sum(ip, IP4_BYTES, 0));
    assert_int_equal(sum[0] | sum[1], 0);
}

static void assert_is_header6(const uint8_t *ip, uint32_t len)
{
    assert_int_equal(ip[0], 0x60);
    assert_int_equal(ip[4] << 8 | ip[5], len);
    assert_int_equal(ip[6], 17); /* what was behind the fragment header */
}

static void assert_is_datagram(struct world *w, uint32_t len)
{
    static const struct frame_offload none;
    uint32_t header = w->kind == FRAME_IPV6 ? IP6_BYTES : IP4_BYTES;
    const uint8_t *ip = w->f.ip;
    bool nop;

    assert_non_null(w->whole);
    assert_true(ip >= w->whole->data && w->f.l4 + len <= w->whole->data + w->whole->cap);
    assert_ptr_equal(w->f.l4, ip + header);
    assert_int_equal(w->f.l4_bytes, len);
    assert_int_equal(w->f.ip_bytes, header + len);
    assert_memory_equal(w->f.l4, datagram, len);
    assert_false(w->f.fragment || w->f.frag_more || w->f.dont_fragment);
    assert_int_equal(w->f.ip[1], 0x10);
    if (w->kind == FRAME_IPV6)
        assert_is_header6(ip, len);
    else
        assert_is_header4(ip, len);
    assert_int_equal(frame_read_l4(&w->f, &none, &nop), 0);
    buf_unref(w->whole);
    w->whole = NULL;
    assert_int_equal(held(w), 0);
}

static void write_udp_header(const struct world *w, uint32_t len)
{
    const uint8_t head[8] = {0xc0, 1, 0, 53, (uint8_t)(len >> 8), (uint8_t)len};
    struct packet v4 = ip_packet(17, 0), v6 = ip6_packet(17, 0);
    uint32_t pseudo = w->kind == FRAME_IPV6 ? slow_pseudo6(v6.bytes + IP, 17, len) : slow_sum(v4.bytes + IP + 12, 8, 17 + len);

    memcpy(datagram, head, sizeof(head));
    put_slow(datagram + 6, slow_sum(datagram, len, pseudo));
}

static void send_in_order(struct world *w, const uint32_t *order, uint32_t count, uint32_t step, uint32_t len)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = order[i] * step, to = from + step < len ? from + step : len;
        int r = send_piece(w, 17, from, to, to < len);

        if (r != (i + 1 == count))
            fail_msg("fragment %u of %u (at %u) gave %d", i, count, from, r);
    }
    assert_is_datagram(w, len);
}

static void shuffle(uint32_t *order, uint32_t count, uint64_t *x)
{
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(xorshift(x) % (i + 1)), was = order[i];

        order[i] = order[j];
        order[j] = was;
    }
}

static void test_a09_60_kib_in_any_order(void **state)
{
    static const uint32_t steps[] = {1480, 552, 8 * 8000}; /* MTU 1500, 576, and nearly all in one */
    static const uint32_t lens[] = {DATAGRAM_MAX, 9 * 1480 + 1, 4096, 1488, 600};
    struct world *w = *state;
    uint32_t order[DATAGRAM_MAX / 552 + 1];
    uint64_t x = 521288629;

    for (size_t l = 0; l < ARRAY_SIZE(lens); l++)
        for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
            uint32_t len = lens[l], step = steps[s], count = (len + step - 1) / step;

            if (count < 2)
                continue;
            write_udp_header(w, len);
            for (uint32_t i = 0; i < count; i++)
                order[i] = i;
            send_in_order(w, order, count, step, len);
            for (uint32_t i = 0; i < count; i++)
                order[i] = count - 1 - i;
            send_in_order(w, order, count, step, len);
            for (uint32_t i = 0; i < count; i++) /* every second one first: as many holes as there can be */
                order[i] = i < (count + 1) / 2 ? 2 * i : 2 * (i - (count + 1) / 2) + 1;
            send_in_order(w, order, count, step, len);
            for (int i = 0; i < 20; i++) {
                shuffle(order, count, &x);
                send_in_order(w, order, count, step, len);
            }
        }
}

/* ---- overlap ---- */

struct overlap_case {
    const char *why;
    struct {
        uint32_t from, to;
        bool more;
    } pieces[4];
    int count;
    int want; /* of the last one */
};

static const struct overlap_case overlap_cases[] = {
    { "an exact copy", {{0, 64, true}, {0, 64, true}}, 2, -EEXIST },
    { "teardrop: inside the first", {{0, 64, true}, {24, 40, false}}, 2, -EEXIST },
    { "the first rewritten by 8 bytes", {{8, 64, true}, {0, 16, true}}, 2, -EEXIST },
    { "one that swallows another", {{16, 32, true}, {8, 40, true}}, 2, -EEXIST },
    { "one that joins over a gap's edge", {{0, 16, true}, {32, 48, true}, {16, 40, true}}, 3, -EEXIST },
    { "one that spans two gaps", {{16, 24, true}, {32, 40, true}, {8, 48, true}}, 3, -EEXIST },
    { "a copy of the last", {{64, 80, false}, {64, 80, false}}, 2, -EEXIST },
    { "a second end, further on", {{64, 80, false}, {80, 96, false}}, 2, -EEXIST },
    { "a second end, before", {{64, 80, false}, {40, 48, false}}, 2, -EEXIST },
    { "an end before bytes that came", {{64, 80, true}, {40, 48, false}}, 2, -EEXIST },
    { "bytes behind the end", {{64, 80, false}, {80, 96, true}}, 2, -EEXIST },
    { "a first one that is also a second last", {{64, 80, false}, {0, 64, false}}, 2, -EEXIST },
    { "no overlap", {{64, 80, false}, {0, 32, true}, {32, 64, true}}, 3, 1 },
};

static void test_t140_overlap_ends_the_datagram(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_SIZE(overlap_cases); i++) {
        const struct overlap_case *c = &overlap_cases[i];
        int r = 0;

        w->id++;
        for (int j = 0; j < c->count; j++) {
            if (r != 0)
                fail_msg("%s: fragment %d gave %d", c->why, j - 1, r);
            r = send_piece(w, 1, c->pieces[j].from, c->pieces[j].to, c->pieces[j].more);
        }
        if (r != c->want)
            fail_msg("%s: %d, not %d", c->why, r, c->want);
        buf_unref(w->whole);
        w->whole = NULL;
        assert_int_equal(held(w), 0); /* nothing is remembered */
    }
}

/* Nothing can come of a mix: the piece that would have completed it begins a datagram of its own. */
static void test_t140_no_datagram_from_the_rest(void **state)
{
    struct world *w = *state;

    assert_int_equal(send_piece(w, 6, 0, 64, true), 0);
    assert_int_equal(send_piece(w, 6, 40, 72, true), -EEXIST);
    assert_int_equal(send_piece(w, 6, 64, 80, false), 0);
    assert_null(w->whole);
}

/* Two large datagrams whose pieces come turn by turn (A9: in any order) are both put together. */
static void test_a09_two_large_ones_at_once(void **state)
{
    enum { WHOLE = 60000, PIECE = 1480 };
    struct world *w = *state;
    int done = 0;

    for (uint32_t from = 0; from < WHOLE; from += PIECE)
        for (unsigned id = 1; id <= 2; id++) {
            uint32_t to = from + PIECE < WHOLE ? from + PIECE : WHOLE;
            int r;

            w->id = id;
            r = send_piece(w, 17, from, to, to < WHOLE);
            assert_true(r >= 0);
            done += r;
            if (r == 1) {
                buf_unref(w->whole);
                w->whole = NULL;
            }
        }
    assert_int_equal(done, 2);
}

/* ---- bounds ---- */

enum { HELD_MAX = 2 * (POOL_BIG_BYTES + POOL_SMALL_BYTES) }; /* of slots */

static void test_t142_a09_flood_of_first_fragments(void **state)
{
    struct world *w = *state;
    int taken = 0;

    for (int i = 0; i < 10000; i++) {
        int r = send_piece(w, 17, 0, 1480, true);

        w->id++;
        assert_true(r == 0 || r == -ENOBUFS);
        taken += r == 0;
        assert_true(held(w) <= HELD_MAX);
    }
    assert_int_equal(taken, FRAG_DATAGRAMS_MAX);
    w->now_ms += FRAG_AGE_MS;
    assert_int_equal(send_piece(w, 17, 0, 1480, true), 0); /* age makes room */
    assert_int_equal(held(w), POOL_SMALL_BYTES);
}

static void test_t142_flood_of_large_offsets(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 1000; i++) {
        int r = send_piece(w, 17, 64000, 64008, true);

        w->id++;
        assert_true(r == 0 || r == -ENOBUFS);
        assert_true(held(w) <= HELD_MAX);
    }
    assert_int_equal(send_piece(w, 17, 0, 1480, true), 0); /* small ones still find room */
}

/* A datagram that outgrows its buffer while the bound is met is dropped, and its memory with it. */
static void test_t142_growth_is_bounded(void **state)
{
    struct world *w = *state;

    assert_int_equal(send_piece(w, 17, 0, 1480, true), 0);
    for (int large = 0; large < 2; large++) {
        w->id++;
        assert_int_equal(send_piece(w, 17, 60000, 60008, true), 0);
    }
    w->id -= 2;
    assert_int_equal(held(w), POOL_SMALL_BYTES + 2 * POOL_BIG_BYTES);
    assert_int_equal(send_piece(w, 17, 4400, 5880, true), -ENOBUFS);
    assert_int_equal(held(w), 2 * POOL_BIG_BYTES);
}

/* IPv4's length counts its header (RFC 791), IPv6's does not (RFC 8200). */
static void test_t142_total_beyond_65535(void **state)
{
    struct world *w = *state;
    bool v6 = w->kind == FRAME_IPV6;
    uint32_t last = v6 ? 65528 : 65512, end = v6 ? 65535 : 65515;

    assert_int_equal(send_piece(w, 1, 0, 1480, true), 0);
    assert_int_equal(send_piece(w, 1, last, end + 1, false), -E2BIG);
    assert_int_equal(held(w), 0);
    assert_int_equal(send_piece(w, 1, 65528, 65536, false), -E2BIG); /* of a datagram never seen */
    assert_int_equal(held(w), 0);
    assert_int_equal(send_piece(w, 1, last, end, false), 0);
    assert_int_equal(send_piece(w, 1, 0, last, true), 1);
    assert_int_equal(w->f.ip_bytes, v6 ? FRAME_IP6_BYTES_MAX : FRAME_IP_BYTES_MAX);
}

static void test_t142_holes_are_bounded(void **state)
{
    struct world *w = *state;

    for (uint32_t i = 1; i < FRAG_HOLES_MAX; i++)
        assert_int_equal(send_piece(w, 17, 16 * i, 16 * i + 8, true), 0);
    assert_int_equal(w->table.datagrams[0].hole_count, FRAG_HOLES_MAX);
    assert_int_equal(send_piece(w, 17, 8, 16, true), 0); /* one that makes none is still taken */
    assert_int_equal(send_piece(w, 17, 16 * FRAG_HOLES_MAX, 16 * FRAG_HOLES_MAX + 8, true), -E2BIG);
    assert_int_equal(held(w), 0);
}

static void test_full_pool(void **state)
{
    struct world *w = *state;
    struct buf *rest[POOL_BYTES / POOL_BIG_BYTES];

    for (size_t i = 0; i < ARRAY_SIZE(rest); i++)
        rest[i] = pool_get(&w->pool, POOL_SMALL_BYTES); /* NULL once only the reserve is left */
    assert_int_equal(send_piece(w, 17, 0, 1480, true), -ENOBUFS);
    for (size_t i = 0; i < ARRAY_SIZE(rest); i++)
        buf_unref(rest[i]);
    assert_int_equal(send_piece(w, 17, 0, 1480, true), 0);
}

static void test_age_counts_from_the_first_fragment(void **state)
{
    struct world *w = *state;

    assert_int_equal(send_piece(w, 1, 0, 64, true), 0);
    w->now_ms = FRAG_AGE_MS - 1;
    assert_int_equal(send_piece(w, 1, 64, 128, true), 0);
    assert_int_equal(send_piece(w, 1, 128, 129, false), 1);
    buf_unref(w->whole);
    w->whole = NULL;

    assert_int_equal(send_piece(w, 1, 0, 64, true), 0);
    w->now_ms += FRAG_AGE_MS;
    assert_int_equal(send_piece(w, 1, 64, 128, false), 0); /* the first one is forgotten */
    assert_int_equal(held(w), POOL_SMALL_BYTES);
}

/*
 * RFC 791 section 3.2: a datagram is its addresses, protocol and identification. RFC 8200 section 4.5 leaves the protocol out, but
 * pieces that disagree about it are no one's datagram.
 */
static void test_datagrams_are_kept_apart(void **state)
{
    struct world *w = *state;

    assert_int_equal(send_piece(w, 17, 0, 64, true), 0);
    assert_int_equal(send_piece(w, 1, 64, 72, false), 0);
    w->id++;
    assert_int_equal(send_piece(w, 17, 64, 72, false), 0);
    w->id--;
    w->f.dst.bytes[1] ^= 1;
    w->f.frag_id = w->id;
    w->f.fragment = true;
    assert_int_equal(frag_add(&w->table, &w->pool, &w->f, w->now_ms, &w->whole), 0);
    w->f.src.bytes[1] ^= 1;
    assert_int_equal(frag_add(&w->table, &w->pool, &w->f, w->now_ms, &w->whole), 0);
    assert_int_equal(held(w), 5 * POOL_SMALL_BYTES);
    assert_int_equal(send_piece(w, 17, 64, 72, false), 1);
}

/* IPv6's identification is 32 bits: half of it must not do. */
static void test_t140_identifications_of_32_bits(void **state)
{
    struct world *w = *state;

    assert_int_equal(send_piece(w, 17, 0, 64, true), 0);
    w->id ^= 0x00010000;
    assert_int_equal(send_piece(w, 17, 64, 72, false), 0);
    assert_int_equal(held(w), 2 * POOL_SMALL_BYTES);
}

/* On both families. */
#define WORLD_TEST(f) {#f, f, set_up4, tear_down, NULL}, {#f "_v6", f, set_up6, tear_down, NULL}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_a09_60_kib_in_any_order),
        WORLD_TEST(test_t140_overlap_ends_the_datagram),
        WORLD_TEST(test_t140_no_datagram_from_the_rest),
        WORLD_TEST(test_a09_two_large_ones_at_once),
        WORLD_TEST(test_t142_a09_flood_of_first_fragments),
        WORLD_TEST(test_t142_flood_of_large_offsets),
        WORLD_TEST(test_t142_growth_is_bounded),
        WORLD_TEST(test_t142_total_beyond_65535),
        WORLD_TEST(test_t142_holes_are_bounded),
        WORLD_TEST(test_full_pool),
        WORLD_TEST(test_age_counts_from_the_first_fragment),
        WORLD_TEST(test_datagrams_are_kept_apart),
        cmocka_unit_test_setup_teardown(test_t140_identifications_of_32_bits, set_up6, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
