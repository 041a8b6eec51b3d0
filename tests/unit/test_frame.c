/*
 * Frames as a guest can send them, right and wrong.
 */
#include "stack/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/packets.h"

enum { OK = 0 };

static const struct frame_offload plain;

/* Both steps, as stack/guest.c takes them. */
static int read_whole(struct packet *p, const struct frame_offload *offload, struct frame *f, bool *out_nop)
{
    int drop = frame_read(p->bytes, p->len, offload, f);

    *out_nop = false;
    return drop != 0 || f->kind == FRAME_ARP || f->fragment ? drop : frame_read_l4(f, offload, out_nop);
}

static void expect(const char *why, int got, int want)
{
    if (got != want)
        fail_msg("%s: %s, not %s", why, got == OK ? "taken" : counter_name((enum counter)got),
                 want == OK ? "taken" : counter_name((enum counter)want));
}

/* ---- good frames ---- */

static void test_fields_of_good_frames(void **state)
{
    static const uint8_t options[] = {1, 1, 1, 0};
    struct packet p = tcp_packet(0x18, options, sizeof(options), 5);
    struct frame f;
    bool nop;

    (void)state;
    assert_int_equal(read_whole(&p, &plain, &f, &nop), OK);
    assert_ptr_equal(f.dst_mac, p.bytes);
    assert_ptr_equal(f.src_mac, p.bytes + 6);
    assert_int_equal(f.kind, FRAME_IPV4);
    assert_int_equal(addr_to_v4(&f.src), 0xc0a87f02);
    assert_int_equal(addr_to_v4(&f.dst), 0x5db8d822);
    assert_true(f.dont_fragment && !f.fragment && !nop);
    assert_int_equal(f.src_port, 0xc001);
    assert_int_equal(f.dst_port, 80);
    assert_int_equal(f.seq, 0x01020304);
    assert_int_equal(f.ack, 0x05060708);
    assert_int_equal(f.window, 0xfaf0);
    assert_int_equal(f.tcp_flags, FRAME_ACK | FRAME_PSH);
    assert_int_equal(f.tcp_header_bytes, 24);
    assert_ptr_equal(f.payload, p.bytes + TCP_DATA + 4);
    assert_int_equal(f.payload_bytes, 5);

    p = udp_packet(7);
    assert_int_equal(read_whole(&p, &plain, &f, &nop), OK);
    assert_ptr_equal(f.payload, p.bytes + L4 + 8);
    assert_int_equal(f.payload_bytes, 7);
    assert_int_equal(f.dst_port, 53);

    p = icmp_packet(3);
    assert_int_equal(read_whole(&p, &plain, &f, &nop), OK);
    assert_int_equal(f.payload_bytes, 3);

    p = arp_packet();
    assert_int_equal(read_whole(&p, &plain, &f, &nop), OK);
    assert_int_equal(f.kind, FRAME_ARP);
    assert_int_equal(f.ip_bytes, 28);
}

/* ---- header cases: a UDP datagram of 12 bytes with some bytes changed ---- */

struct patch {
    int at; /* 0: none (nothing is wrong with any destination address) */
    uint8_t value;
};

struct header_case {
    const char *why;
    struct patch patch[4];
    int grow;   /* bytes added (zeros) or cut at the end of the frame */
    bool unsealed;
    int want;
};

static const struct header_case header_cases[] = {
    { "an ordinary datagram", .want = OK },
    { "Ethernet padding is cut", .grow = 26, .want = OK },
    { "T150 runt: no whole Ethernet header", .grow = -41, .want = COUNTER_FRAME_BAD },
    { "T150 runt: no IP header at all", .grow = -40, .want = COUNTER_FRAME_BAD },
    { "T150 runt: IP header cut", .grow = -21, .want = COUNTER_FRAME_BAD },
    { "T150 total length beyond the frame by one", .grow = -1, .want = COUNTER_FRAME_BAD },
    { "T150 total length beyond the frame", {{IP + 2, 0xff}}, .want = COUNTER_FRAME_BAD },
    { "T150 total length below the header", {{IP + 3, 19}}, .want = COUNTER_FRAME_BAD },
    { "T150 total length zero (BIG TCP)", {{IP + 3, 0}}, .want = COUNTER_FRAME_BAD },
    { "an IPv4 ethertype with version 6", {{IP, 0x65}}, .want = COUNTER_FRAME_BAD },
    { "a header of 16 bytes", {{IP, 0x44}}, .want = COUNTER_FRAME_BAD },
    { "T150 a header longer than the datagram", {{IP, 0x4f}}, .want = COUNTER_FRAME_BAD },
    { "T138 options: a record route", {{IP, 0x46}, {L4, 7}, {L4 + 1, 3}, {L4 + 2, 4}},
      .want = COUNTER_IP_OPTIONS },
    { "T138 options: only NOPs", {{IP, 0x46}, {L4, 1}, {L4 + 1, 1}, {L4 + 2, 1}},
      .want = COUNTER_IP_OPTIONS },
    { "A11 header checksum wrong", {{IP + 10, 0xaa}}, .unsealed = true, .want = COUNTER_FRAME_CSUM },
    { "A11 header bit flipped", {{IP + 15, 3}}, .unsealed = true, .want = COUNTER_FRAME_CSUM },
    { "TTL 0", {{IP + 8, 0}}, .want = COUNTER_FRAME_BAD },
    { "the reserved bit", {{IP + 6, 0x80}}, .want = COUNTER_FRAME_BAD },
    { "T151 source MAC multicast", {{6, 0x53}}, .want = COUNTER_FRAME_BAD },
    { "T151 source MAC broadcast-like", {{6, 0xff}}, .want = COUNTER_FRAME_BAD },
    { "T149 802.3 length (LLC)", {{12, 0}, {13, 40}}, .want = COUNTER_FRAME_ETHERTYPE },
    { "T149 VLAN", {{12, 0x81}}, .want = COUNTER_FRAME_ETHERTYPE },
    { "T149 QinQ", {{12, 0x88}, {13, 0xa8}}, .want = COUNTER_FRAME_ETHERTYPE },
    { "T149 unknown ethertype", {{12, 0x88}, {13, 0xcc}}, .want = COUNTER_FRAME_ETHERTYPE },
    { "IPv4 that says it is IPv6", {{12, 0x86}, {13, 0xdd}}, .want = COUNTER_FRAME_BAD },
    { "T149 IGMP", {{IP + 9, 2}}, .want = COUNTER_PROTO_L3 },
    { "T149 IPIP", {{IP + 9, 4}}, .want = COUNTER_PROTO_L3 },
    { "T149 IPv6 in IPv4", {{IP + 9, 41}}, .want = COUNTER_PROTO_L3 },
    { "T149 GRE", {{IP + 9, 47}}, .want = COUNTER_PROTO_L3 },
    { "T149 ESP", {{IP + 9, 50}}, .want = COUNTER_PROTO_L3 },
    { "T149 ICMPv6 in IPv4", {{IP + 9, 58}}, .want = COUNTER_PROTO_L3 },
    { "T149 SCTP", {{IP + 9, 132}}, .want = COUNTER_PROTO_L3 },
    { "T150 UDP length below its header", {{L4 + 5, 7}}, .want = COUNTER_FRAME_BAD },
    { "T150 UDP length beyond the datagram", {{L4 + 5, 21}}, .want = COUNTER_FRAME_BAD },
    { "T150 UDP length zero", {{L4 + 5, 0}}, .want = COUNTER_FRAME_BAD },
    { "UDP header cut", {{IP + 3, 27}}, .want = COUNTER_FRAME_BAD },
    { "UDP source port 0", {{L4, 0}, {L4 + 1, 0}}, .want = COUNTER_FRAME_BAD },
    { "UDP destination port 0", {{L4 + 3, 0}}, .want = COUNTER_FRAME_BAD },
    { "A11 UDP checksum wrong", {{L4 + 9, 'v'}}, .unsealed = true, .want = COUNTER_FRAME_CSUM },
    { "A11 UDP checksum absent (RFC 768)", {{L4 + 6, 0}, {L4 + 7, 0}}, .unsealed = true, .want = OK },
    { "TCP too short for its header", {{IP + 9, 6}, {IP + 3, 39}}, .want = COUNTER_FRAME_BAD },
};

static void test_a11_t138_t149_t150_t151_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(header_cases); i++) {
        const struct header_case *c = &header_cases[i];
        struct packet p = udp_packet(12);
        struct frame f;
        bool nop;

        for (size_t j = 0; j < ARRAY_SIZE(c->patch); j++)
            if (c->patch[j].at > 0)
                p.bytes[c->patch[j].at] = c->patch[j].value;
        if (!c->unsealed && p.bytes[12] == 8)
            seal(p.bytes, p.len);
        p.len = (size_t)((int)p.len + c->grow);
        expect(c->why, read_whole(&p, &plain, &f, &nop), c->want);
        if (c->want == OK)
            assert_int_equal(f.ip_bytes, 40);
    }
}

static void test_t150_oversize(void **state)
{
    size_t len = FRAME_BYTES_MAX + 1;
    uint8_t *bytes = calloc(1, len);
    struct packet p = udp_packet(12);
    struct frame f;

    (void)state;
    assert_non_null(bytes);
    memcpy(bytes, p.bytes, p.len);
    assert_int_equal(frame_read(bytes, len, &plain, &f), COUNTER_FRAME_BAD);
    assert_int_equal(frame_read(bytes, len - 1, &plain, &f), OK); /* all of it padding, and cut */
    free(bytes);
}

static void test_udp_trailing_bytes_are_cut(void **state)
{
    struct packet p = udp_packet(12);
    struct frame f;
    bool nop;

    (void)state;
    p.bytes[L4 + 5] = 8 + 5;
    seal(p.bytes, p.len); /* the checksum covers what the length says, not the bytes behind */
    assert_int_equal(read_whole(&p, &plain, &f, &nop), OK);
    assert_int_equal(f.l4_bytes, 13);
    assert_int_equal(f.payload_bytes, 5);
    assert_int_equal(f.ip_bytes, 40);
}

/* ---- fragments ---- */

struct fragment_case {
    const char *why;
    uint8_t proto;
    uint16_t field; /* flags and offset */
    size_t l4_bytes;
    int want;
};

static const struct fragment_case fragment_cases[] = {
    { "a first fragment", 17, 0x2000, 48, OK },
    { "a middle fragment", 17, 0x2006, 48, OK },
    { "a last fragment of any length", 17, 0x0006, 5, OK },
    { "a middle fragment of 47 bytes leaves a gap nobody fills", 17, 0x2006, 47, COUNTER_IP_FRAG },
    { "an empty fragment", 17, 0x0006, 0, COUNTER_IP_FRAG },
    { "an empty first fragment", 17, 0x2000, 0, COUNTER_IP_FRAG },
    { "the last bytes of the largest datagram", 17, 0x1ffd, 3, OK },
    { "T142 one byte more: 65,536 with its header", 17, 0x1ffd, 4, COUNTER_IP_FRAG },
    { "T142 ping of death", 1, 0x1ffd, 40, COUNTER_IP_FRAG },
    { "T142 the largest offset", 1, 0x1fff, 8, COUNTER_IP_FRAG },
    { "T141 tiny first TCP fragment", 6, 0x2000, 8, COUNTER_IP_FRAG },
    { "T141 first TCP fragment without its options", 6, 0x2000, 32, COUNTER_IP_FRAG },
    { "T141 first TCP fragment that is long enough", 6, 0x2000, 40, OK },
    { "T141 TCP fragment at offset 1 (RFC 3128)", 6, 0x0001, 48, COUNTER_IP_FRAG },
    { "T141 TCP fragment at 32 bytes", 6, 0x2004, 48, COUNTER_IP_FRAG },
    { "T141 TCP fragment behind the header", 6, 0x2005, 48, OK },
};

static void test_t141_t142_fragments(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fragment_cases); i++) {
        const struct fragment_case *c = &fragment_cases[i];
        struct packet p = ip_packet(c->proto, c->l4_bytes);
        struct frame f;

        p.bytes[IP + 6] = (uint8_t)(c->field >> 8);
        p.bytes[IP + 7] = (uint8_t)c->field;
        seal(p.bytes, p.len);
        expect(c->why, frame_read(p.bytes, p.len, &plain, &f), c->want);
        if (c->want != OK)
            continue;
        assert_true(f.fragment);
        assert_int_equal(f.frag_id, 0x1234);
        assert_int_equal(f.frag_offset, (c->field & 0x1fff) * 8);
        assert_int_equal(f.frag_more, c->field >> 13 & 1);
        assert_int_equal(f.l4_bytes, c->l4_bytes);
    }
}

/* ---- the channel's header ---- */

enum base { TCP, UDP, ICMP, ARP, FRAGMENT };

struct offload_case {
    const char *why;
    enum base base;
    bool broken; /* the L4 checksum */
    struct frame_offload offload;
    int want;
};

#define GSO(type, size, hdr) .gso_type = (type), .gso_size = (size), .hdr_len = (hdr)
#define PARTIAL(start, offset) .needs_csum = true, .csum_start = (start), .csum_offset = (offset)

static const struct offload_case offload_cases[] = {
    { "A11 TCP checksum wrong", TCP, true, {0}, COUNTER_FRAME_CSUM },
    { "A11 UDP checksum wrong", UDP, true, {0}, COUNTER_FRAME_CSUM },
    { "A11 ICMP checksum wrong", ICMP, true, {0}, COUNTER_FRAME_CSUM },
    { "A11 TCP partial checksum", TCP, true, {PARTIAL(L4, 16)}, OK },
    { "A11 UDP partial checksum", UDP, true, {PARTIAL(L4, 6)}, OK },
    { "A11 vouched for", TCP, true, {.csum_trusted = true}, OK },
    { "A12 a super-segment", TCP, true, {PARTIAL(L4, 16), GSO(FRAME_GSO_TCP4, 1448, TCP_DATA)}, OK },
    { "A12 hdr_len is a hint: all of it", TCP, true, {PARTIAL(L4, 16), GSO(FRAME_GSO_TCP4, 1448, 64)}, OK },
    { "T150 hdr_len beyond the frame", TCP, true, {PARTIAL(L4, 16), GSO(FRAME_GSO_TCP4, 1448, 65)},
      COUNTER_FRAME_BAD },
    { "T150 hdr_len beyond the frame, without GSO", TCP, false, {.hdr_len = 65}, COUNTER_FRAME_BAD },
    { "T150 gso_size 0", TCP, true, {PARTIAL(L4, 16), GSO(FRAME_GSO_TCP4, 0, TCP_DATA)}, COUNTER_FRAME_BAD },
    { "T150 csum_start beyond the frame", TCP, true, {PARTIAL(200, 16)}, COUNTER_FRAME_BAD },
    { "T150 csum_start at the IP header", TCP, true, {PARTIAL(IP, 16)}, COUNTER_FRAME_BAD },
    { "T150 csum_start counted without Ethernet", TCP, true, {PARTIAL(20, 16)}, COUNTER_FRAME_BAD },
    { "T150 csum_offset is UDP's", TCP, true, {PARTIAL(L4, 6)}, COUNTER_FRAME_BAD },
    { "T150 csum_offset is TCP's", UDP, true, {PARTIAL(L4, 16)}, COUNTER_FRAME_BAD },
    { "T150 partial checksum of ICMP, which has none", ICMP, false, {PARTIAL(L4, 2)}, COUNTER_FRAME_BAD },
    { "T150 IPv6's GSO", TCP, true, {GSO(FRAME_GSO_TCP6, 1440, 0)}, COUNTER_FRAME_BAD },
    { "T150 TCP's GSO on UDP", UDP, true, {GSO(FRAME_GSO_TCP4, 1448, 0)}, COUNTER_FRAME_BAD },
    { "T150 UDP's GSO on TCP", TCP, true, {GSO(FRAME_GSO_UDP, 1448, 0)}, COUNTER_FRAME_BAD },
    { "UDP segmentation", UDP, true, {GSO(FRAME_GSO_UDP, 4, 0)}, OK },
    { "T150 UFO (3), which we never offer", UDP, true, {GSO(3, 1448, 0)}, COUNTER_FRAME_BAD },
    { "T150 GSO on ARP", ARP, false, {GSO(FRAME_GSO_TCP4, 1448, 0)}, COUNTER_FRAME_BAD },
    { "T150 partial checksum of ARP", ARP, false, {PARTIAL(L4, 6)}, COUNTER_FRAME_BAD },
    { "T150 GSO on a fragment", FRAGMENT, false, {GSO(FRAME_GSO_TCP4, 1448, 0)}, COUNTER_FRAME_BAD },
    { "T150 partial checksum of a fragment", FRAGMENT, false, {PARTIAL(L4, 16)}, COUNTER_FRAME_BAD },
    { "fields without their flag mean nothing", TCP, false, {.gso_size = 7, .csum_start = 999}, OK },
};

static struct packet base_packet(enum base base)
{
    struct packet p = base == UDP ? udp_packet(12) : base == ICMP ? icmp_packet(12) : arp_packet();

    if (base == TCP || base == FRAGMENT)
        p = tcp_packet(0x10, NULL, 0, base == TCP ? 10 : 28);
    if (base == FRAGMENT) {
        p.bytes[IP + 6] = 0x20;
        seal(p.bytes, p.len);
    }
    return p;
}

static void test_a11_a12_t150_offload_header(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(offload_cases); i++) {
        const struct offload_case *c = &offload_cases[i];
        struct packet p = base_packet(c->base);
        struct frame f;
        bool nop;

        if (c->broken)
            p.bytes[p.len - 1] ^= 1;
        expect(c->why, read_whole(&p, &c->offload, &f, &nop), c->want);
    }
}

/* ---- TCP ---- */

struct tcp_case {
    const char *why;
    uint8_t flags;
    uint8_t options[8], want_options[8];
    int want;
    bool want_nop;
    uint16_t want_mss;
};

#define SYN FRAME_SYN
#define ACK FRAME_ACK

static const struct tcp_case tcp_cases[] = {
    { "a SYN's MSS", SYN, {2, 4, 5, 0xb4}, {2, 4, 5, 0xb4}, OK, false, 1460 },
    { "a SYN without MSS", SYN, {1, 1, 1, 1}, {1, 1, 1, 1}, OK, false, 536 },
    { "a SYN's tiny MSS is raised", SYN, {2, 4, 0, 1}, {2, 4, 0, 88}, OK, false, 88 },
    { "a SYN's MSS of 0 is raised", SYN, {1, 2, 4, 0, 0, 1}, {1, 2, 4, 0, 88, 1}, OK, false, 88 },
    { "a SYN-ACK's MSS", SYN | ACK, {2, 4, 5, 0xb4}, {2, 4, 5, 0xb4}, OK, false, 1460 },
    { "two MSS options, of which readers take either", SYN, {2, 4, 5, 0xb4, 2, 4, 5, 0}, {0},
      COUNTER_FRAME_BAD, false, 0 },
    { "MSS outside a SYN is overwritten", ACK, {2, 4, 0, 1}, {1, 1, 1, 1}, OK, true, 0 },
    { "each of them is", ACK, {2, 4, 0, 1, 2, 4, 0, 9}, {1, 1, 1, 1, 1, 1, 1, 1}, OK, true, 0 },
    { "one behind a window scale is", ACK, {3, 3, 7, 2, 4, 0, 1}, {3, 3, 7, 1, 1, 1, 1}, OK, true, 0 },
    { "bytes behind the end are no options", ACK, {0, 2, 4, 0, 1}, {0, 2, 4, 0, 1}, OK, false, 0 },
    { "MSS of five bytes", SYN, {2, 5, 5, 0xb4, 0, 1, 1, 1}, {0}, COUNTER_FRAME_BAD, false, 0 },
    { "MSS of three bytes", SYN, {2, 3, 5}, {0}, COUNTER_FRAME_BAD, false, 0 },
    { "an option of length 0", ACK, {8, 0, 1, 1}, {0}, COUNTER_FRAME_BAD, false, 0 },
    { "an option of length 1", ACK, {8, 1, 1, 1}, {0}, COUNTER_FRAME_BAD, false, 0 },
    { "an option beyond the header", ACK, {1, 1, 1, 1, 8, 10, 0, 0}, {0}, COUNTER_FRAME_BAD, false, 0 },
    { "an option without its length", ACK, {1, 1, 1, 1, 1, 1, 1, 8}, {0}, COUNTER_FRAME_BAD, false, 0 },
    { "MSS beyond the header", SYN, {1, 1, 1, 1, 1, 1, 2, 4}, {0}, COUNTER_FRAME_BAD, false, 0 },
    { "SYN and FIN", SYN | FRAME_FIN, {0}, {0}, COUNTER_FRAME_BAD, false, 0 },
    { "SYN and RST", SYN | FRAME_RST, {0}, {0}, COUNTER_FRAME_BAD, false, 0 },
    { "RST and ACK", FRAME_RST | ACK, {0}, {0}, OK, false, 0 },
};

static void test_tcp_options_and_flags(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(tcp_cases); i++) {
        const struct tcp_case *c = &tcp_cases[i];
        struct packet p = tcp_packet(c->flags, c->options, sizeof(c->options), 4);
        struct frame f;
        bool nop;

        expect(c->why, read_whole(&p, &plain, &f, &nop), c->want);
        if (c->want != OK)
            continue;
        if (nop != c->want_nop || f.tcp_mss != c->want_mss ||
            memcmp(p.bytes + TCP_DATA, c->want_options, sizeof(c->want_options)) != 0)
            fail_msg("%s: nop %d, mss %u, or other option bytes", c->why, nop, f.tcp_mss);
        assert_int_equal(f.payload_bytes, 4);
    }
}

static void test_tcp_headers_that_contradict_themselves(void **state)
{
    static const struct {
        const char *why;
        int at;
        uint8_t value;
    } cases[] = {
        { "data offset 4", L4 + 12, 0x40 },
        { "data offset 0", L4 + 12, 0 },
        { "data offset beyond the segment", L4 + 12, 0x80 },
        { "destination port 0", L4 + 3, 0 },
    };
    struct frame f;
    bool nop;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct packet p = tcp_packet(0x10, NULL, 0, 4);

        p.bytes[cases[i].at] = cases[i].value;
        seal(p.bytes, p.len);
        expect(cases[i].why, read_whole(&p, &plain, &f, &nop), COUNTER_FRAME_BAD);
    }
}

/* ---- checksums ---- */

static void test_sum_is_rfc1071s(void **state)
{
    enum { BYTES = 65536 + 16 };
    uint8_t *bytes = malloc(BYTES), slow[2];
    uint64_t x = 88172645463325252u;
    uint16_t fast;

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)xorshift(&x);
    for (size_t len = 0; len <= 65536; len += len < 300 ? 1 : 997)
        for (size_t at = 0; at < 9; at++) {
            fast = frame_sum_fold(frame_sum(bytes + at, len, 0));
            put_slow(slow, slow_sum(bytes + at, len, 0));
            assert_memory_equal(&fast, slow, 2);
        }
    memset(bytes, 0xff, BYTES);
    for (size_t len = 65528; len <= 65536; len++) { /* every carry there can be */
        fast = frame_sum_fold(frame_sum(bytes, len, UINT32_MAX));
        put_slow(slow, slow_sum(bytes, len, 0));
        assert_memory_equal(&fast, slow, 2);
        assert_true(frame_sum(bytes, len, UINT32_MAX) <= 0xffff);
    }
    free(bytes);
}

/* The example of RFC 1071 section 3, and pseudo-headers against the slow sum. */
static void test_sum_examples(void **state)
{
    static const uint8_t rfc[8] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    static const uint8_t want[2] = {0x22, 0x0d};
    struct addr a, b;
    uint8_t v6[40] = {0}, slow[2];
    uint16_t fast = frame_sum_fold(frame_sum(rfc, sizeof(rfc), 0));

    (void)state;
    assert_memory_equal(&fast, want, 2);
    assert_int_equal(addr_parse("fd77:6569:72::2", &a), 0);
    assert_int_equal(addr_parse("2001:db8::ffff:1", &b), 0);
    memcpy(v6, a.bytes, 16);
    memcpy(v6 + 16, b.bytes, 16);
    v6[33] = 1; /* 65,537 bytes: IPv6's length has 32 bits */
    v6[35] = 1;
    v6[39] = 17;
    put_slow(slow, slow_sum(v6, sizeof(v6), 0));
    fast = frame_sum_fold(frame_sum_pseudo(&a, &b, 17, 65537));
    assert_memory_equal(&fast, slow, 2);
}

/* ---- anything ---- */

static void assert_inside(const struct frame *f, const uint8_t *bytes, size_t len)
{
    const uint8_t *end = bytes + len;

    assert_ptr_equal(f->dst_mac, bytes);
    assert_ptr_equal(f->src_mac, bytes + 6);
    assert_ptr_equal(f->ip, bytes + FRAME_ETH_BYTES);
    assert_true(f->ip_bytes <= end - f->ip);
    if (f->kind == FRAME_ARP)
        return;
    assert_ptr_equal(f->l4, f->ip + 20);
    assert_int_equal(f->ip_bytes, 20 + f->l4_bytes);
    if (f->fragment)
        assert_true(f->frag_offset + f->l4_bytes <= FRAME_IP_BYTES_MAX - 20);
}

static void assert_l4_inside(const struct frame *f)
{
    assert_true(f->ip + f->ip_bytes >= f->l4 + f->l4_bytes);
    assert_true(f->payload >= f->l4 + 8);
    assert_ptr_equal(f->payload + f->payload_bytes, f->l4 + f->l4_bytes);
    if (f->proto == FRAME_PROTO_TCP) {
        assert_ptr_equal(f->payload, f->l4 + f->tcp_header_bytes);
        assert_true(f->tcp_flags & FRAME_SYN ? f->tcp_mss >= FRAME_TCP_MSS_MIN : f->tcp_mss == 0);
    }
    if (f->proto != FRAME_PROTO_ICMP)
        assert_true(f->src_port != 0 && f->dst_port != 0);
}

static struct frame_offload any_offload(uint64_t r)
{
    static const uint8_t types[] = {0, 0, 0, 1, 1, 3, 4, 5};

    if (r % 4 != 0)
        return plain;
    return (struct frame_offload){
        .needs_csum = r >> 8 & 1,
        .csum_trusted = r >> 9 & 1,
        .gso_type = types[r >> 10 & 7],
        .gso_size = (uint16_t)(r >> 16 & 0x3ff),
        .hdr_len = (uint16_t)(r >> 26 & 0x7f),
        .csum_start = r >> 33 & 1 ? L4 : (uint16_t)(r >> 34 & 0x7f),
        .csum_offset = r >> 41 & 1 ? 16 : 6,
    };
}

static struct packet any_packet(uint64_t *x)
{
    static const uint8_t options[] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7};
    uint64_t r = xorshift(x);
    struct packet p = r % 8 < 2 ? tcp_packet((uint8_t)(r >> 8), options, sizeof(options), r >> 16 & 31)
                                : base_packet((enum base)(r % 5));

    for (unsigned n = r >> 24 & 3; n > 0; n--) {
        uint64_t change = xorshift(x);

        p.bytes[change % p.len] = (uint8_t)(change >> 16);
    }
    if (r >> 28 & 1)
        p.len = xorshift(x) % (p.len + 20);
    if (r >> 29 & 3 && p.len > IP + 20)
        seal(p.bytes, p.len);
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
        struct frame_offload offload = any_offload(xorshift(&x));
        uint8_t *bytes = malloc(p.len > 0 ? p.len : 1);
        struct frame f;
        bool nop = false;
        int drop;

        assert_non_null(bytes);
        memcpy(bytes, p.bytes, p.len);
        drop = frame_read(bytes, p.len, &offload, &f);
        assert_memory_equal(bytes, p.bytes, p.len); /* the first step writes nothing */
        if (drop == 0) {
            assert_inside(&f, bytes, p.len);
            pieces += f.fragment;
            if (f.kind != FRAME_ARP && !f.fragment)
                drop = frame_read_l4(&f, &offload, &nop);
            if (drop == 0 && f.kind != FRAME_ARP && !f.fragment) {
                assert_l4_inside(&f);
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
    assert_true(fates[COUNTER_IP_FRAG] > 100 && fates[COUNTER_PROTO_L3] > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_of_good_frames),
        cmocka_unit_test(test_a11_t138_t149_t150_t151_headers),
        cmocka_unit_test(test_t150_oversize),
        cmocka_unit_test(test_udp_trailing_bytes_are_cut),
        cmocka_unit_test(test_t141_t142_fragments),
        cmocka_unit_test(test_a11_a12_t150_offload_header),
        cmocka_unit_test(test_tcp_options_and_flags),
        cmocka_unit_test(test_tcp_headers_that_contradict_themselves),
        cmocka_unit_test(test_sum_is_rfc1071s),
        cmocka_unit_test(test_sum_examples),
        cmocka_unit_test(test_a13_any_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
