/*
 * Ethernet addresses as text.
 */
#include "base/mac.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

static void test_good(void **state)
{
    static const uint8_t want[MAC_BYTES] = {0x52, 0x54, 0x00, 0xab, 0xcd, 0xef};
    uint8_t mac[MAC_BYTES];
    char text[MAC_TEXT_MAX];

    (void)state;
    assert_int_equal(mac_parse("52:54:00:aB:Cd:EF", mac), 0);
    assert_memory_equal(mac, want, sizeof(want));
    assert_string_equal(mac_format(mac, text), "52:54:00:ab:cd:ef");
    assert_false(mac_is_group(mac));
    assert_int_equal(mac_parse("ff:ff:ff:ff:ff:ff", mac), 0);
    assert_true(mac_is_group(mac));
    assert_int_equal(mac_parse("01:00:5e:00:00:fb", mac), 0);
    assert_true(mac_is_group(mac));
}

static void test_bad(void **state)
{
    static const struct {
        const char *why, *text;
    } cases[] = {
        {"empty", ""},
        {"five pairs", "52:54:00:ab:cd"},
        {"seven pairs", "52:54:00:ab:cd:ef:01"},
        {"a separator behind it", "52:54:00:ab:cd:ef:"},
        {"another separator", "52-54-00-ab-cd-ef"},
        {"one digit in a pair", "52:54:0:ab:cd:eff"},
        {"no hex digit", "52:54:00:ab:cd:eg"},
        {"a sign, which strtoul() would take", "52:54:00:ab:cd:+1"},
        {"a blank, which strtoul() would take", "52:54:00:ab:cd: 1"},
    };
    uint8_t mac[MAC_BYTES] = {1, 2, 3, 4, 5, 6};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (mac_parse(cases[i].text, mac) >= 0)
            fail_msg("%s: taken", cases[i].why);
    assert_int_equal(mac[0], 1); /* written only on success */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
