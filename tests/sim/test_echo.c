/*
 * Pings beyond the gateway (stack/echo.c): a guest's request as a value, replies and errors as frames, which packet.c reads and checks.
 */
#include "sim.h"

enum { ICMP_HEADER = 8, ID = 0x1234, SEQ = 0xfedc };

static bool is_v6(void)
{
    return sim_guest.family == ADDR_V6;
}

static void send_ping(struct sim *sim, const struct addr *dst, size_t len)
{
    uint8_t icmp[ICMP_HEADER + STACK_ECHO_BYTES_MAX] = {is_v6() ? 128 : 8, 0, 0, 0, ID >> 8, ID & 0xff, SEQ >> 8, SEQ & 0xff};
    uint8_t frame[FRAME_ETH_BYTES + 40 + sizeof(icmp)], proto = is_v6() ? FRAME_PROTO_ICMPV6 : FRAME_PROTO_ICMP;
    size_t n = ICMP_HEADER + len;
    uint16_t sum;

    memcpy(icmp + ICMP_HEADER, sim_pattern(0), len);
    sum = sim_checksum(icmp, n, is_v6() ? sim_pseudo(&sim_guest, dst, proto, n) : 0);
    icmp[2] = (uint8_t)(sum >> 8);
    icmp[3] = (uint8_t)sum;
    sim_send(sim, frame, sim_build_ip(sim, &sim_guest, dst, proto, icmp, n, frame), NULL);
    sim_turn(sim);
}

static struct echo reply_of(size_t len)
{
    return (struct echo){.src = sim_server, .dst = sim_guest, .id = ID, .seq = SEQ, .bytes = sim_pattern(0), .len = len};
}

/* What stack_read_echo() makes of a frame is what was in it; the gateway's own pings are not handed up. */
static void test_a16_request(void **state)
{
    struct sim *sim = *state;

    send_ping(sim, &sim_server, 56);
    assert_int_equal(sim->echoes, 1);
    assert_true(addr_equal(&sim->echo.src, &sim_guest) && addr_equal(&sim->echo.dst, &sim_server));
    assert_int_equal(sim->echo.id, ID);
    assert_int_equal(sim->echo.seq, SEQ);
    assert_int_equal(sim->echo.len, 56);
    assert_int_equal(sim->echo_bad_bytes, 0);
    assert_null(sim_take(sim));

    send_ping(sim, &sim_gateway, 56);
    assert_int_equal(sim->echoes, 1);
    assert_int_equal(sim_take(sim)->l4[0], is_v6() ? 129 : 0);
}

static void test_a16_reply(void **state)
{
    static const size_t lengths[] = {0, 1, 55, 56, STACK_ECHO_BYTES_MAX - 1, STACK_ECHO_BYTES_MAX};
    struct sim *sim = *state;

    send_ping(sim, &sim_server, 0); /* the guest is known */
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct echo e = reply_of(lengths[i]);
        struct sim_frame *f;

        assert_int_equal(stack_send_echo_reply(sim->guest, &e), 0);
        sim_turn(sim);
        f = sim_take(sim);
        assert_non_null(f);
        assert_true(addr_equal(&f->src, &sim_server) && addr_equal(&f->dst, &sim_guest));
        assert_int_equal(f->proto, is_v6() ? FRAME_PROTO_ICMPV6 : FRAME_PROTO_ICMP);
        assert_int_equal(f->ttl, 64);
        assert_int_equal(f->l4_bytes, ICMP_HEADER + lengths[i]);
        assert_int_equal(f->l4[0], is_v6() ? 129 : 0);
        assert_int_equal(f->l4[1], 0);
        assert_int_equal(f->l4[4] << 8 | f->l4[5], ID);
        assert_int_equal(f->l4[6] << 8 | f->l4[7], SEQ);
        assert_memory_equal(f->l4 + ICMP_HEADER, sim_pattern(0), lengths[i]);
    }
}

/* A reply is never cut into fragments: one above the MTU is dropped and counted. */
static void test_a16_reply_above_the_mtu(void **state)
{
    static const struct sim_options options = {.mtu = 600, .seed = 91};
    struct sim *sim = *state = sim_start(&options);
    size_t most = 600 - sim_ip_bytes(&sim_guest) - ICMP_HEADER;
    struct echo fits = reply_of(most), larger = reply_of(most + 1);

    send_ping(sim, &sim_server, 0);
    assert_int_equal(stack_send_echo_reply(sim->guest, &fits), 0);
    assert_true(stack_send_echo_reply(sim->guest, &larger) < 0);
    sim_turn(sim);
    assert_int_equal(sim_drain(sim), 1);
    assert_int_equal(sim_count(sim, COUNTER_ICMP_IGNORED), 1);
}

/* A16: where pings are forbidden, the guest hears 3/13 or 1/1, about its own request. */
static void test_a16_error_about_a_request(void **state)
{
    static const size_t lengths[] = {0, 7, STACK_ECHO_BYTES_MAX};
    struct sim *sim = *state;

    send_ping(sim, &sim_server, 0);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct echo e = reply_of(lengths[i]);
        size_t ip_bytes = sim_ip_bytes(&sim_guest), quoted;
        const uint8_t *ip, *icmp;
        struct sim_frame *f;

        e.src = sim_guest;
        e.dst = sim_server;
        stack_send_echo_error(sim->guest, &e, UNREACHABLE_ADMIN, 0);
        sim_turn(sim);
        f = sim_take(sim);
        assert_non_null(f);
        assert_true(addr_equal(&f->src, &sim_gateway) && addr_equal(&f->dst, &sim_guest));
        assert_int_equal(f->l4[0], is_v6() ? 1 : 3);
        assert_int_equal(f->l4[1], is_v6() ? 1 : 13);
        ip = f->l4 + ICMP_HEADER;
        icmp = ip + ip_bytes;
        assert_memory_equal(ip + ip_bytes - addr_size(&sim_server), sim_server.bytes, addr_size(&sim_server));
        assert_int_equal(icmp[0], is_v6() ? 128 : 8);
        assert_int_equal(icmp[4] << 8 | icmp[5], ID);
        assert_int_equal(icmp[6] << 8 | icmp[7], SEQ);
        quoted = f->l4_bytes - 2 * ICMP_HEADER - ip_bytes;
        assert_true(quoted == lengths[i] || (quoted < lengths[i] && quoted >= 500)); /* cut at 576 bytes of IPv4 */
        assert_memory_equal(icmp + ICMP_HEADER, sim_pattern(0), quoted);
    }
    assert_null(sim_take(sim));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
#define OWN(f) cmocka_unit_test_teardown(f, sim_teardown) /* starts its own sim */

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a16_request),
        CASE(test_a16_reply),
        OWN(test_a16_reply_above_the_mtu),
        CASE(test_a16_error_about_a_request),
    };

    sim_family(argc, argv);
    return cmocka_run_group_tests_name("echo", tests, NULL, NULL);
}
