/*
 * Reports of IGMP and MLD: every kernel sends them when it starts, so they are no drop; what only looks like one is.
 */
#include "stack/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/packets6.h"

enum {
    TAKEN = 0,
    NO_REPORT = -1,      /* taken, as something else */
    IGMP = IP + 24,      /* behind a router alert */
    ALERT6 = IP + 40,    /* the hop-by-hop header */
    MLD = ALERT6 + 8,
    MLD_BYTES = 28,      /* one record */
};

struct report_case {
    const char *why;
    struct {
        int at; /* 0: none */
        uint8_t value;
    } patch[5];
    bool broken; /* the checksum: the patch comes behind it */
    int want;
};

/* Version 3 for 224.0.0.251, as Linux sends it. */
static struct packet igmp_packet(void)
{
    struct packet p = ip_packet(2, 4 + 16);
    static const uint8_t rest[] = {224, 0, 0, 22, 0x94, 4, 0, 0, 0x22, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 224, 0, 0, 251};

    p.bytes[IP] = 0x46;
    p.bytes[IP + 8] = 1;
    memcpy(p.bytes + IP + 16, rest, sizeof(rest));
    return p;
}

/* Version 2 for a solicited-node group, as Linux sends it before it has an address. */
static struct packet mld_packet(void)
{
    struct packet p = ip6_packet(0, 8 + MLD_BYTES);
    static const uint8_t groups[] = {0xff, 2, [15] = 0x16}, alert[] = {58, 0, 5, 2, 0, 0, 1, 0};
    static const uint8_t report[MLD_BYTES] = {143, [7] = 1, [8] = 4, [12] = 0xff, 2, [23] = 1, 0xff, 1, 2, 3};

    p.bytes[IP + 7] = 1;
    memset(p.bytes + IP + 8, 0, 16);
    memcpy(p.bytes + IP + 24, groups, sizeof(groups));
    memcpy(p.bytes + ALERT6, alert, sizeof(alert));
    memcpy(p.bytes + MLD, report, sizeof(report));
    return p;
}

static void seal_report(struct packet *p, bool v6)
{
    size_t n = p->len - MLD;

    if (!v6) {
        seal(p->bytes, p->len);
        return;
    }
    memset(p->bytes + MLD + 2, 0, 2);
    put_slow(p->bytes + MLD + 2, slow_sum(p->bytes + MLD, n, slow_pseudo6(p->bytes + IP, 58, n)));
}

static void check_case(const struct report_case *c, struct packet p, bool v6)
{
    static const struct frame_offload plain;
    struct frame f;
    int drop;

    if (c->broken)
        seal_report(&p, v6);
    for (size_t i = 0; i < ARRAY_SIZE(c->patch); i++)
        if (c->patch[i].at > 0)
            p.bytes[c->patch[i].at] = c->patch[i].value;
    if (!c->broken)
        seal_report(&p, v6);
    drop = frame_read(p.bytes, p.len, &plain, &f);
    if (drop != (c->want < 0 ? TAKEN : c->want) || (drop == 0 && f.group_report != (c->want == TAKEN)))
        fail_msg("%s: %s", c->why, drop ? counter_name((enum counter)drop) : f.group_report ? "a report" : "no report");
    if (c->want != TAKEN)
        return;
    assert_ptr_equal(f.l4, p.bytes + (v6 ? (size_t)MLD : IP + (p.bytes[IP] & 15) * 4u));
    assert_ptr_equal(f.l4 + f.l4_bytes, f.ip + f.ip_bytes);
    assert_int_equal(f.proto, v6 ? 58 : 2);
}

static const struct report_case igmp_cases[] = {
    { "version 3", .want = TAKEN },
    { "version 2", {{IGMP, 0x16}}, .want = TAKEN },
    { "version 1", {{IGMP, 0x12}}, .want = TAKEN },
    { "leave", {{IGMP, 0x17}}, .want = TAKEN },
    { "to a group of the site's", {{IP + 16, 239}}, .want = TAKEN },
    { "before there is an address", {{IP + 12, 0}, {IP + 13, 0}, {IP + 14, 0}, {IP + 15, 0}}, .want = TAKEN },
    { "without a router alert", {{IP, 0x45}, {IP + 3, 36}, {IP + 20, 0x22}, {IP + 21, 0}}, .want = TAKEN },
    { "T138 a query: who routes groups is not the guest", {{IGMP, 0x11}}, .want = COUNTER_IP_OPTIONS },
    { "T138 over more than one hop", {{IP + 8, 2}}, .want = COUNTER_IP_OPTIONS },
    { "T138 to one host", {{IP + 16, 93}}, .want = COUNTER_IP_OPTIONS },
    { "T138 to class E", {{IP + 16, 240}}, .want = COUNTER_IP_OPTIONS },
    { "T138 another option than a router alert", {{IP + 20, 0x07}}, .want = COUNTER_IP_OPTIONS },
    { "T138 a router alert of another value", {{IP + 23, 1}}, .want = COUNTER_IP_OPTIONS },
    { "T138 more options behind it", {{IP, 0x47}}, .want = COUNTER_IP_OPTIONS },
    { "T138 another protocol behind it", {{IP + 9, 17}}, .want = COUNTER_IP_OPTIONS },
    { "T138 in fragments", {{IP + 6, 0x20}}, .want = COUNTER_IP_OPTIONS },
    { "T138 the rest of fragments", {{IP + 7, 1}}, .want = COUNTER_IP_OPTIONS },
    { "T138 cut", {{IP + 3, 31}}, .want = COUNTER_IP_OPTIONS },
    { "T138 a checksum that does not hold", {{IGMP + 8, 5}}, .broken = true, .want = COUNTER_IP_OPTIONS },
    { "the reserved bit", {{IP + 6, 0x80}}, .want = COUNTER_FRAME_BAD },
    { "a query without a router alert", {{IP, 0x45}, {IP + 3, 36}, {IP + 20, 0x11}, {IP + 21, 0}}, .want = NO_REPORT },
};

static void test_t138_igmp(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(igmp_cases); i++)
        check_case(&igmp_cases[i], igmp_packet(), false);
}

static const struct report_case mld_cases[] = {
    { "version 2", .want = TAKEN },
    { "version 1", {{MLD, 131}}, .want = TAKEN },
    { "done", {{MLD, 132}}, .want = TAKEN },
    { "from an address", {{IP + 8, 0xfe}, {IP + 9, 0x80}, {IP + 23, 2}}, .want = TAKEN },
    { "to a group of another scope", {{IP + 25, 5}}, .want = TAKEN },
    { "padding in front", {{ALERT6 + 2, 1}, {ALERT6 + 3, 0}, {ALERT6 + 4, 5}, {ALERT6 + 5, 2}, {ALERT6 + 6, 0}}, .want = TAKEN },
    { "padding of single bytes", {{ALERT6 + 6, 0}}, .want = TAKEN },
    { "T138 a query", {{MLD, 130}}, .want = COUNTER_IP_OPTIONS },
    { "T138 a ping behind the router alert", {{MLD, 128}}, .want = COUNTER_IP_OPTIONS },
    { "T138 neighbour discovery behind it", {{MLD, 135}}, .want = COUNTER_IP_OPTIONS },
    { "T138 UDP behind it", {{ALERT6, 17}}, .want = COUNTER_IP_OPTIONS },
    { "T138 another extension behind it", {{ALERT6, 60}}, .want = COUNTER_IP_OPTIONS },
    { "T138 a longer header", {{ALERT6 + 1, 1}}, .want = COUNTER_IP_OPTIONS },
    { "T138 another option", {{ALERT6 + 2, 0xc2}}, .want = COUNTER_IP_OPTIONS },
    { "T138 a router alert of another value", {{ALERT6 + 5, 1}}, .want = COUNTER_IP_OPTIONS },
    { "T138 over more than one hop", {{IP + 7, 255}}, .want = COUNTER_IP_OPTIONS },
    { "T138 to one host", {{IP + 24, 0xfd}}, .want = COUNTER_IP_OPTIONS },
    { "T138 cut", {{IP + 5, 15}}, .want = COUNTER_IP_OPTIONS },
    { "T138 nothing behind it", {{IP + 5, 8}}, .want = COUNTER_IP_OPTIONS },
    { "T138 not all of the router alert", {{IP + 5, 7}}, .want = COUNTER_IP_OPTIONS },
    { "T138 a checksum that does not hold", {{MLD + 8, 5}}, .broken = true, .want = COUNTER_IP_OPTIONS },
};

static void test_t138_mld(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(mld_cases); i++)
        check_case(&mld_cases[i], mld_packet(), true);
}

/* A channel that says it has a checksum to make, or segments to cut, means another frame. */
static void test_t150_offload_header(void **state)
{
    static const struct frame_offload offloads[] = {
        {.needs_csum = true, .csum_start = MLD, .csum_offset = 2},
        {.gso_type = FRAME_GSO_UDP, .gso_size = 8},
    };
    struct packet p = mld_packet();
    struct frame f;

    (void)state;
    seal_report(&p, true);
    for (size_t i = 0; i < ARRAY_SIZE(offloads); i++)
        assert_int_equal(frame_read(p.bytes, p.len, &offloads[i], &f), COUNTER_FRAME_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t138_igmp),
        cmocka_unit_test(test_t138_mld),
        cmocka_unit_test(test_t150_offload_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
