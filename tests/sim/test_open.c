/*
 * How connections begin, what a segment may look like, and who gets a RST.
 */
#include "peer.h"

#include <stdlib.h>

static const struct sim_peer_options scripted = PEER_SCRIPTED, automatic = PEER_DEFAULT;

static void test_handshake(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_new(sim, &scripted);
    struct sim_frame *f;

    peer_syn(peer);
    sim_turn(sim);
    f = sim_take(sim);
    assert_non_null(f);
    assert_int_equal(f->flags, FRAME_SYN | FRAME_ACK);
    assert_true(addr_equal(&f->src, &sim_server) && f->src_port == 80);
    assert_int_equal(f->ack, peer->iss + 1);
    assert_int_equal(f->mss, sim_mss(sim)); /* the MTU's, whatever lwIP thinks */
    assert_int_equal(f->wscale, 7);
    assert_true(f->sack_permitted);
    assert_null(sim_take(sim));
    assert_int_equal(sim->flows[0].events, 0);
}

static void test_guest_without_options(void **state)
{
    struct sim *sim = *state;
    struct sim_peer_options options = {.wscale = -1, .window = 30000, .dst_port = 80};
    struct sim_peer *peer = peer_new(sim, &options);
    struct sim_frame *f;

    peer_syn(peer);
    sim_turn(sim);
    f = sim_take(sim);
    assert_int_equal(f->mss, sim_mss(sim));
    assert_int_equal(f->wscale, -1); /* RFC 7323 section 2.2: only in answer to one */
    assert_false(f->sack_permitted);
}

/* Largest payload of the first flight of a connection whose SYN says @mss (0: nothing). */
static size_t first_flight_segment_max(struct sim *sim, uint16_t mss)
{
    struct sim_peer_options options = automatic;
    struct sim_peer *peer;

    options.mss = mss;
    peer = peer_connect(sim, &options);
    sim_source(peer->flow, 100000, true);
    sim_turn(sim);
    assert_true(peer->fin_in);
    assert_int_equal(peer->received, 100000);
    assert_int_equal(peer->bad_bytes, 0);
    return peer->segment_max;
}

static void test_a08_mss(void **state)
{
    static const struct {
        const char *why;
        uint16_t mss;
        size_t largest; /* 0: what the MTU has room for */
    } cases[] = {
        {"A8: a guest's 536 is kept to", 536, 536},
        {"no option means 536 (RFC 9293 section 3.7.1)", 0, 536},
        {"trap 2.1: below 88 counts as 88", 1, 88},
        {"the same for an attacker's 87", 87, 88},
        {"88 itself is allowed", 88, 88},
        {"more than the MTU takes is cut to it", 9000, 0},
        {"the usual of IPv4", 1460, 0},
        {"the usual of IPv6", 1440, 1440},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t largest = first_flight_segment_max(*state, cases[i].mss);

        if (largest != (cases[i].largest ? cases[i].largest : sim_mss(*state)))
            fail_msg("%s: %zu", cases[i].why, largest);
    }
}

/* The same with super-segments: the MSS is then gso_size, which packet.c checks against the MTU. */
static void test_a12_gso_size(void **state)
{
    static const struct sim_options options = {.csum_offload = true, .tso = true, .seed = 3};
    static const struct {
        uint16_t mss;
        size_t largest; /* 0: what the MTU has room for */
    } cases[] = {{536, 536}, {87, 88}, {1440, 1440}, {1460, 0}, {9000, 0}};
    struct sim *sim = sim_start(&options);

    *state = sim;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(first_flight_segment_max(sim, cases[i].mss), cases[i].largest ? cases[i].largest : sim_mss(sim));
    assert_true(sim->super_segments > 0);
}

/* Trap 2.5: the window the guest offers is used at once, in segments as large as its features allow. */
static void test_first_flight_fills_the_window(void **state)
{
    static const struct {
        bool tso;
        uint64_t frames_max; /* 0: as many as full segments make, and two */
    } cases[] = {{false, 0}, {true, 8}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sim_options options = {.csum_offload = cases[i].tso, .tso = cases[i].tso, .seed = 4};
        struct sim *sim = *state = sim_start(&options);
        struct sim_peer *peer = peer_connect(sim, &scripted);
        uint64_t frames = sim->frames_to_guest, payload = sim->payload_to_guest;

        sim_source(peer->flow, SIM_MIB, false);
        sim_turn(sim);
        payload = sim->payload_to_guest - payload;
        /* A last segment that does not fit as a whole waits, so a little may be missing. */
        assert_in_range(payload, cases[i].tso ? 192 * 1024 : 256 * 1024 - sim_mss(sim), 256 * 1024);
        assert_in_range(sim->frames_to_guest - frames, 1,
                        cases[i].frames_max ? cases[i].frames_max : 256u * 1024 / sim_mss(sim) + 2);
        if (i == 0)
            sim_stop(sim);
    }
}

/* A12: a guest that offered nothing gets nothing but whole frames with whole checksums (packet.c). */
static void test_a12_never_beyond_features(void **state)
{
    static const struct sim_options options = {.csum_offload = true, .tso = false, .seed = 5};
    struct sim *sim = *state = sim_start(&options);
    struct sim_peer *peer = peer_connect(sim, &automatic);

    sim_source(peer->flow, SIM_MIB, true);
    assert_true(sim_run_until(sim, peer_saw_fin, peer, 1000));
    assert_int_equal(sim->super_segments, 0);
    assert_int_equal(peer->bad_bytes, 0);
}

/* A12: a guest's 64 KiB frame is read as it is, its checksum is the wire's business. */
static void test_a12_super_segment_from_guest(void **state)
{
    static const struct sim_options options = {.csum_offload = true, .tso = true, .seed = 6};
    struct sim_peer_options super = automatic;
    struct sim *sim = *state = sim_start(&options);
    struct sim_peer *peer;

    super.super_segments = true;
    peer = peer_connect(sim, &super);
    peer_source(peer, 8 * SIM_MIB, true);
    assert_true(sim_run_until(sim, peer_all_acked, peer, 1000));
    assert_int_equal(peer->flow->received, 8 * SIM_MIB);
    assert_int_equal(peer->flow->bad_bytes, 0);
    assert_int_equal(peer->retransmits, 0);
}

/* Trap 2.1: lwIP would take an MSS option from any segment, and a small one corrupts the stream. */
static void test_mss_option_on_bare_ack(void **state)
{
    static const uint8_t mss_1[] = {2, 4, 0, 1};
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &scripted);
    struct sim_frame *f;
    uint64_t at = 0;

    peer_send_raw(peer, FRAME_ACK, peer->seq, peer->ack, 2000, mss_1, sizeof(mss_1), NULL, 0);
    sim_turn(sim);
    assert_int_equal(sim_count(sim, COUNTER_TCP_OPT_MSS), 1);
    sim_source(peer->flow, 100000, false);
    sim_turn(sim);
    while ((f = sim_take(sim))) {
        assert_true(f->payload_bytes == sim_mss(sim) || at + f->payload_bytes == 100000);
        assert_int_equal(sim_compare(f->payload, f->payload_bytes, at), 0);
        at += f->payload_bytes;
    }
    assert_int_equal(at, 100000);
}

/* A guest chooses its windows: small ones, in any order, must not upset what lwIP believes of segment sizes. */
static void test_tiny_window_growing(void **state)
{
    static const uint16_t windows[] = {0, 1, 2, 3, 10, 100, 64000};

    for (int tso = 0; tso <= 1; tso++) {
        struct sim_options options = {.csum_offload = tso, .tso = tso, .seed = 7};
        struct sim_peer_options tiny = scripted;
        struct sim *sim = *state = sim_start(&options);
        struct sim_peer *peer;

        tiny.wscale = -1;
        tiny.window = 0;
        peer = peer_connect(sim, &tiny);
        for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
            peer->options.window = windows[i];
            peer_ack(peer);
            sim_turn(sim);
            sim_source(peer->flow, peer->flow->to_send + 5000, false);
            sim_run(sim, 2000);
        }
        assert_int_equal(peer->flow->bad_bytes, 0);
        assert_true(tcp_conn_live(&peer->flow->conn));
        if (!tso)
            sim_stop(sim);
    }
}

/* ---- SYNs that come again ---- */

static void test_syn_again_while_parked_and_open(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_new(sim, &scripted);
    struct sim_frame *f;

    sim->syn_policy = SIM_PARK;
    peer_syn(peer);
    peer_syn(peer);
    sim_turn(sim);
    assert_null(sim_take(sim)); /* nothing is said before the host side is there */
    assert_int_equal(sim->flow_count, 1);
    sim_accept(&sim->flows[0]);
    sim_turn(sim);
    f = sim_take(sim);
    assert_int_equal(f->flags, FRAME_SYN | FRAME_ACK);
    peer->ack = f->seq + 1;
    peer_syn(peer); /* the SYN-ACK was lost */
    sim_turn(sim);
    f = sim_take(sim);
    assert_non_null(f);
    assert_int_equal(f->flags, FRAME_SYN | FRAME_ACK);
    assert_int_equal(f->seq, peer->ack - 1);
    assert_null(sim_take(sim));
    peer_ack(peer);
    sim_turn(sim);
    assert_true(sim->flows[0].events & SIM_CONNECTED);
}

/* B20: a SYN on a live connection is answered with an ACK and changes nothing (RFC 5961 section 4). */
static void test_b20_syn_on_live_flow(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &scripted);
    struct sim_frame *f;

    peer_syn(peer);
    sim_turn(sim);
    f = sim_take(sim);
    assert_non_null(f);
    assert_int_equal(f->flags, FRAME_ACK);
    assert_int_equal(f->ack, peer->seq);
    peer_data(peer, 100);
    sim_turn(sim);
    assert_int_equal(peer->flow->received, 100);
    assert_int_equal(peer->flow->bad_bytes, 0);
}

/* Options of a second SYN are not the first one's: it may not talk itself into a window of 4 MiB. */
static void test_second_syn_with_other_options(void **state)
{
    static const uint8_t options[] = {1, 3, 3, 14, 2, 4, 0, 88};
    struct sim_peer_options plain = {.mss = 1460, .wscale = -1, .window = 60000, .dst_port = 80};
    struct sim *sim = *state;
    struct sim_peer *peer = peer_new(sim, &plain);
    struct sim_frame *f;
    uint32_t at;

    sim->app = SIM_HOLD;
    peer_syn(peer);
    sim_turn(sim);
    f = sim_take(sim);
    peer->ack = f->seq + 1;
    peer_send_raw(peer, FRAME_SYN, peer->iss, 0, 60000, options, sizeof(options), NULL, 0);
    sim_turn(sim);
    peer_ack(peer);
    sim_turn(sim);
    at = peer->seq;
    for (int i = 0; i < 200; i++) {
        peer_data(peer, 1460);
        sim_turn(sim);
    }
    assert_true(sim->flows[0].conn.held_bytes <= TCP_WINDOW_FIRST);
    assert_true(peer->seq - at > 4 * TCP_WINDOW_FIRST);
}

/* ---- segments of no connection ---- */

/* RFC 9293 section 3.10.7.1. */
static void test_b20_stray_segment_gets_rst(void **state)
{
    static const struct {
        const char *why;
        uint8_t flags;
        size_t len;
        uint32_t rst_ack; /* beyond its sequence number */
    } cases[] = {
        {"a bare ACK", FRAME_ACK, 0, 0},
        {"data", FRAME_ACK | FRAME_PSH, 700, 700},
        {"a FIN", FRAME_ACK | FRAME_FIN, 0, 1},
        {"a SYN-ACK", FRAME_SYN | FRAME_ACK, 0, 1},
    };
    struct sim *sim = *state;
    struct sim_peer *peer = peer_new(sim, &scripted);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sim_frame *f;

        peer_send_raw(peer, cases[i].flags, 1000, 777, 500, NULL, 0, sim_pattern(0), cases[i].len);
        sim_turn(sim);
        f = sim_take(sim);
        if (!f || !(f->flags & FRAME_RST) || f->seq != 777 || f->ack != 1000 + cases[i].rst_ack)
            fail_msg("%s: %s", cases[i].why, f ? "wrong numbers" : "no answer");
        assert_null(sim_take(sim));
    }
    assert_int_equal(sim_count(sim, COUNTER_TCP_STRAY), 4);
    peer_send_raw(peer, FRAME_RST | FRAME_ACK, 1000, 777, 0, NULL, 0, NULL, 0);
    sim_turn(sim);
    assert_null(sim_take(sim)); /* never a RST for a RST */
}

static void test_refused_syn_gets_rst(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_new(sim, &scripted);
    struct sim_frame *f;

    sim->syn_policy = SIM_REFUSE;
    peer_syn(peer);
    sim_turn(sim);
    f = sim_take(sim);
    assert_non_null(f);
    assert_int_equal(f->flags, FRAME_RST | FRAME_ACK);
    assert_int_equal(f->seq, 0);
    assert_int_equal(f->ack, peer->iss + 1);
    assert_true(addr_equal(&f->src, &sim_server) && f->src_port == 80 && f->dst_port == peer->port);
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* B22: no two alike, no step between neighbours twice in a row. */
static void test_b22_isns(void **state)
{
    enum { N = 1000 };
    static const struct sim_options options = {.flows_max = N, .seed = 8};
    struct sim *sim = *state = sim_start(&options);
    static uint32_t isn[N];

    for (int i = 0; i < N; i++) {
        struct sim_frame *f;

        peer_syn(peer_new(sim, &scripted));
        sim_turn(sim);
        f = sim_take(sim);
        assert_non_null(f);
        isn[i] = f->seq;
        if (i >= 2)
            assert_true(isn[i] - isn[i - 1] != isn[i - 1] - isn[i - 2]);
    }
    qsort(isn, N, sizeof(isn[0]), compare_u32);
    for (int i = 1; i < N; i++)
        assert_true(isn[i] != isn[i - 1]);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
#define OWN(f) cmocka_unit_test_teardown(f, sim_teardown) /* starts its own sim */

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(test_handshake),
        CASE(test_guest_without_options),
        CASE(test_a08_mss),
        OWN(test_a12_gso_size),
        OWN(test_first_flight_fills_the_window),
        OWN(test_a12_never_beyond_features),
        OWN(test_a12_super_segment_from_guest),
        CASE(test_mss_option_on_bare_ack),
        OWN(test_tiny_window_growing),
        CASE(test_syn_again_while_parked_and_open),
        CASE(test_b20_syn_on_live_flow),
        CASE(test_second_syn_with_other_options),
        CASE(test_b20_stray_segment_gets_rst),
        CASE(test_refused_syn_gets_rst),
        OWN(test_b22_isns),
    };

    sim_family(argc, argv);
    return cmocka_run_group_tests_name("open", tests, NULL, NULL);
}
