#include "policy/quic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "base/check.h"
#include "tests/fixtures/quic_flow.h"
#include "tests/fixtures/quic_seal.h"
#include "tests/unit/hello.h"

/* ---- the life of a flow ---- */

static enum quic_take feed_piece(struct flow *flow, const struct seal *seal, const struct bytes *stream, size_t at, size_t len)
{
    struct bytes frames = {.len = 0};

    put_crypto(&frames, at, stream->at + at, len);
    return feed_frames(flow, seal, &frames);
}

static void test_t84_before_the_hello_is_complete(void **state)
{
    const struct seal seal = {.dcid = ID}, early = {.dcid = ID, .type = 1}, handshake = {.dcid = ID, .type = 2};
    struct bytes hello = {.len = 0}, ping = {.at = {1}, .len = 1};
    struct flow flow;

    (void)state;
    put_hello(&hello, RAW(SNI_OK));
    flow_init(&flow);
    expect("half a hello", &flow, feed_piece(&flow, &seal, &hello, 0, 30), QUIC_MORE, 0);
    expect("0-RTT is held", &flow, feed_frames(&flow, &early, &ping), QUIC_MORE, 0);
    expect("Handshake cannot be", &flow, feed_frames(&flow, &handshake, &ping), QUIC_DROP, 0);
    expect("1-RTT cannot be", &flow, feed_bytes(&flow, "\x40" "12345678901234567890", 21), QUIC_DROP, 0);
    expect("nor nothing", &flow, feed_bytes(&flow, "", 0), QUIC_DROP, 0);
    expect("the other half", &flow, feed_piece(&flow, &seal, &hello, 30, hello.len - 30), QUIC_HELLO, 0);
    expect("0-RTT", &flow, feed_frames(&flow, &early, &ping), QUIC_PASS, 0);
    expect("Handshake", &flow, feed_frames(&flow, &handshake, &ping), QUIC_PASS, 0);
    expect("1-RTT", &flow, feed_bytes(&flow, "\x40" "12345678901234567890", 21), QUIC_PASS, 0);
    expect("1-RTT without the fixed bit", &flow, feed_bytes(&flow, "\0" "12345678901234567890", 21), QUIC_PASS, 0);
    expect("nothing", &flow, feed_bytes(&flow, "", 0), QUIC_PASS, 0);
}

static void test_t88_a_flow_without_an_initial(void **state)
{
    static const char *const firsts[] = {"", "@2345678901234567890", "\1", "GET / HTTP/1.1\r\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(firsts); i++) {
        struct flow flow;

        flow_init(&flow);
        expect(firsts[i], &flow, feed_bytes(&flow, firsts[i], strlen(firsts[i])), QUIC_BAD, REASON_QUIC_NOINITIAL);
        expect("for good", &flow, feed_hello(&flow, &(struct seal){.dcid = ID}, RAW(SNI_OK)), QUIC_BAD, REASON_QUIC_NOINITIAL);
    }
}

static void test_t90_hellos_that_are_never_complete(void **state)
{
    const struct seal seal = {.dcid = ID}, closed = {.dcid = ID, .keys_of = ID2};
    struct bytes hello = {.len = 0};
    struct flow flow;

    (void)state;
    put_hello(&hello, RAW(SNI_OK));
    for (unsigned way = 0; way < 3; way++) {
        flow_init(&flow);
        for (unsigned i = 0; i < QUIC_DATAGRAMS_MAX - 1; i++) {
            enum quic_take take = feed_piece(&flow, way == 2 || (way == 1 && i > 0) ? &closed : &seal, &hello, i, 1);

            expect("one more", &flow, take, way == 2 || (way == 1 && i > 0) ? QUIC_DROP : QUIC_MORE, 0);
        }
        if (way == 0)
            expect("the last one", &flow, feed_piece(&flow, &seal, &hello, 10, 1), QUIC_BAD, REASON_QUIC_INCOMPLETE);
        else
            expect("the last one", &flow, feed_piece(&flow, &closed, &hello, 10, 1), QUIC_BAD, REASON_QUIC_INCOMPLETE);
    }
    flow_init(&flow);
    for (unsigned i = 0; i < QUIC_DATAGRAMS_MAX - 1; i++)
        expect("one more", &flow, feed_piece(&flow, &seal, &hello, i, 1), QUIC_MORE, 0);
    expect("complete with the last one", &flow, feed_piece(&flow, &seal, &hello, 0, hello.len), QUIC_HELLO, 0);
    put_hello(&hello, RAW(SNI_OK));
    for (unsigned i = 1; i < QUIC_DATAGRAMS_MAX; i++) /* counted anew for the next one */
        expect("one more", &flow, feed_piece(&flow, &seal, &hello, hello.len / 2 + i, 1), QUIC_MORE, 0);
    expect("one too many", &flow, feed_piece(&flow, &seal, &hello, hello.len / 2, 1), QUIC_BAD, REASON_QUIC_INCOMPLETE);
}

/* A server's second question (HelloRetryRequest): the stream goes on with another hello, which is judged. */
static void test_t78_a_second_hello(void **state)
{
    const struct seal seal = {.dcid = "server-chosen", .keys_of = ID, .pn = 1};
    struct bytes stream = {.len = 0}, ping = {.at = {1}, .len = 1};
    struct flow flow;
    size_t first;

    (void)state;
    put_hello(&stream, RAW(SNI_OK));
    first = stream.len;
    put_hello(&stream, RAW(SNI_EVIL));
    flow_begin(&flow);
    expect("an acknowledgement", &flow, feed_frames(&flow, &seal, &ping), QUIC_PASS, 0);
    expect("part of it", &flow, feed_piece(&flow, &seal, &stream, first + 20, 10), QUIC_MORE, 0);
    expect("1-RTT meanwhile", &flow, feed_bytes(&flow, "\x40" "12345678901234567890", 21), QUIC_PASS, 0);
    expect("0-RTT meanwhile", &flow, feed_frames(&flow, &(struct seal){.dcid = ID, .type = 1}, &ping), QUIC_MORE, 0);
    expect("all of it", &flow, feed_piece(&flow, &seal, &stream, first, stream.len - first), QUIC_HELLO, 0);
    assert_string_equal(flow.evidence.name, "evil.example");
    expect("again", &flow, feed_piece(&flow, &seal, &stream, 0, stream.len), QUIC_PASS, 0);
    put(&stream, "\1", 1);
    expect("a third one", &flow, feed_piece(&flow, &seal, &stream, stream.len - 1, 1), QUIC_BAD, REASON_TLS_MALFORMED);
}

/* T85: a token and an id of the server's, whose keys are new; T86: the other version. All are judged anew. */
static void test_t85_t86_another_connection(void **state)
{
    static const struct seal others[] = {
        { .dcid = "server-chosen", .token_len = 60, .pn = 2 },
        { .dcid = "short", .token_len = 60, .pn = 2 },
        { .dcid = "", .pn = 2 },
        { .dcid = ID2, .version = QUIC_V2 },
        { .dcid = ID2, .pn_len = 1 },
    };
    struct bytes ping = {.at = {1}, .len = 1};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        struct flow flow;

        flow_begin(&flow);
        expect("the same name", &flow, feed_hello(&flow, &others[i], RAW(SNI_OK)), QUIC_HELLO, 0);
        assert_string_equal(flow.evidence.name, "ok.example");
        flow_begin(&flow);
        expect("another name", &flow, feed_hello(&flow, &others[i], RAW(SNI_EVIL)), QUIC_HELLO, 0);
        assert_string_equal(flow.evidence.name, "evil.example");
        expect("the one before is forgotten", &flow,
               feed_frames(&flow, &(struct seal){.dcid = "server-id", .keys_of = ID}, &ping), QUIC_DROP, 0);
    }
}

/* RFC 9368: the server answers in the other version; the keys are still those of the first id. */
static void test_t86_the_server_moves_to_the_other_version(void **state)
{
    const struct seal moved = {.dcid = "server-chosen", .keys_of = ID, .version = QUIC_V2, .pn = 1};
    struct bytes frames = {.len = 0};
    struct flow flow;

    (void)state;
    flow_begin(&flow);
    put(&frames, "\2\0\0\0\0", 5);
    expect("an acknowledgement", &flow, feed_frames(&flow, &moved, &frames), QUIC_PASS, 0);
    frames.len = 0;
    put_hello_frame(&frames, 0, RAW(SNI_EVIL));
    expect("another hello", &flow, feed_frames(&flow, &moved, &frames), QUIC_BAD, REASON_TLS_MALFORMED);
}

/*
 * Two hellos in turn on one flow: what is held of one connection must not leave with the verdict on another.
 * Half of evil.example's, all of ok.example's: the latter is dropped, so that the former is what is judged.
 */
static void test_t82_t85_two_connections_in_turn(void **state)
{
    const struct seal one = {.dcid = ID}, two = {.dcid = ID2};
    struct bytes evil = {.len = 0};
    struct flow flow;

    (void)state;
    put_hello(&evil, RAW(SNI_EVIL));
    flow_init(&flow);
    expect("half of the one", &flow, feed_piece(&flow, &one, &evil, 0, 40), QUIC_MORE, 0);
    expect("all of the other", &flow, feed_hello(&flow, &two, RAW(SNI_OK)), QUIC_DROP, 0);
    expect("the rest of the one", &flow, feed_piece(&flow, &one, &evil, 40, evil.len - 40), QUIC_HELLO, 0);
    assert_string_equal(flow.evidence.name, "evil.example");

    flow_begin(&flow);
    expect("half of another one", &flow, feed_piece(&flow, &two, &evil, 0, 40), QUIC_MORE, 0);
    expect("all of the first", &flow, feed_hello(&flow, &one, RAW(SNI_OK)), QUIC_DROP, 0);
    expect("the rest", &flow, feed_piece(&flow, &two, &evil, 40, evil.len - 40), QUIC_HELLO, 0);
    assert_string_equal(flow.evidence.name, "evil.example");
}

/* A short number is read against the largest one seen (RFC 9000 appendix A.3). */
static void test_packet_numbers(void **state)
{
    struct bytes ping = {.at = {1}, .len = 1};
    struct seal seal = {.dcid = ID, .pn_len = 1};
    struct flow flow;

    (void)state;
    flow_begin(&flow);
    for (seal.pn = 1; seal.pn < 1000; seal.pn += 100)
        expect("ahead", &flow, feed_frames(&flow, &seal, &ping), QUIC_PASS, 0);
    seal.pn = 901 - 100;
    expect("behind", &flow, feed_frames(&flow, &seal, &ping), QUIC_PASS, 0);
    seal.pn = 901 + 200;
    expect("too far for one byte", &flow, feed_frames(&flow, &seal, &ping), QUIC_DROP, 0);
    seal.pn_len = 2;
    expect("but not for two", &flow, feed_frames(&flow, &seal, &ping), QUIC_PASS, 0);
    seal.pn_len = 1;
    seal.pn = 1008; /* 0x3f0, with 0x44e expected */
    expect("behind, below a multiple of 256", &flow, feed_frames(&flow, &seal, &ping), QUIC_PASS, 0);
}

/* ---- one packet, two keys ---- */

enum { BLOCK = 16, TWO_PN_AT = 18, TWO_SEALED = QUIC_DATAGRAM_BYTES_MIN - TWO_PN_AT - 1, TWO_PLAIN = TWO_SEALED - QUIC_TAG_BYTES };
enum { TWO_FREE = 1024 }; /* where in the ciphertext the block lies that makes the tags equal: a multiple of BLOCK */

/* One of the two readings of the packet. */
struct reading {
    struct quic_keys keys;
    uint8_t pn;
    uint8_t stream[TWO_PLAIN + BLOCK]; /* that the payload is combined with */
    uint8_t tag_mask[BLOCK];
};

static void aes_block(const uint8_t key[static BLOCK], const uint8_t in[static BLOCK], uint8_t out[static BLOCK])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;

    assert_int_equal(EVP_EncryptInit_ex2(ctx, EVP_aes_128_ecb(), key, NULL, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, out, &n, in, BLOCK), 1);
    EVP_CIPHER_CTX_free(ctx);
}

static void reading_init(struct reading *r, const char *id, uint8_t pn)
{
    uint8_t counter[BLOCK] = {0};

    assert_int_equal(quic_keys_derive(QUIC_V1, (const uint8_t *)id, strlen(id), &r->keys), 0);
    r->pn = pn;
    memcpy(counter, r->keys.iv, QUIC_IV_BYTES);
    counter[QUIC_IV_BYTES - 1] ^= pn;
    counter[BLOCK - 1] = 1;
    aes_block(r->keys.key, counter, r->tag_mask);
    for (size_t at = 0; at < TWO_PLAIN; at += BLOCK) {
        counter[BLOCK - 2] = (uint8_t)((at / BLOCK + 2) >> 8);
        counter[BLOCK - 1] = (uint8_t)(at / BLOCK + 2);
        aes_block(r->keys.key, counter, r->stream + at);
    }
}

/* NIST SP 800-38D section 6.3. */
static void gf_mul(uint8_t a[static BLOCK], const uint8_t b[static BLOCK])
{
    uint8_t v[BLOCK], z[BLOCK] = {0};

    memcpy(v, b, BLOCK);
    for (unsigned bit = 0; bit < 128; bit++) {
        uint8_t low = v[BLOCK - 1] & 1;

        for (unsigned i = 0; a[bit / 8] & 0x80 >> bit % 8 && i < BLOCK; i++)
            z[i] ^= v[i];
        for (unsigned i = BLOCK; i-- > 0;)
            v[i] = (uint8_t)(v[i] >> 1 | (i > 0 ? v[i - 1] << 7 : 0));
        v[0] ^= low ? 0xe1 : 0;
    }
    memcpy(a, z, BLOCK);
}

static void add(uint8_t a[static BLOCK], const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        a[i] ^= b[i];
}

/* The tag of a packet under one of its readings, and by what the free block is multiplied in it. */
static void tag_of(const struct reading *r, const uint8_t *packet, uint8_t out_tag[static BLOCK], uint8_t out_factor[static BLOCK])
{
    uint8_t h[BLOCK] = {0}, header[2 * BLOCK] = {0}, lengths[BLOCK] = {0};
    const uint8_t *sealed = packet + TWO_PN_AT + 1;

    memcpy(header, packet, TWO_PN_AT);
    header[0] = 0xc0;
    header[TWO_PN_AT] = r->pn;
    lengths[7] = (TWO_PN_AT + 1) * 8;
    lengths[14] = TWO_PLAIN * 8 >> 8;
    lengths[15] = (uint8_t)(TWO_PLAIN * 8);
    aes_block(r->keys.key, h, h);
    memset(out_tag, 0, BLOCK);
    memcpy(out_factor, h, BLOCK);
    for (size_t at = 0; at < sizeof(header); at += BLOCK) {
        add(out_tag, header + at, BLOCK);
        gf_mul(out_tag, h);
    }
    for (size_t at = 0; at < TWO_PLAIN; at += BLOCK) {
        add(out_tag, sealed + at, TWO_PLAIN - at < BLOCK ? TWO_PLAIN - at : BLOCK);
        gf_mul(out_tag, h);
        if (at >= TWO_FREE)
            gf_mul(out_factor, h);
    }
    add(out_tag, lengths, BLOCK);
    gf_mul(out_tag, h);
    add(out_tag, r->tag_mask, BLOCK);
}

/* Give the block its value for which both readings have one tag: (tag + tag') / (factor + factor'). */
static void tags_make_equal(const struct reading readings[static 2], uint8_t *packet)
{
    uint8_t tag[2][BLOCK], factor[2][BLOCK], square[BLOCK];

    for (unsigned i = 0; i < 2; i++)
        tag_of(&readings[i], packet, tag[i], factor[i]);
    add(tag[0], tag[1], BLOCK);
    add(factor[0], factor[1], BLOCK);
    memcpy(square, factor[0], BLOCK);
    for (unsigned i = 1; i < 128; i++) { /* the inverse of f is f^(2^128 - 2), the product of f^2, f^4, ... */
        uint8_t copy[BLOCK];

        memcpy(copy, square, BLOCK);
        gf_mul(square, copy);
        gf_mul(tag[0], square);
    }
    add(packet + TWO_PN_AT + 1 + TWO_FREE, tag[0], BLOCK);
    for (unsigned i = 0; i < 2; i++)
        tag_of(&readings[i], packet, tag[i], factor[i]);
    assert_memory_equal(tag[0], tag[1], BLOCK);
    memcpy(packet + TWO_PN_AT + 1 + TWO_PLAIN, tag[0], BLOCK);
}

/*
 * AES-GCM does not bind a packet to one key. This one is a CONNECTION_CLOSE with a long reason phrase under the keys of
 * the flow's connection, and a hello for evil.example under those of its own id, searched so that the five bytes that both
 * readings share fit: a server that does not know the id reads the latter.
 */
static void two_keys_make(uint8_t packet[static QUIC_DATAGRAM_BYTES_MIN], struct reading readings[static 2])
{
    static const char own[] = "id-00434";
    uint8_t *sealed = packet + TWO_PN_AT + 1, mask[2][QUIC_MASK_BYTES] = {{0}};
    struct bytes hello = {.len = 0}, frames = {.len = 0};

    reading_init(&readings[0], ID, 122);
    reading_init(&readings[1], own, 190);
    memcpy(packet, "\xc0\0\0\0\1\x08id-00434\0\0\x44\x9e", TWO_PN_AT); /* 1182 bytes follow */
    put_hello(&hello, RAW(SNI_EVIL));
    for (unsigned i = 0; i < 5; i++) { /* PADDING or PING; the other reading: 1c, two numbers below 64, 1160 in two bytes */
        static const uint8_t want[] = {0x1c, 0, 0, 0x44, 0x88};

        put(&frames, (uint8_t[]){(uint8_t)((readings[0].stream[i] ^ readings[1].stream[i] ^ want[i]) & 1)}, 1);
    }
    put_crypto(&frames, 0, hello.at, hello.len);
    put(&frames, "\x1c\0\0", 3);
    put_varint2(&frames, TWO_PLAIN - frames.len - 2);
    for (uint32_t n = 0; n < 1 << 24; n++) { /* three bytes of the hello's random; then the masks fit both numbers */
        memcpy(frames.at + BLOCK, &n, 3);
        for (size_t i = 0; i < TWO_PLAIN; i++)
            sealed[i] = readings[1].stream[i] ^ (i < frames.len ? frames.at[i] : 0);
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(quic_keys_mask(&readings[i].keys, packet + TWO_PN_AT + 4, mask[i]), 0);
        if (((mask[0][0] ^ mask[1][0]) & 0x0f) == 0 && (mask[0][1] ^ readings[0].pn) == (mask[1][1] ^ readings[1].pn))
            break;
    }
    tags_make_equal(readings, packet);
    packet[0] ^= mask[0][0] & 0x0f;
    packet[TWO_PN_AT] = mask[0][1] ^ readings[0].pn;
}

static void test_t85_a_packet_that_opens_with_two_keys(void **state)
{
    uint8_t packet[QUIC_DATAGRAM_BYTES_MIN], plain[QUIC_INITIAL_BYTES_MAX];
    struct reading readings[2];
    struct cursor c = cursor_of(packet, sizeof(packet));
    struct quic_packet p;
    struct flow flow;
    uint64_t pn;

    (void)state;
    two_keys_make(packet, readings);
    assert_int_equal(quic_packet_read(&c, &p), sizeof(packet));
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(quic_packet_open(&p, &readings[i].keys, 0, plain, &pn), TWO_PLAIN);
        assert_int_equal(pn, readings[i].pn);
    }
    flow_init(&flow);
    expect("alone it is a hello", &flow, feed_bytes(&flow, packet, sizeof(packet)), QUIC_HELLO, 0);
    assert_string_equal(flow.evidence.name, "evil.example");
    flow_begin(&flow);
    expect("on a judged flow", &flow, feed_bytes(&flow, packet, sizeof(packet)), QUIC_BAD, REASON_QUIC_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t84_before_the_hello_is_complete),
        cmocka_unit_test(test_t88_a_flow_without_an_initial),
        cmocka_unit_test(test_t90_hellos_that_are_never_complete),
        cmocka_unit_test(test_t78_a_second_hello),
        cmocka_unit_test(test_t85_t86_another_connection),
        cmocka_unit_test(test_t86_the_server_moves_to_the_other_version),
        cmocka_unit_test(test_t82_t85_two_connections_in_turn),
        cmocka_unit_test(test_packet_numbers),
        cmocka_unit_test(test_t85_a_packet_that_opens_with_two_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
