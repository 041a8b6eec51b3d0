/* What a guest says of datagrams it did not want (stack/refusal.h): only its own word about its own datagrams counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "stack/refusal.h"

enum { ICMP4_AT = 34, ICMP6_AT = 54, QUOTE4 = ICMP4_AT + 8, QUOTE6 = ICMP6_AT + 8, BYTES = 256 };

/* The guest 192.168.127.2 (fd77::2) port 5000 refuses a datagram of 192.0.2.9 (2001:db8::9) port 53. */
static size_t build(bool v6, uint8_t *out)
{
    static const uint8_t guest4[] = {192, 168, 127, 2}, peer4[] = {192, 0, 2, 9};
    static const uint8_t guest6[16] = {0xfd, 0x77, [15] = 2}, peer6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 9};
    uint8_t *icmp = out + (v6 ? ICMP6_AT : ICMP4_AT), *quote = icmp + 8, *udp = quote + (v6 ? 40 : 20);

    memset(out, 0, BYTES);
    icmp[0] = v6 ? 1 : 3;
    icmp[1] = v6 ? 4 : 3;
    if (v6) {
        quote[0] = 0x60;
        quote[6] = 17;
        memcpy(quote + 8, peer6, 16);
        memcpy(quote + 24, guest6, 16);
    } else {
        quote[0] = 0x45;
        quote[9] = 17;
        memcpy(quote + 12, peer4, 4);
        memcpy(quote + 16, guest4, 4);
    }
    udp[1] = 53;
    udp[2] = 5000 >> 8;
    udp[3] = 5000 & 0xff;
    return (size_t)(udp + 8 - out);
}

static struct frame frame_of(bool v6, uint8_t *bytes, size_t len)
{
    static const uint8_t guest6[16] = {0xfd, 0x77, [15] = 2}, peer6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 9};
    uint8_t *icmp = bytes + (v6 ? ICMP6_AT : ICMP4_AT);

    return (struct frame){
        .kind = v6 ? FRAME_IPV6 : FRAME_IPV4,
        .proto = v6 ? FRAME_PROTO_ICMPV6 : FRAME_PROTO_ICMP,
        .src = v6 ? addr_from_v6(guest6) : addr_v4(0xc0a87f02),
        .dst = v6 ? addr_from_v6(peer6) : addr_v4(0xc0000209),
        .l4 = icmp,
        .l4_bytes = (uint32_t)(bytes + len - icmp),
        .payload = icmp + 8,
        .payload_bytes = (uint32_t)(bytes + len - icmp - 8),
    };
}

static void test_h15_a_closed_port(void **state)
{
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        uint8_t bytes[BYTES];
        struct frame f = frame_of(v6, bytes, build(v6, bytes));
        struct refusal r;

        assert_true(refusal_read(&f, &r));
        assert_true(addr_equal(&r.peer, &f.dst) && addr_equal(&r.guest, &f.src));
        assert_int_equal(r.peer_port, 53);
        assert_int_equal(r.guest_port, 5000);
    }
}

static const struct {
    const char *why;
    bool v6;
    size_t at; /* this byte is */
    uint8_t to; /* this */
} cases[] = {
    {"host unreachable", false, ICMP4_AT + 1, 1},
    {"time exceeded", false, ICMP4_AT, 11},
    {"about TCP", false, QUOTE4 + 9, 6},
    {"options, which we never send", false, QUOTE4, 0x46},
    {"a later fragment", false, QUOTE4 + 7, 1},
    {"T147 about another guest's datagram", false, QUOTE4 + 19, 3},
    {"T147 about a peer it is not sent to", false, QUOTE4 + 15, 8},
    {"address unreachable", true, ICMP6_AT + 1, 3},
    {"too big", true, ICMP6_AT, 2},
    {"about TCP", true, QUOTE6 + 6, 6},
    {"about a fragment", true, QUOTE6 + 6, 44},
    {"T147 about another guest's datagram", true, QUOTE6 + 39, 3},
    {"T147 about a peer it is not sent to", true, QUOTE6 + 23, 8},
    {"no IPv6", true, QUOTE6, 0x45},
};

static void test_t147_other_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t bytes[BYTES];
        struct frame f = frame_of(cases[i].v6, bytes, build(cases[i].v6, bytes));
        struct refusal r;

        bytes[cases[i].at] = cases[i].to;
        if (refusal_read(&f, &r))
            fail_msg("%s: taken", cases[i].why);
    }
}

static void test_t150_cut_short(void **state)
{
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        uint8_t bytes[BYTES];
        size_t whole = build(v6, bytes), ports = whole - 4;

        for (size_t len = (v6 ? QUOTE6 : QUOTE4); len < whole; len++) {
            struct frame f = frame_of(v6, bytes, len);
            struct refusal r;

            assert_int_equal(refusal_read(&f, &r), len >= ports);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h15_a_closed_port),
        cmocka_unit_test(test_t147_other_messages),
        cmocka_unit_test(test_t150_cut_short),
    };

    return cmocka_run_group_tests_name("refusal", tests, NULL, NULL);
}
