/*
 * From the host side to the guest: closed windows, full wires, losses, and the last byte.
 */
#include "peer.h"

#include <stdlib.h>

static const struct sim_peer_options scripted = PEER_SCRIPTED, automatic = PEER_DEFAULT;

/* Cases run with and without super-segments: lwIP's segments are then 64 KiB or one MSS. */
static const bool both[] = {false, true};

static struct sim *start(void **state, bool tso, uint64_t seed)
{
    struct sim_options options = {.csum_offload = tso, .tso = tso, .seed = seed};

    *state = sim_start(&options);
    return *state;
}

/* Everything arrived once, in order, within the windows, and the end after it. */
static void assert_delivered(const struct sim_peer *peer, uint64_t bytes)
{
    assert_int_equal(peer->received, bytes);
    assert_int_equal(peer->bad_bytes, 0);
    assert_int_equal(peer->overrun_bytes, 0);
    assert_true(peer->fin_in);
    assert_false(peer->reset);
}

/* Trap 2.2: a FIN asked for while data is unsent goes behind it. */
static void test_fin_behind_unsent_data(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct sim *sim = start(state, both[i], 31);
        struct sim_peer_options small = automatic;
        struct sim_peer *peer;

        small.window = 40000;
        peer = peer_connect(sim, &small);
        peer_stop_reading(peer);
        sim_source(peer->flow, 150000, true);
        assert_int_equal(peer->flow->sent, 150000); /* all of it is queued, little of it sent */
        sim_run(sim, 3000);
        assert_false(peer->fin_seen);
        for (int step = 0; step < 200 && !peer->fin_in; step++) {
            /* A window smaller than a super-segment. */
            peer->buffered -= peer->buffered < 7000 ? peer->buffered : 7000;
            peer->ack_due = true;
            sim_run(sim, 2000);
        }
        assert_delivered(peer, 150000);
        if (i == 0)
            sim_stop(sim);
    }
}

/* H4: 4 MiB and a close for a guest that does not read for a minute. */
static void test_h04_guest_stops_reading(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct sim *sim = start(state, both[i], 32);
        struct sim_peer *peer = peer_connect(sim, &automatic);

        peer_stop_reading(peer);
        sim_source(peer->flow, 4 * SIM_MIB, true);
        sim_run(sim, 60000);
        assert_true(peer->buffered > 250 * SIM_KIB);
        /* B5: what waits for such a guest is bounded. */
        assert_true(peer->flow->sent - peer->received <= TCP_SEND_AHEAD + 4096);
        peer_read(peer);
        assert_true(sim_run_until(sim, peer_saw_fin, peer, 5000));
        assert_delivered(peer, 4 * SIM_MIB);
        assert_int_equal(peer->flow->acked, 4 * SIM_MIB);
        if (i == 0)
            sim_stop(sim);
    }
}

/* A guest whose window never again reaches the size of a segment that lwIP has already cut. */
static void test_segment_larger_than_window(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct sim *sim = start(state, both[i], 33);
        struct sim_peer *peer = peer_connect(sim, &automatic);

        peer_stop_reading(peer);
        sim_source(peer->flow, SIM_MIB, true);
        sim_run(sim, 1000);
        peer->options.window = peer->buffered + 9000;
        for (int step = 0; step < 400 && !peer->fin_in; step++) {
            uint64_t before = peer->received;

            peer->buffered = 0;
            peer->options.window = 9000;
            peer->ack_due = true;
            sim_run(sim, 2000);
            assert_true(peer->received > before); /* 2 s are enough for the persist timer, step by step */
        }
        assert_delivered(peer, SIM_MIB);
        if (i == 0)
            sim_stop(sim);
    }
}

/* B8: the guest's window update is lost; only probing finds out. */
static void test_b08_lost_window_update(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct sim *sim = start(state, both[i], 34);
        struct sim_peer *peer = peer_connect(sim, &automatic);
        uint64_t before;

        peer_stop_reading(peer);
        sim_source(peer->flow, SIM_MIB, true);
        sim_run(sim, 100);
        before = peer->received;
        peer->stopped = false;
        peer->buffered = 0; /* read, but never told */
        sim_run(sim, 2000);
        assert_true(peer->received > before);
        assert_true(sim_run_until(sim, peer_saw_fin, peer, 1000));
        assert_delivered(peer, SIM_MIB);
        if (i == 0)
            sim_stop(sim);
    }
}

/* A probe of a closed window may be acknowledged: lwIP then CHECKs that something is still unsent. */
static void test_acknowledged_window_probe(void **state)
{
    struct sim *sim = *state;
    struct sim_peer_options closed = scripted;
    struct sim_peer *peer;
    struct sim_frame *f;

    closed.window = 0;
    peer = peer_connect(sim, &closed);
    sim_source(peer->flow, 1, false);
    sim_run(sim, 3000);
    f = sim_take(sim);
    assert_non_null(f);
    assert_int_equal(f->payload_bytes, 1);
    sim_drain(sim);
    peer->ack++;
    peer_ack(peer);
    sim_turn(sim);
    assert_int_equal(peer->flow->acked, 1);
    for (int i = 0; i < 4; i++) { /* something that wants the timers, the slow and the fast one */
        peer_data(peer, 10);
        sim_run(sim, 1000);
    }
    assert_true(tcp_conn_live(&peer->flow->conn));
    peer->options.window = 10000;
    peer_ack(peer);
    sim_source(peer->flow, 1000, false);
    sim_run(sim, 1000);
    while ((f = sim_take(sim)))
        if (f->payload_bytes > 0)
            assert_int_equal(sim_compare(f->payload, f->payload_bytes, f->seq - peer->irs - 1), 0);
    assert_int_equal(peer->flow->sent, 1000);
}

/* Trap 2.15: tiny writes exhaust lwIP's segment queue long before its byte count. */
static void test_tiny_writes(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct sim *sim = start(state, both[i], 35);
        struct sim_peer *peer = peer_connect(sim, &automatic);

        peer_stop_reading(peer);
        peer->options.window = 10000;
        sim_run(sim, 10);
        peer->flow->write_max = 1;
        /* Bytes that do not follow each other in memory cost a reference each: 1 of 3. */
        for (int n = 0; n < 5000; n++) {
            static const uint8_t *at;
            long taken;

            at = sim_pattern(peer->flow->sent);
            if ((n & 1) == 0)
                at += SIM_PATTERN_BYTES; /* the same byte, elsewhere */
            taken = tcp_conn_room(&peer->flow->conn) > 0 ? tcp_conn_send(&peer->flow->conn, at, 1) : 0;
            assert_true(taken >= 0);
            peer->flow->sent += (uint64_t)taken;
        }
        assert_in_range(peer->flow->sent, TCP_TINY_SEGMENTS / 2, 4999);
        assert_int_equal(tcp_conn_room(&peer->flow->conn), 0);
        peer_read(peer);
        sim_source(peer->flow, 200000, true);
        assert_true(sim_run_until(sim, peer_saw_fin, peer, 60000));
        assert_delivered(peer, 200000);
        if (i == 0)
            sim_stop(sim);
    }
}

/* lwIP's lengths are u16: a write of more than 64 KiB goes in whole pieces. */
static void test_large_write(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &automatic);
    uint8_t *bytes = malloc(SIM_MIB);
    uint64_t at = 0;

    assert_non_null(bytes);
    for (size_t i = 0; i < SIM_MIB; i++)
        bytes[i] = *sim_pattern(i);
    while (at < SIM_MIB) {
        long n = tcp_conn_send(&peer->flow->conn, bytes + at, SIM_MIB - at);

        assert_true(n >= 0);
        at += (uint64_t)n;
        peer->flow->sent = at;
        sim_turn(sim);
    }
    tcp_conn_shutdown(&peer->flow->conn);
    assert_int_equal(tcp_conn_send(&peer->flow->conn, bytes, 1), -32 /* EPIPE */);
    assert_true(sim_run_until(sim, peer_saw_fin, peer, 1000));
    assert_delivered(peer, SIM_MIB);
    assert_int_equal(peer->flow->acked, SIM_MIB);
    free(bytes);
}

/* ---- a full wire ---- */

/* -EAGAIN makes lwIP keep the segment; nothing is lost and nothing waits for a timer. */
static void test_full_wire_keeps_data(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct sim *sim = start(state, both[i], 36);
        struct sim_peer *peer = peer_connect(sim, &automatic);
        uint64_t began = sim->now_ms;

        sim->wire_room = 3;
        sim_source(peer->flow, SIM_MIB, true);
        for (int n = 0; n < 1000 && !peer->fin_in; n++) {
            sim_turn(sim);
            sim_wire_writable(sim);
            sim->wire_room = 1 + sim_random(sim, 20);
        }
        assert_int_equal(sim->now_ms, began); /* no time passed */
        assert_delivered(peer, SIM_MIB);
        assert_int_equal(sim->payload_to_guest, SIM_MIB); /* nothing was sent twice */
        assert_true(sim_count(sim, COUNTER_LINK_FULL_TCP) > 0);
        if (i == 0)
            sim_stop(sim);
    }
}

/* A wire that stays full for a minute, both ways busy: data and acknowledgements come when it is writable again. */
static void test_full_wire_for_long(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct sim *sim = start(state, both[i], 37);
        struct sim_peer *peer = peer_connect(sim, &automatic);

        sim_source(peer->flow, 100000, false);
        sim->wire_full = true;
        peer_source(peer, 100000, true);
        sim_source(peer->flow, SIM_MIB, true);
        sim_run(sim, 60000);
        assert_true(tcp_conn_live(&peer->flow->conn));
        sim_wire_writable(sim);
        assert_true(sim_run_until(sim, peer_saw_fin, peer, 5000));
        assert_true(sim_run_until(sim, peer_all_acked, peer, 5000));
        assert_delivered(peer, SIM_MIB);
        assert_int_equal(peer->flow->received, 100000);
        assert_int_equal(peer->flow->bad_bytes, 0);
        if (i == 0)
            sim_stop(sim);
    }
}

/* A pure ACK that met a full wire is not lost for ever: the timer, or the guest's retransmission, brings it. */
static void test_full_wire_drops_ack(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &scripted);
    struct sim_frame *f;

    sim->wire_full = true;
    peer_data(peer, 3000);
    sim_turn(sim);
    assert_int_equal(sim_count(sim, COUNTER_LINK_FULL_DROP), 1);
    sim_wire_writable(sim);
    peer_send(peer, FRAME_ACK, peer->iss + 1, sim_pattern(0), 1460);
    sim_turn(sim);
    f = sim_take(sim);
    assert_non_null(f);
    assert_int_equal(f->ack, peer->seq);
    assert_int_equal(peer->flow->received, 3000);
}

/* The host side's bytes, queued for a guest, fill the pool: the ACKs that free it are frames too, and still get in. */
static void test_full_pool_is_freed_by_acks(void **state)
{
    enum { CHUNK = 60000, CHUNKS_MAX = SIM_MIB / POOL_BIG_BYTES };
    static const struct sim_options options = {.pool_bytes = SIM_MIB, .seed = 35};
    struct sim *sim = *state = sim_start(&options);
    struct sim_peer *peer = peer_connect(sim, &automatic);
    struct sim_flow *flow = peer->flow;
    struct buf *chunks[CHUNKS_MAX + 1], *small;
    unsigned n = 0, freed = 0;
    uint64_t total;

    for (; (chunks[n] = pool_get(&sim->pool, CHUNK)); n++)
        for (size_t at = 0; at < CHUNK; at++)
            chunks[n]->data[at] = *sim_pattern((uint64_t)n * CHUNK + at);
    small = pool_get(&sim->pool, 1);
    assert_non_null(small);
    assert_int_equal(pool_left(&sim->pool), 0);
    total = (uint64_t)n * CHUNK;

    for (int step = 0; step < 200 && flow->acked < total; step++) {
        long taken = 1;

        while (flow->sent < total && taken > 0) {
            size_t at = flow->sent % CHUNK;

            taken = tcp_conn_send(&flow->conn, chunks[flow->sent / CHUNK]->data + at, CHUNK - at);
            flow->sent += taken > 0 ? (uint64_t)taken : 0;
        }
        if (step == 0) /* its payload has no place now, and comes again */
            peer_source(peer, 10000, false);
        sim_run(sim, SIM_STEP_MS);
        while (freed < flow->acked / CHUNK)
            buf_unref(chunks[freed++]);
    }
    assert_int_equal(flow->acked, total);
    assert_int_equal(peer->received, total);
    assert_int_equal(peer->bad_bytes, 0);
    assert_int_equal(sim_count(sim, COUNTER_POOL_FULL), sim->pool.refused);
    assert_true(sim_count(sim, COUNTER_POOL_FULL) > 0 && sim_count(sim, COUNTER_TCP_POOL_FULL) > 0);
    buf_unref(small);
    assert_true(sim_run_until(sim, peer_all_acked, peer, 20000));
    assert_int_equal(flow->received, 10000);
}

/* ---- losses ---- */

/* B6, F14: bulk to the guest over a wire that loses, repeats and reorders. */
static void test_b06_lossy_download(void **state)
{
    static const struct {
        struct sim_faults faults;
        bool tso;
        uint64_t bytes;
    } cases[] = {
        {{.drop = 10}, false, 16 * SIM_MIB},
        {{.drop = 10}, true, 16 * SIM_MIB},
        {{.drop = 20, .dup = 20, .delay = 100}, false, 4 * SIM_MIB},
        {{.drop = 100, .dup = 20, .delay = 200}, true, 4 * SIM_MIB},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sim *sim = start(state, cases[i].tso, 38 + i);
        struct sim_peer *peer = peer_connect(sim, &automatic);

        sim->down = cases[i].faults;
        sim_source(peer->flow, cases[i].bytes, true);
        assert_true(sim_run_until(sim, peer_saw_fin, peer, 3600000));
        assert_delivered(peer, cases[i].bytes);
        sim->down = (struct sim_faults){0};
        sim_run(sim, 10000);
        assert_int_equal(peer->flow->acked, cases[i].bytes);
        if (i + 1 < sizeof(cases) / sizeof(cases[0]))
            sim_stop(sim);
    }
}

/* Both directions at once, both wires bad, the handshake too. */
static void test_f14_echo_over_bad_wires(void **state)
{
    for (uint64_t seed = 50; seed < 60; seed++) {
        struct sim *sim = start(state, seed & 1, seed);
        struct sim_peer *peer;

        sim->app = SIM_ECHO;
        sim->up = sim->down = (struct sim_faults){.drop = 30, .dup = 30, .delay = 100};
        peer = peer_connect(sim, &automatic);
        peer_source(peer, 300000, true);
        assert_true(sim_run_until(sim, peer_saw_fin, peer, 3600000));
        assert_delivered(peer, 300000);
        assert_int_equal(peer->flow->received, 300000);
        assert_int_equal(peer->flow->bad_bytes, 0);
        if (seed < 59)
            sim_stop(sim);
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
#define OWN(f) cmocka_unit_test_teardown(f, sim_teardown) /* starts its own sim */

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        OWN(test_fin_behind_unsent_data),
        OWN(test_h04_guest_stops_reading),
        OWN(test_segment_larger_than_window),
        OWN(test_b08_lost_window_update),
        CASE(test_acknowledged_window_probe),
        OWN(test_tiny_writes),
        CASE(test_large_write),
        OWN(test_full_wire_keeps_data),
        OWN(test_full_wire_for_long),
        CASE(test_full_wire_drops_ack),
        OWN(test_full_pool_is_freed_by_acks),
        OWN(test_b06_lossy_download),
        OWN(test_f14_echo_over_bad_wires),
    };

    sim_family(argc, argv);
    return cmocka_run_group_tests_name("send", tests, NULL, NULL);
}
