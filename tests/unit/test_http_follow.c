#include "policy/http_follow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/hello.h"

#define GET(host) "GET / HTTP/1.1\r\nHost: " host "\r\n\r\n"
#define OK0 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define UPGRADE "GET /ws HTTP/1.1\r\nHost: ok.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
#define CHUNKED "POST / HTTP/1.1\r\nHost: ok.example\r\nTransfer-Encoding: chunked\r\n\r\n"

/*
 * A script: pieces in turn, guest's with '>' and server's with '<' in front. What comes of it is a text: "ok.example,"
 * for every head that was judged (each is allowed), then the step at which the guest's bytes came to rest, and
 * "unreadable" when the server's did.
 */
struct run {
    struct http_follow f;
    uint8_t pending[4096]; /* the guest's bytes that did not pass */
    size_t len, passed;
    bool unreadable;
    char said[512];
};

static const char *const steps[] = {
    [FOLLOW_PASS] = "pass", [FOLLOW_JUDGE] = "judge",   [FOLLOW_MORE] = "more",
    [FOLLOW_HOLD] = "hold", [FOLLOW_OPAQUE] = "opaque", [FOLLOW_BAD] = "bad",
};

static void say(struct run *r, const char *text)
{
    size_t at = strlen(r->said);

    (void)snprintf(r->said + at, sizeof(r->said) - at, "%s,", text[0] != '\0' ? text : "-");
}

static enum follow_step guest(struct run *r, const char *bytes, size_t len)
{
    struct evidence e;
    enum follow_step step;
    size_t n = 0;

    assert_true(r->len + len <= sizeof(r->pending));
    memcpy(r->pending + r->len, bytes, len);
    r->len += len;
    for (;;) {
        uint8_t *copy = exact_copy(r->pending, r->len);

        step = http_follow_guest(&r->f, copy, r->len, &n, &e);
        free(copy);
        if (step == FOLLOW_JUDGE) {
            assert_int_equal(e.kind, EVIDENCE_HTTP);
            assert_in_range(n, 1, r->len);
            say(r, e.name);
            http_follow_allow(&r->f);
            continue;
        }
        if (step != FOLLOW_PASS)
            return step;
        assert_in_range(n, 1, r->len);
        memmove(r->pending, r->pending + n, r->len - n);
        r->len -= n;
        r->passed += n;
    }
}

/* @cut: bytes at a time; 0: pieces as they are */
static void play(struct run *r, const char *const *script, size_t cut)
{
    enum follow_step last = FOLLOW_MORE;

    memset(r, 0, sizeof(*r));
    http_follow_init(&r->f);
    for (; *script; script++) {
        size_t len = strlen(*script) - 1, step = cut > 0 ? cut : len;

        for (size_t at = 0; at < len && !r->unreadable; at += step) {
            size_t n = len - at < step ? len - at : step;

            if ((*script)[0] == '>')
                last = guest(r, *script + 1 + at, n);
            else if (http_follow_server(&r->f, (const uint8_t *)*script + 1 + at, n) < 0)
                r->unreadable = true;
        }
    }
    last = guest(r, "", 0); /* what the server said may have changed it */
    say(r, r->unreadable ? "unreadable" : steps[last]);
}

struct script_case {
    const char *why;
    const char *pieces[8];
    const char *want;
};

static const struct script_case cases[] = {
    { "T65 two requests, one behind the other", {">" GET("ok.example") GET("evil.example")}, "ok.example,evil.example,more," },
    { "T65 the second behind the answer", {">" GET("ok.example"), "<" OK0, ">" GET("evil.example")},
      "ok.example,evil.example,more," },
    { "T64 the second without a Host", {">" GET("ok.example") "GET / HTTP/1.0\r\n\r\n"}, "ok.example,-,more," },
    { "T61 what looks like a request inside a body is none",
      {">POST / HTTP/1.1\r\nHost: ok.example\r\nContent-Length: 38\r\n\r\n" GET("evil.example") GET("b.example")},
      "ok.example,b.example,more," },
    { "T66 a body that is longer than it says: its rest is a head", {">POST / HTTP/1.1\r\nHost: ok.example\r\n"
      "Content-Length: 1\r\n\r\nx" GET("evil.example")}, "ok.example,evil.example,more," },
    { "C17 chunks", {">" CHUNKED "5\r\nhello\r\n0A\r\n0123456789\r\n0\r\n\r\n" GET("b.example")},
      "ok.example,b.example,more," },
    { "T66 a chunk extension", {">" CHUNKED "5;a=b\r\nhello\r\n0\r\n\r\n"}, "ok.example,bad," },
    { "T66 a blank behind a size", {">" CHUNKED "5 \r\nhello\r\n0\r\n\r\n"}, "ok.example,bad," },
    { "T66 a size with 0x", {">" CHUNKED "0x5\r\nhello\r\n0\r\n\r\n"}, "ok.example,bad," },
    { "T66 a sign", {">" CHUNKED "+5\r\nhello\r\n0\r\n\r\n"}, "ok.example,bad," },
    { "T66 no size", {">" CHUNKED "\r\nhello\r\n0\r\n\r\n"}, "ok.example,bad," },
    { "T66 a size too long to be one", {">" CHUNKED "0000000000000005\r\nhello\r\n"}, "ok.example,bad," },
    { "T66 LF alone behind a size", {">" CHUNKED "5\nhello\r\n0\r\n\r\n"}, "ok.example,bad," },
    { "T66 LF alone behind a chunk", {">" CHUNKED "5\r\nhello\n0\r\n\r\n"}, "ok.example,bad," },
    { "T66 a chunk longer than its size", {">" CHUNKED "5\r\nhello!\r\n0\r\n\r\n"}, "ok.example,bad," },
    { "T66 trailers", {">" CHUNKED "0\r\nHost: evil.example\r\n\r\n"}, "ok.example,bad," },
    { "T66 a later head with both framings", {">" GET("ok.example") "POST / HTTP/1.1\r\nHost: ok.example\r\n"
      "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"}, "ok.example,bad," },
    { "T66 CR LF between requests", {">" GET("ok.example") "\r\n" GET("ok.example")}, "ok.example,bad," },
    { "T67 HTTP/2 behind a request", {">" GET("ok.example") "PRI * HTTP/2.0\r\n\r\n"}, "ok.example,bad," },
    { "T67 an upgrade to h2c", {">" GET("ok.example") "GET / HTTP/1.1\r\nHost: ok.example\r\nUpgrade: h2c\r\n\r\n"},
      "ok.example,bad," },
    { "T68 bytes behind an upgrade wait", {">" UPGRADE "anything"}, "ok.example,hold," },
    { "T68 101: the rest is opaque", {">" UPGRADE "anything", "<HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81\5hello"},
      "ok.example,opaque," },
    { "T68 100, then 101", {">" UPGRADE "anything", "<HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 S\r\n\r\n"},
      "ok.example,opaque," },
    { "T68 no 101: reading goes on", {">" UPGRADE GET("evil.example"), "<" OK0}, "ok.example,evil.example,more," },
    { "T68 the answer to the request before is not it", {">" GET("ok.example") UPGRADE "x", "<" OK0},
      "ok.example,ok.example,hold," },
    { "T68 ... but the one behind that is", {">" GET("ok.example") UPGRADE "x", "<" OK0 "HTTP/1.1 101 S\r\n\r\n"},
      "ok.example,ok.example,opaque," },
    { "T68 101 that nobody asked for", {">" GET("ok.example"), "<HTTP/1.1 101 S\r\n\r\n"}, "ok.example,unreadable," },
    { "T68 101 to the request before the one that asked", {">" GET("ok.example") UPGRADE, "<HTTP/1.1 101 S\r\n\r\n"},
      "ok.example,ok.example,unreadable," },
    { "T68 refused while its body is still on the way", {">POST / HTTP/1.1\r\nHost: ok.example\r\nUpgrade: tls\r\n"
      "Content-Length: 4\r\n\r\nab", "<" OK0, ">cd" GET("b.example")}, "ok.example,b.example,more," },
    { "C17 an answer without a body", {">HEAD / HTTP/1.1\r\nHost: ok.example\r\n\r\n" UPGRADE,
      "<HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 101 S\r\n\r\n"}, "ok.example,ok.example,opaque," },
    { "C17 304 with a length", {">" GET("ok.example") UPGRADE, "<HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\nHTTP/1.1 101 S\r\n\r\n"},
      "ok.example,ok.example,opaque," },
    { "C17 an answer in chunks, with an extension and a trailer", {">" GET("ok.example") UPGRADE,
      "<HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\nHTTP/1.1 101 S\r\n\r\n"},
      "ok.example,ok.example,opaque," },
    { "C17 an answer that lasts until the end", {">" GET("ok.example") UPGRADE "x", "<HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 101 S\r\n\r\n"},
      "ok.example,ok.example,hold," },
    { "C17 LF alone, as a server may", {">" GET("ok.example") UPGRADE, "<HTTP/1.1 204 No\nServer: x\n\nHTTP/1.1 101 S\n\n"},
      "ok.example,ok.example,opaque," },
    { "C17 an answer framed twice", {">" GET("ok.example"), "<HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
      "ok.example,unreadable," },
    { "C17 two lengths", {">" GET("ok.example"), "<HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"},
      "ok.example,unreadable," },
    { "C17 the same length twice", {">" GET("ok.example") UPGRADE,
      "<HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 101 S\r\n\r\n"}, "ok.example,ok.example,opaque," },
    { "C17 a length that is none", {">" GET("ok.example"), "<HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n"}, "ok.example,unreadable," },
    { "C17 a folded length", {">" GET("ok.example"), "<HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\n"}, "ok.example,unreadable," },
    { "C17 a folded line of another field", {">" GET("ok.example") UPGRADE,
      "<HTTP/1.1 204 OK\r\nX: 1\r\n 2\r\n\r\nHTTP/1.1 101 S\r\n\r\n"}, "ok.example,ok.example,opaque," },
    { "C17 a blank before the colon", {">" GET("ok.example"), "<HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n"}, "ok.example,unreadable," },
    { "C17 no HTTP", {">" GET("ok.example"), "<SSH-2.0-x\r\n"}, "ok.example,unreadable," },
    { "C17 HTTP/2", {">" GET("ok.example"), "<HTTP/2.0 200 OK\r\n"}, "ok.example,unreadable," },
    { "C17 a chunk without a size", {">" GET("ok.example"), "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"},
      "ok.example,unreadable," },
    { "C17 an answer that nobody asked for: nothing goes up any more",
      {">" GET("ok.example"), "<" OK0 "HTTP/1.1 408 Timeout\r\nConnection: close\r\n\r\n", ">" GET("b.example")}, "ok.example,hold," },
};

static void test_scripts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (size_t cut = 0; cut < 8; cut++) {
            static struct run r;

            play(&r, cases[i].pieces, cut);
            if (strcmp(r.said, cases[i].want) != 0)
                fail_msg("%s, %zu bytes at a time: %s, not %s", cases[i].why, cut, r.said, cases[i].want);
        }
    }
}

/* Nothing of a head passes before it is allowed, however often it is asked about. */
static void test_c17_nothing_passes_before_the_verdict(void **state)
{
    static const char request[] = GET("ok.example");
    struct http_follow f;
    struct evidence e;
    size_t n = 0;

    (void)state;
    http_follow_init(&f);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(http_follow_guest(&f, (const uint8_t *)request, sizeof(request) - 1, &n, &e), FOLLOW_JUDGE);
        assert_int_equal(n, sizeof(request) - 1);
    }
    assert_true(http_follow_all_answered(&f));
    http_follow_allow(&f);
    assert_false(http_follow_all_answered(&f));
    assert_int_equal(http_follow_guest(&f, (const uint8_t *)request, 5, &n, &e), FOLLOW_PASS);
    assert_int_equal(n, 5);
}

static void test_c17_answered(void **state)
{
    static const char *const whole[] = {">" GET("ok.example"), "<" OK0, NULL};
    static const char *const half[] = {">" GET("ok.example"), "<HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx", NULL};
    static const char *const begun[] = {">POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nx", "<" OK0, NULL};
    static const char *const endless[] = {">" GET("ok.example"), "<HTTP/1.1 200 OK\r\n\r\n", NULL};
    static struct run r;

    (void)state;
    play(&r, whole, 0);
    assert_true(http_follow_all_answered(&r.f));
    play(&r, half, 0);
    assert_false(http_follow_all_answered(&r.f));
    play(&r, begun, 0);
    assert_false(http_follow_all_answered(&r.f));
    play(&r, endless, 0);
    assert_false(http_follow_all_answered(&r.f));
}

static void test_c17_bounds(void **state)
{
    static const char request[] = ">" GET("ok.example");
    static const char *const one[] = {request, NULL};
    static struct run r;
    enum follow_step step = FOLLOW_MORE;
    int err = 0;
    size_t n;

    (void)state;
    play(&r, one, 0);
    for (n = 1; n <= HTTP_FOLLOW_PIPELINE_MAX && step == FOLLOW_MORE; n++)
        step = guest(&r, request + 1, sizeof(request) - 2);
    assert_int_equal(step, FOLLOW_HOLD);
    assert_int_equal(n, HTTP_FOLLOW_PIPELINE_MAX + 1);
    assert_int_equal(http_follow_server(&r.f, (const uint8_t *)OK0, sizeof(OK0) - 1), 0);
    assert_int_equal(guest(&r, "", 0), FOLLOW_MORE); /* there is room for one more */

    play(&r, one, 0);
    for (n = 0; n < HTTP_FOLLOW_INTERIM_MAX; n++)
        assert_int_equal(http_follow_server(&r.f, (const uint8_t *)"HTTP/1.1 103 E\r\n\r\n", 18), 0);
    assert_true(http_follow_server(&r.f, (const uint8_t *)"HTTP/1.1 103 E\r\n\r\n", 18) < 0);

    play(&r, one, 0);
    assert_int_equal(http_follow_server(&r.f, (const uint8_t *)"HTTP/1.1 200 OK\r\n", 17), 0);
    for (n = 0; n < HTTP_FOLLOW_HEAD_BYTES_MAX && err == 0; n += 5)
        err = http_follow_server(&r.f, (const uint8_t *)"a: b\n", 5);
    assert_true(err < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_c17_nothing_passes_before_the_verdict),
        cmocka_unit_test(test_c17_answered),
        cmocka_unit_test(test_c17_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
