#include "policy/tls.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/hello.h"

enum { GOOD = -1 };

static int read_stream(const struct bytes *b, struct evidence *out_evidence)
{
    uint8_t *copy = exact_copy(b->at, b->len);
    int r = tls_hello_read(copy, b->len, out_evidence);

    free(copy);
    return r;
}

/* The whole stream in one piece, then up to every one of its bytes: the first final answer is the answer. */
static void expect(const char *why, struct bytes *b, int want, const char *name)
{
    struct evidence e = {.kind = EVIDENCE_UNKNOWN}, first = {.kind = EVIDENCE_UNKNOWN};
    size_t whole = b->len, final = 0;
    int r = read_stream(b, &e);

    if (want == GOOD && (r <= 0 || e.kind != EVIDENCE_TLS || strcmp(e.name, name) != 0))
        fail_msg("%s: %d, reason %s, name '%s'", why, r, reason_text(e.bad), e.name);
    if (want != GOOD && (r != (want == REASON_TLS_TOO_BIG ? -E2BIG : -EBADMSG) || e.kind != EVIDENCE_BAD ||
                         (int)e.bad != want || e.name[0] != '\0'))
        fail_msg("%s: %d, kind %d, reason %s, not %s", why, r, (int)e.kind, reason_text(e.bad),
                 reason_text((enum reason)want));
    for (b->len = 1; b->len < whole && final == 0; b->len++)
        if (read_stream(b, &first) != 0)
            final = b->len;
    if (final > 0 && !evidence_same(&e, &first))
        fail_msg("%s: another answer after %zu of %zu bytes", why, final, whole);
    b->len = whole;
}

/* --- extensions -------------------------------------------------------------------------------- */

struct ext_case {
    const char *why;
    const char *exts;
    size_t len;
    int want;
    const char *name;
};

#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567890"

static const struct ext_case ext_cases[] = {
    { "a name", RAW(SNI_OK), GOOD, "ok.example" },
    { "T02 no extension", RAW(""), GOOD, "" },
    { "T33 a PSK and no name", RAW("\0\x29\0\4abcd"), GOOD, "" },
    { "T29 TLS 1.3 only", RAW("\0\x2b\0\3\2\3\4" SNI_OK), GOOD, "ok.example" },
    { "T13 a trailing dot", RAW("\0\0\0\x10\0\x0e\0\0\x0b" "ok.example."), GOOD, "ok.example" },
    { "T13 two of them", RAW("\0\0\0\x11\0\x0f\0\0\x0c" "ok.example.."), REASON_NAME_INVALID, "" },
    { "T14 capitals", RAW("\0\0\0\x0f\0\x0d\0\0\x0a" "OK.Example"), GOOD, "ok.example" },
    { "T15 NUL", RAW("\0\0\0\x1d\0\x1b\0\0\x18" "evil.example\0.ok.example"), REASON_NAME_INVALID, "" },
    { "T16 UTF-8", RAW("\0\0\0\x11\0\x0f\0\0\x0c" "ok\xc3\xa9.example"), REASON_NAME_INVALID, "" },
    { "T16 U+3002 for a dot", RAW("\0\0\0\x11\0\x0f\0\0\x0c" "ok\xe3\x80\x82" "example"), REASON_NAME_INVALID, "" },
    { "T18 an address", RAW("\0\0\0\x14\0\x12\0\0\x0f" "169.254.169.254"), REASON_NAME_INVALID, "" },
    { "T18 one number", RAW("\0\0\0\x0f\0\x0d\0\0\x0a" "2130706433"), REASON_NAME_INVALID, "" },
    { "T18 an IPv6 address", RAW("\0\0\0\x0a\0\x08\0\0\5" "[::1]"), REASON_NAME_INVALID, "" },
    { "T35 a wildcard", RAW("\0\0\0\x11\0\x0f\0\0\x0c" "*.ok.example"), REASON_NAME_INVALID, "" },
    { "T35 a port", RAW("\0\0\0\x13\0\x11\0\0\x0e" "ok.example:443"), REASON_NAME_INVALID, "" },
    { "T40 a leading dot", RAW("\0\0\0\x10\0\x0e\0\0\x0b" ".ok.example"), REASON_NAME_INVALID, "" },
    { "T24 a label of 64", RAW("\0\0\0\x4d\0\x4b\0\0\x48" L63 "x.example"), REASON_NAME_INVALID, "" },
    { "T19 ok, then evil", RAW("\0\0\0\x1c\0\x1a\0\0\x0a" "ok.example\0\0\x0a" "no.example"), REASON_TLS_MALFORMED, "" },
    { "T19 the same twice", RAW("\0\0\0\x1c\0\x1a\0\0\x0a" "ok.example\0\0\x0a" "ok.example"), REASON_TLS_MALFORMED, "" },
    { "T19 an entry of another type in front", RAW("\0\0\0\x13\0\x11\1\0\1x\0\0\x0a" "ok.example"), REASON_TLS_MALFORMED,
      "" },
    { "T19 an entry of another type behind", RAW("\0\0\0\x13\0\x11\0\0\x0a" "ok.example\1\0\1x"), REASON_TLS_MALFORMED,
      "" },
    { "T19 only an entry of another type", RAW("\0\0\0\x0f\0\x0d\1\0\x0a" "ok.example"), REASON_TLS_MALFORMED, "" },
    { "T20 the extension twice", RAW(SNI_OK SNI_OK), REASON_TLS_MALFORMED, "" },
    { "T20 another one twice", RAW(SNI_OK "\0\x17\0\0\0\x17\0\0"), REASON_TLS_MALFORMED, "" },
    { "T22 an empty extension", RAW("\0\0\0\0"), REASON_TLS_MALFORMED, "" },
    { "T22 an empty list", RAW("\0\0\0\2\0\0"), REASON_TLS_MALFORMED, "" },
    { "T22 an empty name", RAW("\0\0\0\5\0\3\0\0\0"), REASON_TLS_MALFORMED, "" },
    { "T23 the name is longer than the list", RAW("\0\0\0\x0f\0\x0d\0\0\x0b" "ok.example"), REASON_TLS_MALFORMED, "" },
    { "T23 the name is shorter than the list", RAW("\0\0\0\x0f\0\x0d\0\0\x09" "ok.example"), REASON_TLS_MALFORMED, "" },
    { "T23 the list is shorter than the extension", RAW("\0\0\0\x10\0\x0d\0\0\x0a" "ok.examplex"), REASON_TLS_MALFORMED,
      "" },
    { "T23 the list is longer", RAW("\0\0\0\x0f\0\x0e\0\0\x0a" "ok.example"), REASON_TLS_MALFORMED, "" },
    { "T23 the extension is longer than its block", RAW("\0\0\0\x10\0\x0d\0\0\x0a" "ok.example"), REASON_TLS_MALFORMED,
      "" },
    { "T23 half an extension head", RAW(SNI_OK "\0\x17\0"), REASON_TLS_MALFORMED, "" },
    { "T05 T06 ECH", RAW(SNI_OK "\xfe\x0d\0\3abc"), GOOD, "ok.example" },
    { "GREASE is skipped by its length", RAW("\x1a\x1a\0\0" SNI_OK "\xda\xda\0\1\0"), GOOD, "ok.example" },
    { "ALPN", RAW(SNI_OK "\0\x10\0\x0e\0\x0c\2h2\x08" "http/1.1"), GOOD, "ok.example" },
    { "T23 ALPN whose list is empty", RAW(SNI_OK "\0\x10\0\2\0\0"), REASON_TLS_MALFORMED, "" },
    { "T23 ALPN with an empty protocol", RAW(SNI_OK "\0\x10\0\3\0\1\0"), REASON_TLS_MALFORMED, "" },
    { "T23 ALPN whose protocol is too long", RAW(SNI_OK "\0\x10\0\5\0\3\3h2"), REASON_TLS_MALFORMED, "" },
    { "T23 ALPN with bytes behind the list", RAW(SNI_OK "\0\x10\0\6\0\3\2h2x"), REASON_TLS_MALFORMED, "" },
};

static void test_c09_g04_t13_t24_t35_extensions(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ext_cases); i++) {
        const struct ext_case *c = &ext_cases[i];
        struct bytes hello = {.len = 0}, stream = {.len = 0};

        put_hello(&hello, c->exts, c->len);
        put_record(&stream, hello.at, hello.len);
        expect(c->why, &stream, c->want, c->name);
    }
}

static void test_t24_every_length_of_name(void **state)
{
    (void)state;
    for (size_t len = 200; len <= 12000; len += len < 300 ? 1 : 977) {
        struct bytes sni = {.len = 0}, hello = {.len = 0}, stream = {.len = 0};
        struct evidence e;

        put_u16(&sni, 0);
        put_u16(&sni, len + 5);
        put_u16(&sni, len + 3);
        put(&sni, "", 1);
        put_u16(&sni, len);
        for (size_t i = 0; i < len; i++)
            put(&sni, i % 40 == 39 && i + 1 < len ? "." : "a", 1);
        put_hello(&hello, sni.at, sni.len);
        put_record(&stream, hello.at, hello.len);
        read_stream(&stream, &e);
        assert_int_equal(e.kind, len <= NAME_TEXT_MAX ? EVIDENCE_TLS : EVIDENCE_BAD);
        if (e.kind == EVIDENCE_BAD)
            assert_int_equal(e.bad, REASON_NAME_INVALID);
    }
}

struct alpn_case {
    const char *exts;
    size_t len;
    const char *alpn;
    bool ech;
};

static const struct alpn_case alpn_cases[] = {
    { RAW(SNI_OK), "", false },
    { RAW("\0\x10\0\x0e\0\x0c\2h2\x08" "http/1.1"), "h2,http/1.1", false },
    { RAW("\0\x10\0\x08\0\6\5a\n,\"\xff"), "a??\"?", false }, /* what a log line could be broken with */
    { RAW("\0\x10\0\x46\0\x44\x40" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\2h2"), "h2",
      false }, /* one that does not fit is left out */
    { RAW("\xfe\x0d\0\0"), "", true },
    { RAW("\xfe\x0d\0\1\1"), "", true },
};

static void test_t05_t06_what_is_kept_for_the_log(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(alpn_cases); i++) {
        struct bytes hello = {.len = 0}, stream = {.len = 0};
        struct evidence e;

        put_hello(&hello, alpn_cases[i].exts, alpn_cases[i].len);
        put_record(&stream, hello.at, hello.len);
        assert_int_equal(read_stream(&stream, &e), stream.len);
        assert_string_equal(e.alpn, alpn_cases[i].alpn);
        assert_int_equal(e.ech, alpn_cases[i].ech);
    }
}

/* --- the rest of the message ------------------------------------------------------------------- */

struct body_case {
    const char *why;
    const char *body; /* behind the random */
    size_t len;
    int want;
};

static const struct body_case body_cases[] = {
    { "no extensions at all, as before TLS 1.3", RAW("\0\0\2\x13\1\1\0"), GOOD },
    { "an empty block", RAW("\0\0\2\x13\1\1\0\0\0"), GOOD },
    { "a session id of 32", RAW("\x20" "0123456789abcdef0123456789abcdef\0\2\x13\1\1\0"), GOOD },
    { "T23 a session id of 33", RAW("\x21" "0123456789abcdef0123456789abcdefX\0\2\x13\1\1\0"), REASON_TLS_MALFORMED },
    { "T23 a session id of 255", RAW("\xff\0\2\x13\1\1\0"), REASON_TLS_MALFORMED },
    { "T23 no ciphers", RAW("\0\0\0\1\0"), REASON_TLS_MALFORMED },
    { "T23 an odd list of ciphers", RAW("\0\0\3\x13\1\x13\1\0"), REASON_TLS_MALFORMED },
    { "T23 ciphers beyond the end", RAW("\0\xff\xfe\x13\1\1\0"), REASON_TLS_MALFORMED },
    { "T23 no compressions", RAW("\0\0\2\x13\1\0"), REASON_TLS_MALFORMED },
    { "T23 compressions beyond the end", RAW("\0\0\2\x13\1\5\0"), REASON_TLS_MALFORMED },
    { "T23 one byte behind the compressions", RAW("\0\0\2\x13\1\1\0\0"), REASON_TLS_MALFORMED },
    { "T23 a block shorter than what follows", RAW("\0\0\2\x13\1\1\0\0\4\0\x17\0\0x"), REASON_TLS_MALFORMED },
    { "T23 a block longer than what follows", RAW("\0\0\2\x13\1\1\0\0\5\0\x17\0\0"), REASON_TLS_MALFORMED },
    { "T23 it ends in the list of ciphers", RAW("\0\0\2\x13"), REASON_TLS_MALFORMED },
    { "T23 it ends with the random", RAW(""), REASON_TLS_MALFORMED },
};

static void test_t23_every_length_ends_where_it_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(body_cases); i++) {
        const struct body_case *c = &body_cases[i];
        struct bytes hello = {.len = 0}, stream = {.len = 0};

        put(&hello, (uint8_t[]){1, 0, 0, (uint8_t)(34 + c->len), 3, 3}, 6);
        put(&hello, "0123456789abcdef0123456789abcdef", 32);
        put(&hello, c->body, c->len);
        put_record(&stream, hello.at, hello.len);
        expect(c->why, &stream, c->want, "");
    }
}

static void test_t26_t29_versions(void **state)
{
    struct bytes hello = {.len = 0}, stream = {.len = 0};

    (void)state;
    put_hello(&hello, RAW(SNI_OK));
    put_record(&stream, hello.at, hello.len);
    for (unsigned minor = 0; minor < 256; minor++) {
        stream.at[2] = (uint8_t)minor;
        stream.at[10] = (uint8_t)(255 - minor);
        expect("the minor byte means nothing", &stream, GOOD, "ok.example");
    }
    for (unsigned major = 0; major < 256; major++) {
        stream.at[9] = (uint8_t)major;
        expect("T29 legacy_version", &stream, major == 3 ? GOOD : REASON_TLS_MALFORMED, "ok.example");
    }
    stream.at[9] = 3;
    for (unsigned major = 0; major < 256; major++) {
        stream.at[1] = (uint8_t)major;
        expect("T26 the record's version", &stream, major == 3 ? GOOD : REASON_PROTO_UNKNOWN, "ok.example");
    }
}

/* --- records ----------------------------------------------------------------------------------- */

static void test_g08_t08_t09_t11_records_of_every_size(void **state)
{
    struct bytes hello = {.len = 0};
    char why[64];

    (void)state;
    put_hello(&hello, RAW("\0\x17\0\0" SNI_OK "\0\x10\0\5\0\3\2h2"));
    for (size_t size = 1; size <= hello.len; size++) {
        struct bytes stream = {.len = 0};

        snprintf(why, sizeof(why), "T09 records of %zu bytes", size);
        put_records(&stream, hello.at, hello.len, size);
        expect(why, &stream, GOOD, "ok.example");
        stream.at[stream.len] = 0x16; /* what follows is not looked at */
        stream.len++;
        expect(why, &stream, GOOD, "ok.example");
    }
    for (size_t cut = 1; cut < hello.len; cut++) {
        struct bytes stream = {.len = 0};

        snprintf(why, sizeof(why), "T11 two records, cut at %zu", cut);
        put_record(&stream, hello.at, cut);
        put_record(&stream, hello.at + cut, hello.len - cut);
        expect(why, &stream, GOOD, "ok.example");
    }
}

static void test_t31_t34_where_the_hello_ends(void **state)
{
    struct bytes hello = {.len = 0}, stream = {.len = 0};
    struct evidence e;
    size_t first;

    (void)state;
    put_hello(&hello, RAW(SNI_OK));
    put_record(&stream, hello.at, hello.len);
    first = stream.len;
    hello.at[hello.len - 10] = 'n'; /* a second hello, for another name */
    put_record(&stream, hello.at, hello.len);
    assert_int_equal(read_stream(&stream, &e), first);
    assert_string_equal(e.name, "ok.example");
    stream.len = first;
    put(&stream, "\x14\3\3\0\1\1\x17\3\3\0\2xx", 13); /* T31: early data behind it */
    assert_int_equal(read_stream(&stream, &e), first);
    /* In one record with the hello there is nothing that may follow it. */
    stream.len = 0;
    put(&hello, "x", 1);
    put_record(&stream, hello.at, hello.len);
    expect("a byte behind the hello in its record", &stream, REASON_TLS_MALFORMED, "");
    stream.len = 0;
    put_record(&stream, hello.at, 20);
    put_record(&stream, hello.at + 20, hello.len - 20);
    expect("a byte behind the hello in its second record", &stream, REASON_TLS_MALFORMED, "");
}

struct record_case {
    const char *why;
    const char *bytes;
    size_t len;
    int want;
};

static const struct record_case record_cases[] = {
    { "T10 an empty record first", RAW("\x16\3\1\0\0"), REASON_TLS_MALFORMED },
    { "T10 an empty record between", RAW("\x16\3\1\0\2\1\0\x16\3\1\0\0"), REASON_TLS_MALFORMED },
    { "an alert between", RAW("\x16\3\1\0\2\1\0\x15\3\1\0\2\1\0"), REASON_TLS_MALFORMED },
    { "application data between", RAW("\x16\3\1\0\2\1\0\x17\3\1\0\2\1\0"), REASON_TLS_MALFORMED },
    { "another major version between", RAW("\x16\3\1\0\2\1\0\x16\2\1\0\2\1\0"), REASON_TLS_MALFORMED },
    { "a ServerHello", RAW("\x16\3\1\0\4\2\0\0\x30"), REASON_TLS_MALFORMED },
    { "a HelloRequest", RAW("\x16\3\1\0\4\0\0\0\0"), REASON_TLS_MALFORMED },
    { "T25 a hello of 16 MiB", RAW("\x16\3\1\0\4\1\xff\xff\xff"), REASON_TLS_TOO_BIG },
    { "T25 a hello of one byte more than fits", RAW("\x16\3\1\0\4\1\0\x3f\xfd"), REASON_TLS_TOO_BIG },
    { "T25 a record longer than records may be", RAW("\x16\3\1\x40\1"), REASON_TLS_MALFORMED },
    { "T25 a record that leaves no room for its hello", RAW("\x16\3\1\x40\0"), REASON_TLS_TOO_BIG },
    { "a hello without a body", RAW("\x16\3\1\0\4\1\0\0\0"), REASON_TLS_MALFORMED },
};

static void test_t10_t25_records(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(record_cases); i++) {
        struct bytes stream = {.len = 0};

        put(&stream, record_cases[i].bytes, record_cases[i].len);
        expect(record_cases[i].why, &stream, record_cases[i].want, "");
    }
}

/* The stream that is read for a hello has the same bound as the hello, whatever the records. */
static void test_g03_t25_the_largest_hello(void **state)
{
    static const size_t sizes[] = {1, 100, 512, 16384};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t fits = 0;

        for (size_t padding = 0; padding < 17000; padding += padding < 2000 ? 97 : 13) {
            struct bytes exts = {.len = 0}, hello = {.len = 0}, stream = {.len = 0};
            struct evidence e;
            int r;

            put_u16(&exts, 21);
            put_u16(&exts, padding);
            memset(exts.at + exts.len, 0, padding);
            exts.len += padding;
            put(&exts, SNI_OK, sizeof(SNI_OK) - 1);
            put_hello(&hello, exts.at, exts.len);
            put_records(&stream, hello.at, hello.len, sizes[i]);
            r = read_stream(&stream, &e);
            assert_int_equal(e.kind, stream.len <= EVIDENCE_TLS_BYTES_MAX ? EVIDENCE_TLS : EVIDENCE_BAD);
            if (r < 0)
                assert_int_equal(e.bad, REASON_TLS_TOO_BIG);
            else
                fits = stream.len;
        }
        assert_in_range(fits, EVIDENCE_TLS_BYTES_MAX - 110, EVIDENCE_TLS_BYTES_MAX);
    }
}

static void test_body_alone(void **state)
{
    struct bytes hello = {.len = 0};
    struct evidence e;

    (void)state;
    put_hello(&hello, RAW(SNI_OK));
    assert_int_equal(tls_hello_body_read(hello.at + 4, hello.len - 4, &e), hello.len - 4);
    assert_int_equal(e.kind, EVIDENCE_TLS);
    assert_string_equal(e.name, "ok.example");
    for (size_t len = 0; len < hello.len - 4; len++) {
        uint8_t *copy = exact_copy(hello.at + 4, len);
        int r = tls_hello_body_read(copy, len, &e);

        free(copy);
        if (len == 41)
            continue; /* it ends where extensions may be missing */
        assert_int_equal(r, -EBADMSG);
        assert_int_equal(e.bad, REASON_TLS_MALFORMED);
    }
    hello.len = EVIDENCE_TLS_BYTES_MAX + 1;
    assert_int_equal(tls_hello_body_read(hello.at, hello.len, &e), -E2BIG);
    assert_int_equal(e.bad, REASON_TLS_TOO_BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c09_g04_t13_t24_t35_extensions),
        cmocka_unit_test(test_t24_every_length_of_name),
        cmocka_unit_test(test_t05_t06_what_is_kept_for_the_log),
        cmocka_unit_test(test_t23_every_length_ends_where_it_says),
        cmocka_unit_test(test_t26_t29_versions),
        cmocka_unit_test(test_g08_t08_t09_t11_records_of_every_size),
        cmocka_unit_test(test_t31_t34_where_the_hello_ends),
        cmocka_unit_test(test_t10_t25_records),
        cmocka_unit_test(test_g03_t25_the_largest_hello),
        cmocka_unit_test(test_body_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
