/*
 * What the gateway says in ICMPv6: its echo, and errors. Checksums are added up byte by byte, not with the code under test.
 */
#include "stack/icmp6.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/packets6.h"

static const struct frame_offload plain;

static void assert_sum_holds(const uint8_t *ip, size_t len)
{
    uint8_t sum[2];

    put_slow(sum, slow_sum(ip + IP6_BYTES, len - IP6_BYTES, slow_pseudo6(ip, 58, len - IP6_BYTES)));
    assert_int_equal(sum[0] | sum[1], 0);
}

static int read_packet(struct packet *p, struct frame *out)
{
    bool nop;
    int drop = frame_read(p->bytes, p->len, &plain, out);

    return drop ? drop : frame_read_l4(out, &plain, &nop);
}

/* ---- echo ---- */

static void test_a16_echo_reply(void **state)
{
    (void)state;
    for (size_t payload = 0; payload < 120; payload++) { /* odd lengths too */
        struct packet p = icmp6_packet(128, payload), was;
        struct frame f;

        for (size_t i = 0; i < payload; i++)
            p.bytes[L4_OF_6 + 8 + i] = (uint8_t)(i * 31);
        p.bytes[IP] = 0x6f; /* a traffic class and a flow label: theirs, not ours */
        p.bytes[IP + 3] = 9;
        p.bytes[IP + 7] = 7;
        seal6(p.bytes, p.len);
        was = p;
        assert_int_equal(read_packet(&p, &f), 0);
        assert_int_equal(icmp6_echo_reply(&f), 1);
        assert_int_equal(f.ip_bytes, 48 + payload);
        assert_memory_equal(f.ip, ((uint8_t[]){0x60, 0, 0, 0}), 4);
        assert_int_equal(f.ip[4] << 8 | f.ip[5], 8 + payload);
        assert_int_equal(f.ip[6], 58);
        assert_int_equal(f.ip[7], 64);
        assert_memory_equal(f.ip + 8, was.bytes + IP + 24, 16); /* from the address that was pinged */
        assert_memory_equal(f.ip + 24, was.bytes + IP + 8, 16);
        assert_int_equal(f.l4[0], 129);
        assert_memory_equal(f.l4 + 4, was.bytes + L4_OF_6 + 4, 4 + payload); /* id, sequence, data */
        assert_sum_holds(f.ip, f.ip_bytes);
    }
}

static void test_only_echo_requests_are_answered(void **state)
{
    static const struct {
        const char *why;
        uint8_t type, code;
    } cases[] = {
        { "a reply: answering it would never end", 129, 0 },
        { "an error", 1, 3 },
        { "packet too big", 2, 0 },
        { "a multicast listener report", 143, 0 },
        { "an echo with a code", 128, 1 },
        { "IPv4's type", 8, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct packet p = icmp6_packet(cases[i].type, 8), was;
        struct frame f;

        p.bytes[L4_OF_6 + 1] = cases[i].code;
        seal6(p.bytes, p.len);
        was = p;
        assert_int_equal(read_packet(&p, &f), 0);
        if (icmp6_echo_reply(&f) != 0)
            fail_msg("%s was answered", cases[i].why);
        assert_memory_equal(&p, &was, sizeof(p));
    }
}

/* ---- errors ---- */

static const struct {
    const char *why;
    size_t quoted, want;
    uint8_t type, code;
    uint32_t mtu;
} error_cases[] = {
    { "nothing to quote", 0, 48, ICMP6_UNREACHABLE, ICMP6_ADDR_UNREACHABLE, 0 },
    { "a SYN", 60, 108, ICMP6_UNREACHABLE, ICMP6_ADMIN_PROHIBITED, 0 },
    { "an odd datagram", 1231, 1279, ICMP6_UNREACHABLE, ICMP6_PORT_UNREACHABLE, 0 },
    { "all that fits", 1232, 1280, ICMP6_UNREACHABLE, ICMP6_NO_ROUTE, 0 },
    { "cut at 1280 (RFC 4443 section 2.4 (c))", 1233, 1280, ICMP6_TOO_BIG, 0, 1500 },
    { "a super-segment; an MTU of more than 16 bits", 65575, 1280, ICMP6_TOO_BIG, 0, 0x12345678 },
};

static void test_a17_errors(void **state)
{
    static uint8_t quoted[65575];
    struct addr from, to;

    (void)state;
    assert_int_equal(addr_parse("fd77:6569:72::1", &from), 0);
    assert_int_equal(addr_parse("fd77:6569:72::2", &to), 0);
    for (size_t i = 0; i < sizeof(quoted); i++)
        quoted[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < ARRAY_SIZE(error_cases); i++) {
        uint8_t out[ICMP6_ERROR_BYTES_MAX + 8];
        size_t len;

        memset(out, 0xee, sizeof(out));
        len = icmp6_error(quoted, error_cases[i].quoted, &from, &to, error_cases[i].type, error_cases[i].code,
                          error_cases[i].mtu, out);
        if (len != error_cases[i].want)
            fail_msg("%s: %zu bytes", error_cases[i].why, len);
        assert_int_equal(out[len], 0xee);
        assert_int_equal(out[0], 0x60);
        assert_int_equal(out[4] << 8 | out[5], len - 40);
        assert_int_equal(out[6], 58);
        assert_int_equal(out[7], 64);
        assert_memory_equal(out + 8, from.bytes, 16);
        assert_memory_equal(out + 24, to.bytes, 16);
        assert_int_equal(out[40], error_cases[i].type);
        assert_int_equal(out[41], error_cases[i].code);
        assert_int_equal((uint32_t)out[44] << 24 | out[45] << 16 | out[46] << 8 | out[47], error_cases[i].mtu);
        assert_memory_equal(out + 48, quoted, len - 48);
        assert_sum_holds(out, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a16_echo_reply),
        cmocka_unit_test(test_only_echo_requests_are_answered),
        cmocka_unit_test(test_a17_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
