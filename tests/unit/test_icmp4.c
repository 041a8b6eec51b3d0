#include "stack/icmp4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/packets.h"

static const struct frame_offload plain;

static void assert_sums_hold(const uint8_t *ip, size_t len)
{
    uint8_t sum[2];

    put_slow(sum, slow_sum(ip, 20, 0));
    assert_int_equal(sum[0] | sum[1], 0);
    put_slow(sum, slow_sum(ip + 20, len - 20, 0));
    assert_int_equal(sum[0] | sum[1], 0);
}

/* ---- echo ---- */

static void test_a16_echo_reply(void **state)
{
    (void)state;
    for (size_t payload = 0; payload < 120; payload++) { /* odd lengths too */
        struct packet p = icmp_packet(payload), was;
        struct frame f;
        bool nop;

        for (size_t i = 0; i < payload; i++)
            p.bytes[L4 + 8 + i] = (uint8_t)(i * 31);
        p.bytes[IP + 8] = 7;
        seal(p.bytes, p.len);
        was = p;
        assert_int_equal(frame_read(p.bytes, p.len, &plain, &f), 0);
        assert_int_equal(frame_read_l4(&f, &plain, &nop), 0);
        assert_int_equal(icmp4_echo_reply(&f), 1);
        assert_int_equal(f.ip_bytes, 28 + payload);
        assert_memory_equal(f.ip + 12, was.bytes + IP + 16, 4);
        assert_memory_equal(f.ip + 16, was.bytes + IP + 12, 4);
        assert_int_equal(f.ip[12], 0x5d); /* from the address that was pinged */
        assert_int_equal(f.ip[8], 64);
        assert_int_equal(f.l4[0], 0);
        assert_memory_equal(f.l4 + 4, was.bytes + L4 + 4, 4 + payload); /* id, sequence, data */
        assert_sums_hold(f.ip, f.ip_bytes);
    }
}

static void test_only_echo_requests_are_answered(void **state)
{
    static const struct {
        const char *why;
        uint8_t type, code;
    } cases[] = {
        { "a reply: answering it would never end", 0, 0 },
        { "an error", 3, 1 },
        { "a redirect", 5, 1 },
        { "a timestamp request", 13, 0 },
        { "an echo with a code", 8, 1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct packet p = icmp_packet(8), was;
        struct frame f;
        bool nop;

        p.bytes[L4] = cases[i].type;
        p.bytes[L4 + 1] = cases[i].code;
        seal(p.bytes, p.len);
        was = p;
        assert_int_equal(frame_read(p.bytes, p.len, &plain, &f), 0);
        assert_int_equal(frame_read_l4(&f, &plain, &nop), 0);
        if (icmp4_echo_reply(&f) != 0)
            fail_msg("%s was answered", cases[i].why);
        assert_memory_equal(&p, &was, sizeof(p));
    }
}

/* ---- errors ---- */

static const struct {
    const char *why;
    size_t quoted, want;
    uint8_t code;
    uint16_t mtu;
} error_cases[] = {
    { "nothing to quote", 0, 28, ICMP4_HOST_UNREACHABLE, 0 },
    { "a SYN", 40, 68, ICMP4_ADMIN_PROHIBITED, 0 },
    { "an odd datagram", 547, 575, ICMP4_PORT_UNREACHABLE, 0 },
    { "all that fits", 548, 576, ICMP4_NET_UNREACHABLE, 0 },
    { "cut at 576 (RFC 1812 section 4.3.2.3)", 549, 576, ICMP4_FRAG_NEEDED, 1500 },
    { "a super-segment", 65535, 576, ICMP4_FRAG_NEEDED, 65520 },
};

static void test_a17_unreachable(void **state)
{
    static uint8_t quoted[65535];
    struct addr from = addr_v4(0x5db8d822), to = addr_v4(0xc0a87f02);

    (void)state;
    for (size_t i = 0; i < sizeof(quoted); i++)
        quoted[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < ARRAY_SIZE(error_cases); i++) {
        uint8_t out[ICMP4_ERROR_BYTES_MAX + 8];
        size_t len;

        memset(out, 0xee, sizeof(out));
        len = icmp4_unreachable(quoted, error_cases[i].quoted, &from, &to, error_cases[i].code,
                                error_cases[i].mtu, out);
        if (len != error_cases[i].want)
            fail_msg("%s: %zu bytes", error_cases[i].why, len);
        assert_int_equal(out[len], 0xee);
        assert_int_equal(out[0], 0x45);
        assert_int_equal(out[1], 0xc0);
        assert_int_equal(out[2] << 8 | out[3], len);
        assert_int_equal(out[6] << 8 | out[7], 0);
        assert_int_equal(out[9], 1);
        assert_memory_equal(out + 12, from.bytes, 4);
        assert_memory_equal(out + 16, to.bytes, 4);
        assert_int_equal(out[20], 3);
        assert_int_equal(out[21], error_cases[i].code);
        assert_int_equal(out[24] << 8 | out[25], 0);
        assert_int_equal(out[26] << 8 | out[27], error_cases[i].mtu);
        assert_memory_equal(out + 28, quoted, len - 28);
        assert_sums_hold(out, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a16_echo_reply),
        cmocka_unit_test(test_only_echo_requests_are_answered),
        cmocka_unit_test(test_a17_unreachable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
