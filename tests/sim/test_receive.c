/*
 * From the guest to the host side: order, memory, acknowledgements and windows.
 */
#include "peer.h"

#include "stack/heap.h"

static const struct sim_peer_options scripted = PEER_SCRIPTED, automatic = PEER_DEFAULT;

enum { GRANT = TCP_WINDOW_FIRST - 1 };

/* Send @n pattern bytes at stream offset @at without moving the peer. */
static void send_at(struct sim_peer *peer, uint32_t at, size_t n, uint8_t flags)
{
    peer_send(peer, FRAME_ACK | flags, peer->iss + 1 + at, sim_pattern(at), n);
}

/* The last frame to the guest; all others are dropped. */
static struct sim_frame *last_frame(struct sim *sim)
{
    while (sim->seen_count > 1)
        (void)sim_take(sim);
    return sim_take(sim);
}

static size_t buffers_used(const struct sim *sim)
{
    return sim->pool.bytes_used;
}

/* ---- out of order ---- */

/* B7: what came ahead is kept and said so (RFC 2018), one retransmission repairs the loss. */
static void test_b07_one_lost_segment(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &scripted);
    struct sim_frame *f;

    for (uint32_t i = 1; i <= 3; i++)
        send_at(peer, i * 1460, 1460, 0);
    sim_turn(sim);
    for (uint32_t i = 1; i <= 3; i++) {
        f = sim_take(sim);
        assert_non_null(f);
        assert_int_equal(f->ack, peer->iss + 1);
        assert_int_equal(f->sack_count, 1);
        assert_int_equal(f->sacks[0].left, peer->iss + 1 + 1460);
        assert_int_equal(f->sacks[0].right, peer->iss + 1 + 1460 * (i + 1));
    }
    send_at(peer, 0, 1460, 0);
    sim_turn(sim);
    f = last_frame(sim);
    assert_non_null(f);
    assert_int_equal(f->ack, peer->iss + 1 + 4 * 1460);
    assert_int_equal(f->sack_count, 0);
    assert_int_equal(peer->flow->received, 4 * 1460);
    assert_int_equal(peer->flow->bad_bytes, 0);
}

/* Trap 2.6, B7: 40,000 segments of one byte, all ahead of their turn, each in a frame's buffer of 68 KiB. */
static void test_b07_one_byte_segments_out_of_order(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &scripted);
    size_t pool_before = buffers_used(sim), heap_before = heap_bytes_used();

    for (uint32_t i = 1; i <= 40000; i++) {
        send_at(peer, i, 1, 0);
        if (i % 100 == 0)
            sim_turn(sim);
        assert_true(buffers_used(sim) - pool_before <= 64 * POOL_SMALL_BYTES);
        assert_true(heap_bytes_used() - heap_before <= 64 * 512);
    }
    assert_int_equal(peer->flow->received, 0);
    sim_drain(sim);
    for (uint32_t at = 0; at <= 40000; at += 1000) {
        send_at(peer, at, 1000, 0);
        sim_turn(sim);
    }
    assert_int_equal(peer->flow->received, 41000);
    assert_int_equal(peer->flow->bad_bytes, 0);
    assert_int_equal(buffers_used(sim), pool_before);
    assert_int_equal(heap_bytes_used(), heap_before);
}

/* What the host side does not take is charged by buffers: one-byte segments may not pin a buffer each. */
static void test_held_one_byte_segments(void **state)
{
    enum { BATCH = 60 };
    static const bool backwards[] = {false, true};
    struct sim *sim = *state;

    sim->app = SIM_HOLD;
    for (size_t c = 0; c < 2; c++) {
        struct sim_peer *peer = peer_connect(sim, &scripted);
        size_t before = buffers_used(sim);

        for (uint32_t i = 0; i < 30000; i++) {
            uint32_t in_batch = i % BATCH;

            send_at(peer, backwards[c] ? i - in_batch + (BATCH - 1 - in_batch) : i, 1, 0);
            sim_turn(sim);
            sim_drain(sim);
        }
        assert_int_equal(peer->flow->conn.held_bytes, 30000);
        assert_true(buffers_used(sim) - before <= 3 * POOL_BIG_BYTES);
        sim_consume(peer->flow, 30000);
        assert_int_equal(peer->flow->bad_bytes, 0);
        assert_int_equal(buffers_used(sim), before);
    }
}

/* Bytes that are being written to the host socket do not move, neither at once nor while more arrives. */
static void test_pinned_bytes_stay(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer;
    struct iovec iov;

    sim->app = SIM_HOLD;
    peer = peer_connect(sim, &scripted);
    peer->flow->pin_next = true;
    peer_data(peer, 1000);
    sim_turn(sim);
    assert_non_null(peer->flow->pinned);
    for (int i = 0; i < 40; i++) {
        peer_data(peer, 500);
        sim_turn(sim);
    }
    assert_int_equal(tcp_conn_peek(&peer->flow->conn, &iov, 1), 1);
    assert_ptr_equal(iov.iov_base, peer->flow->pinned);
    assert_int_equal(sim_compare(iov.iov_base, 1000, 0), 0);
    sim_consume(peer->flow, 21000);
    assert_int_equal(peer->flow->bad_bytes, 0);
}

/* lwIP CHECKs that queued segments fit the window, and does not make them fit. */
static void test_hostile_segments_ahead(void **state)
{
    static const struct {
        const char *why;
        struct {
            uint32_t at, n;
            uint8_t flags;
        } segments[4];
    } cases[] = {
        {"the first queued segment reaches beyond the window", {{65000, 1000, 0}, {0, 65000, 0}}},
        {"so does its FIN", {{65000, GRANT - 65000, FRAME_FIN}, {0, 65000, 0}}},
        {"a FIN merged into a segment up to the edge",
         {{65000, 100, FRAME_FIN}, {64000, GRANT - 64000, 0}, {0, 64000, 0}}},
        {"a FIN merged into data in order", {{65000, 100, FRAME_FIN}, {0, 60000, 0}, {60000, GRANT - 60000, 0}}},
        {"a FIN in front of queued data", {{2000, 1000, 0}, {1000, 0, FRAME_FIN}, {0, 1000, 0}, {1000, 1000, 0}}},
    };
    struct sim *sim = *state;

    sim->app = SIM_HOLD;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sim_peer *peer = peer_connect(sim, &scripted);

        for (size_t s = 0; s < 4 && (cases[i].segments[s].n > 0 || cases[i].segments[s].flags); s++) {
            send_at(peer, cases[i].segments[s].at, cases[i].segments[s].n, cases[i].segments[s].flags);
            sim_turn(sim);
        }
        if (peer->flow->conn.held_bytes > GRANT || peer->flow->conn.held_bytes < 1000)
            fail_msg("%s: %u held", cases[i].why, peer->flow->conn.held_bytes);
        sim_consume(peer->flow, peer->flow->conn.held_bytes);
        assert_int_equal(peer->flow->bad_bytes, 0);
    }
}

/* A FIN that comes ahead of data counts when its turn comes, at the latest when it comes again. */
static void test_fin_ahead_of_data(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &scripted);

    send_at(peer, 1000, 500, FRAME_FIN);
    sim_turn(sim);
    send_at(peer, 0, 1000, 0);
    sim_turn(sim);
    assert_int_equal(peer->flow->received, 1500);
    send_at(peer, 1000, 500, FRAME_FIN);
    sim_turn(sim);
    assert_true(peer->flow->events & SIM_EOF);
    assert_int_equal(peer->flow->received, 1500);
    assert_int_equal(last_frame(sim)->ack, peer->iss + 1 + 1501);
}

/* What a reader sees of held bytes without taking them. */
static void test_copy_of_held_bytes(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer;
    uint8_t copy[3000];

    sim->app = SIM_HOLD;
    peer = peer_connect(sim, &scripted);
    for (uint32_t i = 0; i < 3; i++)
        send_at(peer, i * 700, 700, i == 2 ? FRAME_FIN : 0);
    assert_false(tcp_conn_eof(&peer->flow->conn));
    sim_turn(sim);
    assert_int_equal(tcp_conn_held(&peer->flow->conn), 2100);
    assert_true(tcp_conn_eof(&peer->flow->conn));
    for (size_t max = 0; max <= sizeof(copy); max += 100) {
        memset(copy, 0xee, sizeof(copy));
        assert_int_equal(tcp_conn_copy(&peer->flow->conn, 0, copy, max), max < 2100 ? max : 2100);
        assert_int_equal(sim_compare(copy, max < 2100 ? max : 2100, 0), 0);
        assert_true(max >= 2100 || copy[max] == 0xee);
    }
    sim_consume(peer->flow, 1000);
    assert_int_equal(tcp_conn_copy(&peer->flow->conn, 0, copy, 1), 1);
    assert_int_equal(copy[0], *sim_pattern(1000));
}

/* ---- acknowledgements ---- */

static void test_one_ack_a_turn(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &scripted);
    struct sim_frame *f;

    for (int i = 0; i < 10; i++)
        peer_data(peer, 1460);
    sim_turn(sim);
    f = sim_take(sim);
    assert_non_null(f);
    assert_int_equal(f->ack, peer->seq);
    assert_null(sim_take(sim));
}

/* lwIP counts segments: one of 64 KiB would wait 250 ms for a second one. */
static void test_super_segment_is_acked_at_once(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &scripted);
    struct sim_frame *f;

    peer_data(peer, 44 * 1460);
    sim_turn(sim);
    f = sim_take(sim);
    assert_non_null(f);
    assert_int_equal(f->ack, peer->seq);
    assert_int_equal(peer->flow->received, 44 * 1460);
}

/* RFC 9293 section 3.8.6.3: less than 500 ms. */
static void test_small_segment_is_acked_late(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &scripted);

    peer_data(peer, 100);
    sim_turn(sim);
    assert_null(sim_take(sim));
    assert_true(stack_wants_tick(sim->stack));
    sim_run(sim, 490);
    assert_int_equal(last_frame(sim)->ack, peer->seq);
    sim_run(sim, 1000);
    assert_false(stack_wants_tick(sim->stack));
}

/* ---- windows ---- */

/* Trap 2.7: 64 KiB at first, and only what the host side takes opens it again. */
static void test_window_is_withheld(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer;

    sim->app = SIM_HOLD;
    peer = peer_connect(sim, &scripted);
    for (int i = 0; i < 100; i++)
        peer_data(peer, 1460);
    sim_turn(sim);
    assert_int_equal(peer->flow->conn.held_bytes, GRANT);
    assert_int_equal(last_frame(sim)->window, 0);
    sim_run(sim, 10000);
    assert_int_equal(peer->flow->conn.held_bytes, GRANT);
    sim_consume(peer->flow, GRANT);
    assert_int_equal(peer->flow->bad_bytes, 0);
}

/* Trap 2.8, H1: in the turn in which the host side drained, without any timer. */
static void test_h01_window_update_in_the_same_turn(void **state)
{
    static const struct {
        const char *why;
        uint32_t consumed, window_min; /* window_min 0: no update yet */
    } cases[] = {
        {"all of it", GRANT, GRANT - 127},
        {"half of it", GRANT / 2 + 1, GRANT / 2 - 127},
        {"two segments: it had been closed", 2920, 2920 - 127},
        {"as much as a window field can tell", 128, 128},
    };
    struct sim *sim = *state;

    sim->app = SIM_HOLD;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sim_peer *peer = peer_connect(sim, &scripted);
        struct sim_frame *f;

        peer_data(peer, GRANT);
        sim_turn(sim);
        assert_int_equal(last_frame(sim)->window, 0);
        sim_consume(peer->flow, cases[i].consumed);
        sim_turn(sim);
        f = sim_take(sim);
        if (!f || (uint32_t)f->window << 7 < cases[i].window_min)
            fail_msg("%s: window %d", cases[i].why, f ? f->window << 7 : -1);
        assert_int_equal(f->ack, peer->seq);
        assert_null(sim_take(sim));
    }
}

/* No update for every little thing while the window is wide open. */
static void test_no_needless_window_updates(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer;

    sim->app = SIM_HOLD;
    peer = peer_connect(sim, &scripted);
    peer_data(peer, 10000);
    sim_turn(sim);
    assert_int_equal(sim_drain(sim), 1);
    for (int i = 0; i < 10; i++) {
        sim_consume(peer->flow, 1000);
        sim_turn(sim);
    }
    assert_int_equal(sim_drain(sim), 0);
}

/* A guest may use window that is free but was not announced yet; it does not lose the next update by it. */
static void test_window_update_after_overrun(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer;

    sim->app = SIM_HOLD;
    peer = peer_connect(sim, &scripted);
    peer_data(peer, 50000);
    sim_turn(sim);
    sim_consume(peer->flow, 20000);
    sim_turn(sim);
    peer_data(peer, 30000);
    sim_turn(sim);
    sim_drain(sim);
    sim_consume(peer->flow, 60000);
    sim_turn(sim);
    assert_true(sim->seen_count > 0);
    assert_true(last_frame(sim)->window << 7 > 60000);
}

/* Trap 2.7: grants double while they are used, as far as the pool and the flow's ceiling allow. */
static void test_window_grows(void **state)
{
    static const struct {
        const char *why;
        size_t pool_bytes;
        uint32_t flow_buffer_bytes;
        unsigned flows;
        uint64_t least, most; /* sum of the windows */
        bool apart;
    } cases[] = {
        {"one flow gets 4 MiB", 64 * SIM_MIB, TCP_WINDOW_MAX, 1, 3 * SIM_MIB, TCP_WINDOW_MAX, false},
        {"its ceiling is kept to", 64 * SIM_MIB, 256 * SIM_KIB, 1, 200 * SIM_KIB, 256 * SIM_KIB, false},
        {"all growth fits half the pool", 3 * SIM_MIB, TCP_WINDOW_MAX, 4, 1 * SIM_MIB,
         3 * SIM_MIB / 2 + 4 * TCP_WINDOW_FIRST, false},
        {"several share what is announced", 64 * SIM_MIB, TCP_WINDOW_MAX, 4, TCP_WINDOWS_SHARED * 9 / 10,
         TCP_WINDOWS_SHARED, false},
        {"more of it where nobody waits behind them", 64 * SIM_MIB, TCP_WINDOW_MAX, 4, 2 * TCP_WINDOWS_SHARED,
         TCP_WINDOWS_APART, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sim_options options = {
            .pool_bytes = cases[i].pool_bytes, .flow_buffer_bytes = cases[i].flow_buffer_bytes,
            .bulk_apart = cases[i].apart, .seed = 21};
        struct sim_peer_options super = automatic;
        struct sim *sim = *state = sim_start(&options);
        struct sim_peer *peers[4] = {0};
        uint64_t sum = 0;

        super.super_segments = true;
        for (unsigned n = 0; n < cases[i].flows; n++)
            peers[n] = peer_connect(sim, &super);
        assert_true(peers[0]->window <= TCP_WINDOW_FIRST);
        for (unsigned n = 0; n < cases[i].flows; n++)
            peer_source(peers[n], 20 * SIM_MIB, false);
        assert_true(sim_run_until(sim, peer_all_acked, peers[0], 1000));
        for (unsigned n = 0; n < cases[i].flows; n++) /* while all are busy */
            sum += peers[n]->window;
        for (unsigned n = 0; n < cases[i].flows; n++) {
            assert_true(sim_run_until(sim, peer_all_acked, peers[n], 1000));
            assert_int_equal(peers[n]->flow->bad_bytes, 0);
        }
        if (sum < cases[i].least || sum > cases[i].most)
            fail_msg("%s: %llu", cases[i].why, (unsigned long long)sum);
        if (i + 1 < sizeof(cases) / sizeof(cases[0]))
            sim_stop(sim);
    }
}

/* What a connection was granted is there for the next one when it is gone. */
static void test_grants_come_back(void **state)
{
    static const struct sim_options options = {.pool_bytes = 8 * SIM_MIB, .seed = 22};
    struct sim *sim = *state = sim_start(&options);

    for (int i = 0; i < 10; i++) {
        struct sim_peer *peer = peer_connect(sim, &automatic);

        sim_run(sim, 100); /* the one before it is not at it any more */
        peer_source(peer, 10 * SIM_MIB, false);
        assert_true(sim_run_until(sim, peer_all_acked, peer, 1000));
        assert_true(peer->window >= SIM_MIB);
        if (i % 2 == 0) {
            tcp_conn_abort(&peer->flow->conn);
        } else {
            peer_send(peer, FRAME_RST | FRAME_ACK, peer->iss + 1 + (uint32_t)peer->nxt, NULL, 0);
            sim_turn(sim);
            assert_true(peer->flow->events & SIM_GONE);
        }
    }
}

/* lwIP's lengths are u16: more than 64 KiB held and consumed at once must not leak window. */
static void test_large_consume(void **state)
{
    struct sim *sim = *state;
    struct sim_peer_options super = automatic;
    struct sim_peer *peer;

    super.super_segments = true;
    peer = peer_connect(sim, &super);
    peer_source(peer, 16 * SIM_MIB, false);
    assert_true(sim_run_until(sim, peer_all_acked, peer, 1000));
    for (int i = 0; i < 5; i++) {
        uint64_t window = peer->window;

        peer->flow->app = SIM_HOLD;
        peer_source(peer, peer->to_send + window, false);
        sim_run(sim, 300);
        assert_true(peer->flow->conn.held_bytes > 2 * SIM_MIB);
        sim_consume(peer->flow, peer->flow->conn.held_bytes / 2);
        sim_consume(peer->flow, peer->flow->conn.held_bytes);
        peer->flow->app = SIM_SINK;
        assert_true(sim_run_until(sim, peer_all_acked, peer, 3000));
        assert_true(peer->window >= window);
    }
    assert_int_equal(peer->flow->bad_bytes, 0);
}

/* First windows are promised to everybody: what the pool cannot keep is lost before lwIP sees it, and comes again. */
static void test_pool_full(void **state)
{
    enum { FLOWS = 40 };
    static const struct sim_options options = {.pool_bytes = 2 * SIM_MIB, .seed = 23};
    struct sim *sim = *state = sim_start(&options);
    struct sim_peer *peers[FLOWS], *download;

    sim->app = SIM_HOLD;
    for (int i = 0; i < FLOWS; i++)
        peers[i] = peer_connect(sim, &automatic);
    for (int i = 0; i < FLOWS; i++)
        peer_source(peers[i], 60000, true);
    sim_run(sim, 500);
    assert_true(sim->pool.bytes_used <= sim->options.pool_bytes);
    assert_true(sim_count(sim, COUNTER_TCP_POOL_FULL) > 0);

    /* Frames are still read, so what carries no payload goes on: a download is not stopped by full uploads. */
    assert_true(sim->pool.bytes_max - sim->pool.bytes_used >= POOL_RESERVE_BYTES);
    download = peer_connect(sim, &automatic);
    sim_source(download->flow, SIM_MIB, true);
    assert_true(sim_run_until(sim, peer_saw_fin, download, 1000));

    for (int i = 0; i < FLOWS; i++) {
        sim_consume(peers[i]->flow, peers[i]->flow->conn.held_bytes);
        peers[i]->flow->app = SIM_SINK;
    }
    for (int i = 0; i < FLOWS; i++) {
        assert_true(sim_run_until(sim, peer_all_acked, peers[i], 20000));
        assert_int_equal(peers[i]->flow->received, 60000);
        assert_int_equal(peers[i]->flow->bad_bytes, 0);
    }
}

/* F14: an upload over a wire that loses, repeats and reorders arrives as it was. */
static void test_f14_faulty_upload(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &automatic);

    sim->up = (struct sim_faults){.drop = 20, .dup = 20, .delay = 100};
    peer_source(peer, 2 * SIM_MIB, true);
    assert_true(sim_run_until(sim, peer_all_acked, peer, 600000));
    assert_int_equal(peer->flow->received, 2 * SIM_MIB);
    assert_int_equal(peer->flow->bad_bytes, 0);
    assert_true(peer->flow->events & SIM_EOF);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
#define OWN(f) cmocka_unit_test_teardown(f, sim_teardown) /* starts its own sim */

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(test_b07_one_lost_segment),
        CASE(test_b07_one_byte_segments_out_of_order),
        CASE(test_held_one_byte_segments),
        CASE(test_pinned_bytes_stay),
        CASE(test_hostile_segments_ahead),
        CASE(test_fin_ahead_of_data),
        CASE(test_copy_of_held_bytes),
        CASE(test_one_ack_a_turn),
        CASE(test_super_segment_is_acked_at_once),
        CASE(test_small_segment_is_acked_late),
        CASE(test_window_is_withheld),
        CASE(test_h01_window_update_in_the_same_turn),
        CASE(test_no_needless_window_updates),
        CASE(test_window_update_after_overrun),
        OWN(test_window_grows),
        OWN(test_grants_come_back),
        CASE(test_large_consume),
        OWN(test_pool_full),
        CASE(test_f14_faulty_upload),
    };

    sim_family(argc, argv);
    return cmocka_run_group_tests_name("receive", tests, NULL, NULL);
}
