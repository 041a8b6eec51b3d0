#include "policy/quic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/fixtures/quic_chromium.h"
#include "tests/fixtures/quic_flow.h"
#include "tests/fixtures/quic_seal.h"
#include "tests/unit/hello.h"

/* ---- the vectors of the RFCs ---- */

/* The frame of RFC 9001 appendix A.2; RFC 9369 appendix A.2 has the same one. */
static const char vector_hello[] =
    "\x06\x00\x40\xf1\x01\x00\x00\xed\x03\x03\xeb\xf8\xfa\x56\xf1\x29\x39\xb9\x58\x4a\x38\x96\x47\x2e\xc4\x0b\xb8\x63\xcf\xd3\xe8\x68"
    "\x04\xfe\x3a\x47\xf0\x6a\x2b\x69\x48\x4c\x00\x00\x04\x13\x01\x13\x02\x01\x00\x00\xc0\x00\x00\x00\x10\x00\x0e\x00\x00\x0b\x65\x78"
    "\x61\x6d\x70\x6c\x65\x2e\x63\x6f\x6d\xff\x01\x00\x01\x00\x00\x0a\x00\x08\x00\x06\x00\x1d\x00\x17\x00\x18\x00\x10\x00\x07\x00\x05"
    "\x04\x61\x6c\x70\x6e\x00\x05\x00\x05\x01\x00\x00\x00\x00\x00\x33\x00\x26\x00\x24\x00\x1d\x00\x20\x93\x70\xb2\xc9\xca\xa4\x7f\xba"
    "\xba\xf4\x55\x9f\xed\xba\x75\x3d\xe1\x71\xfa\x71\xf5\x0f\x1c\xe1\x5d\x43\xe9\x94\xec\x74\xd7\x48\x00\x2b\x00\x03\x02\x03\x04\x00"
    "\x0d\x00\x10\x00\x0e\x04\x03\x05\x03\x06\x03\x02\x03\x08\x04\x08\x05\x08\x06\x00\x2d\x00\x02\x01\x01\x00\x1c\x00\x02\x40\x01\x00"
    "\x39\x00\x32\x04\x08\xff\xff\xff\xff\xff\xff\xff\xff\x05\x04\x80\x00\xff\xff\x07\x04\x80\x00\xff\xff\x08\x01\x10\x01\x04\x80\x00"
    "\x75\x30\x09\x01\x10\x0f\x08\x83\x94\xc8\xf0\x3e\x51\x57\x08\x06\x04\x80\x00\xff\xff";

#define VECTOR_ID "\x83\x94\xc8\xf0\x3e\x51\x57\x08"

struct vector {
    const char *why;
    enum quic_version version;
    const char *key, *iv, *hp;
    const char *head; /* of the protected packet, its sample included */
    size_t head_len;
    const char *tail;
};

static const struct vector vectors[] = {
    { "RFC 9001 appendix A", QUIC_V1, "\x1f\x36\x96\x13\xdd\x76\xd5\x46\x77\x30\xef\xcb\xe3\xb1\xa2\x2d",
      "\xfa\x04\x4b\x2f\x42\xa3\xfd\x3b\x46\xfb\x25\x5c", "\x9f\x50\x44\x9e\x04\xa0\xe8\x10\x28\x3a\x1e\x99\x33\xad\xed\xd2",
      RAW("\xc0\x00\x00\x00\x01\x08\x83\x94\xc8\xf0\x3e\x51\x57\x08\x00\x00\x44\x9e\x7b\x9a\xec\x34"
          "\xd1\xb1\xc9\x8d\xd7\x68\x9f\xb8\xec\x11\xd2\x42\xb1\x23\xdc\x9b"),
      "\xe2\x21\xaf\x44\x86\x00\x18\xab\x08\x56\x97\x2e\x19\x4c\xd9\x34" },
    { "RFC 9369 appendix A", QUIC_V2, "\x8b\x1a\x0b\xc1\x21\x28\x42\x90\xa2\x9e\x09\x71\xb5\xcd\x04\x5d",
      "\x91\xf7\x3e\x23\x51\xd8\xfa\x91\x66\x0e\x90\x9f", "\x45\xb9\x5e\x15\x23\x5d\x6f\x45\xa6\xb1\x9c\xbc\xb0\x29\x4b\xa9",
      RAW("\xd7\x6b\x33\x43\xcf\x08\x83\x94\xc8\xf0\x3e\x51\x57\x08\x00\x00\x44\x9e\xa0\xc9\x5e\x82"
          "\xff\xe6\x7b\x6a\xbc\xdb\x42\x98\xb4\x85\xdd\x04\xde\x80\x60\x71"),
      "\xa1\x8b\x2f\xaa\x74\x5b\x6f\xe1\x89\xcf\x77\x2a\x9f\x84\xcb\xfc" },
};

static void test_t78_t80_vectors_of_the_rfcs(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        const struct vector *v = &vectors[i];
        const struct seal seal = {.version = v->version, .dcid = VECTOR_ID, .pn = 2, .pad_to = 1200};
        struct sealed packet = {.len = 0};
        struct quic_keys keys;
        struct flow flow;

        assert_int_equal(quic_keys_derive(v->version, (const uint8_t *)VECTOR_ID, 8, &keys), 0);
        assert_memory_equal(keys.key, v->key, sizeof(keys.key));
        assert_memory_equal(keys.iv, v->iv, sizeof(keys.iv));
        assert_memory_equal(keys.hp, v->hp, sizeof(keys.hp));
        /* Head and tag are those of the RFC: then all that the tag covers is. */
        seal_put(&packet, &seal, RAW(vector_hello));
        assert_int_equal(packet.len, 1200);
        assert_memory_equal(packet.at, v->head, v->head_len);
        assert_memory_equal(packet.at + packet.len - QUIC_TAG_BYTES, v->tail, QUIC_TAG_BYTES);
        flow_init(&flow);
        expect(v->why, &flow, feed(&flow, &packet), QUIC_HELLO, 0);
        assert_string_equal(flow.evidence.name, "example.com");
        assert_string_equal(flow.evidence.alpn, "alpn");
    }
}

/* ---- a browser ---- */

/* In every order of the first two and the retransmits: one hello, the same, nothing passes before it. */
static void chromium_in_order(const unsigned order[static CHROMIUM_DATAGRAMS])
{
    bool complete = false;
    struct flow flow;

    flow_init(&flow);
    for (unsigned i = 0; i < CHROMIUM_DATAGRAMS; i++) {
        enum quic_take take = feed_bytes(&flow, chromium_datagrams[order[i]], CHROMIUM_DATAGRAM_BYTES);

        if (complete) {
            expect("Chromium's retransmit", &flow, take, QUIC_PASS, 0);
        } else if (take == QUIC_HELLO) {
            assert_true(i > 0);
            assert_string_equal(flow.evidence.name, "sandbox.example.com");
            assert_string_equal(flow.evidence.alpn, "h3");
            complete = true;
        } else {
            expect("Chromium's first datagrams", &flow, take, QUIC_MORE, 0);
        }
    }
    assert_true(complete);
}

static void test_t82_chromium_in_every_order(void **state)
{
    unsigned order[CHROMIUM_DATAGRAMS], count = 1, left[CHROMIUM_DATAGRAMS];

    (void)state;
    for (unsigned i = 2; i <= CHROMIUM_DATAGRAMS; i++)
        count *= i;
    for (unsigned n = 0; n < count; n++) {
        unsigned rest = n;

        for (unsigned i = 0; i < CHROMIUM_DATAGRAMS; i++)
            left[i] = i;
        for (unsigned i = 0; i < CHROMIUM_DATAGRAMS; i++) {
            unsigned pick = rest % (CHROMIUM_DATAGRAMS - i);

            rest /= CHROMIUM_DATAGRAMS - i;
            order[i] = left[pick];
            memmove(left + pick, left + pick + 1, (CHROMIUM_DATAGRAMS - 1 - pick) * sizeof(left[0]));
        }
        chromium_in_order(order);
    }
}

/* ---- pieces ---- */

static void test_t82_cut_at_every_byte(void **state)
{
    struct bytes hello = {.len = 0};

    (void)state;
    put_hello(&hello, RAW(SNI_OK));
    for (size_t cut = 0; cut <= hello.len; cut++) {
        for (unsigned way = 0; way < 8; way++) {
            bool swapped = way & 1, together = way & 2;
            size_t back = way & 4 && cut > 3 ? 3 : 0; /* the second piece overlaps the first one */
            struct seal seal = {.version = way & 1 ? QUIC_V2 : QUIC_V1, .dcid = ID};
            struct bytes first = {.len = 0}, second = {.len = 0};
            struct flow flow;

            put(&first, "\1\0\0", 3); /* PING, PADDING */
            put_crypto(&first, 0, hello.at, cut);
            put_crypto(&second, cut - back, hello.at + cut - back, hello.len - cut + back);
            flow_init(&flow);
            if (together) {
                put(swapped ? &second : &first, swapped ? first.at : second.at, swapped ? first.len : second.len);
            } else {
                enum quic_take take = feed_frames(&flow, &seal, swapped ? &second : &first);
                bool whole = swapped ? cut - back == 0 : cut == hello.len;

                expect("the first piece", &flow, take, whole ? QUIC_HELLO : QUIC_MORE, 0);
                seal.pn = 1;
                take = feed_frames(&flow, &seal, swapped ? &first : &second);
                expect("the second piece", &flow, take, whole ? QUIC_PASS : QUIC_HELLO, 0);
                continue;
            }
            expect("both pieces", &flow, feed_frames(&flow, &seal, swapped ? &second : &first), QUIC_HELLO, 0);
            assert_string_equal(flow.evidence.name, "ok.example");
        }
    }
}

/* Byte after byte, the last first, in one packet. */
static void test_t82_pieces_of_one_byte(void **state)
{
    struct bytes hello = {.len = 0}, frames = {.len = 0};
    struct flow flow;

    (void)state;
    put_hello(&hello, RAW(SNI_OK));
    for (size_t at = hello.len; at-- > 0;)
        put_crypto(&frames, at, hello.at + at, 1);
    flow_init(&flow);
    expect("bytes", &flow, feed_frames(&flow, &(struct seal){.dcid = ID}, &frames), QUIC_HELLO, 0);
    assert_string_equal(flow.evidence.name, "ok.example");
}

/* A byte of the hello that comes again with another value: before it is complete, and after it was judged. */
static void test_t82_contradictions(void **state)
{
    struct bytes hello = {.len = 0}, first = {.len = 0};
    const struct seal seal = {.dcid = ID}, next = {.dcid = ID, .pn = 1};

    (void)state;
    put_hello(&hello, RAW(SNI_OK));
    put_crypto(&first, 0, hello.at, hello.len - 1);
    for (size_t at = 0; at < hello.len; at++) {
        struct bytes again = {.len = 0};
        uint8_t other = (uint8_t)(hello.at[at] ^ 1);
        struct flow flow;

        put_crypto(&again, at, &other, 1);
        if (at < hello.len - 1) {
            flow_init(&flow);
            assert_int_equal(feed_frames(&flow, &seal, &first), QUIC_MORE);
            expect("before", &flow, feed_frames(&flow, &next, &again), QUIC_BAD, REASON_TLS_MALFORMED);
            expect("for good", &flow, feed_frames(&flow, &seal, &first), QUIC_BAD, REASON_TLS_MALFORMED);
        }
        flow_begin(&flow);
        expect("after", &flow, feed_frames(&flow, &next, &again), QUIC_BAD, REASON_TLS_MALFORMED);
    }
}

/* ---- frames ---- */

struct frame_case {
    const char *why;
    const char *frames; /* before the hello */
    size_t len;
    bool hello;         /* one follows */
    enum quic_take take;
    enum reason bad;
};

#define M REASON_QUIC_MALFORMED

static const struct frame_case frame_cases[] = {
    { "nothing beside the hello", RAW(""), true, QUIC_HELLO, 0 },
    { "T82 PADDING and PING", RAW("\0\1\0\0\1"), true, QUIC_HELLO, 0 },
    { "T82 CRYPTO without bytes", RAW("\6\0\0\6\x40\x10\0"), true, QUIC_HELLO, 0 },
    { "T82 only PING", RAW("\1"), false, QUIC_MORE, 0 },
    { "ACK of one packet", RAW("\2\0\0\0\0"), true, QUIC_HELLO, 0 },
    { "ACK with ranges", RAW("\2\x10\5\2\1\2\3\1\1"), true, QUIC_HELLO, 0 },
    { "ACK with ECN counts", RAW("\3\0\0\0\0\1\2\3"), true, QUIC_HELLO, 0 },
    { "CONNECTION_CLOSE", RAW("\x1c\0\6\3" "bye"), true, QUIC_HELLO, 0 },
    { "T89 ACK below packet 0", RAW("\2\0\0\0\1"), true, QUIC_BAD, M },
    { "T89 ACK whose range ends below packet 0", RAW("\2\5\0\1\1\3\1"), true, QUIC_BAD, M },
    { "T89 ACK with more ranges than bytes", RAW("\2\x10\0\xff\xff\xff\xff\xff\xff\xff\xff\0"), true, QUIC_BAD, M },
    { "T89 ACK with a gap of 2^62 - 1", RAW("\2\x10\0\1\0\xff\xff\xff\xff\xff\xff\xff\xff\0"), true, QUIC_BAD, M },
    { "T89 a CRYPTO longer than the packet", RAW("\6\0\x7f\xff"), false, QUIC_BAD, M },
    { "T89 a CRYPTO of 2^62 - 1 bytes", RAW("\6\0\xff\xff\xff\xff\xff\xff\xff\xff"), true, QUIC_BAD, M },
    { "T89 a CRYPTO at 2^62 - 1", RAW("\6\xff\xff\xff\xff\xff\xff\xff\xff\1x"), true, QUIC_BAD, REASON_TLS_TOO_BIG },
    { "T90 a CRYPTO that ends above 16 KiB", RAW("\6\x7f\xff\2xy"), true, QUIC_BAD, REASON_TLS_TOO_BIG },
    { "T90 an empty CRYPTO above 16 KiB", RAW("\6\x80\0\x40\1\0"), true, QUIC_BAD, REASON_TLS_TOO_BIG },
    { "T89 a CONNECTION_CLOSE longer than the packet", RAW("\x1c\0\0\x7f\xff"), true, QUIC_BAD, M },
    { "T89 CONNECTION_CLOSE of the application", RAW("\x1d\0\0"), true, QUIC_BAD, M },
    { "T89 STREAM", RAW("\x08\0x"), true, QUIC_BAD, M },
    { "T89 NEW_TOKEN", RAW("\7\1x"), true, QUIC_BAD, M },
    { "T89 PATH_CHALLENGE", RAW("\x1a" "12345678"), true, QUIC_BAD, M },
    { "T89 PING in two bytes", RAW("\x40\1"), true, QUIC_BAD, M },
    { "T89 an unknown frame", RAW("\x3f"), true, QUIC_BAD, M },
    { "T89 DATAGRAM", RAW("\x30" "x"), true, QUIC_BAD, M },
    { "another message than a hello", RAW("\6\0\1\x14"), false, QUIC_BAD, REASON_TLS_MALFORMED },
    { "T25 a hello of 16 MiB", RAW("\6\0\4\1\xff\xff\xff"), false, QUIC_BAD, REASON_TLS_TOO_BIG },
    { "T25 a hello one byte too long", RAW("\6\0\4\1\0\x3f\xfd"), false, QUIC_BAD, REASON_TLS_TOO_BIG },
    { "T25 the longest hello has begun", RAW("\6\0\4\1\0\x3f\xfc"), false, QUIC_MORE, 0 },
    { "T34 a byte behind the hello", RAW("\6\x40\x48\1x"), true, QUIC_BAD, REASON_TLS_MALFORMED },
    { "T34 bytes behind it, after a gap", RAW("\6\x41\0\1x"), true, QUIC_BAD, REASON_TLS_MALFORMED },
};

static void test_t25_t34_t89_t90_frames(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(frame_cases); i++) {
        const struct frame_case *c = &frame_cases[i];
        struct bytes frames = {.len = 0};
        struct flow flow;

        put(&frames, c->frames, c->len);
        if (c->hello)
            put_hello_frame(&frames, 0, RAW(SNI_OK));
        flow_init(&flow);
        expect(c->why, &flow, feed_frames(&flow, &(struct seal){.dcid = ID}, &frames), c->take, c->bad);
    }
}

struct hello_case {
    const char *why;
    const char *exts;
    size_t len;
    enum quic_take take;
    enum reason bad;
    const char *name;
    const char *alpn;
    bool ech;
};

static const struct hello_case hello_cases[] = {
    { "T78 a name", RAW(SNI_EVIL), QUIC_HELLO, 0, "evil.example", "", false },
    { "T02 no name", RAW(""), QUIC_HELLO, 0, "", "", false },
    { "T05 ECH", RAW(SNI_OK "\xfe\x0d\0\3abc"), QUIC_HELLO, 0, "ok.example", "", true },
    { "ALPN", RAW("\0\x10\0\5\0\3\2h3"), QUIC_HELLO, 0, "", "h3", false },
    { "T19 two names", RAW("\0\0\0\x1c\0\x1a\0\0\x0a" "ok.example\0\0\x0a" "no.example"), QUIC_BAD, REASON_TLS_MALFORMED, "", "",
      false },
    { "T15 NUL in a name", RAW("\0\0\0\x0f\0\x0d\0\0\x0a" "ok\0example"), QUIC_BAD, REASON_NAME_INVALID, "", "", false },
};

static void test_t78_what_the_hello_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(hello_cases); i++) {
        const struct hello_case *c = &hello_cases[i];
        struct flow flow;

        flow_init(&flow);
        expect(c->why, &flow, feed_hello(&flow, &(struct seal){.dcid = ID}, c->exts, c->len), c->take, c->bad);
        assert_string_equal(flow.evidence.name, c->name);
        assert_string_equal(flow.evidence.alpn, c->alpn);
        assert_int_equal(flow.evidence.ech, c->ech);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t78_t80_vectors_of_the_rfcs),
        cmocka_unit_test(test_t82_chromium_in_every_order),
        cmocka_unit_test(test_t82_cut_at_every_byte),
        cmocka_unit_test(test_t82_pieces_of_one_byte),
        cmocka_unit_test(test_t82_contradictions),
        cmocka_unit_test(test_t25_t34_t89_t90_frames),
        cmocka_unit_test(test_t78_what_the_hello_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
