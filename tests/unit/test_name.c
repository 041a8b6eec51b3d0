#include "policy/name.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

#define L63 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"
#define BYTES(text) (text), sizeof(text) - 1

struct name_case {
    const char *why;
    const char *bytes;
    size_t len;
    const char *want; /* NULL: refused */
};

static const struct name_case name_cases[] = {
    { "a name", BYTES("ok.example"), "ok.example" },
    { "one label", BYTES("localhost"), "localhost" },
    { "T14 case is folded", BYTES("OK.ExamPLE"), "ok.example" },
    { "T13 one trailing dot is no part of it", BYTES("ok.example."), "ok.example" },
    { "G4 both at once", BYTES("Example.COM."), "example.com" },
    { "T13 two trailing dots are an empty label", BYTES("ok.example.."), NULL },
    { "T40 a leading dot is an empty label", BYTES(".ok.example"), NULL },
    { "an empty label inside", BYTES("ok..example"), NULL },
    { "nothing", BYTES(""), NULL },
    { "the root", BYTES("."), NULL },
    { "T15 NUL, where C strings end", BYTES("evil.example\0.ok.example"), NULL },
    { "T15 NUL at the end", BYTES("ok.example\0"), NULL },
    { "T16 UTF-8", BYTES("ok\xc3\xa9.example"), NULL },
    { "T16 Latin-1", BYTES("ok\xe9.example"), NULL },
    { "T16 U+3002, a dot to IDNA", BYTES("ok\xe3\x80\x82" "example"), NULL },
    { "T16 U+FF0E, another", BYTES("ok\xef\xbc\x8e" "example"), NULL },
    { "T17 an A-label is bytes like any other", BYTES("xn--80ak6aa92e.example"), "xn--80ak6aa92e.example" },
    { "T18 a dotted quad", BYTES("169.254.169.254"), NULL },
    { "T18 a short quad", BYTES("127.1"), NULL },
    { "T18 one number", BYTES("2130706433"), NULL },
    { "T18 hex in front, a number last", BYTES("0x7f.1"), NULL },
    { "T18 hex last", BYTES("127.0.0.0x1"), NULL },
    { "T18 hex in capitals", BYTES("0X7F"), NULL },
    { "T18 0x alone is zero to inet_aton()", BYTES("1.0x"), NULL },
    { "T18 a number last makes all of it an address", BYTES("www.example.1"), NULL },
    { "T18 also with the trailing dot", BYTES("127.0.0.1."), NULL },
    { "T18 brackets", BYTES("[::1]"), NULL },
    { "T133 octal", BYTES("0177.0.0.1"), NULL },
    { "numbers elsewhere are names", BYTES("1.2.3.in-addr.arpa"), "1.2.3.in-addr.arpa" },
    { "no number: 0x and a letter beyond f", BYTES("a.0xg"), "a.0xg" },
    { "no number: hex digits without 0x", BYTES("a.7f"), "a.7f" },
    { "T35 a wildcard", BYTES("*.ok.example"), NULL },
    { "T35 a port", BYTES("ok.example:443"), NULL },
    { "T35 a path", BYTES("ok.example/x"), NULL },
    { "T35 user information", BYTES("user@ok.example"), NULL },
    { "T35 a backslash", BYTES("evil\\.ok.example"), NULL },
    { "a zone", BYTES("fe80--1%eth0"), NULL },
    { "a space", BYTES("ok example"), NULL },
    { "a newline", BYTES("ok.example\n"), NULL },
    { "DEL", BYTES("ok\x7f.example"), NULL },
    { "an underscore, as in service names", BYTES("_dmarc.ok.example"), "_dmarc.ok.example" },
    { "hyphens inside", BYTES("a--b.example"), "a--b.example" },
    { "a label that starts with a hyphen", BYTES("-a.example"), NULL },
    { "a label that ends with one", BYTES("a-.example"), NULL },
    { "the last label ends with one", BYTES("a.example-"), NULL },
    { "the longest label", BYTES(L63 ".example"), L63 ".example" },
    { "T24 one byte more", BYTES(L63 "x.example"), NULL },
    { "T24 the last label too long", BYTES("a." L63 "x"), NULL },
    { "the longest name: 253", BYTES(L63 "." L63 "." L63 "." "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz012345678"),
      L63 "." L63 "." L63 "." "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz012345678" },
    { "the longest name with its dot",
      BYTES(L63 "." L63 "." L63 "." "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz012345678."),
      L63 "." L63 "." L63 "." "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz012345678" },
    { "T24 254 bytes",
      BYTES(L63 "." L63 "." L63 "." "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789"), NULL },
};

static void test_c06_t13_t15_t18_t24_t35_canonical(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(name_cases); i++) {
        const struct name_case *c = &name_cases[i];
        char name[NAME_TEXT_MAX + 1] = "untouched";
        int len = name_canonical(c->bytes, c->len, name);

        if (c->want && (len != (int)strlen(c->want) || strcmp(name, c->want) != 0))
            fail_msg("%s: %d '%s'", c->why, len, name);
        if (!c->want && (len != -EBADMSG || strcmp(name, "untouched") != 0))
            fail_msg("%s: %d '%s'", c->why, len, name);
    }
}

/* Canonical names stay as they are, and no byte that is not theirs ever comes through. */
static void test_t15_t16_every_byte(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char bytes[] = "a?b.example", name[NAME_TEXT_MAX + 1], again[NAME_TEXT_MAX + 1];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                    c == '_' || c == '.';
        int len;

        bytes[1] = (char)c;
        len = name_canonical(bytes, strlen("a?b.example"), name);
        if (good != (len > 0))
            fail_msg("byte %u: %d", c, len);
        if (len < 0)
            continue;
        assert_int_equal(name_canonical(name, (size_t)len, again), len);
        assert_string_equal(again, name);
    }
}

struct below_case {
    const char *name, *suffix;
    bool want;
};

static const struct below_case below_cases[] = {
    { "ok.example", "ok.example", true },
    { "a.ok.example", "ok.example", true },
    { "a.b.ok.example", "ok.example", true },
    { "evilok.example", "ok.example", false }, /* T39: no label boundary */
    { "ok.example.evil.net", "ok.example", false },
    { "example", "ok.example", false },
    { "k.example", "ok.example", false },
    { "ok.example", "", false },
};

static void test_t39_below(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(below_cases); i++)
        if (name_below(below_cases[i].name, below_cases[i].suffix) != below_cases[i].want)
            fail_msg("%s below %s", below_cases[i].name, below_cases[i].suffix);
}

static void test_labels(void **state)
{
    (void)state;
    assert_int_equal(name_labels("localhost"), 1);
    assert_int_equal(name_labels("a.b.example"), 3);
}

static void test_t165_registrable(void **state)
{
    const char *name = "www.shop.co.uk";

    (void)state;
    assert_null(name_registrable("com"));
    assert_null(name_registrable("co.uk"));
    assert_null(name_registrable("example")); /* unknown top-level names are suffixes as well */
    assert_string_equal(name_registrable("a.b.ok.example"), "ok.example");
    assert_ptr_equal(name_registrable(name), name + 4); /* borrowed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c06_t13_t15_t18_t24_t35_canonical),
        cmocka_unit_test(test_t15_t16_every_byte),
        cmocka_unit_test(test_t39_below),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_t165_registrable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
