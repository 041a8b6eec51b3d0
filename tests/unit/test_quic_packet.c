#include "policy/quic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/fixtures/quic_flow.h"
#include "tests/fixtures/quic_seal.h"
#include "tests/unit/hello.h"

/* ---- packets ---- */

#define M REASON_QUIC_MALFORMED

struct packet_case {
    const char *why;
    struct seal seal;
    int at;             /* a byte that is changed on the way; -1: none */
    uint8_t value;
    size_t datagram_len; /* 0: as it is */
    enum quic_take take; /* on a new flow; on a judged one QUIC_BAD is QUIC_DROP unless the packet opens */
    enum reason bad;
};

#define P(id, ...) { .dcid = (id), __VA_ARGS__ } /* without .pad_to: 1200 */
#define AS_IS -1, 0, 0
#define AT_VERSION 4
#define AT_SCID (6 + 8)
#define AT_TOKEN (AT_SCID + 1)
#define AT_LENGTH (AT_TOKEN + 1)

static const struct packet_case packet_cases[] = {
    { "an Initial", P(ID, .pn = 0), AS_IS, QUIC_HELLO, 0 },
    { "T80 of version 2", P(ID, .version = QUIC_V2), AS_IS, QUIC_HELLO, 0 },
    { "T85 with a token", P(ID, .token_len = 300), AS_IS, QUIC_HELLO, 0 },
    { "with a source id of 20", P(ID, .scid_len = 20), AS_IS, QUIC_HELLO, 0 },
    { "a number of one byte", P(ID, .pn = 0x7f, .pn_len = 1), AS_IS, QUIC_HELLO, 0 },
    { "a number of two bytes", P(ID, .pn = 0x7fff, .pn_len = 2), AS_IS, QUIC_HELLO, 0 },
    { "a number of three bytes", P(ID, .pn = 0x7fffff, .pn_len = 3), AS_IS, QUIC_HELLO, 0 },
    { "a number of four bytes", P(ID, .pn = 0x7fffffff), AS_IS, QUIC_HELLO, 0 },
    { "a destination id of 20", P("01234567890123456789", .pn = 0), AS_IS, QUIC_HELLO, 0 },
    { "T89 a first destination id of 7", P("0123456", .pn = 0), AS_IS, QUIC_BAD, M },
    { "T89 a destination id of 21", P("012345678901234567890", .pn = 0), AS_IS, QUIC_BAD, M },
    { "T89 a source id of 21", P(ID, .scid_len = 21), AS_IS, QUIC_BAD, M },
    { "T89 a source id beyond the end", P(ID, .pn = 0), AT_SCID, 255, 0, QUIC_BAD, M },
    { "T89 a token of 2^62 - 1", P(ID, .pn = 0), AT_TOKEN, 0xff, 0, QUIC_BAD, M },
    { "T89 a token beyond the end", P(ID, .pn = 0), AT_TOKEN, 0x7f, 0, QUIC_BAD, M },
    { "T89 a length beyond the end", P(ID, .pn = 0), AT_LENGTH, 0x7f, 0, QUIC_BAD, M },
    { "T89 a length of 2^62 - 1", P(ID, .pn = 0), AT_LENGTH, 0xff, 0, QUIC_BAD, M },
    { "T89 a length below 20", P(ID, .pn = 0), AT_LENGTH, 19, 0, QUIC_BAD, M },
    { "T89 a datagram of 1199", P(ID, .pad_to = 1199), AS_IS, QUIC_BAD, M },
    { "the longest Initial", P(ID, .pad_to = QUIC_INITIAL_BYTES_MAX), AS_IS, QUIC_HELLO, 0 },
    { "T90 a longer one", P(ID, .pad_to = QUIC_INITIAL_BYTES_MAX + 1), AS_IS, QUIC_BAD, M },
    { "T89 reserved bits", P(ID, .reserved = 2), AS_IS, QUIC_BAD, M },
    { "T89 the other reserved bit", P(ID, .reserved = 1), AS_IS, QUIC_BAD, M },
    { "T89 the packet cut short", P(ID, .pad_to = 1300), -1, 0, 1200, QUIC_BAD, M },
    { "T89 a Retry from the guest", P(ID, .type = 3), AS_IS, QUIC_BAD, M },
    { "T80 of version 2 as well", P(ID, .type = 3, .version = QUIC_V2), AS_IS, QUIC_BAD, M },
    { "T86 a Version Negotiation from the guest", P(ID, .pn = 0), AT_VERSION, 0, 0, QUIC_BAD, M },
    { "T81 version 29 of the drafts", P(ID, .pn = 0), AT_VERSION, 29, 0, QUIC_BAD, REASON_QUIC_VERSION },
    { "T80 a version near version 2", P(ID, .version = QUIC_V2), AT_VERSION, 0xce, 0, QUIC_BAD, REASON_QUIC_VERSION },
    { "T89 keys of another id", P(ID, .keys_of = ID2), AS_IS, QUIC_DROP, 0 },
    { "T88 0-RTT first", P(ID, .type = 1), AS_IS, QUIC_BAD, REASON_QUIC_NOINITIAL },
    { "T88 Handshake first", P(ID, .type = 2), AS_IS, QUIC_BAD, REASON_QUIC_NOINITIAL },
    { "T89 Handshake whose length is beyond the end", P(ID, .type = 2), AT_TOKEN, 0x7f, 0, QUIC_BAD, M },
};

static void test_t80_t81_t86_t88_t89_packets(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(packet_cases); i++) {
        const struct packet_case *c = &packet_cases[i];
        struct bytes frames = {.len = 0};
        struct sealed datagram = {.len = 0};
        struct seal seal = c->seal;
        struct flow flow;

        seal.pad_to = seal.pad_to ? seal.pad_to : QUIC_DATAGRAM_BYTES_MIN;
        put_hello_frame(&frames, 0, RAW(SNI_OK));
        seal_put(&datagram, &seal, frames.at, frames.len);
        if (c->at >= 0)
            datagram.at[c->at] = c->value;
        if (c->datagram_len > 0)
            datagram.len = c->datagram_len;
        flow_init(&flow);
        expect(c->why, &flow, feed(&flow, &datagram), c->take, c->bad);
        if (c->take == QUIC_BAD && c->seal.reserved == 0) {
            flow_begin(&flow);
            expect(c->why, &flow, feed(&flow, &datagram), c->bad == REASON_QUIC_NOINITIAL ? QUIC_PASS :
                   c->seal.dcid[7] == '\0' ? QUIC_HELLO : QUIC_DROP, 0); /* a server may choose a short id */
        }
    }
}

/* Every version number that differs in one bit, or is greased (RFC 9000 section 15). */
static void test_t81_no_other_version(void **state)
{
    static const uint32_t known[] = {1, 0x6b3343cf, 0x1a2a3a4a};

    (void)state;
    for (size_t k = 0; k < ARRAY_SIZE(known); k++) {
        for (unsigned bit = 0; bit < 32; bit++) {
            uint32_t number = known[k] ^ 1u << bit;
            struct sealed datagram = {.len = 0};
            struct flow flow;

            if (number == 0)
                continue;
            seal_put(&datagram, &(struct seal){.dcid = ID, .pad_to = 1200}, "\1", 1);
            for (unsigned i = 0; i < 4; i++)
                datagram.at[1 + i] = (uint8_t)(number >> (24 - 8 * i));
            flow_init(&flow);
            expect("another version", &flow, feed(&flow, &datagram), QUIC_BAD, REASON_QUIC_VERSION);
        }
    }
}

/* No bit can be changed on the way, on a new flow or a judged one. */
static void test_t89_every_bit(void **state)
{
    struct bytes frames = {.len = 0};
    struct sealed datagram = {.len = 0};

    (void)state;
    put_hello_frame(&frames, 0, RAW(SNI_EVIL));
    seal_put(&datagram, &(struct seal){.dcid = ID2, .pad_to = 1200}, frames.at, frames.len);
    for (size_t bit = 0; bit < datagram.len * 8; bit += bit < 200 * 8 ? 1 : 13) {
        struct flow flow;
        enum quic_take take;

        datagram.at[bit / 8] ^= (uint8_t)(1 << bit % 8);
        flow_init(&flow);
        take = feed(&flow, &datagram);
        if (take != QUIC_DROP && take != QUIC_BAD)
            fail_msg("bit %zu: %s", bit, take_names[take]);
        flow_begin(&flow);
        take = feed(&flow, &datagram);
        /* Not the form bit: it then is a 1-RTT packet, for the server as well. Nor the type bits, 0-RTT and Handshake. */
        if (take != QUIC_DROP && bit != 4 && bit != 5 && bit != 7)
            fail_msg("bit %zu on a judged flow: %s", bit, take_names[take]);
        datagram.at[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < datagram.len; len++) {
        struct flow flow;

        flow_init(&flow);
        expect("cut short", &flow, feed_bytes(&flow, datagram.at, len), QUIC_BAD,
               len == 0 ? REASON_QUIC_NOINITIAL : REASON_QUIC_MALFORMED);
    }
}

/* ---- several packets in a datagram ---- */

struct coalesced_case {
    const char *why;
    const char *frames; /* of the Initial in front, whose hello lacks nothing if NULL */
    struct seal second;
    bool second_hello; /* it holds a hello for evil.example at this place of the stream, 0: none */
    enum quic_take take;
    enum reason bad;
};

#define S(id, ...) { .dcid = (id), .pad_to = 600, .pn = 1, __VA_ARGS__ }

static const struct coalesced_case coalesced_cases[] = {
    { "T84 0-RTT behind the Initial", NULL, S(ID, .type = 1), false, QUIC_HELLO, 0 },
    { "Handshake behind it", NULL, S(ID, .type = 2), false, QUIC_HELLO, 0 },
    { "a second Initial with nothing new", NULL, S(ID, .type = 0), false, QUIC_HELLO, 0 },
    { "T82 a second Initial with the hello", "\1", S(ID, .type = 0), true, QUIC_HELLO, 0 },
    { "T82 a second Initial with another hello", NULL, S(ID, .type = 0), true, QUIC_BAD, REASON_TLS_MALFORMED },
    { "T89 a second Initial that does not open", NULL, S(ID, .keys_of = ID2), true, QUIC_DROP, 0 },
    { "T89 an Initial of another id", NULL, S(ID2, .type = 0), true, QUIC_BAD, M },
    { "T89 0-RTT of another id", NULL, S(ID2, .type = 1), false, QUIC_BAD, M },
    { "T80 an Initial of the other version", "\1", S(ID, .version = QUIC_V2), true, QUIC_HELLO, 0 },
    { "T89 Retry behind the Initial", NULL, S(ID, .type = 3), false, QUIC_BAD, M },
};

static void test_t80_t82_t84_t89_coalesced(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(coalesced_cases); i++) {
        const struct coalesced_case *c = &coalesced_cases[i];
        struct bytes first = {.len = 0}, second = {.len = 0};
        struct sealed datagram = {.len = 0};
        struct flow flow;

        if (c->frames)
            put(&first, c->frames, strlen(c->frames));
        else
            put_hello_frame(&first, 0, RAW(SNI_OK));
        put(&second, "\1", 1);
        if (c->second_hello)
            put_hello_frame(&second, 0, RAW(SNI_EVIL));
        seal_put(&datagram, &(struct seal){.dcid = ID, .pad_to = 600}, first.at, first.len);
        seal_put(&datagram, &c->second, second.at, second.len);
        flow_init(&flow);
        expect(c->why, &flow, feed(&flow, &datagram), c->take, c->bad);
    }
}

/* RFC 9000 section 12.4: a packet without frames is an error, and would else be one more that nobody looks into. */
static void test_t89_an_initial_without_frames(void **state)
{
    struct bytes frames = {.len = 0};
    struct sealed datagram = {.len = 0};
    struct flow flow;

    (void)state;
    put_hello_frame(&frames, 0, RAW(SNI_OK));
    seal_put(&datagram, &(struct seal){.dcid = ID, .pad_to = 1200}, frames.at, frames.len);
    seal_put(&datagram, &(struct seal){.dcid = ID, .pn = 1}, "", 0);
    flow_init(&flow);
    expect("no frames", &flow, feed(&flow, &datagram), QUIC_BAD, M);
}

/* Behind the Initial lie bytes that a server takes for a 1-RTT packet, or for nothing: they go with it. */
static void test_t89_bytes_behind_the_last_packet(void **state)
{
    struct bytes frames = {.len = 0};
    struct sealed datagram = {.len = 0};
    struct flow flow;

    (void)state;
    put_hello_frame(&frames, 0, RAW(SNI_OK));
    seal_put(&datagram, &(struct seal){.dcid = ID, .pad_to = 600}, frames.at, frames.len);
    memset(datagram.at + datagram.len, 0, 600);
    datagram.len += 600;
    flow_init(&flow);
    expect("zeroes", &flow, feed(&flow, &datagram), QUIC_HELLO, 0);
    datagram.at[700] = 0xc0;
    expect("not a packet of their own", &flow, feed(&flow, &datagram), QUIC_PASS, 0);
    datagram.at[600] = 0xc0;
    expect("half a long header", &flow, feed(&flow, &datagram), QUIC_DROP, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t80_t81_t86_t88_t89_packets),
        cmocka_unit_test(test_t81_no_other_version),
        cmocka_unit_test(test_t89_every_bit),
        cmocka_unit_test(test_t80_t82_t84_t89_coalesced),
        cmocka_unit_test(test_t89_an_initial_without_frames),
        cmocka_unit_test(test_t89_bytes_behind_the_last_packet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
