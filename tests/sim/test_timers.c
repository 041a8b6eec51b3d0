/*
 * Timers: who needs them, who does not, and what happens when a guest falls silent.
 */
#include "peer.h"

static const struct sim_peer_options scripted = PEER_SCRIPTED, automatic = PEER_DEFAULT;

static unsigned on_timer_list(const struct sim *sim)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < sim->flow_count; i++)
        n += list_linked(&sim->flows[i].conn.timer_node);
    return n;
}

/* A connected pair without a peer object: many of them are cheap. */
static void connect_raw(struct sim *sim, uint16_t src_port, uint16_t dst_port)
{
    static const uint8_t options[] = {2, 4, 5, 180, 1, 3, 3, 7};
    struct sim_tcp tcp = {
        .src = sim_guest,
        .dst = sim_server,
        .src_port = src_port,
        .dst_port = dst_port,
        .seq = 1000,
        .flags = FRAME_SYN,
        .window = 64000,
        .options = options,
        .options_bytes = sizeof(options),
    };

    sim_send_tcp(sim, &tcp);
    sim_turn(sim);
    tcp.seq++;
    tcp.ack = sim_take(sim)->seq + 1;
    tcp.flags = FRAME_ACK;
    tcp.options_bytes = 0;
    sim_send_tcp(sim, &tcp);
    sim_turn(sim);
}

/* Trap 2.9: chaining every connection costs tens of milliseconds a tick at this number. */
static void test_idle_connections_need_no_timer(void **state)
{
    enum { FLOWS = 100000 };
    static const struct sim_options options = {.flows_max = FLOWS, .seed = 61};
    struct sim *sim = *state = sim_start(&options);
    struct sim_peer *peer;

    for (uint32_t i = 1; i < FLOWS; i++)
        connect_raw(sim, (uint16_t)(10000 + i % 20000), (uint16_t)(80 + i / 20000));
    sim_turn(sim);
    assert_int_equal(on_timer_list(sim), 0);
    assert_false(stack_wants_tick(sim->stack));

    peer = peer_connect(sim, &scripted);
    sim_source(peer->flow, 1000, false);
    sim_turn(sim);
    assert_int_equal(on_timer_list(sim), 1);
    assert_true(stack_wants_tick(sim->stack));
    sim_run(sim, 2000);
    assert_int_equal(on_timer_list(sim), 1);
    peer->ack += 1000;
    peer_ack(peer);
    sim_turn(sim);
    assert_int_equal(on_timer_list(sim), 0);
    assert_false(stack_wants_tick(sim->stack));
}

/* lwIP's pass counter is a u8; one pass serves any number. */
static void test_one_tick_serves_all(void **state)
{
    enum { FLOWS = 600 };
    static const struct sim_options options = {.flows_max = FLOWS, .seed = 62};
    struct sim *sim = *state = sim_start(&options);
    static struct sim_peer *peers[FLOWS];
    unsigned acks = 0;

    for (int i = 0; i < FLOWS; i++)
        peers[i] = peer_connect(sim, &scripted);
    for (int i = 0; i < FLOWS; i++)
        peer_data(peers[i], 10);
    sim_turn(sim);
    assert_int_equal(on_timer_list(sim), FLOWS);
    assert_int_equal(sim_drain(sim), 0);
    sim_run(sim, STACK_TICK_MS);
    for (struct sim_frame *f; (f = sim_take(sim));)
        acks += f->flags == FRAME_ACK;
    assert_int_equal(acks, FLOWS);
    assert_int_equal(on_timer_list(sim), 0);
}

/* B12: a live connection may be idle for an hour. */
static void test_b12_idle_hour(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &automatic);

    sim_run(sim, 3600000);
    assert_true(tcp_conn_established(&peer->flow->conn));
    sim_source(peer->flow, 10000, true);
    peer_source(peer, 10000, true);
    sim_run(sim, 1000);
    assert_int_equal(peer->received, 10000);
    assert_int_equal(peer->flow->received, 10000);
}

/* B12: a guest that vanishes is given up, and told so should it come back. */
static void test_b12_dead_guest(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &scripted);
    struct sim_frame *f;
    bool rst = false;

    sim_source(peer->flow, 10000, false);
    sim_turn(sim);
    sim_run(sim, 1800000);
    assert_true(peer->flow->events & SIM_GONE);
    assert_int_equal(peer->flow->why, TCP_GONE_TIMEOUT);
    while ((f = sim_take(sim))) {
        assert_false(rst); /* it is the last frame */
        if (f->flags & FRAME_RST) {
            rst = true;
            assert_int_equal(f->seq, peer->irs + 1 + 10000);
            assert_int_equal(f->ack, peer->seq);
        }
    }
    assert_true(rst);
    assert_false(stack_wants_tick(sim->stack));
}

/* A handshake that is never completed ends too. */
static void test_half_open_ends(void **state)
{
    struct sim *sim = *state;

    peer_syn(peer_new(sim, &scripted));
    sim_run(sim, 60000);
    assert_true(sim->flows[0].events & SIM_GONE);
    assert_false(sim->flows[0].events & SIM_CONNECTED);
    assert_false(stack_wants_tick(sim->stack));
}

/* F20, trap 2.12: the guest was paused; its connections live, and go on within a tick or two of its first frame. */
static void test_f20_paused_guest(void **state)
{
    struct sim *sim = *state;
    struct sim_peer *peer = peer_connect(sim, &automatic), *other = peer_connect(sim, &scripted);
    uint64_t before;

    sim->down.drop = 1000; /* nothing reaches it, nothing comes from it */
    sim_source(peer->flow, 100000, true);
    sim_run(sim, 60000);
    assert_true(tcp_conn_live(&peer->flow->conn));
    sim->down.drop = 0;
    before = sim->now_ms;
    peer_ack(other); /* it runs again; this connection has nothing to say */
    assert_true(sim_run_until(sim, peer_saw_fin, peer, 120000));
    assert_true(sim->now_ms - before <= 3000);
    assert_int_equal(peer->received, 100000);
    assert_int_equal(peer->bad_bytes, 0);
    assert_false(peer->reset);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
#define OWN(f) cmocka_unit_test_teardown(f, sim_teardown) /* starts its own sim */

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        OWN(test_idle_connections_need_no_timer),
        OWN(test_one_tick_serves_all),
        CASE(test_b12_idle_hour),
        CASE(test_b12_dead_guest),
        CASE(test_half_open_ends),
        CASE(test_f20_paused_guest),
    };

    sim_family(argc, argv);
    return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
