/*
 * How connections end: in order, halfway, at once, and from inside every event.
 */
#include "peer.h"

static const struct sim_peer_options scripted = PEER_SCRIPTED, automatic = PEER_DEFAULT;

/* Frames to the guest that carry one of @flags; all are dropped. */
static unsigned count_flags(struct sim *sim, uint8_t flags)
{
    struct sim_frame *f;
    unsigned n = 0;

    while ((f = sim_take(sim)))
        n += (f->flags & flags) != 0;
    return n;
}

/* ---- orderly ---- */

static void test_guest_closes_first(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &automatic);

    peer_source(peer, 5000, true);
    sim_run(sim, 1000);
    assert_true(peer->fin_in && peer->fin_acked);
    assert_int_equal(peer->flow->received, 5000);
    assert_int_equal(peer->flow->events & SIM_GONE, SIM_GONE);
    assert_int_equal(peer->flow->why, TCP_GONE_CLOSED);
    assert_false(peer->reset);
    assert_false(stack_wants_tick(sim->stack));
}

/* TIME_WAIT is ours then; it ends by itself. */
static void test_host_closes_first(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &automatic);

    sim_source(peer->flow, 5000, true);
    sim_run(sim, 10);
    assert_true(peer->fin_in);
    assert_false(tcp_conn_time_wait(&peer->flow->conn));
    assert_int_equal(peer->flow->acked, 5000);
    peer_source(peer, 0, true);
    sim_run(sim, 10);
    assert_true(tcp_conn_time_wait(&peer->flow->conn));
    assert_false(peer->flow->events & SIM_GONE);
    sim_run(sim, 4000);
    assert_true(peer->flow->events & SIM_GONE);
    assert_int_equal(peer->flow->why, TCP_GONE_CLOSED);
    assert_false(peer->reset);
    assert_false(stack_wants_tick(sim->stack));
}

static void test_simultaneous_close(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &scripted);
    struct sim_frame *f;

    tcp_conn_shutdown(&peer->flow->conn);
    sim_turn(sim);
    f = sim_take(sim);
    assert_non_null(f);
    assert_int_equal(f->flags, FRAME_FIN | FRAME_ACK);
    peer_fin(peer); /* without having seen ours */
    sim_turn(sim);
    assert_true(tcp_conn_closing(&peer->flow->conn));
    assert_true(peer->flow->events & SIM_EOF);
    assert_int_equal(sim_take(sim)->ack, peer->seq);
    peer->ack++;
    peer_ack(peer);
    sim_turn(sim);
    assert_true(tcp_conn_time_wait(&peer->flow->conn));
    sim_run(sim, 4000);
    assert_int_equal(peer->flow->why, TCP_GONE_CLOSED);
    assert_int_equal(count_flags(sim, FRAME_RST), 0);
}

/* B9: one end says it is done, the other goes on for a megabyte. */
static void test_b09_half_close(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *a = peer_connect(sim, &automatic), *b = peer_connect(sim, &automatic);

    a->flow->close_on_eof = false;
    peer_source(a, 100, true);
    sim_run(sim, 60000);
    assert_true(a->fin_acked && tcp_conn_established(&a->flow->conn));
    sim_source(a->flow, SIM_MIB, true);
    assert_true(sim_run_until(sim, peer_saw_fin, a, 1000));
    assert_int_equal(a->received, SIM_MIB);
    assert_int_equal(a->bad_bytes, 0);

    sim_source(b->flow, 100, true);
    sim_run(sim, 60000);
    assert_true(b->fin_in && tcp_conn_live(&b->flow->conn));
    assert_false(stack_wants_tick(sim->stack)); /* FIN_WAIT_2 may last: nothing to do there */
    peer_source(b, SIM_MIB, true);
    assert_true(sim_run_until(sim, peer_all_acked, b, 1000));
    assert_int_equal(b->flow->received, SIM_MIB);
    assert_int_equal(b->flow->bad_bytes, 0);
    sim_run(sim, 5000);
    assert_int_equal(a->flow->why, TCP_GONE_CLOSED);
    assert_int_equal(b->flow->why, TCP_GONE_CLOSED);
    assert_true(a->flow->events & b->flow->events & SIM_GONE);
    assert_false(a->reset || b->reset);
}

/* Trap 2.4: received bytes that nobody took do not turn a FIN into a RST. */
static void test_shutdown_with_unconsumed_bytes(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer;
    struct sim_frame *f;

    sim->app = SIM_HOLD;
    peer = peer_connect(sim, &scripted);
    peer_data(peer, 10000);
    sim_turn(sim);
    sim_drain(sim);
    sim_source(peer->flow, 7, true); /* an alert, say */
    sim_turn(sim);
    f = sim_take(sim);
    assert_non_null(f);
    assert_int_equal(f->payload_bytes, 7);
    f = sim_take(sim);
    assert_non_null(f);
    assert_int_equal(f->flags, FRAME_FIN | FRAME_ACK);
    peer->ack += 8;
    peer_data(peer, 100); /* under way when our FIN came */
    peer_fin(peer);
    sim_run(sim, 5000);
    assert_int_equal(count_flags(sim, FRAME_RST), 0);
    assert_true(peer->flow->events & SIM_GONE);
    assert_int_equal(peer->flow->why, TCP_GONE_CLOSED);
    sim_consume(peer->flow, 10100); /* still there for the host side */
    assert_int_equal(peer->flow->bad_bytes, 0);
}

/* Trap 2.3: lwIP ends LAST_ACK after 2 MSL, which are 2 s here, whatever is queued. */
static void test_closing_states_keep_their_data(void **state)
{
    static const bool simultaneous[] = {false, true};
    struct sim *sim = *state;

    for (size_t i = 0; i < 2; i++) {
        struct sim_peer *peer = peer_connect(sim, &scripted);
        uint32_t fin_ack = peer->ack + 20000 + 1;

        peer->flow->close_on_eof = false;
        if (!simultaneous[i]) {
            peer_fin(peer);
            sim_turn(sim);
        }
        sim_source(peer->flow, 20000, true);
        sim_turn(sim);
        if (simultaneous[i]) {
            peer_fin(peer);
            sim_turn(sim);
        }
        assert_true(tcp_conn_closing(&peer->flow->conn));
        sim_run(sim, 20000); /* the guest is silent */
        assert_true(tcp_conn_live(&peer->flow->conn));
        assert_int_equal(count_flags(sim, FRAME_RST), 0);
        peer->ack = fin_ack;
        peer_ack(peer);
        sim_run(sim, 5000);
        assert_int_equal(peer->flow->acked, 20000);
        assert_true(peer->flow->events & SIM_GONE);
        assert_int_equal(peer->flow->why, TCP_GONE_CLOSED);
    }
}

/* Data and FIN in one segment: the data is reported first. */
static void test_data_with_fin(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer;

    sim->app = SIM_HOLD;
    peer = peer_connect(sim, &scripted);
    peer_send(peer, FRAME_ACK | FRAME_FIN, peer->seq, sim_pattern(0), 500);
    sim_turn(sim);
    assert_int_equal(peer->flow->events & (SIM_DATA | SIM_EOF), SIM_DATA | SIM_EOF);
    assert_int_equal(peer->flow->conn.held_bytes, 500);
    assert_int_equal(sim_take(sim)->ack, peer->seq + 501);
    sim_consume(peer->flow, 500);
    assert_int_equal(peer->flow->bad_bytes, 0);
}

/* ---- RST ---- */

/* B21: RFC 9293 section 3.10.7.4 with RFC 5961 section 3.2. */
static void test_b21_rst_validity(void **state)
{
    static const struct {
        const char *why;
        int64_t offset; /* from the next byte expected */
        bool resets, challenge;
    } cases[] = {
        {"exactly the next byte", 0, true, false},
        {"one byte on: a guess, to be confirmed", 1, false, true},
        {"the end of the window", 65534, false, true},
        {"one before", -1, false, false},
        {"beyond the window", 70000, false, false},
        {"far away", 0x40000000, false, false},
    };
    struct sim *sim = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sim_peer *peer = peer_connect(sim, &scripted);
        struct sim_frame *f;

        peer_send(peer, FRAME_RST, peer->seq + (uint32_t)cases[i].offset, NULL, 0);
        sim_turn(sim);
        f = sim_take(sim);
        if (tcp_conn_live(&peer->flow->conn) == cases[i].resets || !f == cases[i].challenge)
            fail_msg("%s", cases[i].why);
        if (cases[i].resets) {
            assert_true(peer->flow->events & SIM_GONE);
            assert_int_equal(peer->flow->why, TCP_GONE_RESET);
        }
        if (f) {
            assert_int_equal(f->flags, FRAME_ACK);
            assert_int_equal(f->ack, peer->seq);
        }
    }
}

static void test_rst_in_time_wait_is_ignored(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &scripted);

    tcp_conn_shutdown(&peer->flow->conn);
    sim_turn(sim);
    peer->ack++;
    peer_fin(peer);
    sim_turn(sim);
    assert_true(tcp_conn_time_wait(&peer->flow->conn));
    peer_send(peer, FRAME_RST, peer->seq, NULL, 0); /* RFC 1337 */
    sim_turn(sim);
    assert_true(tcp_conn_time_wait(&peer->flow->conn));
}

/* Data that came before the guest's RST is still the host side's. */
static void test_rst_keeps_held_data(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer;

    sim->app = SIM_HOLD;
    peer = peer_connect(sim, &scripted);
    peer_data(peer, 3000);
    peer_send(peer, FRAME_RST, peer->seq, NULL, 0);
    sim_turn(sim);
    assert_int_equal(peer->flow->why, TCP_GONE_RESET);
    sim_consume(peer->flow, 3000);
    assert_int_equal(peer->flow->bad_bytes, 0);
}

static void test_abort_sends_one_rst(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &scripted);
    struct sim_frame *f;

    sim_source(peer->flow, 1000, false);
    peer_data(peer, 500);
    sim_turn(sim);
    sim_drain(sim);
    tcp_conn_shutdown(&peer->flow->conn); /* the FIN is wanted, but not queued yet */
    tcp_conn_abort(&peer->flow->conn);
    sim_run(sim, 5000);
    f = sim_take(sim);
    assert_non_null(f);
    assert_true(f->flags & FRAME_RST);
    assert_int_equal(f->seq, peer->irs + 1 + 1000);
    assert_int_equal(f->ack, peer->seq);
    assert_null(sim_take(sim));
    assert_false(peer->flow->events & SIM_GONE);
    assert_false(stack_wants_tick(sim->stack));
    tcp_conn_abort(&peer->flow->conn); /* twice is once */
    assert_null(sim_take(sim));
    assert_int_equal(tcp_conn_send(&peer->flow->conn, "x", 1), -32 /* EPIPE */);
    assert_int_equal(tcp_conn_room(&peer->flow->conn), 0);
}

/* ---- trap 2.10: abort from inside every event ---- */

static void test_abort_inside_events(void **state)
{
    static const enum sim_event events[] = {SIM_CONNECTED, SIM_DATA, SIM_ACKED, SIM_EOF, SIM_GONE};
    struct sim *sim = *state;

    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        struct sim_peer *peer = peer_new(sim, &scripted);
        struct sim_flow *flow;

        sim->abort_in = events[i] & SIM_CONNECTED;
        peer_syn(peer);
        sim_turn(sim);
        flow = sim->flows_by_port[peer->port];
        peer->ack = sim_take(sim)->seq + 1;
        peer_ack(peer);
        peer_data(peer, 700);
        sim_turn(sim);
        sim_source(flow, 5000, false);
        sim_turn(sim);
        flow->abort_in = events[i];
        peer->ack += 5000;
        /* New data, an acknowledgement and the end in one segment: all events of one lwIP call. */
        peer_send(peer, FRAME_ACK | FRAME_FIN, peer->seq, sim_pattern(700), 300);
        sim_turn(sim);
        if (events[i] == SIM_GONE) {
            peer_send(peer, FRAME_RST, peer->seq + 301, NULL, 0);
            sim_turn(sim);
        }
        assert_true(flow->events & events[i] && flow->aborted);
        assert_false(tcp_conn_live(&flow->conn));
        assert_int_equal(flow->conn.held_bytes, 0);
        sim_run(sim, 1000);
        sim_drain(sim);
    }
}

/* The same from a timer, with others on the list. */
static void test_abort_inside_timer_events(void **state)
{
    enum { FLOWS = 8 };
    struct sim *sim = *state;
    struct sim_peer *peers[FLOWS];

    for (int i = 0; i < FLOWS; i++) {
        peers[i] = peer_connect(sim, &scripted);
        peers[i]->flow->abort_in = i & 1 ? SIM_GONE : 0;
        sim_source(peers[i]->flow, 5000, false);
    }
    sim_turn(sim);
    sim_run(sim, 2000000); /* nobody answers */
    for (int i = 0; i < FLOWS; i++) {
        assert_true(peers[i]->flow->events & SIM_GONE);
        assert_int_equal(peers[i]->flow->why, TCP_GONE_TIMEOUT);
    }
    assert_false(stack_wants_tick(sim->stack));
}

/* One connection's event may end another, wherever that one is on the lists. */
static void test_abort_of_another(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *a = peer_connect(sim, &scripted), *b = peer_connect(sim, &scripted);

    peer_data(a, 3000);
    peer_data(b, 3000);
    sim_source(a->flow, 5000, false);
    sim_source(b->flow, 5000, false);
    stack_tick(sim->stack);
    tcp_conn_abort(&b->flow->conn);
    sim_turn(sim);
    sim_run(sim, 1000);
    assert_true(tcp_conn_live(&a->flow->conn));
    assert_int_equal(a->flow->received, 3000);
}

/* ---- trap 2.11: the same pair again ---- */

static void test_new_syn_while_closing(void **state)
{
    enum how { TIME_WAIT, CLOSING, LAST_ACK };
    struct sim *sim = *state;

    for (enum how how = TIME_WAIT; how <= LAST_ACK; how++) {
        struct sim_peer *peer = peer_connect(sim, &scripted);
        struct sim_flow *before = peer->flow, *now;

        if (how == LAST_ACK) {
            peer_fin(peer);
            sim_turn(sim); /* the host side closes too */
        } else {
            tcp_conn_shutdown(&before->conn);
            sim_turn(sim);
            peer->ack += how == TIME_WAIT;
            peer_fin(peer);
            sim_turn(sim);
        }
        assert_int_equal(tcp_conn_time_wait(&before->conn), how == TIME_WAIT);
        assert_int_equal(tcp_conn_closing(&before->conn), how != TIME_WAIT);
        sim_drain(sim);
        peer->iss += 0x10000000;
        peer_syn(peer);
        sim_turn(sim);
        now = sim->flows_by_port[peer->port];
        assert_ptr_not_equal(now, before);
        assert_false(tcp_conn_live(&before->conn));
        assert_true(tcp_conn_live(&now->conn));
        assert_int_equal(count_flags(sim, FRAME_RST), how == TIME_WAIT ? 0 : 1);
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(test_guest_closes_first),
        CASE(test_host_closes_first),
        CASE(test_simultaneous_close),
        CASE(test_b09_half_close),
        CASE(test_shutdown_with_unconsumed_bytes),
        CASE(test_closing_states_keep_their_data),
        CASE(test_data_with_fin),
        CASE(test_b21_rst_validity),
        CASE(test_rst_in_time_wait_is_ignored),
        CASE(test_rst_keeps_held_data),
        CASE(test_abort_sends_one_rst),
        CASE(test_abort_inside_events),
        CASE(test_abort_inside_timer_events),
        CASE(test_abort_of_another),
        CASE(test_new_syn_while_closing),
    };

    sim_family(argc, argv);
    return cmocka_run_group_tests_name("close", tests, NULL, NULL);
}
