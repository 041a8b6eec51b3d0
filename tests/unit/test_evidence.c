/*
 * First bytes of every kind, and the first flights of real clients (tests/corpus/tls/X.jsonl): one JSON object a line,
 * `hex` holds the bytes, `sni` the name in them or null.
 */
#include "policy/evidence.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/hello.h"

enum { ANY_BYTES = 0x100 };

static void read_exact(const uint8_t *bytes, size_t len, bool eof, struct evidence *out_evidence)
{
    uint8_t *copy = exact_copy(bytes, len);

    evidence_read(copy, len, eof, out_evidence);
    free(copy);
}

/* --- kinds ------------------------------------------------------------------------------------- */

struct kind_case {
    const char *why;
    const char *bytes;
    size_t len;
    enum evidence_kind want;
    enum reason bad;
    enum evidence_kind at_eof; /* of a case that is undecided */
};

#define UNDECIDED(at_eof) EVIDENCE_UNKNOWN, REASON_OK_RULE, at_eof
#define OPAQUE EVIDENCE_OPAQUE, REASON_OK_RULE, EVIDENCE_OPAQUE
#define BAD(reason) EVIDENCE_BAD, REASON_##reason, EVIDENCE_BAD

static const struct kind_case kind_cases[] = {
    { "nothing", RAW(""), UNDECIDED(EVIDENCE_OPAQUE) },
    { "half a hello", RAW("\x16\3\1\2\0\1\0"), UNDECIDED(EVIDENCE_BAD) },
    { "one byte of it", RAW("\x16"), UNDECIDED(EVIDENCE_BAD) },
    { "T26 no version of TLS", RAW("\x16\0\0"), BAD(PROTO_UNKNOWN) },
    { "T26 another", RAW("\x16\x7f\x7f"), BAD(PROTO_UNKNOWN) },
    { "T10 an empty record", RAW("\x16\3\1\0\0"), BAD(TLS_MALFORMED) },
    { "an alert in front of a hello", RAW("\x15\3\1"), BAD(TLS_MALFORMED) },
    { "application data", RAW("\x17\3\3"), BAD(TLS_MALFORMED) },
    { "ChangeCipherSpec", RAW("\x14\3\3"), BAD(TLS_MALFORMED) },
    { "heartbeat", RAW("\x18\3\3"), BAD(TLS_MALFORMED) },
    { "what only starts like a record", RAW("\x17\x04"), OPAQUE },
    { "one byte of either", RAW("\x17"), UNDECIDED(EVIDENCE_OPAQUE) },
    { "T27 an SSLv2 hello for 3.1", RAW("\x80\x2e\1\3\1"), BAD(TLS_SSLV2) },
    { "T27 an SSLv2 hello for 2", RAW("\x80\x2e\1\0\2"), BAD(TLS_SSLV2) },
    { "T27 a long one", RAW("\xff\xff\1\3\4"), BAD(TLS_SSLV2) },
    { "SSLv2 of no version", RAW("\x80\x2e\1\0\3"), OPAQUE },
    { "SSLv2 of another type", RAW("\x80\x2e\2"), OPAQUE },
    { "SSLv2 as far as it goes", RAW("\x80\x2e\1\3"), UNDECIDED(EVIDENCE_OPAQUE) },
    { "T36 PROXY, version 1", RAW("PROXY TCP4 "), BAD(PROTO_UNKNOWN) },
    { "T36 behind blanks", RAW("\r\n PROXY "), BAD(PROTO_UNKNOWN) },
    { "T36 its first bytes", RAW("PROXY"), UNDECIDED(EVIDENCE_OPAQUE) },
    { "T36 PROXY, version 2", RAW("\r\n\r\n\0\r\nQUIT\n\x21"), BAD(PROTO_UNKNOWN) },
    { "T36 its first bytes", RAW("\r\n\r\n\0\r\nQUIT"), UNDECIDED(EVIDENCE_OPAQUE) },
    { "what only starts like it", RAW("\r\n\r\n\0\r\nQUIX"), OPAQUE },
    { "T36 a SOCKS5 greeting", RAW("\5\1\0"), OPAQUE },
    { "T36 a SOCKS4 request", RAW("\4\1\1\xbb\1\2\3\4\0"), OPAQUE },
    { "C10 a request", RAW("GET / HTTP/1.1\r\nHost: ok.example\r\n\r\n"), EVIDENCE_HTTP, REASON_OK_RULE, EVIDENCE_HTTP },
    { "C10 half a request", RAW("GET / HTTP/1.1\r\nHost: ok.example\r\n"), UNDECIDED(EVIDENCE_BAD) },
    { "T61 a name that is none", RAW("GET / HTTP/1.1\r\nHost: a b\r\n"), BAD(NAME_INVALID) },
    { "T62 two names", RAW("GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n"), BAD(HOST_MISMATCH) },
    { "T66 blanks before a request", RAW("\r\nGET / HTTP/1.1\r\n"), BAD(HTTP_MALFORMED) },
    { "T67 HTTP/2", RAW("PRI * HTTP/2.0\r\n\r\n"), BAD(PROTO_UNKNOWN) },
    { "T28 SSH", RAW("SSH-2.0-OpenSSH_9.2p1\r\n"), OPAQUE },
    { "T44 PostgreSQL's SSLRequest", RAW("\0\0\0\x08\x04\xd2\x16\x2f"), OPAQUE },
    { "SMTP", RAW("EHLO mail.example\r\n"), OPAQUE },
    { "half a line of it", RAW("EHLO mail"), UNDECIDED(EVIDENCE_OPAQUE) },
};

static void test_c10_t26_t27_t36_kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kind_cases); i++) {
        const struct kind_case *c = &kind_cases[i];
        struct evidence e, end;

        read_exact((const uint8_t *)c->bytes, c->len, false, &e);
        read_exact((const uint8_t *)c->bytes, c->len, true, &end);
        if (e.kind != c->want || e.bad != c->bad)
            fail_msg("%s: %d %s", c->why, (int)e.kind, reason_text(e.bad));
        if (end.kind != c->at_eof)
            fail_msg("%s: at its end %d %s", c->why, (int)end.kind, reason_text(end.bad));
    }
}

/* Whatever the bytes, the first final answer is the answer of all of them, and at the end there is always one. */
static void check_cuts(const uint8_t *bytes, size_t len)
{
    struct evidence final = {.kind = EVIDENCE_UNKNOWN}, e;

    for (size_t cut = 0; cut <= len; cut++) {
        read_exact(bytes, cut, false, &e);
        if (final.kind != EVIDENCE_UNKNOWN && !evidence_same(&e, &final))
            fail_msg("another answer at byte %zu of %zu", cut, len);
        if (final.kind == EVIDENCE_UNKNOWN)
            final = e;
        read_exact(bytes, cut, true, &e);
        assert_int_not_equal(e.kind, EVIDENCE_UNKNOWN);
        if (final.kind != EVIDENCE_UNKNOWN)
            assert_true(evidence_same(&e, &final));
        assert_true(e.kind == EVIDENCE_TLS || e.kind == EVIDENCE_HTTP || e.name[0] == '\0');
    }
}

static void test_t08_every_cut_of_the_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kind_cases); i++)
        check_cuts((const uint8_t *)kind_cases[i].bytes, kind_cases[i].len);
}

/* Bytes from a seed, most of them such as protocols begin with. */
static void test_t08_every_cut_of_random_bytes(void **state)
{
    static const char *const pieces[] = {"\x16\3\1", "\x15\3", "\x80\x2e\1\3\1", "GET ", "/", " HTTP/1.1", "\r\n", "\n", " ",
                                         "PROXY ", "Host: a.b", "http", "CONNECT ", "\t", "abc", "\r\n\r\n", ":", "PRI * "};
    uint64_t seed = 7;

    (void)state;
    for (unsigned run = 0; run < 20000; run++) {
        struct bytes b = {.len = 0};

        for (unsigned i = 0; i < 8; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            if (seed >> 61 == 0)
                put(&b, (uint8_t[]){(uint8_t)(seed >> 40)}, 1);
            else
                put(&b, pieces[(seed >> 33) % ARRAY_SIZE(pieces)], strlen(pieces[(seed >> 33) % ARRAY_SIZE(pieces)]));
        }
        check_cuts(b.at, b.len);
    }
}

/* What is held undecided has a bound in every branch. */
static void test_t45_undecided_bytes_are_bounded(void **state)
{
    static const char *const endless[] = {" ", "a", "GET x", "GET / HTTP/1.1\r\nA: ", "\x16\3\1\x3f\xf0\1\0\x3f\xec\3\3"};
    static struct bytes b;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(endless); i++) {
        struct evidence e;

        memset(b.at, ' ', sizeof(b.at));
        if (i > 0)
            memset(b.at, 'a', sizeof(b.at));
        memcpy(b.at, endless[i], i == 4 ? 11 : strlen(endless[i]));
        evidence_read(b.at, EVIDENCE_TLS_BYTES_MAX, false, &e);
        assert_int_not_equal(e.kind, EVIDENCE_UNKNOWN);
    }
}

/* --- real clients ------------------------------------------------------------------------------ */

struct fixture {
    const char *file;
    unsigned flights;
    const char *name; /* NULL: refused as name.invalid */
    bool ech;
    const char *alpn; /* NULL: whatever */
};

static const struct fixture fixtures[] = {
    { "bun", 1, "sandbox.example.com", false, NULL },
    { "chromium", 2, "sandbox.example.com", true, "h2,http/1.1" },
    { "curl", 1, "sandbox.example.com", false, NULL },
    { "firefox", 4, "sandbox.example.com", true, NULL },
    { "node24-frag512", 1, "sandbox.example.com", false, NULL },
    { "node24", 1, "sandbox.example.com", false, NULL },
    { "openssl30", 1, "sandbox.example.com", false, "" },
    { "openssl30-nosni", 1, "", false, "" },
    { "openssl30-trailing-dot", 1, "sandbox.example.com", false, "" },
    { "openssl30-ip-sni", 1, NULL, false, "" },
    { "python", 1, "sandbox.example.com", false, NULL },
};

static FILE *open_fixture(const char *name)
{
    static const char here[] = __FILE__, tail[] = "unit/test_evidence.c";
    char path[512];

    assert_true(sizeof(here) > sizeof(tail));
    snprintf(path, sizeof(path), "%.*scorpus/tls/%s.jsonl", (int)(sizeof(here) - sizeof(tail)), here, name);
    return fopen(path, "r");
}

/* The value of "hex", decoded. */
static void hex_of(const char *line, struct bytes *out_bytes)
{
    static const char key[] = "\"hex\": \"";
    const char *at = strstr(line, key);
    unsigned byte;

    assert_non_null(at);
    out_bytes->len = 0;
    for (at += strlen(key); *at != '"'; at += 2) {
        assert_int_equal(sscanf(at, "%2x", &byte), 1);
        put(out_bytes, (uint8_t[]){(uint8_t)byte}, 1);
    }
}

static void check_fixture(const struct fixture *f, const struct bytes *b, struct evidence *out_evidence)
{
    read_exact(b->at, b->len, false, out_evidence);
    if (!f->name) {
        assert_int_equal(out_evidence->kind, EVIDENCE_BAD);
        assert_int_equal(out_evidence->bad, REASON_NAME_INVALID);
        return;
    }
    if (out_evidence->kind != EVIDENCE_TLS || strcmp(out_evidence->name, f->name) != 0 || out_evidence->ech != f->ech)
        fail_msg("%s: %d '%s'", f->file, (int)out_evidence->kind, out_evidence->name);
    if (f->alpn && strcmp(out_evidence->alpn, f->alpn) != 0)
        fail_msg("%s: ALPN '%s'", f->file, out_evidence->alpn);
}

/* The handshake bytes of a flight of one or more records. */
static void strip_records(const struct bytes *flight, struct bytes *out_handshake)
{
    out_handshake->len = 0;
    for (size_t at = 0; at + 5 <= flight->len;) {
        size_t len = (size_t)flight->at[at + 3] << 8 | flight->at[at + 4];

        put(out_handshake, flight->at + at + 5, len);
        at += 5 + len;
    }
}

static void check_rerecorded(const struct bytes *flight, const struct evidence *want)
{
    static struct bytes handshake, stream;

    strip_records(flight, &handshake);
    for (size_t size = 1; size <= handshake.len; size++) {
        struct evidence e;

        stream.len = 0;
        put_records(&stream, handshake.at, handshake.len, size);
        read_exact(stream.at, stream.len, false, &e);
        if (!evidence_same(&e, want))
            fail_msg("records of %zu bytes: %d '%s'", size, (int)e.kind, e.name);
        /* Inside records the hello is cut anywhere as well; a few cuts of each stand for all. */
        for (size_t cut = size; cut < stream.len; cut += 1 + stream.len / 7) {
            read_exact(stream.at, cut, false, &e);
            assert_true(e.kind == EVIDENCE_UNKNOWN || evidence_same(&e, want));
        }
    }
}

static void test_c09_g08_t06_t08_t09_t11_real_clients(void **state)
{
    static struct bytes flight;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fixtures); i++) {
        FILE *file = open_fixture(fixtures[i].file);
        size_t room = 0;
        char *line = NULL;
        unsigned count = 0;

        if (!file)
            fail_msg("tests/corpus/tls/%s.jsonl: %s", fixtures[i].file, strerror(errno));
        for (; getline(&line, &room, file) > 0; count++) {
            struct evidence e;

            hex_of(line, &flight);
            check_fixture(&fixtures[i], &flight, &e);
            check_cuts(flight.at, flight.len);
            check_rerecorded(&flight, &e);
        }
        free(line);
        fclose(file);
        assert_int_equal(count, fixtures[i].flights);
    }
}

/* A byte of a real hello changed: another verdict perhaps, but the same one at every cut, and never a fault. */
static void test_t23_real_hellos_with_a_byte_changed(void **state)
{
    static struct bytes flight;
    FILE *file = open_fixture("chromium");
    size_t room = 0;
    char *line = NULL;

    (void)state;
    assert_non_null(file);
    assert_true(getline(&line, &room, file) > 0);
    fclose(file);
    hex_of(line, &flight);
    free(line);
    for (size_t at = 0; at < flight.len; at++) {
        uint8_t was = flight.at[at];

        for (unsigned flip = 1; flip < ANY_BYTES; flip <<= 1) {
            struct evidence whole, cut;

            flight.at[at] = (uint8_t)(was ^ flip);
            read_exact(flight.at, flight.len, false, &whole);
            read_exact(flight.at, flight.len, true, &cut);
            assert_int_not_equal(cut.kind, EVIDENCE_UNKNOWN);
            if (whole.kind != EVIDENCE_UNKNOWN)
                assert_true(evidence_same(&cut, &whole));
            read_exact(flight.at, at + 1, false, &cut);
            assert_true(cut.kind == EVIDENCE_UNKNOWN || evidence_same(&cut, &whole));
        }
        flight.at[at] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c10_t26_t27_t36_kinds),
        cmocka_unit_test(test_t08_every_cut_of_the_cases),
        cmocka_unit_test(test_t08_every_cut_of_random_bytes),
        cmocka_unit_test(test_t45_undecided_bytes_are_bounded),
        cmocka_unit_test(test_c09_g08_t06_t08_t09_t11_real_clients),
        cmocka_unit_test(test_t23_real_hellos_with_a_byte_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
