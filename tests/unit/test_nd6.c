/*
 * A neighbour at the level of bytes: fd00:77::2 behind the gateway fd00:77::1. Checksums of replies are added up byte
 * by byte, not with the code under test.
 */
#include "stack/nd6.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/packets.h"

#define GATEWAY "fd00:77::1"
#define GUEST "fd00:77::2"
#define OTHER "fd00:77::3"
#define ALIAS "fd00:77::ffff:ffff:ffff:fffe"
#define ROUTER "fe80::5055:aff:fe00:1"
#define GUEST_LINK "fe80::5894:efff:fee4:cee"
#define GUEST_SLAAC "fd00:77::5894:efff:fee4:cee"
#define NOBODY "::"
#define ALL_NODES "ff02::1"
#define ALL_ROUTERS "ff02::2"

enum { RS = 133, RA, NS, NA, REDIRECT };
enum { NEXT_AT = 6, HOPS_AT = 7, SRC_AT = 8, DST_AT = 24, ICMP = 40, TARGET_AT = ICMP + 8, NA_OPTION_AT = ICMP + 24 };

static const uint8_t gateway_mac[FRAME_MAC_BYTES] = {0x52, 0x55, 0x0a, 0, 0, 1};
static const uint8_t guest_mac[FRAME_MAC_BYTES] = {0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee};
static const uint8_t all_nodes_mac[FRAME_MAC_BYTES] = {0x33, 0x33, 0, 0, 0, 1};

#define SOURCE 1, 1, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee
#define NONCE 14, 1, 1, 2, 3, 4, 5, 6
#define OPTIONS(...) .options = {__VA_ARGS__}, .option_bytes = sizeof((uint8_t[]){__VA_ARGS__})

static struct addr ip(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static struct guest make_guest(void)
{
    struct guest guest = {
        .config = {
            .gateway6 = ip(GATEWAY),
            .guest6 = ip(GUEST),
            .alias6 = ip(ALIAS),
            .router6 = ip(ROUTER),
            .mtu = 1500,
            .search = {3, 'l', 'a', 'b', 4, 't', 'e', 's', 't', 0},
            .search_len = 10,
        },
    };

    assert_int_equal(addr_prefix_parse("fd00:77::/64", &guest.config.net6), 0);
    memcpy(guest.config.gateway_mac, gateway_mac, sizeof(gateway_mac));
    return guest;
}

/* ---- what the guest sends ---- */

struct nd_case {
    const char *why;
    uint8_t type;
    const char *src, *dst; /* dst NULL: the target's solicited-node group */
    const char *target;    /* NULL: none, as in a router solicitation */
    uint8_t options[32];
    size_t option_bytes;
    uint8_t hops;          /* 0: 255 */
    uint8_t code, flags;
    int cut;
    bool alias_open, slaac;
    int want;
    const char *claims;
};

struct ask {
    uint8_t bytes[128];
    size_t len;
};

static struct ask build(const struct nd_case *c)
{
    struct ask a = {.bytes = {0x60, [NEXT_AT] = 58, [HOPS_AT] = c->hops ? c->hops : 255}, .len = ICMP + 8};
    struct addr src = ip(c->src), dst = ip(c->dst ? c->dst : "ff02::1:ff00:0");

    if (c->target) {
        struct addr target = ip(c->target);

        memcpy(a.bytes + TARGET_AT, target.bytes, 16);
        if (!c->dst)
            memcpy(dst.bytes + 13, target.bytes + 13, 3);
        a.len += 16;
    }
    memcpy(a.bytes + SRC_AT, src.bytes, 16);
    memcpy(a.bytes + DST_AT, dst.bytes, 16);
    a.bytes[ICMP] = c->type;
    a.bytes[ICMP + 1] = c->code;
    a.bytes[ICMP + 4] = c->flags;
    memcpy(a.bytes + a.len, c->options, c->option_bytes);
    a.len += c->option_bytes - (size_t)c->cut;
    a.bytes[5] = (uint8_t)(a.len - ICMP);
    return a;
}

/* From an allocation of exactly its size, so that the sanitizer sees a read beyond it. */
static int answer(const struct guest *guest, const struct ask *a, uint8_t *out, struct nd6_reply *reply)
{
    uint8_t *bytes = malloc(a->len);
    struct frame f;
    int r;

    assert_non_null(bytes);
    memcpy(bytes, a->bytes, a->len);
    f = (struct frame){
        .src_mac = guest_mac,
        .kind = FRAME_IPV6,
        .ip = bytes,
        .ip_bytes = (uint32_t)a->len,
        .src = addr_from_v6(bytes + SRC_AT),
        .dst = addr_from_v6(bytes + DST_AT),
        .proto = FRAME_PROTO_ICMPV6,
        .l4 = bytes + ICMP,
        .l4_bytes = (uint32_t)(a->len - ICMP),
    };
    memset(out, 0xee, ND6_BYTES_MAX + 1);
    r = nd6_answer(guest, &f, out, reply);
    free(bytes);
    return r;
}

/* ---- what it hears ---- */

/* What holds for every packet of ours: hop limit, lengths, checksum, options that fill it. */
static void assert_packet(const uint8_t *p, size_t len, const char *src, const struct addr *dst, uint8_t type)
{
    struct addr from = ip(src);
    size_t at = ICMP + (type == NA ? 24 : 16);
    uint8_t sum[2];

    assert_in_range(len, ICMP + 24, ND6_BYTES_MAX);
    assert_int_equal(p[0], 0x60);
    assert_int_equal(p[4] << 8 | p[5], len - ICMP);
    assert_int_equal(p[NEXT_AT], 58);
    assert_int_equal(p[HOPS_AT], 255);
    assert_memory_equal(p + SRC_AT, from.bytes, 16);
    assert_memory_equal(p + DST_AT, dst->bytes, 16);
    assert_int_equal(p[ICMP], type);
    assert_int_equal(p[ICMP + 1], 0);
    put_slow(sum, slow_sum(p + ICMP, len - ICMP, slow_sum(p + SRC_AT, 32, 58 + (uint32_t)(len - ICMP))));
    assert_int_equal(sum[0] | sum[1], 0);
    while (at < len) {
        assert_true(at + 8 <= len && p[at + 1] > 0);
        at += p[at + 1] * 8u;
    }
    assert_int_equal(at, len);
    assert_int_equal(p[len], 0xee);
}

static void assert_neighbour(const uint8_t *p, const struct nd6_reply *reply, const struct nd_case *c)
{
    static const uint8_t option[] = {2, 1, 0x52, 0x55, 0x0a, 0, 0, 1};
    struct addr target = ip(c->target), asker = ip(c->src), all = ip(ALL_NODES);
    bool probe = strcmp(c->src, NOBODY) == 0;
    bool ours = strcmp(c->target, GATEWAY) == 0 || strcmp(c->target, ROUTER) == 0 || strcmp(c->target, ALIAS) == 0;

    assert_packet(p, reply->len, ours ? c->target : ROUTER, probe ? &all : &asker, NA);
    assert_int_equal(p[ICMP + 4], probe ? 0xa0 : 0xe0); /* router, (solicited,) override */
    assert_memory_equal(p + TARGET_AT, target.bytes, 16);
    assert_int_equal(reply->len, NA_OPTION_AT + sizeof(option));
    assert_memory_equal(p + NA_OPTION_AT, option, sizeof(option));
    assert_memory_equal(reply->dst_mac, probe ? all_nodes_mac : guest_mac, FRAME_MAC_BYTES);
    assert_true(addr_equal(&reply->dst, probe ? &all : &asker));
}

static const struct nd_case cases[] = {
    /* who-has */
    { "A14 who-has the gateway", NS, GUEST, NULL, GATEWAY, OPTIONS(SOURCE), .want = 1 },
    { "A14 who-has the router, from its link-local", NS, GUEST_LINK, NULL, ROUTER, OPTIONS(SOURCE), .want = 1 },
    { "A14 the gateway from an address of its own making", NS, GUEST_SLAAC, NULL, GATEWAY, OPTIONS(SOURCE), .slaac = true, .want = 1 },
    { "A14 is the gateway still there: unicast, no option", NS, GUEST, GATEWAY, GATEWAY, .want = 1 },
    { "A14 options that are not known are skipped", NS, GUEST, NULL, GATEWAY, OPTIONS(NONCE, SOURCE, NONCE), .want = 1 },
    { "an unknown one that has no end", NS, GUEST, NULL, GATEWAY, OPTIONS(SOURCE, 200, 2), .want = -EBADMSG },
    { "A14 who-has the alias while a rule opens it", NS, GUEST, NULL, ALIAS, OPTIONS(SOURCE), .alias_open = true, .want = 1 },
    { "who-has the alias otherwise", NS, GUEST, NULL, ALIAS, OPTIONS(SOURCE), .want = 0 },
    { "T145 who-has another one's address", NS, GUEST, NULL, OTHER, OPTIONS(SOURCE), .want = 0 },
    { "T145 who-has an address of another network", NS, GUEST, NULL, "2001:db8::1", OPTIONS(SOURCE), .want = 0 },
    { "T145 who-has the subnet's anycast", NS, GUEST, NULL, "fd00:77::", OPTIONS(SOURCE), .want = 0 },
    { "who-has itself", NS, GUEST, NULL, GUEST, OPTIONS(SOURCE), .want = 0 },

    /* probes: DAD */
    { "A14 is the DHCP address free", NS, NOBODY, NULL, GUEST, .want = 0, .claims = GUEST },
    { "A14 is its link-local free, with a nonce", NS, NOBODY, NULL, GUEST_LINK, OPTIONS(NONCE), .want = 0, .claims = GUEST_LINK },
    { "A14 is an address of its own making free", NS, NOBODY, NULL, GUEST_SLAAC, .slaac = true, .want = 0, .claims = GUEST_SLAAC },
    { "the same where it makes none", NS, NOBODY, NULL, GUEST_SLAAC, .want = 1 },
    { "T145 DAD against the gateway", NS, NOBODY, NULL, GATEWAY, .want = 1 },
    { "T145 DAD against the router", NS, NOBODY, NULL, ROUTER, .want = 1 },
    { "T145 DAD against the alias", NS, NOBODY, NULL, ALIAS, .alias_open = true, .want = 1 },
    { "T145 DAD against the alias nobody opened", NS, NOBODY, NULL, ALIAS, .slaac = true, .want = 1 },
    { "T145 DAD for what is given out", NS, NOBODY, NULL, OTHER, .slaac = true, .want = 1 },
    { "T145 DAD for the subnet's anycast", NS, NOBODY, NULL, "fd00:77::", .slaac = true, .want = 1 },
    { "T145 DAD for an address of another network", NS, NOBODY, NULL, "2001:db8::1:2:3", .slaac = true, .want = 1 },
    { "a probe that names its MAC", NS, NOBODY, NULL, GUEST, OPTIONS(SOURCE), .want = -EBADMSG },
    { "a probe to all nodes", NS, NOBODY, ALL_NODES, GUEST, .want = -EBADMSG },
    { "a probe to one node", NS, NOBODY, GATEWAY, GATEWAY, .want = -EBADMSG },
    { "a probe to another group", NS, NOBODY, "ff02::1:ff00:3", GUEST, .want = -EBADMSG },

    /* the guest's own announcements */
    { "it has its address", NA, GUEST, ALL_NODES, GUEST, .flags = 0x20, .want = 0 },
    { "it answers, asked by nobody", NA, GUEST, GATEWAY, GUEST, .flags = 0x60, .want = 0 },
    { "T145 an override for the gateway", NA, GUEST, ALL_NODES, GATEWAY, .flags = 0xa0, .want = -EPERM },
    { "T145 the same, unicast", NA, GUEST, GATEWAY, GATEWAY, .flags = 0xe0, .want = -EPERM },
    { "T145 for the router", NA, GUEST_LINK, ALL_NODES, ROUTER, .flags = 0xa0, .want = -EPERM },
    { "T145 for the alias, open or not", NA, GUEST, ALL_NODES, ALIAS, .flags = 0x20, .want = -EPERM },
    { "T145 for the gateway, in its name", NA, GATEWAY, ALL_NODES, GATEWAY, .flags = 0xa0, .want = -EPERM },
    { "solicited by everybody", NA, GUEST, ALL_NODES, GUEST, .flags = 0x60, .want = -EBADMSG },
    { "an announcement of nobody's", NA, NOBODY, ALL_NODES, GUEST, .flags = 0x20, .want = -EBADMSG },
    { "an announcement without its target", NA, GUEST, ALL_NODES, NULL, .want = -EBADMSG },
    { "an announcement of a group", NA, GUEST, ALL_NODES, ALL_ROUTERS, .want = -EBADMSG },

    /* the guest as router */
    { "T145 a router advertisement", RA, GUEST_LINK, ALL_NODES, NULL, OPTIONS(0, 0, 0, 0, 0, 0, 0, 0, SOURCE), .want = -EPERM },
    { "T145 one in the router's name", RA, ROUTER, ALL_NODES, NULL, OPTIONS(0, 0, 0, 0, 0, 0, 0, 0), .want = -EPERM },
    { "T145 one that is no whole one", RA, GUEST_LINK, ALL_NODES, NULL, .hops = 1, .cut = 4, .want = -EPERM },
    { "T145 a redirect", REDIRECT, ROUTER, GUEST, GATEWAY, OPTIONS(0xfd, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3), .want = -EPERM },
    { "T145 a redirect of its own", REDIRECT, GUEST_LINK, GATEWAY, GATEWAY, .want = -EPERM },

    /* who asks */
    { "T145 the gateway as asker", NS, GATEWAY, NULL, ROUTER, OPTIONS(SOURCE), .want = -EPERM },
    { "T145 the router as asker", NS, ROUTER, NULL, GATEWAY, OPTIONS(SOURCE), .want = -EPERM },
    { "T145 the alias as asker", RS, ALIAS, ALL_ROUTERS, NULL, OPTIONS(SOURCE), .want = -EPERM },
    { "a group as asker", NS, ALL_NODES, NULL, GATEWAY, OPTIONS(SOURCE), .want = -EBADMSG },

    /* what no message may be */
    { "T145 came over a router", NS, GUEST, NULL, GATEWAY, OPTIONS(SOURCE), .hops = 254, .want = -EBADMSG },
    { "a code", NS, GUEST, NULL, GATEWAY, OPTIONS(SOURCE), .code = 1, .want = -EBADMSG },
    { "a target that is a group", NS, GUEST, ALL_NODES, ALL_NODES, OPTIONS(SOURCE), .want = -EBADMSG },
    { "a target that is nobody", NS, GUEST, ALL_NODES, NOBODY, OPTIONS(SOURCE), .want = -EBADMSG },
    { "no target", NS, GUEST, ALL_NODES, NULL, .want = -EBADMSG },
    { "an option of no length", NS, GUEST, NULL, GATEWAY, OPTIONS(1, 0, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee), .want = -EBADMSG },
    { "an unknown option of no length", NS, GUEST, NULL, GATEWAY, OPTIONS(SOURCE, 99, 0, 0, 0, 0, 0, 0, 0), .want = -EBADMSG },
    { "an option beyond the end", NS, GUEST, NULL, GATEWAY, OPTIONS(1, 2, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee), .want = -EBADMSG },
    { "half an option", NS, GUEST, NULL, GATEWAY, OPTIONS(SOURCE), .cut = 4, .want = -EBADMSG },
    { "an option without length", NS, GUEST, NULL, GATEWAY, OPTIONS(SOURCE, 14), .want = -EBADMSG },
    { "a MAC of 14 bytes", NS, GUEST, NULL, GATEWAY,
      OPTIONS(1, 2, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee, 0, 0, 0, 0, 0, 0, 0, 0), .want = -EBADMSG },
    { "T145 another MAC than the frame's", NS, GUEST, NULL, GATEWAY, OPTIONS(1, 1, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xef), .want = -EBADMSG },
    { "T145 the frame's, then another", NS, GUEST, NULL, GATEWAY, OPTIONS(SOURCE, 1, 1, 2, 2, 2, 2, 2, 2), .want = -EBADMSG },
    { "T145 the gateway's MAC", RS, GUEST_LINK, ALL_ROUTERS, NULL, OPTIONS(1, 1, 0x52, 0x55, 0x0a, 0, 0, 1), .want = -EBADMSG },
    { "T145 to a group of the site", NS, GUEST, "ff05::2", GATEWAY, OPTIONS(SOURCE), .want = -EBADMSG },
    { "T145 to somebody beyond the gateway", NS, GUEST, "2001:db8::1", "2001:db8::1", OPTIONS(SOURCE), .want = -EBADMSG },
    { "a router solicitation with its MAC but no address", RS, NOBODY, ALL_ROUTERS, NULL, OPTIONS(SOURCE), .want = -EBADMSG },
    { "no neighbour discovery", 128, GUEST, GATEWAY, NULL, .want = -EBADMSG },
};

static void test_a14_t145_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct nd_case *c = &cases[i];
        struct guest guest = make_guest();
        uint8_t out[ND6_BYTES_MAX + 1];
        struct nd6_reply reply = {.len = 7};
        struct ask a = build(c);
        int r;

        guest.alias_open = c->alias_open;
        guest.config.slaac = c->slaac;
        r = answer(&guest, &a, out, &reply);
        if (r != c->want)
            fail_msg("%s: %d, not %d", c->why, r, c->want);
        if (r == 1) {
            assert_neighbour(out, &reply, c);
            assert_int_equal(reply.claims.family, ADDR_NONE);
        } else {
            assert_int_equal(out[0], 0xee);
            assert_int_equal(reply.len, r == 0 ? 0 : 7);
        }
        if (r == 0 && c->claims) {
            struct addr want = ip(c->claims);

            if (!addr_equal(&reply.claims, &want))
                fail_msg("%s: claims something else", c->why);
        } else if (r == 0 && reply.claims.family != ADDR_NONE) {
            fail_msg("%s: claims something", c->why);
        }
    }
}

static void test_t145_every_cut_of_a_message(void **state)
{
    static const struct nd_case whole = { "", NS, GUEST, NULL, GATEWAY, OPTIONS(SOURCE) };
    struct guest guest = make_guest();
    struct ask a = build(&whole);
    uint8_t out[ND6_BYTES_MAX + 1];
    struct nd6_reply reply;
    size_t len = a.len;

    (void)state;
    assert_int_equal(answer(&guest, &a, out, &reply), 1);
    for (a.len = ICMP; a.len < len; a.len++)
        /* between target and option it is a whole message that has none */
        assert_int_equal(answer(&guest, &a, out, &reply), a.len == NA_OPTION_AT ? 1 : -EBADMSG);
}

/* ---- the network as it is told ---- */

/* The first option of @type, from its type byte on; or NULL. */
static const uint8_t *find(const uint8_t *p, size_t len, uint8_t type)
{
    for (size_t at = ICMP + 16; at < len; at += p[at + 1] * 8u)
        if (p[at] == type)
            return p + at;
    return NULL;
}

static void assert_option(const uint8_t *p, size_t len, const void *want, size_t want_len)
{
    const uint8_t *option = find(p, len, *(const uint8_t *)want);

    if (!option)
        fail_msg("option %u is missing", *(const uint8_t *)want);
    assert_int_equal(option[1] * 8u, want_len);
    assert_memory_equal(option, want, want_len);
}

static void assert_advertisement(const uint8_t *p, size_t len, const struct addr *dst, bool slaac)
{
    static const uint8_t fixed[] = {64, 0xc0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}; /* managed, other; 65535 s */
    static const uint8_t mac[] = {1, 1, 0x52, 0x55, 0x0a, 0, 0, 1};
    static const uint8_t mtu[] = {5, 1, 0, 0, 0, 0, 0x05, 0xdc};
    static const uint8_t dns[] = {25, 3, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfd, 0, 0, 0x77, [23] = 1};
    uint8_t prefix[32] = {3, 4, 64, slaac ? 0xc0 : 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
                          0xfd, 0, 0, 0x77};

    assert_packet(p, len, ROUTER, dst, RA);
    assert_memory_equal(p + ICMP + 4, fixed, sizeof(fixed));
    assert_option(p, len, mac, sizeof(mac));
    assert_option(p, len, mtu, sizeof(mtu));
    assert_option(p, len, dns, sizeof(dns));
    assert_option(p, len, prefix, sizeof(prefix));
}

static const struct {
    const char *why;
    const char *src, *dst;
    uint8_t options[8];
    size_t option_bytes;
    bool slaac;
} router_cases[] = {
    { "from its link-local address", GUEST_LINK, ALL_ROUTERS, OPTIONS(SOURCE) },
    { "where addresses are the guest's to make", GUEST_LINK, ALL_ROUTERS, OPTIONS(SOURCE), .slaac = true },
    { "before it has an address", NOBODY, ALL_ROUTERS, .option_bytes = 0 },
    { "to the router itself, without its MAC", GUEST, ROUTER, .option_bytes = 0 },
};

static void test_a14_router_solicitations(void **state)
{
    static const uint8_t search[] = {31, 3, 0, 0, 0xff, 0xff, 0xff, 0xff, 3, 'l', 'a', 'b', 4, 't', 'e', 's', 't', 0,
                                     0, 0, 0, 0, 0, 0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(router_cases); i++) {
        struct nd_case c = {router_cases[i].why, RS, router_cases[i].src, router_cases[i].dst, NULL,
                            .option_bytes = router_cases[i].option_bytes};
        struct addr asker = ip(c.src), all = ip(ALL_NODES);
        bool nobody = strcmp(c.src, NOBODY) == 0;
        struct guest guest = make_guest();
        uint8_t out[ND6_BYTES_MAX + 1];
        struct nd6_reply reply;
        struct ask a;

        memcpy(c.options, router_cases[i].options, sizeof(router_cases[i].options));
        a = build(&c);
        guest.config.slaac = router_cases[i].slaac;
        if (answer(&guest, &a, out, &reply) != 1)
            fail_msg("%s: no answer", c.why);
        assert_advertisement(out, reply.len, nobody ? &all : &asker, guest.config.slaac);
        assert_option(out, reply.len, search, sizeof(search));
        assert_memory_equal(reply.dst_mac, nobody ? all_nodes_mac : guest_mac, FRAME_MAC_BYTES);
        assert_true(addr_equal(&reply.dst, nobody ? &all : &asker));
        assert_int_equal(reply.claims.family, ADDR_NONE);
    }
}

/* Search lists of every length stand whole in whole units (RFC 8106 section 5.2). */
static void test_a14_search_lists_of_every_length(void **state)
{
    struct guest guest = make_guest();
    struct addr all = nd6_all_nodes();

    (void)state;
    for (unsigned n = 0; n <= GUEST_SEARCH_MAX; n++) {
        uint8_t out[ND6_BYTES_MAX + 1];
        const uint8_t *option;
        size_t len;

        memset(out, 0xee, sizeof(out));
        memset(guest.config.search, 's', sizeof(guest.config.search));
        guest.config.search_len = (uint8_t)n;
        len = nd6_advertisement(&guest.config, &all, out);
        assert_advertisement(out, len, &all, false);
        option = find(out, len, 31);
        assert_int_equal(option != NULL, n > 0);
        if (!option)
            continue;
        assert_in_range(option[1] * 8u, 8 + n, 8 + n + 7);
        assert_memory_equal(option + 8, guest.config.search, n);
        for (size_t i = 8 + n; i < option[1] * 8u; i++)
            assert_int_equal(option[i], 0);
    }
}

/* ---- what it may have ---- */

static const struct {
    const char *why, *addr;
    bool fixed, slaac; /* want, without and with slaac */
} claim_cases[] = {
    { "what DHCP gives it", GUEST, true, true },
    { "a link-local address", GUEST_LINK, true, true },
    { "a short link-local address", "fe80::2", true, true },
    { "T145 the router's", ROUTER, false, false },
    { "the link's anycast", "fe80::", false, false },
    { "what only looks link-local", "fe80:1::2", false, false },
    { "T145 the gateway's", GATEWAY, false, false },
    { "T145 the alias'", ALIAS, false, false },
    { "T145 the subnet's anycast", "fd00:77::", false, false },
    { "T145 what is given out to others", OTHER, false, false },
    { "the last of those", "fd00:77::ffff", false, false },
    { "the first behind them", "fd00:77::1:0", false, true },
    { "one made of its MAC", GUEST_SLAAC, false, true },
    { "a random one", "fd00:77::1cf3:9a7b:42d1:07e6", false, true },
    { "the last one", "fd00:77::ffff:ffff:ffff:ffff", false, true },
    { "T145 another link's", "fd00:77:0:1:5894:efff:fee4:cee", false, false },
    { "T145 a public one", "2001:db8::1:2:3", false, false },
    { "nobody", "::", false, false },
    { "itself", "::1", false, false },
    { "a group", "ff02::1:ff00:2", false, false },
    { "IPv4 in IPv6", "::ffff:192.168.127.2", false, false },
    { "IPv4", "192.168.127.2", false, false },
};

static void test_a14_t145_claims(void **state)
{
    struct guest guest = make_guest();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(claim_cases); i++) {
        struct addr a = ip(claim_cases[i].addr);

        guest.config.slaac = false;
        if (nd6_may_claim(&guest.config, &a) != claim_cases[i].fixed)
            fail_msg("%s: not %d", claim_cases[i].why, claim_cases[i].fixed);
        guest.config.slaac = true;
        if (nd6_may_claim(&guest.config, &a) != claim_cases[i].slaac)
            fail_msg("%s: not %d with slaac", claim_cases[i].why, claim_cases[i].slaac);
    }
}

/* What the caller refuses for reasons of its own is defended like our own. */
static void test_t145_defence(void **state)
{
    static const struct nd_case probe = { .type = NS, .src = NOBODY, .target = GUEST_SLAAC };
    struct guest guest = make_guest();
    struct addr target = ip(GUEST_SLAAC);
    uint8_t out[ND6_BYTES_MAX + 1];
    struct nd6_reply reply;

    (void)state;
    memset(out, 0xee, sizeof(out));
    nd6_defend(&guest.config, &target, out, &reply);
    assert_neighbour(out, &reply, &probe);
}

static void test_a14_groups(void **state)
{
    struct addr all = nd6_all_nodes(), want = ip(ALL_NODES), group = ip("ff02::1:ff12:3456");
    const uint8_t group_mac[FRAME_MAC_BYTES] = {0x33, 0x33, 0xff, 0x12, 0x34, 0x56};
    uint8_t mac[FRAME_MAC_BYTES];

    (void)state;
    assert_true(addr_equal(&all, &want));
    nd6_group_mac(&group, mac);
    assert_memory_equal(mac, group_mac, sizeof(mac));
}

/* Without IPv6 nothing is ours, and nothing is said. */
static void test_ipv6_off(void **state)
{
    static const struct nd_case questions[] = {
        { "who-has", NS, GUEST, NULL, GATEWAY, OPTIONS(SOURCE) },
        { "a probe", NS, NOBODY, NULL, GUEST_LINK, .option_bytes = 0 },
        { "a router solicitation", RS, GUEST_LINK, ALL_ROUTERS, NULL, OPTIONS(SOURCE) },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
        struct guest guest = {.alias_open = true};
        struct ask a = build(&questions[i]);
        uint8_t out[ND6_BYTES_MAX + 1];
        struct nd6_reply reply = {.len = 7};

        if (answer(&guest, &a, out, &reply) != 0)
            fail_msg("%s is answered", questions[i].why);
        assert_int_equal(reply.len, 0);
        assert_int_equal(reply.claims.family, ADDR_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a14_t145_answers),
        cmocka_unit_test(test_t145_every_cut_of_a_message),
        cmocka_unit_test(test_a14_router_solicitations),
        cmocka_unit_test(test_a14_search_lists_of_every_length),
        cmocka_unit_test(test_a14_t145_claims),
        cmocka_unit_test(test_t145_defence),
        cmocka_unit_test(test_a14_groups),
        cmocka_unit_test(test_ipv6_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
