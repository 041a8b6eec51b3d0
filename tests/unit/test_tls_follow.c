#include "policy/tls_follow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/hello.h"

/* RFC 8446 section 4.1.3. */
#define RETRY                                                                                                          \
    "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91"                                                 \
    "\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"
#define RETRY_HELLO "\2\0\0\x28\3\3" RETRY "\0\x13\1\0\0\0"
#define OTHER_HELLO "\2\0\0\x28\3\3" "0123456789abcdef0123456789abcdef" "\0\x13\1\0\0\0"

enum { FIRST = 100 }; /* bytes of a first hello, which is not looked at again */

/* Ask until nothing passes any more. Return: the last step; @out_passed: how many bytes passed by then. */
static enum follow_step ask(struct tls_follow *f, const struct bytes *guest, size_t *passed, struct evidence *e)
{
    for (;;) {
        size_t n = 0, left = guest->len - *passed;
        uint8_t *copy = exact_copy(guest->at + *passed, left);
        enum follow_step step = tls_follow_guest(f, copy, left, &n, e);

        free(copy);
        if (step != FOLLOW_PASS)
            return step;
        assert_in_range(n, 1, left);
        *passed += n;
    }
}

static void server(struct tls_follow *f, const void *message, size_t len, size_t record)
{
    struct bytes b = {.len = 0};

    put_records(&b, message, len, record);
    for (size_t i = 0; i < b.len; i++) /* byte by byte: no cut matters */
        tls_follow_server(f, b.at + i, 1);
}

static struct tls_follow begun(struct bytes *guest)
{
    struct tls_follow f;

    guest->len = FIRST;
    memset(guest->at, 'h', FIRST);
    tls_follow_init(&f, FIRST);
    return f;
}

static void put_second(struct bytes *guest, const void *exts, size_t len)
{
    struct bytes hello = {.len = 0};

    put_hello(&hello, exts, len);
    put_record(guest, hello.at, hello.len);
}

static void test_t30_second_hello(void **state)
{
    static struct bytes guest;
    struct tls_follow f = begun(&guest);
    struct evidence e;
    size_t passed = 0, n = 0;

    (void)state;
    assert_int_equal(ask(&f, &guest, &passed, &e), FOLLOW_MORE);
    assert_int_equal(passed, FIRST);
    put_second(&guest, RAW(SNI_OK));
    assert_int_equal(ask(&f, &guest, &passed, &e), FOLLOW_HOLD); /* the server has said nothing yet */
    assert_int_equal(passed, FIRST);
    server(&f, RAW(RETRY_HELLO), 3);
    assert_int_equal(tls_follow_guest(&f, guest.at + passed, guest.len - passed - 1, &n, &e), FOLLOW_MORE);
    assert_int_equal(ask(&f, &guest, &passed, &e), FOLLOW_JUDGE);
    assert_int_equal(passed, FIRST);
    assert_int_equal(e.kind, EVIDENCE_TLS);
    assert_string_equal(e.name, "ok.example");
    tls_follow_allow(&f);
    assert_int_equal(ask(&f, &guest, &passed, &e), FOLLOW_OPAQUE);
}

/* A warning (unrecognized_name, RFC 6066 section 3) is not yet the server's answer. */
static void test_t30_retry_behind_a_warning(void **state)
{
    static struct bytes guest;
    struct tls_follow f = begun(&guest);
    struct evidence e;
    size_t passed = 0;

    (void)state;
    put_second(&guest, RAW(SNI_OK));
    for (size_t i = 0; i < 7; i++)
        tls_follow_server(&f, (const uint8_t *)"\x15\3\3\0\2\1\x70" + i, 1);
    assert_int_equal(ask(&f, &guest, &passed, &e), FOLLOW_HOLD);
    server(&f, RAW(RETRY_HELLO), 7);
    assert_int_equal(ask(&f, &guest, &passed, &e), FOLLOW_JUDGE);
}

static void test_t30_second_hello_unreadable(void **state)
{
    static struct bytes guest;
    struct tls_follow f = begun(&guest);
    struct evidence e;
    size_t passed = 0;

    (void)state;
    server(&f, RAW(RETRY_HELLO), 100);
    put_second(&guest, RAW(SNI_OK SNI_OK));
    assert_int_equal(ask(&f, &guest, &passed, &e), FOLLOW_BAD);
    assert_int_equal(passed, FIRST);
    assert_int_equal(e.bad, REASON_TLS_MALFORMED);
}

/* T31: early data goes on while the server is silent; what is neither early data nor its company waits. */
static void test_t31_early_data_passes(void **state)
{
    static struct bytes guest;
    struct tls_follow f = begun(&guest);
    struct evidence e;
    size_t passed = 0;

    (void)state;
    put(&guest, RAW("\x14\3\3\0\1\1"));
    put(&guest, RAW("\x17\3\3\0\5early"));
    put(&guest, RAW("\x17\3\3\1\2")); /* 258 bytes of what could be handshakes, but for what is in front of them */
    for (int i = 0; i < 258; i++)
        put(&guest, RAW("\x16"));
    put(&guest, RAW("\x17\3"));
    assert_int_equal(ask(&f, &guest, &passed, &e), FOLLOW_MORE);
    assert_int_equal(passed, guest.len - 2);
    put(&guest, RAW("\3\0\2xx"));
    put_second(&guest, RAW(SNI_OK));
    assert_int_equal(ask(&f, &guest, &passed, &e), FOLLOW_HOLD);
    server(&f, RAW(RETRY_HELLO), 38);
    assert_int_equal(ask(&f, &guest, &passed, &e), FOLLOW_JUDGE);
}

/* What a server may say that is no HelloRetryRequest: the rest is opaque. */
static void test_t34_other_answers(void **state)
{
    static const struct {
        const char *why;
        const char *says;
        size_t len;
    } cases[] = {
        { "a ServerHello", RAW("\x16\3\3\0\x2c" OTHER_HELLO) },
        { "one that differs in its random's last byte", RAW("\x16\3\3\0\x26\2\0\0\x28\3\3"
          "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91"
          "\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9d") },
        { "application data", RAW("\x17") },
        { "a warning, then another message", RAW("\x15\3\3\0\2\1\x70\x16\3\3\0\1\1") },
        { "no TLS", RAW("H") },
        { "another message", RAW("\x16\3\3\0\1\1") },
        { "an empty record", RAW("\x16\3\3\0\0") },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        static struct bytes guest;
        struct tls_follow f = begun(&guest);
        struct evidence e;
        size_t passed = 0;

        put_second(&guest, RAW(SNI_OK)); /* T34: a second hello right behind the first */
        assert_int_equal(ask(&f, &guest, &passed, &e), FOLLOW_HOLD);
        tls_follow_server(&f, (const uint8_t *)cases[i].says, cases[i].len - 1);
        if (f.server != TLS_SERVER_SILENT && i > 0)
            fail_msg("%s: decided before its last byte", cases[i].why);
        tls_follow_server(&f, (const uint8_t *)cases[i].says + cases[i].len - 1, 1);
        if (ask(&f, &guest, &passed, &e) != FOLLOW_OPAQUE)
            fail_msg("%s: not opaque", cases[i].why);
    }
}

static void test_server_ends_in_silence(void **state)
{
    static struct bytes guest;
    struct tls_follow f = begun(&guest);
    struct evidence e;
    size_t passed = 0;

    (void)state;
    tls_follow_server_end(&f);
    assert_int_equal(ask(&f, &guest, &passed, &e), FOLLOW_OPAQUE);
    f = begun(&guest);
    server(&f, RAW(RETRY_HELLO), 100);
    tls_follow_server_end(&f); /* what it asked for still stands */
    put_second(&guest, RAW(SNI_OK));
    passed = 0;
    assert_int_equal(ask(&f, &guest, &passed, &e), FOLLOW_JUDGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t30_second_hello),
        cmocka_unit_test(test_t30_retry_behind_a_warning),
        cmocka_unit_test(test_t30_second_hello_unreadable),
        cmocka_unit_test(test_t31_early_data_passes),
        cmocka_unit_test(test_t34_other_answers),
        cmocka_unit_test(test_server_ends_in_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
