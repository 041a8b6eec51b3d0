/*
 * IPv6 frames as a guest can send them, right and wrong; IPv4's, and what both have in common, are test_frame.c's.
 */
#include "stack/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/packets6.h"

enum { OK = 0 };

static const struct frame_offload plain;

/* Both steps, as stack/guest.c takes them. */
static int read_whole(struct packet *p, const struct frame_offload *offload, struct frame *f)
{
    int drop = frame_read(p->bytes, p->len, offload, f);
    bool nop;

    return drop != 0 || f->fragment ? drop : frame_read_l4(f, offload, &nop);
}

static void expect(const char *why, int got, int want)
{
    if (got != want)
        fail_msg("%s: %s, not %s", why, got == OK ? "taken" : counter_name((enum counter)got),
                 want == OK ? "taken" : counter_name((enum counter)want));
}

static void test_fields_of_good_frames(void **state)
{
    struct packet p = tcp6_packet(0x18, NULL, 0, 5);
    struct frame f;

    (void)state;
    expect("a segment", read_whole(&p, &plain, &f), OK);
    assert_int_equal(f.kind, FRAME_IPV6);
    assert_int_equal(f.src.family, ADDR_V6);
    assert_memory_equal(f.src.bytes, p.bytes + IP + 8, 16);
    assert_memory_equal(f.dst.bytes, p.bytes + IP + 24, 16);
    assert_true(f.dont_fragment && !f.fragment);
    assert_int_equal(f.ip_bytes, 40 + 25);
    assert_ptr_equal(f.l4, p.bytes + L4_OF_6);
    assert_int_equal(f.src_port, 0xc001);
    assert_int_equal(f.dst_port, 80);
    assert_int_equal(f.payload_bytes, 5);

    p = udp6_packet(7);
    expect("a datagram", read_whole(&p, &plain, &f), OK);
    assert_int_equal(f.payload_bytes, 7);
    assert_ptr_equal(f.payload, p.bytes + L4_OF_6 + 8);

    p = icmp6_packet(128, 3);
    expect("a ping", read_whole(&p, &plain, &f), OK);
    assert_int_equal(f.proto, FRAME_PROTO_ICMPV6);
    assert_int_equal(f.payload_bytes, 3);
}

/* ---- header cases: a UDP datagram of 12 bytes with some bytes changed ---- */

struct header_case {
    const char *why;
    struct {
        int at; /* 0: none */
        uint8_t value;
    } patch[3];
    int grow;   /* bytes added (zeros) or cut at the end of the frame */
    bool unsealed;
    int want;
};

static const struct header_case header_cases[] = {
    { "an ordinary datagram", .want = OK },
    { "a traffic class and a flow label", {{IP, 0x6b}, {IP + 1, 0x81}, {IP + 3, 9}}, .want = OK },
    { "Ethernet padding is cut", .grow = 26, .want = OK },
    { "T150 runt: IP header cut by one", .grow = -21, .want = COUNTER_FRAME_BAD },
    { "T150 runt: no IP header at all", .grow = -60, .want = COUNTER_FRAME_BAD },
    { "T150 payload length beyond the frame by one", .grow = -1, .want = COUNTER_FRAME_BAD },
    { "T150 payload length beyond the frame", {{IP + 4, 0xff}}, .want = COUNTER_FRAME_BAD },
    { "T150 payload length zero", {{IP + 5, 0}}, .want = COUNTER_FRAME_BAD },
    { "T150 payload length that cuts the UDP header", {{IP + 5, 7}}, .want = COUNTER_FRAME_BAD },
    { "T150 jumbogram (RFC 2675): length 0 and an option", {{IP + 5, 0}, {IP + 6, 0}}, .want = COUNTER_IP_OPTIONS },
    { "an IPv6 ethertype with version 4", {{IP, 0x40}}, .want = COUNTER_FRAME_BAD },
    { "an IPv6 ethertype with version 0", {{IP, 0}}, .want = COUNTER_FRAME_BAD },
    { "IPv6 that says it is IPv4", {{12, 8}, {13, 0}}, .want = COUNTER_FRAME_BAD },
    { "hop limit 0", {{IP + 7, 0}}, .want = COUNTER_FRAME_BAD },
    { "hop limit 1: there is no router behind us", {{IP + 7, 1}}, .want = OK },
    { "T138 hop-by-hop options", {{IP + 6, 0}}, .want = COUNTER_IP_OPTIONS },
    { "T138 a routing header, type 0 included (RFC 5095)", {{IP + 6, 43}}, .want = COUNTER_IP_OPTIONS },
    { "T138 ESP", {{IP + 6, 50}}, .want = COUNTER_IP_OPTIONS },
    { "T138 AH", {{IP + 6, 51}}, .want = COUNTER_IP_OPTIONS },
    { "T138 no next header", {{IP + 6, 59}}, .want = COUNTER_IP_OPTIONS },
    { "T138 destination options", {{IP + 6, 60}}, .want = COUNTER_IP_OPTIONS },
    { "T138 mobility", {{IP + 6, 135}}, .want = COUNTER_IP_OPTIONS },
    { "T149 IPv4's ICMP", {{IP + 6, 1}}, .want = COUNTER_PROTO_L3 },
    { "T149 IGMP", {{IP + 6, 2}}, .want = COUNTER_PROTO_L3 },
    { "T149 IPv4 in IPv6", {{IP + 6, 4}}, .want = COUNTER_PROTO_L3 },
    { "T149 IPv6 in IPv6", {{IP + 6, 41}}, .want = COUNTER_PROTO_L3 },
    { "T149 GRE", {{IP + 6, 47}}, .want = COUNTER_PROTO_L3 },
    { "T149 SCTP", {{IP + 6, 132}}, .want = COUNTER_PROTO_L3 },
    { "T149 HIP and SHIM6, extension headers of RFC 7045", {{IP + 6, 140}}, .want = COUNTER_PROTO_L3 },
    { "T150 UDP length below its header", {{L4_OF_6 + 5, 7}}, .want = COUNTER_FRAME_BAD },
    { "T150 UDP length beyond the datagram", {{L4_OF_6 + 5, 21}}, .want = COUNTER_FRAME_BAD },
    { "T150 UDP length zero (RFC 2675)", {{L4_OF_6 + 5, 0}}, .want = COUNTER_FRAME_BAD },
    { "A11 UDP checksum wrong", {{L4_OF_6 + 9, 'v'}}, .unsealed = true, .want = COUNTER_FRAME_CSUM },
    { "A11 an address changed: the pseudo-header has it", {{IP + 39, 0x11}}, .unsealed = true, .want = COUNTER_FRAME_CSUM },
    { "A11 UDP checksum absent (RFC 8200 section 8.1)", {{L4_OF_6 + 6, 0}, {L4_OF_6 + 7, 0}}, .unsealed = true,
      .want = COUNTER_FRAME_CSUM },
    { "TCP too short for its header", {{IP + 6, 6}, {IP + 5, 19}}, .want = COUNTER_FRAME_BAD },
    { "ICMPv6 too short for its header", {{IP + 6, 58}, {IP + 5, 7}}, .want = COUNTER_FRAME_BAD },
};

static void test_a11_t138_t149_t150_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(header_cases); i++) {
        const struct header_case *c = &header_cases[i];
        struct packet p = udp6_packet(12);
        struct frame f;

        for (size_t j = 0; j < ARRAY_SIZE(c->patch); j++)
            if (c->patch[j].at > 0)
                p.bytes[c->patch[j].at] = c->patch[j].value;
        if (!c->unsealed)
            seal6(p.bytes, p.len);
        p.len = (size_t)((int)p.len + c->grow);
        expect(c->why, read_whole(&p, &plain, &f), c->want);
        if (c->want == OK)
            assert_int_equal(f.ip_bytes, 60);
    }
}

/* The largest there is, 65,575 bytes with its header, and one more, which is no frame. */
static void test_t150_oversize(void **state)
{
    size_t len = FRAME_BYTES_MAX + 1;
    uint8_t *bytes = calloc(1, len);
    struct packet p = udp6_packet(12);
    struct frame f;

    (void)state;
    assert_non_null(bytes);
    memcpy(bytes, p.bytes, p.len);
    bytes[IP + 4] = bytes[IP + 5] = 0xff;
    assert_int_equal(frame_read(bytes, len, &plain, &f), COUNTER_FRAME_BAD);
    assert_int_equal(frame_read(bytes, len - 1, &plain, &f), OK);
    assert_int_equal(f.l4_bytes, 65535);
    assert_int_equal(frame_read(bytes, len - 2, &plain, &f), COUNTER_FRAME_BAD);
    free(bytes);
}

static void test_udp_trailing_bytes_are_cut(void **state)
{
    struct packet p = udp6_packet(12);
    struct frame f;

    (void)state;
    p.bytes[L4_OF_6 + 5] = 8 + 5;
    seal6(p.bytes, p.len);
    expect("bytes behind the datagram", read_whole(&p, &plain, &f), OK);
    assert_int_equal(f.l4_bytes, 13);
    assert_int_equal(f.payload_bytes, 5);
}

/* ---- fragments ---- */

struct fragment_case {
    const char *why;
    uint8_t proto;
    uint16_t field; /* offset in bytes, and 1 for more to come */
    size_t l4_bytes;
    int want;
};

static const struct fragment_case fragment_cases[] = {
    { "a first fragment", 17, 1, 48, OK },
    { "a middle fragment", 17, 48 | 1, 48, OK },
    { "a last fragment of any length", 17, 48, 5, OK },
    { "the reserved bits mean nothing (RFC 8200 section 4.5)", 17, 48 | 6, 5, OK },
    { "T140 an atomic fragment", 17, 0, 48, COUNTER_IP_FRAG },
    { "T140 an atomic fragment of ICMPv6 (RFC 6980)", 58, 0, 48, COUNTER_IP_FRAG },
    { "a middle fragment of 47 bytes leaves a gap nobody fills", 17, 48 | 1, 47, COUNTER_IP_FRAG },
    { "an empty fragment", 17, 48, 0, COUNTER_IP_FRAG },
    { "an empty first fragment", 17, 1, 0, COUNTER_IP_FRAG },
    { "the last bytes of the largest datagram", 17, 65528, 7, OK },
    { "T142 one byte more: 65,536", 17, 65528, 8, COUNTER_IP_FRAG },
    { "T142 ping of death", 58, 65528, 40, COUNTER_IP_FRAG },
    { "T141 tiny first TCP fragment", 6, 1, 8, COUNTER_IP_FRAG },
    { "T141 first TCP fragment without its options", 6, 1, 32, COUNTER_IP_FRAG },
    { "T141 first TCP fragment that is long enough", 6, 1, 40, OK },
    { "T141 TCP fragment at 8 bytes (RFC 3128)", 6, 8, 48, COUNTER_IP_FRAG },
    { "T141 TCP fragment at 32 bytes", 6, 32 | 1, 48, COUNTER_IP_FRAG },
    { "T141 TCP fragment behind the header", 6, 40, 48, OK },
    { "T138 hop-by-hop options in a fragment", 0, 1, 48, COUNTER_IP_OPTIONS },
    { "T138 a routing header in a fragment", 43, 1, 48, COUNTER_IP_OPTIONS },
    { "T138 a fragment of fragments", 44, 1, 48, COUNTER_IP_OPTIONS },
    { "T138 destination options in a fragment", 60, 1, 48, COUNTER_IP_OPTIONS },
};

static void test_t138_t140_t141_t142_fragments(void **state)
{
    struct packet cut = frag6_packet(17, 1, 48);
    struct frame f;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fragment_cases); i++) {
        const struct fragment_case *c = &fragment_cases[i];
        struct packet p = frag6_packet(c->proto, c->field, c->l4_bytes);

        expect(c->why, frame_read(p.bytes, p.len, &plain, &f), c->want);
        if (c->want != OK)
            continue;
        assert_true(f.fragment);
        assert_int_equal(f.frag_id, 0x89abcdef);
        assert_int_equal(f.frag_offset, c->field & ~7);
        assert_int_equal(f.frag_more, c->field & 1);
        assert_int_equal(f.proto, c->proto);
        assert_ptr_equal(f.l4, p.bytes + L4_OF_6 + 8);
        assert_int_equal(f.l4_bytes, c->l4_bytes);
    }
    cut.bytes[IP + 5] = 7;
    expect("T150 a fragment header cut", frame_read(cut.bytes, cut.len, &plain, &f), COUNTER_FRAME_BAD);
}

/* ---- the channel's header ---- */

enum base { TCP, UDP, ICMP, FRAGMENT };

struct offload_case {
    const char *why;
    enum base base;
    struct frame_offload offload;
    int want;
    uint16_t segment;
};

#define GSO(type, size) .gso_type = (type), .gso_size = (size)
#define PARTIAL(start, offset) .needs_csum = true, .csum_start = (start), .csum_offset = (offset)

/* Of packets whose checksum is wrong, so that taking one says that nobody looked. */
static const struct offload_case offload_cases[] = {
    { "A11 TCP checksum wrong", TCP, {0}, COUNTER_FRAME_CSUM, 0 },
    { "A11 ICMPv6 checksum wrong", ICMP, {0}, COUNTER_FRAME_CSUM, 0 },
    { "A11 TCP partial checksum", TCP, {PARTIAL(L4_OF_6, 16)}, OK, 0 },
    { "A11 UDP partial checksum", UDP, {PARTIAL(L4_OF_6, 6)}, OK, 0 },
    { "A12 a super-segment", TCP, {PARTIAL(L4_OF_6, 16), GSO(FRAME_GSO_TCP6, 1440)}, OK, 0 },
    { "T150 csum_start is IPv4's", TCP, {PARTIAL(L4, 16)}, COUNTER_FRAME_BAD, 0 },
    { "T150 csum_offset is UDP's", TCP, {PARTIAL(L4_OF_6, 6)}, COUNTER_FRAME_BAD, 0 },
    { "T150 partial checksum of ICMPv6", ICMP, {PARTIAL(L4_OF_6, 2)}, COUNTER_FRAME_BAD, 0 },
    { "T150 IPv4's GSO", TCP, {GSO(FRAME_GSO_TCP4, 1440)}, COUNTER_FRAME_BAD, 0 },
    { "T150 gso_size 0", TCP, {GSO(FRAME_GSO_TCP6, 0)}, COUNTER_FRAME_BAD, 0 },
    { "T150 TCP's GSO on UDP", UDP, {GSO(FRAME_GSO_TCP6, 1440)}, COUNTER_FRAME_BAD, 0 },
    { "T150 UDP's GSO on TCP", TCP, {GSO(FRAME_GSO_UDP, 4)}, COUNTER_FRAME_BAD, 0 },
    { "T150 UDP's GSO on ICMPv6", ICMP, {GSO(FRAME_GSO_UDP, 4)}, COUNTER_FRAME_BAD, 0 },
    { "T150 UFO (3), which we never offer", UDP, {GSO(3, 4)}, COUNTER_FRAME_BAD, 0 },
    { "UDP segmentation: datagrams of 4 bytes in a row", UDP, {PARTIAL(L4_OF_6, 6), GSO(FRAME_GSO_UDP, 4)}, OK, 4 },
    { "UDP segmentation of a single one", UDP, {PARTIAL(L4_OF_6, 6), GSO(FRAME_GSO_UDP, 12)}, OK, 0 },
    { "T150 GSO on a fragment", FRAGMENT, {GSO(FRAME_GSO_UDP, 4)}, COUNTER_FRAME_BAD, 0 },
    { "T150 partial checksum of a fragment", FRAGMENT, {PARTIAL(L4_OF_6 + 8, 6)}, COUNTER_FRAME_BAD, 0 },
};

static void test_a11_a12_t150_offload_header(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(offload_cases); i++) {
        const struct offload_case *c = &offload_cases[i];
        struct packet p = c->base == TCP ? tcp6_packet(0x10, NULL, 0, 10) : c->base == UDP ? udp6_packet(12)
                        : c->base == ICMP ? icmp6_packet(128, 12) : frag6_packet(17, 1, 48);
        struct frame f;

        p.bytes[p.len - 1] ^= 1;
        expect(c->why, read_whole(&p, &c->offload, &f), c->want);
        if (c->want == OK)
            assert_int_equal(f.segment, c->segment);
    }
}

/* T150: a frame of 64 KiB in datagrams of one byte would be 65,000 system calls. */
static void test_a12_t150_rows_are_bounded(void **state)
{
    struct frame_offload offload = {PARTIAL(L4_OF_6, 6), GSO(FRAME_GSO_UDP, 1)};
    struct packet most = udp6_packet(FRAME_SEGMENTS_MAX), more = udp6_packet(FRAME_SEGMENTS_MAX + 1);
    struct frame f;

    (void)state;
    expect("as many as there may be", read_whole(&most, &offload, &f), OK);
    assert_int_equal(f.segment, 1);
    expect("one more", read_whole(&more, &offload, &f), COUNTER_FRAME_BAD);
    offload.gso_size = 2;
    expect("the last one shorter", read_whole(&more, &offload, &f), OK);
}

/* ---- anything ---- */

static struct packet any_packet(uint64_t *x)
{
    uint64_t r = xorshift(x);
    struct packet p;

    switch (r % 4) {
    case 0:
        p = tcp6_packet((uint8_t)(r >> 8), NULL, 0, r >> 16 & 31);
        break;
    case 1:
        p = udp6_packet(r >> 16 & 31);
        break;
    case 2:
        p = icmp6_packet((uint8_t)(r >> 8), r >> 16 & 31);
        break;
    default:
        p = frag6_packet(r >> 8 & 1 ? 17 : 6, (uint16_t)(r >> 32), 8 * (r >> 16 & 7));
        break;
    }
    for (unsigned n = r >> 24 & 3; n > 0; n--) {
        uint64_t change = xorshift(x);

        p.bytes[change % p.len] = (uint8_t)(change >> 16);
    }
    if (r >> 28 & 1)
        p.len = xorshift(x) % (p.len + 20);
    if (r >> 29 & 3 && p.len > L4_OF_6)
        seal6(p.bytes, p.len);
    return p;
}

/* Every frame lies at the very end of its allocation: a sanitizer sees the first byte read beyond it. */
static void test_a13_any_frame(void **state)
{
    enum { FRAMES = 200000 };
    uint64_t x = 0x9e3779b97f4a7c15u;
    unsigned taken = 0, pieces = 0, fates[COUNTER_COUNT] = {0};

    (void)state;
    for (int i = 0; i < FRAMES; i++) {
        struct packet p = any_packet(&x);
        uint8_t *bytes = malloc(p.len > 0 ? p.len : 1);
        struct frame f = {.kind = FRAME_ARP};
        bool nop;
        int drop;

        assert_non_null(bytes);
        memcpy(bytes, p.bytes, p.len);
        drop = frame_read(bytes, p.len, &plain, &f);
        if (drop == 0 && f.kind == FRAME_IPV6) {
            assert_ptr_equal(f.l4, f.ip + (f.fragment ? 48 : 40));
            assert_ptr_equal(f.l4 + f.l4_bytes, f.ip + f.ip_bytes);
            assert_true(f.ip + f.ip_bytes <= bytes + p.len);
            pieces += f.fragment;
            drop = f.fragment ? 0 : frame_read_l4(&f, &plain, &nop);
            if (drop == 0 && !f.fragment) {
                assert_ptr_equal(f.payload + f.payload_bytes, f.l4 + f.l4_bytes);
                taken++;
            }
        }
        assert_in_range(drop, 0, COUNTER_COUNT - 1);
        fates[drop]++;
        free(bytes);
    }
    /* The loop is worth nothing if it stays at the door. */
    assert_true(taken > FRAMES / 20 && pieces > FRAMES / 100);
    assert_true(fates[COUNTER_FRAME_BAD] > 1000 && fates[COUNTER_FRAME_CSUM] > 1000);
    assert_true(fates[COUNTER_IP_FRAG] > 100 && fates[COUNTER_PROTO_L3] > 100 && fates[COUNTER_IP_OPTIONS] > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_of_good_frames),
        cmocka_unit_test(test_a11_t138_t149_t150_headers),
        cmocka_unit_test(test_t150_oversize),
        cmocka_unit_test(test_udp_trailing_bytes_are_cut),
        cmocka_unit_test(test_t138_t140_t141_t142_fragments),
        cmocka_unit_test(test_a11_a12_t150_offload_header),
        cmocka_unit_test(test_a12_t150_rows_are_bounded),
        cmocka_unit_test(test_a13_any_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
