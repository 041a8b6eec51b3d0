/*
 * A link that ends in the same turn of the loop as a flow of its guest's. On a real loop, for it is about who is called
 * before whom in a turn; what becomes of flows whose link ends is the affair of tests/replay.
 */
#include "datapath/link.h"

#include <sys/socket.h>
#include <unistd.h>

#include "datapath/instance.h"
#include "policy_setup.h"
#include "real_loop.h"

enum { GUEST_PORT = 40000, GUEST_ISN = 1000 };

static struct real_loop real;

static struct {
    enum addr_family family;
    uv_check_t check;
    int server;   /* the connection's other side */
    uint32_t isn; /* weir's */
    bool syn_ack_seen, fin_seen;
    /* How it was when the link was closed. */
    bool link_ended, flow_over, guest_let_go;
    unsigned handles_closing;
} t;

static const struct flow *the_flow(void)
{
    return &real.instance->flows.flows[0]; /* the first there ever was */
}

/* ---- the guest ---- */

static void on_packet(const struct packet *p)
{
    if (p->kind != WIRE_TCP)
        return;
    if (p->flags & WIRE_SYN)
        t.isn = p->seq;
    t.syn_ack_seen = t.syn_ack_seen || p->flags & WIRE_SYN;
    t.fin_seen = t.fin_seen || p->flags & WIRE_FIN;
}

static void give(uint8_t flags, uint32_t seq, uint32_t ack)
{
    real_loop_give_segment(&real, t.family, GUEST_PORT, flags, GUEST_ISN + seq, flags & WIRE_ACK ? t.isn + ack : 0);
}

/* Behind weir's check callback, which has sent the FIN, and before libuv closes what was given to uv_close(). */
static void on_check(uv_check_t *check)
{
    (void)check;
    if (!t.fin_seen || t.link_ended)
        return;
    t.handles_closing = the_flow()->closing;
    give(WIRE_ACK, 2, 2);
    t.flow_over = the_flow()->killed;
    link_close(real.link);
    t.guest_let_go = the_flow()->conn.guest == NULL;
    t.link_ended = true;
}

/* ---- the instance, and a server ---- */

static int set_up(void **state)
{
    struct instance_config config;

    memset(&t, 0, sizeof(t));
    t.family = *(const enum addr_family *)*state;
    t.server = -1;
    instance_config_init(&config);
    config.policy = setup_policy(NULL, "allow host tcp");
    /* libuv calls last who was started first, so this comes before the instance. */
    if (real_loop_init(&real, on_packet) < 0 || uv_check_init(&real.loop, &t.check) < 0 ||
        uv_check_start(&t.check, on_check) < 0 || real_loop_start(&real, &config) < 0)
        return -1;
    policy_unref(config.policy);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    uv_close((uv_handle_t *)&t.check, NULL);
    return real_loop_deinit(&real);
}

static bool syn_ack_seen(void)
{
    return t.syn_ack_seen;
}

static bool server_accepted(void)
{
    t.server = accept(real.listener, NULL, NULL);
    return t.server >= 0;
}

static bool server_has_end(void)
{
    char byte;

    return recv(t.server, &byte, 1, MSG_DONTWAIT) == 0;
}

static bool link_ended(void)
{
    return t.link_ended;
}

static bool flow_freed(void)
{
    return the_flow()->state == FLOW_FREE;
}

/* ---- cases ---- */

static void test_a_flow_lets_go_of_its_guest_while_its_handle_is_still_closing(void **state)
{
    (void)state;
    give(WIRE_SYN, 0, 0);
    real_loop_run_until(&real, syn_ack_seen, "weir's SYN-ACK");
    give(WIRE_ACK, 1, 1);
    real_loop_run_until(&real, server_accepted, "the connection");
    give(WIRE_FIN | WIRE_ACK, 1, 1);
    real_loop_run_until(&real, server_has_end, "the guest's FIN at the server");
    (void)close(t.server);
    real_loop_run_until(&real, link_ended, "weir's FIN");
    real_loop_run_until(&real, flow_freed, "the flow's end");
    assert_int_equal(t.handles_closing, 1); /* else this would be another case */
    assert_true(t.flow_over);
    assert_true(t.guest_let_go);
    assert_int_equal(real.instance->reasons[REASON_OK_RULE], 1);
}

int main(void)
{
    static enum addr_family v4 = ADDR_V4, v6 = ADDR_V6;
    static const struct CMUnitTest tests[] = {
        {"a flow lets go of its guest while its handle is still closing, IPv4",
         test_a_flow_lets_go_of_its_guest_while_its_handle_is_still_closing, set_up, tear_down, &v4},
        {"a flow lets go of its guest while its handle is still closing, IPv6",
         test_a_flow_lets_go_of_its_guest_while_its_handle_is_still_closing, set_up, tear_down, &v6},
    };

    return cmocka_run_group_tests_name("link_end", tests, NULL, NULL);
}
