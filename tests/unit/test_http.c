#include "policy/http.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/hello.h"

#define GET "GET / HTTP/1.1\r\n"
#define HOST "Host: ok.example\r\n"

enum { GOOD = -1, MORE = -2 };

static int read_head(const char *bytes, size_t len, struct evidence *out_evidence)
{
    uint8_t *copy = exact_copy(bytes, len);
    int r = http_head_read(copy, len, out_evidence);
    free(copy);
    return r;
}

static int begins(const char *bytes, size_t len, bool eof)
{
    uint8_t *copy = exact_copy(bytes, len);
    int r = http_begins(copy, len, eof);
    free(copy);
    return r;
}

/* --- heads ------------------------------------------------------------------------------------- */

struct head_case {
    const char *why;
    const char *bytes;
    size_t len;
    int want;
    const char *name;
};

static const struct head_case head_cases[] = {
    { "a request", RAW(GET HOST "\r\n"), GOOD, "ok.example" },
    { "C10 any method", RAW("BREW /pot HTTP/1.1\r\n" HOST "\r\n"), GOOD, "ok.example" },
    { "fields around it", RAW(GET "A: b\r\nUser-Agent: x (y; z)\r\n" HOST "C:d\r\n\r\n"), GOOD, "ok.example" },
    { "no blank behind the colon, blanks at the end", RAW(GET "host:ok.example \t\r\n\r\n"), GOOD, "ok.example" },
    { "T13 T14 capitals and a trailing dot", RAW(GET "HOST: OK.Example.\r\n\r\n"), GOOD, "ok.example" },
    { "a port", RAW(GET "Host: ok.example:8080\r\n\r\n"), GOOD, "ok.example" },
    { "a body behind the head", RAW("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"), GOOD, "ok.example" },
    { "bytes above 127 in a value (obs-text)", RAW(GET HOST "X: caf\xe9\r\n\r\n"), GOOD, "ok.example" },
    { "HTTP/1.0", RAW("GET / HTTP/1.0\r\n" HOST "\r\n"), GOOD, "ok.example" },
    { "OPTIONS *", RAW("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), GOOD, "ok.example" },
    { "T64 HTTP/1.0 without Host", RAW("GET / HTTP/1.0\r\n\r\n"), GOOD, "" },
    { "T64 HTTP/1.1 without Host", RAW(GET "\r\n"), GOOD, "" },
    { "T64 an empty Host", RAW(GET "Host:\r\n\r\n"), GOOD, "" },
    { "an IPv4 Host names nobody", RAW(GET "Host: 192.0.2.1:80\r\n\r\n"), GOOD, "" },
    { "an IPv6 Host names nobody", RAW(GET "Host: [2001:db8::1]:80\r\n\r\n"), GOOD, "" },
    { "T61 Host is what counts", RAW(GET "Host: evil.example\r\n\r\n"), GOOD, "evil.example" },

    { "T62 absolute-form, the same host", RAW("GET http://ok.example/ HTTP/1.1\r\n" HOST "\r\n"), GOOD, "ok.example" },
    { "T62 and its port said on one side", RAW("GET HTTP://OK.example:80?q HTTP/1.1\r\n" HOST "\r\n"), GOOD, "ok.example" },
    { "T62 another host", RAW("GET http://evil.example/ HTTP/1.1\r\n" HOST "\r\n"), REASON_HOST_MISMATCH, "" },
    { "T62 the Host comes too late to help", RAW("GET http://evil.example/ HTTP/1.1\r\nA: b\r\n" HOST "\r\n"),
      REASON_HOST_MISMATCH, "" },
    { "T62 an empty Host", RAW("GET http://ok.example/ HTTP/1.1\r\nHost:\r\n\r\n"), REASON_HOST_MISMATCH, "" },
    { "T62 another port", RAW("GET http://ok.example:81/ HTTP/1.1\r\n" HOST "\r\n"), REASON_HOST_MISMATCH, "" },
    { "T62 no Host", RAW("GET http://ok.example/ HTTP/1.0\r\n\r\n"), REASON_HOST_MISMATCH, "" },
    { "T62 an address and a name", RAW("GET http://192.0.2.1/ HTTP/1.1\r\n" HOST "\r\n"), REASON_HOST_MISMATCH, "" },
    { "T62 user information", RAW("GET http://ok.example@evil.example/ HTTP/1.1\r\n" HOST "\r\n"), REASON_NAME_INVALID, "" },
    { "T62 a backslash", RAW("GET http://evil.example\\.ok.example/ HTTP/1.1\r\n" HOST "\r\n"), REASON_NAME_INVALID, "" },
    { "T62 another scheme", RAW("GET https://ok.example/ HTTP/1.1\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "an empty authority", RAW("GET http:/// HTTP/1.1\r\n" HOST "\r\n"), REASON_NAME_INVALID, "" },

    { "T15 NUL in Host", RAW(GET "Host: evil.example\0.ok.example\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T16 UTF-8 in Host", RAW(GET "Host: ok\xc3\xa9.example\r\n\r\n"), REASON_NAME_INVALID, "" },
    { "T18 numbers", RAW(GET "Host: 2130706433\r\n\r\n"), REASON_NAME_INVALID, "" },
    { "T133 octal", RAW(GET "Host: 0177.0.0.1\r\n\r\n"), REASON_NAME_INVALID, "" },
    { "T132 a zone", RAW(GET "Host: [fe80::1%eth0]\r\n\r\n"), REASON_NAME_INVALID, "" },
    { "IPv6 without its end", RAW(GET "Host: [2001:db8::1\r\n\r\n"), REASON_NAME_INVALID, "" },
    { "IPv4 in brackets", RAW(GET "Host: [192.0.2.1]\r\n\r\n"), REASON_NAME_INVALID, "" },
    { "T73 a name in brackets", RAW(GET "Host: [ok.example]\r\n\r\n"), REASON_NAME_INVALID, "" },
    { "T35 user information", RAW(GET "Host: user@ok.example\r\n\r\n"), REASON_NAME_INVALID, "" },
    { "two hosts in one", RAW(GET "Host: ok.example, evil.example\r\n\r\n"), REASON_NAME_INVALID, "" },
    { "an empty port", RAW(GET "Host: ok.example:\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "port 0", RAW(GET "Host: ok.example:0\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "port 65536", RAW(GET "Host: ok.example:65536\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "a port that is none", RAW(GET "Host: ok.example:80x\r\n\r\n"), REASON_HTTP_MALFORMED, "" },

    { "T65 T66 two Hosts", RAW(GET HOST "Host: evil.example\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 the same twice", RAW(GET HOST HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 an empty one in front", RAW(GET "Host:\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 a blank before the colon", RAW(GET "Host : ok.example\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 obs-fold", RAW(GET "Host:\r\n ok.example\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 a blank before the first field", RAW(GET " " HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 a bare LF", RAW(GET "Host: ok.example\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 bare LF throughout", RAW("GET / HTTP/1.1\nHost: ok.example\n\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 a bare CR in a value", RAW(GET "A: b\rHost: evil.example\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 two CR", RAW(GET "Host: ok.example\r\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 NUL in a value", RAW(GET HOST "A: \0\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 VT in a value", RAW(GET HOST "A: \v\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 a field without a colon", RAW(GET HOST "A\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 a field without a name", RAW(GET HOST ": a\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 length and coding", RAW(GET HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
      REASON_HTTP_MALFORMED, "" },
    { "T66 coding and length", RAW(GET HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
      REASON_HTTP_MALFORMED, "" },
    { "T66 chunked", RAW(GET HOST "Transfer-Encoding: chunked\r\n\r\n"), GOOD, "ok.example" },
    { "T66 xchunked", RAW(GET HOST "Transfer-Encoding: xchunked\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 gzip, chunked", RAW(GET HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 chunked twice", RAW(GET HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
      REASON_HTTP_MALFORMED, "" },
    { "T66 an empty coding", RAW(GET HOST "Transfer-Encoding:\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 a coding in HTTP/1.0", RAW("GET / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"),
      REASON_HTTP_MALFORMED, "" },
    { "T66 two lengths", RAW(GET HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 a list of lengths", RAW(GET HOST "Content-Length: 3, 3\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 a signed length", RAW(GET HOST "Content-Length: +3\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 a length in hex", RAW(GET HOST "Content-Length: 0x3\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 a length beyond 64 bits", RAW(GET HOST "Content-Length: 18446744073709551617\r\n\r\n"), REASON_HTTP_MALFORMED,
      "" },

    { "100-continue", RAW("POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n\r\n"), GOOD, "ok.example" },
    { "T66 another expectation", RAW(GET HOST "Expect: y 100-continue\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 100-continue twice", RAW(GET HOST "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "a list of connection options", RAW(GET HOST "Connection: close, TE, x-host\r\n\r\n"), GOOD, "ok.example" },
    { "T66 Host for the next hop only", RAW(GET HOST "Connection: close, host\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 length for the next hop only", RAW(GET HOST "Connection: Content-Length\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 coding for the next hop only", RAW(GET HOST "Connection: ,transfer-encoding\r\n\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 HEAD in other letters", RAW("Head / HTTP/1.1\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "get is no method that anybody frames by", RAW("get / HTTP/1.1\r\n" HOST "\r\n"), GOOD, "ok.example" },

    { "T66 blanks between the words", RAW("GET  / HTTP/1.1\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 HT between the words", RAW("GET\t/\tHTTP/1.1\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 HT in the target", RAW("GET /\t HTTP/1.1\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 a blank behind the version", RAW("GET / HTTP/1.1 \r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T66 skipped bytes in front", RAW("\r\n" GET HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "HTTP/0.9", RAW("GET /\r\n"), REASON_HTTP_MALFORMED, "" },
    { "HTTP/1.2", RAW("GET / HTTP/1.2\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "http/1.1", RAW("GET / http/1.1\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "HTTP/11", RAW("GET / HTTP/11\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "a target that is no form of one", RAW("GET index.html HTTP/1.1\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "* without OPTIONS", RAW("GET * HTTP/1.1\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T70 CONNECT", RAW("CONNECT evil.example:443 HTTP/1.1\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "T70 Connect", RAW("Connect / HTTP/1.1\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },
    { "TRACE", RAW("TRACE / HTTP/1.1\r\n" HOST "\r\n"), REASON_HTTP_MALFORMED, "" },

    { "T67 HTTP/2 by prior knowledge", RAW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), REASON_PROTO_UNKNOWN, "" },
    { "T67 an upgrade to h2c", RAW(GET HOST "Upgrade: h2c\r\n\r\n"), REASON_PROTO_UNKNOWN, "" },
    { "T67 among others", RAW(GET HOST "Upgrade: websocket , H2C\r\n\r\n"), REASON_PROTO_UNKNOWN, "" },
    { "T67 its settings alone", RAW(GET HOST "HTTP2-Settings: AAMAAABk\r\n\r\n"), REASON_PROTO_UNKNOWN, "" },
    { "T68 an upgrade to WebSocket", RAW(GET HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), GOOD,
      "ok.example" },

    { "half a line", RAW("GET / HTT"), MORE, "" },
    { "a line and no more", RAW(GET HOST), MORE, "" },
    { "all but the last byte", RAW(GET HOST "\r"), MORE, "" },
};

static void check_head(const struct head_case *c)
{
    struct evidence e = {.kind = EVIDENCE_UNKNOWN}, first = {.kind = EVIDENCE_UNKNOWN};
    int r = read_head(c->bytes, c->len, &e);

    if (c->want == MORE && (r != 0 || e.kind != EVIDENCE_UNKNOWN))
        fail_msg("%s: %d", c->why, r);
    if (c->want == GOOD && (r <= 0 || e.kind != EVIDENCE_HTTP || strcmp(e.name, c->name) != 0))
        fail_msg("%s: %d, reason %s, name '%s'", c->why, r, reason_text(e.bad), e.name);
    if (c->want >= 0 && (r != -EBADMSG || e.kind != EVIDENCE_BAD || (int)e.bad != c->want || e.name[0] != '\0'))
        fail_msg("%s: %d, kind %d, reason %s", c->why, r, (int)e.kind, reason_text(e.bad));
    for (size_t len = 0; len < c->len; len++) {
        if (read_head(c->bytes, len, &first) == 0)
            continue;
        if (!evidence_same(&e, &first))
            fail_msg("%s: another answer after %zu of %zu bytes", c->why, len, c->len);
        break;
    }
}

static void test_c10_c17_t61_t68_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(head_cases); i++)
        check_head(&head_cases[i]);
}

/* What a follower needs of a head, whether its bytes come at once or one by one. */
static void check_framing(const char *bytes, size_t len, const struct http_head *want)
{
    for (size_t piece = 1; piece <= len; piece += len - 1) {
        struct http_head head;
        struct evidence e;

        http_head_init(&head);
        for (size_t at = piece; at < len; at += piece)
            assert_int_equal(http_head_resume(&head, (const uint8_t *)bytes, at, &e), 0);
        for (unsigned again = 0; again < 2; again++) {
            assert_int_equal(http_head_resume(&head, (const uint8_t *)bytes, len, &e), len);
            assert_string_equal(e.name, "ok.example");
        }
        assert_int_equal(head.method, want->method);
        assert_true(head.length == want->length && head.chunked == want->chunked && head.upgrade == want->upgrade);
    }
}

static void test_c17_framing_of_a_head(void **state)
{
    (void)state;
    check_framing(RAW(GET HOST "\r\n"), &(struct http_head){.method = HTTP_METHOD_GET});
    check_framing(RAW("HEAD / HTTP/1.1\r\n" HOST "Upgrade: a\r\n\r\n"),
                  &(struct http_head){.method = HTTP_METHOD_HEAD, .upgrade = true});
    check_framing(RAW("PUT / HTTP/1.1\r\n" HOST "Upgrade: ,\r\nContent-Length: 0123456789012345\r\n\r\n"),
                  &(struct http_head){.length = 123456789012345});
    check_framing(RAW("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HOST "\r\n"),
                  &(struct http_head){.chunked = true});
}

static void test_where_the_head_ends(void **state)
{
    struct evidence e;

    (void)state;
    assert_int_equal(read_head(RAW(GET HOST "\r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), &e),
                     sizeof(GET HOST "\r\n") - 1);
    assert_string_equal(e.name, "ok.example");
}

static void test_the_largest_head(void **state)
{
    static char bytes[EVIDENCE_HTTP_BYTES_MAX + 16];
    const size_t head = sizeof(GET HOST "A: ") - 1;
    struct evidence e;

    (void)state;
    memset(bytes, 'a', sizeof(bytes));
    memcpy(bytes, GET HOST "A: ", head);
    assert_int_equal(read_head(bytes, EVIDENCE_HTTP_BYTES_MAX - 1, &e), 0);
    assert_int_equal(read_head(bytes, EVIDENCE_HTTP_BYTES_MAX, &e), -E2BIG);
    assert_int_equal(e.bad, REASON_HTTP_TOO_BIG);
    memcpy(bytes + EVIDENCE_HTTP_BYTES_MAX - 4, "\r\n\r\n", 4);
    assert_int_equal(read_head(bytes, sizeof(bytes), &e), EVIDENCE_HTTP_BYTES_MAX);
    assert_string_equal(e.name, "ok.example");
    memcpy(bytes + EVIDENCE_HTTP_BYTES_MAX - 4, "a\r\n\r\n", 5);
    assert_int_equal(read_head(bytes, sizeof(bytes), &e), -E2BIG);
}

/* --- does it begin a request? ------------------------------------------------------------------ */

enum { IS = 1, OPEN = 0, NOT = -EPROTO };

struct begin_case {
    const char *why;
    const char *bytes;
    size_t len;
    int want, at_eof;
};

static const struct begin_case begin_cases[] = {
    { "nothing yet", RAW(""), OPEN, NOT },
    { "a method", RAW("GET"), OPEN, NOT },
    { "a method and a blank", RAW("GET "), OPEN, NOT },
    { "a path", RAW("GET /"), IS, IS },
    { "an asterisk", RAW("PRI *"), IS, IS },
    { "http", RAW("GET http"), IS, IS },
    { "HTTP", RAW("GET HTTP"), IS, IS },
    { "htt", RAW("GET htt"), OPEN, NOT },
    { "CONNECT, whatever follows", RAW("CONNECT e"), IS, IS },
    { "a command of another protocol", RAW("EHLO mail.example\r\n"), NOT, NOT },
    { "its first word", RAW("EHLO mail.example"), OPEN, NOT },
    { "a target that is known by the version behind it", RAW("GET index.html HTTP/1.1\r\n"), IS, IS },
    { "the line is not over", RAW("GET index.html HTTP/1.1"), OPEN, IS },
    { "in any case", RAW("GET index.html hTTp/9\n"), IS, IS },
    { "a version with blanks behind it", RAW("GET x HTTP/1.1 \t\r\n"), IS, IS },
    { "a version in the middle", RAW("GET x HTTP/1.1 y\r\n"), NOT, NOT },
    { "blanks in front, as lenient servers skip them", RAW("\r\n \t\r\nGET /"), IS, IS },
    { "only blanks", RAW("\r\n\r\n"), OPEN, NOT },
    { "64 blanks", RAW("                                                                GET /"), IS, IS },
    { "65 blanks: refused as HTTP", RAW("                                                                 "), IS, IS },
    { "a word of 24 bytes", RAW("ABCDEFGHIJKLMNOPQRSTUVWX /"), IS, IS },
    { "a word of 25", RAW("ABCDEFGHIJKLMNOPQRSTUVWXY"), NOT, NOT },
    { "SSH", RAW("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), NOT, NOT },
    { "SSH without a comment", RAW("SSH-2.0-OpenSSH_9.2p1\r\n"), NOT, NOT },
    { "PostgreSQL's SSLRequest", RAW("\0\0\0\x08\x04\xd2\x16\x2f"), NOT, NOT },
    { "Redis", RAW("*1\r\n$4\r\nPING\r\n"), NOT, NOT },
    { "no token", RAW("(hello /"), NOT, NOT },
    { "a token and no blank", RAW("GET/ "), NOT, NOT },
    { "control bytes in the line", RAW("GET x\1 HTTP/1.1\r\n"), NOT, NOT },
    { "HT between the words", RAW("GET\t/"), IS, IS },
    { "an empty line behind the word", RAW("QUIT\r\n"), NOT, NOT },
};

static void test_c10_t28_does_it_begin_a_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(begin_cases); i++) {
        const struct begin_case *c = &begin_cases[i];
        int got = begins(c->bytes, c->len, false), at_eof = begins(c->bytes, c->len, true);

        if (got != c->want || at_eof != c->at_eof)
            fail_msg("%s: %d, at its end %d", c->why, got, at_eof);
        for (size_t len = 0; len < c->len; len++) {
            int early = begins(c->bytes, len, false);

            if (early != OPEN && early != c->want)
                fail_msg("%s: %d after %zu of %zu bytes", c->why, early, len, c->len);
        }
    }
}

static void test_a_line_without_end(void **state)
{
    static char bytes[HTTP_LINE_MAX + 2];

    (void)state;
    memset(bytes, 'a', sizeof(bytes));
    bytes[3] = ' ';
    assert_int_equal(begins(bytes, HTTP_LINE_MAX, false), OPEN);
    assert_int_equal(begins(bytes, HTTP_LINE_MAX + 1, false), IS);
    bytes[HTTP_LINE_MAX - 1] = '\n';
    assert_int_equal(begins(bytes, HTTP_LINE_MAX + 1, false), NOT);
    memset(bytes + 3, ' ', sizeof(bytes) - 3);
    assert_int_equal(begins(bytes, HTTP_LINE_MAX, false), OPEN);
    assert_int_equal(begins(bytes, HTTP_LINE_MAX + 1, false), IS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c10_c17_t61_t68_heads),
        cmocka_unit_test(test_c17_framing_of_a_head),
        cmocka_unit_test(test_where_the_head_ends),
        cmocka_unit_test(test_the_largest_head),
        cmocka_unit_test(test_c10_t28_does_it_begin_a_request),
        cmocka_unit_test(test_a_line_without_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
