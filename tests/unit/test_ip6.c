/*
 * The headers this side writes, byte by byte as RFC 8200 draws them.
 */
#include "stack/ip6.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

static void test_a14_header(void **state)
{
    static const uint8_t want[IP6_HEADER_BYTES] = {
        0x6a, 0xb0, 0, 0, 0x12, 0x34, 58, 255,
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
    };
    struct ip6_header header = {
        .traffic_class = 0xab,
        .next = 58,
        .hop_limit = 255,
        .payload_bytes = 0x1234,
        .src = {.family = ADDR_V6, .bytes = {0xfe, 0x80, [15] = 1}},
        .dst = {.family = ADDR_V6, .bytes = {0xff, 0x02, [15] = 2}},
    };
    uint8_t out[IP6_HEADER_BYTES + 1];

    (void)state;
    memset(out, 0xee, sizeof(out));
    ip6_write(&header, out);
    assert_memory_equal(out, want, sizeof(want));
    assert_int_equal(out[IP6_HEADER_BYTES], 0xee);
}

static const struct {
    const char *why;
    uint8_t next;
    uint32_t offset_bytes;
    bool more;
    uint32_t id;
    uint8_t want[IP6_FRAGMENT_BYTES];
} fragment_cases[] = {
    { "the first piece", 17, 0, true, 0x01020304, {17, 0, 0, 1, 1, 2, 3, 4} },
    { "one in the middle: the offset is in units of 8, three bits up", 17, 1448, true, 0xfffefdfc,
      {17, 0, 0x05, 0xa9, 0xff, 0xfe, 0xfd, 0xfc} },
    { "the last one", 17, 2896, false, 0, {17, 0, 0x0b, 0x50, 0, 0, 0, 0} },
    { "the highest offset there is", 58, 65528, false, 1, {58, 0, 0xff, 0xf8, 0, 0, 0, 1} },
};

static void test_a14_fragment_header(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fragment_cases); i++) {
        uint8_t out[IP6_FRAGMENT_BYTES + 1];

        memset(out, 0xee, sizeof(out));
        ip6_write_fragment(fragment_cases[i].next, fragment_cases[i].offset_bytes, fragment_cases[i].more,
                           fragment_cases[i].id, out);
        if (memcmp(out, fragment_cases[i].want, IP6_FRAGMENT_BYTES) != 0)
            fail_msg("%s", fragment_cases[i].why);
        assert_int_equal(out[IP6_FRAGMENT_BYTES], 0xee);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a14_header),
        cmocka_unit_test(test_a14_fragment_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
