/*
 * UDP both ways: as it is, in fragments, and what is dropped.
 */
#include "sim.h"

#include <errno.h>

#include "stack/heap.h"

enum { UDP_HEADER = 8, BIG = 60 * 1024 };

static uint8_t bytes[FRAME_IP6_BYTES_MAX + 64];

/* The largest payload there is: IPv4's length field counts its header of 20 bytes, IPv6's not its of 40. */
static size_t udp_max(void)
{
    return sim_server.family == ADDR_V6 ? 65527 : 65507;
}

/* The largest in one packet. */
static size_t whole_max(const struct sim *sim)
{
    return sim->options.mtu - sim_ip_bytes(&sim_server) - UDP_HEADER;
}

static void fill(void)
{
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = *sim_pattern(i);
}

static int reply(struct sim *sim, size_t len)
{
    struct datagram d = {
        .src = sim_server, .dst = sim_guest, .src_port = 53, .dst_port = 5000, .bytes = bytes, .len = len};
    int err = stack_send_datagram(sim->stack, sim->guest, &d);

    sim_turn(sim);
    return err;
}

static void test_both_ways(void **state)
{
    for (int offload = 0; offload <= 1; offload++) {
        struct sim_options options = {.csum_offload = offload, .seed = 81};
        struct sim *sim = *state = sim_start(&options);
        const size_t lengths[] = {0, 1, whole_max(sim) - 1, whole_max(sim)};

        fill();
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            struct sim_frame *f;

            sim_send_udp(sim, &sim_guest, 5000, &sim_server, 53, bytes, lengths[i]);
            sim_turn(sim);
            assert_int_equal(sim->datagrams, i + 1);
            assert_int_equal(sim->datagram.len, lengths[i]);
            assert_memory_equal(sim->datagram.bytes, bytes, lengths[i]);
            assert_true(addr_equal(&sim->datagram.src, &sim_guest));
            assert_true(addr_equal(&sim->datagram.dst, &sim_server));
            assert_int_equal(sim->datagram.src_port, 5000);
            assert_int_equal(sim->datagram.dst_port, 53);

            assert_int_equal(reply(sim, lengths[i]), 0);
            f = sim_take(sim);
            assert_non_null(f);
            assert_true(addr_equal(&f->src, &sim_server) && addr_equal(&f->dst, &sim_guest));
            assert_int_equal(f->src_port, 53);
            assert_int_equal(f->dst_port, 5000);
            assert_int_equal(f->payload_bytes, lengths[i]);
            assert_memory_equal(f->payload, bytes, lengths[i]);
            assert_int_equal(f->offload.needs_csum, offload);
            assert_null(sim_take(sim));
        }
        if (!offload)
            sim_stop(sim);
    }
}

/* What the length field leaves out is no payload, and the engine must hear of the same length. */
static void test_bytes_behind_the_datagram(void **state)
{
    struct sim *sim = *state;
    uint8_t l4[200], frame[300];
    size_t n = sim_build_udp(&sim_guest, 1, &sim_server, 2, "abcd", 4, l4);

    memset(l4 + n, 0xee, 50);
    n = sim_build_ip(sim, &sim_guest, &sim_server, FRAME_PROTO_UDP, l4, n + 50, frame);
    sim_send(sim, frame, n, NULL);
    sim_turn(sim);
    assert_int_equal(sim->datagrams, 1);
    assert_int_equal(sim->datagram.len, 4);
    assert_memory_equal(sim->datagram.bytes, "abcd", 4);
}

/* Put the fragments of the next datagram to the guest together, each of which must be there once. Return: l4 bytes. */
static size_t reassemble(struct sim *sim, uint8_t *out)
{
    static uint32_t id;
    size_t total = 0, have = 0;
    struct sim_frame *f;

    while ((total == 0 || have < total) && (f = sim_take(sim))) {
        if (have == 0) {
            assert_int_not_equal(f->frag_id, id); /* not the last datagram's */
            id = f->frag_id;
        }
        assert_int_equal(f->frag_id, id);
        assert_true(f->frag_offset + f->l4_bytes <= udp_max() + UDP_HEADER);
        memcpy(out + f->frag_offset, f->l4, f->l4_bytes);
        have += f->l4_bytes;
        if (!f->frag_more)
            total = f->frag_offset + f->l4_bytes;
        else
            assert_int_equal(f->l4_bytes % 8, 0);
    }
    assert_int_equal(have, total);
    return total;
}

/* A10: larger than the MTU goes in fragments, each with an identification of its datagram. */
static void test_a10_fragmented_reply(void **state)
{
    static const uint16_t mtus[] = {1500, 1280, 9000};
    static uint8_t l4[FRAME_IP6_BYTES_MAX];

    for (size_t m = 0; m < 3; m++) {
        struct sim_options options = {.mtu = mtus[m], .csum_offload = m == 0, .seed = 82};
        struct sim *sim = *state = sim_start(&options);
        const size_t lengths[] = {1453, 1473, 1480, 1481, BIG, udp_max() - 1, udp_max()};

        fill();
        sim_send_udp(sim, &sim_guest, 5000, &sim_server, 53, "x", 1); /* the guest is known */
        sim_turn(sim);
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            size_t n;

            assert_int_equal(reply(sim, lengths[i]), 0);
            if (lengths[i] <= whole_max(sim)) {
                assert_int_equal(sim_drain(sim), 1);
                continue;
            }
            n = reassemble(sim, l4);
            assert_int_equal(n, 8 + lengths[i]);
            assert_int_equal(sim_checksum(l4, n, sim_pseudo(&sim_server, &sim_guest, FRAME_PROTO_UDP, n)), 0);
            assert_memory_equal(l4 + 8, bytes, lengths[i]);
        }
        if (m < 2)
            sim_stop(sim);
    }
}

static void test_a10_too_large_a_reply(void **state)
{
    struct sim *sim = *state;

    fill();
    sim_send_udp(sim, &sim_guest, 5000, &sim_server, 53, "x", 1);
    sim_turn(sim);
    assert_true(reply(sim, udp_max() + 1) < 0);
    assert_null(sim_take(sim));
    assert_int_equal(sim_count(sim, COUNTER_UDP_TOO_BIG), 1);
}

/* A9: 60 KiB from the guest, in whatever order the fragments come. */
static void test_a09_reassembly(void **state)
{
    enum { STEP = 1480, PIECES = (BIG + 8 + STEP - 1) / STEP };
    enum order { FORWARDS, BACKWARDS, SHUFFLED, ORDERS };
    static uint8_t l4[FRAME_IP6_BYTES_MAX];
    struct sim *sim = *state;
    size_t n;

    fill();
    n = sim_build_udp(&sim_guest, 5000, &sim_server, 53, bytes, BIG, l4);
    for (enum order order = FORWARDS; order < ORDERS; order++) {
        unsigned index[PIECES];

        for (unsigned i = 0; i < PIECES; i++)
            index[i] = order == BACKWARDS ? PIECES - 1 - i : i;
        for (unsigned i = PIECES - 1; order == SHUFFLED && i > 0; i--) {
            unsigned j = sim_random(sim, i + 1), swap = index[i];

            index[i] = index[j];
            index[j] = swap;
        }
        for (unsigned i = 0; i < PIECES; i++) {
            size_t at = index[i] * (size_t)STEP, here = n - at < STEP ? n - at : STEP;

            assert_int_equal(sim->datagrams, order);
            sim_send_fragment(sim, &sim_server, FRAME_PROTO_UDP, (uint32_t)order + 1, l4, at, here,
                              at + here < n);
            sim_turn(sim);
        }
        assert_int_equal(sim->datagrams, order + 1);
        assert_int_equal(sim->datagram.len, BIG);
        assert_memory_equal(sim->datagram.bytes, bytes, BIG);
        assert_int_equal(sim->pool.bytes_used, 0);
    }
}

/* A9: a thousand first fragments cost what a few do. */
static void test_a09_first_fragments_are_bounded(void **state)
{
    struct sim *sim = *state;

    fill();
    for (uint16_t id = 1; id <= 1000; id++) {
        sim_send_fragment(sim, &sim_server, FRAME_PROTO_UDP, id, bytes, 0, 1480, true);
        sim_turn(sim);
        assert_true(sim->pool.bytes_used <= FRAG_DATAGRAMS_MAX * (size_t)POOL_BIG_BYTES);
    }
    assert_true(sim_count(sim, COUNTER_IP_FRAG) > 900);
    assert_int_equal(sim->datagrams, 0);
}

/* A full wire drops datagrams, and says so. */
static void test_full_wire(void **state)
{
    struct sim *sim = *state;

    sim_send_udp(sim, &sim_guest, 5000, &sim_server, 53, "x", 1);
    sim_turn(sim);
    sim->wire_full = true;
    (void)reply(sim, 1);
    assert_int_equal(sim_count(sim, COUNTER_LINK_FULL_DROP), 1);
    sim_wire_writable(sim);
    sim_turn(sim);
    assert_null(sim_take(sim));
}

/* A guest that is not there yet, and a link that broke, are no full links. */
static void test_nobody_there(void **state)
{
    struct sim *sim = *state;

    (void)reply(sim, 1);
    assert_int_equal(sim_count(sim, COUNTER_LINK_DOWN), 1); /* no frame of the guest's came, so its MAC is unknown */
    sim_send_udp(sim, &sim_guest, 5000, &sim_server, 53, "x", 1);
    sim_turn(sim);
    sim->wire_error = -EIO;
    (void)reply(sim, 1);
    assert_int_equal(sim_count(sim, COUNTER_LINK_DOWN), 2);
    assert_int_equal(sim_count(sim, COUNTER_LINK_FULL_DROP), 0);
    assert_int_equal(sim_count(sim, COUNTER_FRAMES_OUT), 0);
}

/* lwIP's heap is full: datagrams pass all the same, for none takes anything of it. */
static void test_full_heap(void **state)
{
    static const size_t sizes[] = {48, sizeof(void *)};
    struct sim *sim = *state;
    void **blocks = NULL, **block;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        while ((block = heap_malloc(sizes[i]))) {
            *block = blocks;
            blocks = block;
        }
    sim_send_udp(sim, &sim_guest, 5000, &sim_server, 53, "x", 1);
    sim_turn(sim);
    assert_int_equal(sim->datagrams, 1);
    assert_int_equal(sim_count(sim, COUNTER_HEAP_FULL), 2); /* above */
    assert_int_equal(reply(sim, 1), 0);
    assert_int_equal(sim_count(sim, COUNTER_HEAP_FULL), 2);
    while ((block = blocks)) {
        blocks = *block;
        heap_free(block);
    }
}

/*
 * ICMP errors quote what the guest sent, to the guest, in the name of its gateway (RFC 792, RFC 1812, RFC 4443). Of IPv6's, the
 * quoted header says whom they go to.
 */
static void test_unreachable(void **state)
{
    static const struct {
        enum unreachable what;
        uint16_t mtu;
        uint8_t code4, type6, code6;
    } cases[] = {
        {UNREACHABLE_NET, 0, 0, 1, 0},
        {UNREACHABLE_HOST, 0, 1, 1, 3},
        {UNREACHABLE_PORT, 0, 3, 1, 4},
        {UNREACHABLE_TOO_BIG, 1280, 4, 2, 0},
        {UNREACHABLE_ADMIN, 0, 13, 1, 1},
    };
    static const uint8_t alien[48] = {0x55};
    struct sim *sim = *state;
    bool v6 = sim_server.family == ADDR_V6;
    uint8_t quoted[48] = {0x45, 0, 0, 28};
    size_t len = v6 ? 48 : 28;

    if (v6) {
        memcpy(quoted, (uint8_t[]){0x60, 0, 0, 0, 0, 8, 17, 64}, 8);
        memcpy(quoted + 8, sim_guest.bytes, 16);
    }
    sim_send_udp(sim, &sim_guest, 5000, &sim_server, 53, "x", 1);
    sim_turn(sim);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sim_frame *f;

        guest_send_unreachable(sim->guest, quoted, len, cases[i].what, cases[i].mtu);
        sim_turn(sim);
        f = sim_take(sim);
        assert_non_null(f);
        assert_int_equal(f->proto, v6 ? FRAME_PROTO_ICMPV6 : FRAME_PROTO_ICMP);
        assert_true(addr_equal(&f->src, &sim_gateway) && addr_equal(&f->dst, &sim_guest));
        assert_int_equal(f->l4[0], v6 ? cases[i].type6 : 3);
        assert_int_equal(f->l4[1], v6 ? cases[i].code6 : cases[i].code4);
        assert_int_equal(f->l4[6] << 8 | f->l4[7], cases[i].mtu);
        assert_memory_equal(f->l4 + 8, quoted, len);
    }
    guest_send_unreachable(sim->guest, alien, sizeof(alien), UNREACHABLE_NET, 0); /* of no family */
    guest_send_unreachable(sim->guest, quoted, 0, UNREACHABLE_NET, 0);
    sim_turn(sim);
    assert_null(sim_take(sim));
}

/* What a datagram of the guest's that went nowhere comes back as: its headers, made anew, and as much of it as is quoted. */
static void test_error_about_a_datagram(void **state)
{
    static const size_t lengths[] = {0, 1, 1000, 65000};
    struct sim *sim = *state;
    size_t ip_bytes = sim_ip_bytes(&sim_server);

    fill();
    sim_send_udp(sim, &sim_guest, 5000, &sim_server, 53, "x", 1);
    sim_turn(sim);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct datagram d = {
            .src = sim_guest, .dst = sim_server, .src_port = 5000, .dst_port = 53, .bytes = bytes, .len = lengths[i]};
        const uint8_t *udp;
        struct sim_frame *f;

        stack_send_datagram_error(sim->guest, &d, UNREACHABLE_PORT, 0);
        sim_turn(sim);
        f = sim_take(sim);
        assert_non_null(f);
        assert_true(addr_equal(&f->src, &sim_gateway) && addr_equal(&f->dst, &sim_guest));
        assert_true(f->len - FRAME_ETH_BYTES <= (ip_bytes == 40 ? 1280u : 576u));
        udp = f->l4 + 8 + ip_bytes;
        assert_memory_equal(f->l4 + 8 + (ip_bytes == 40 ? 24 : 16), sim_server.bytes, addr_size(&sim_server));
        assert_int_equal(udp[0] << 8 | udp[1], 5000);
        assert_int_equal(udp[2] << 8 | udp[3], 53);
        assert_memory_equal(udp + 8, bytes, f->l4_bytes - 16 - ip_bytes);
        assert_true(f->l4_bytes - 16 - ip_bytes <= lengths[i] && (lengths[i] == 0 || f->l4_bytes > 16 + ip_bytes));
    }
    assert_null(sim_take(sim));
}

/* ---- several in a row ---- */

static int reply_in_row(struct sim *sim, size_t len, uint16_t segment)
{
    struct datagram d = {.src = sim_server, .dst = sim_guest, .src_port = 53, .dst_port = 5000, .segment = segment,
                         .bytes = bytes, .len = len};
    int err = stack_send_datagram(sim->stack, sim->guest, &d);

    sim_turn(sim);
    return err;
}

struct row_case {
    const char *why;
    bool csum, uso;
    size_t len;
    uint16_t segment;
    bool super; /* one frame that the wire cuts */
};

static const struct row_case row_cases[] = {
    {"a wire that takes them", true, true, 10000, 1000, true},
    {"the last one is shorter", true, true, 10001, 1000, true},
    {"a single one is no row", true, true, 1000, 1000, false},
    {"fewer bytes than one", true, true, 999, 1000, false},
    {"the wire cuts nothing", true, false, 10001, 1000, false},
    {"no partial checksums, so nobody could cut", false, true, 10001, 1000, false},
    {"pieces above the MTU go in fragments", true, true, 8000, 4000, false},
};

/* Datagrams in a row come out as they went in, whether the wire cuts them (VIRTIO 1.2 section 5.1.6.2) or we do. */
static void test_a12_datagrams_in_a_row(void **state)
{
    static uint8_t l4[FRAME_IP6_BYTES_MAX];

    for (size_t i = 0; i < sizeof(row_cases) / sizeof(row_cases[0]); i++) {
        const struct row_case *c = &row_cases[i];
        struct sim_options options = {.csum_offload = c->csum, .uso = c->uso, .seed = 83};
        struct sim *sim = *state = sim_start(&options);
        struct sim_frame *f;

        fill();
        sim_send_udp(sim, &sim_guest, 5000, &sim_server, 53, "x", 1);
        sim_turn(sim);
        assert_int_equal(reply_in_row(sim, c->len, c->segment), 0);
        if (c->super) {
            f = sim_take(sim);
            if (!f || f->offload.gso_type != FRAME_GSO_UDP)
                fail_msg("%s: no super-datagram", c->why);
            assert_int_equal(f->offload.gso_size, c->segment);
            assert_int_equal(f->payload_bytes, c->len);
            assert_memory_equal(f->payload, bytes, c->len);
        }
        for (size_t at = 0; !c->super && at < c->len; at += c->segment) {
            size_t n = c->len - at < c->segment ? c->len - at : c->segment;

            if (n > whole_max(sim)) {
                assert_int_equal(reassemble(sim, l4), UDP_HEADER + n);
                assert_memory_equal(l4 + UDP_HEADER, bytes + at, n);
                continue;
            }
            f = sim_take(sim);
            if (!f || f->offload.gso_type != FRAME_GSO_NONE || f->payload_bytes != n)
                fail_msg("%s: no datagram of %zu bytes", c->why, n);
            assert_true(addr_equal(&f->src, &sim_server) && f->src_port == 53 && f->dst_port == 5000);
            assert_memory_equal(f->payload, bytes + at, n);
        }
        assert_null(sim_take(sim));
        if (i + 1 < sizeof(row_cases) / sizeof(row_cases[0]))
            sim_stop(sim);
    }
}

/* From the guest: one frame with several, which keep their size. */
static void test_a12_a_row_from_the_guest(void **state)
{
    struct sim *sim = *state;
    static uint8_t l4[4096], frame[4200];
    struct frame_offload offload = {.needs_csum = true, .gso_type = FRAME_GSO_UDP, .gso_size = 1000, .csum_offset = 6};
    size_t n, len;

    fill();
    n = sim_build_udp(&sim_guest, 5000, &sim_server, 53, bytes, 3500, l4);
    len = sim_build_ip(sim, &sim_guest, &sim_server, FRAME_PROTO_UDP, l4, n, frame);
    offload.csum_start = (uint16_t)(FRAME_ETH_BYTES + sim_ip_bytes(&sim_guest));
    offload.hdr_len = (uint16_t)(offload.csum_start + UDP_HEADER);
    sim_send(sim, frame, len, &offload);
    sim_turn(sim);
    assert_int_equal(sim->datagrams, 1);
    assert_int_equal(sim->datagram.segment, 1000);
    assert_int_equal(sim->datagram.len, 3500);
    assert_memory_equal(sim->datagram.bytes, bytes, 3500);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
#define OWN(f) cmocka_unit_test_teardown(f, sim_teardown) /* starts its own sim */

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        OWN(test_both_ways),
        CASE(test_bytes_behind_the_datagram),
        OWN(test_a10_fragmented_reply),
        CASE(test_a10_too_large_a_reply),
        CASE(test_a09_reassembly),
        CASE(test_a09_first_fragments_are_bounded),
        CASE(test_full_wire),
        CASE(test_nobody_there),
        CASE(test_full_heap),
        CASE(test_unreachable),
        CASE(test_error_about_a_datagram),
        OWN(test_a12_datagrams_in_a_row),
        CASE(test_a12_a_row_from_the_guest),
    };

    sim_family(argc, argv);
    return cmocka_run_group_tests_name("datagrams", tests, NULL, NULL);
}
