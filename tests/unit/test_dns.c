/*
 * What guests ask, and what they are told.
 */
#include "policy/dns.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/dns_message.h"

#define L63 "\x3f" "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567890"
#define L61 "\x3d" "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz012345678"
#define OK_EXAMPLE "\2ok\7example\0"
#define TYPE_TXT 16

/* --- queries ----------------------------------------------------------------------------------- */

/* Read from an allocation of exactly its size, so that the sanitizer sees a byte too far. */
static enum dns_query_result read_query(const void *bytes, size_t len, struct dns_query *out_query)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    enum dns_query_result result;

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    result = dns_query_read(copy, len, out_query);
    free(copy);
    return result;
}

struct query_case {
    const char *why;
    unsigned flags;
    unsigned counts[4];
    const char *body;
    size_t body_len;
    enum dns_query_result want;
};

static const struct query_case query_cases[] = {
    { "a query", RD, {1, 0, 0, 0}, RAW(QUESTION), DNS_QUERY_OK },
    { "T121 CD and AD are no reason to refuse", RD | 0x30, {1, 0, 0, 0}, RAW(QUESTION), DNS_QUERY_OK },
    { "with OPT", RD, {1, 0, 0, 1}, RAW(QUESTION OPT_4096), DNS_QUERY_OK },
    { "with a cookie in it", RD, {1, 0, 0, 1},
      RAW(QUESTION "\0\0\x29\x10\0\0\0\0\0\0\x0c\0\x0a\0\x08" "12345678"), DNS_QUERY_OK },
    { "T112 a response", 0x8000 | RD, {1, 0, 0, 0}, RAW(QUESTION), DNS_QUERY_DROP },
    { "T112 opcode IQUERY", 1 << 11 | RD, {1, 0, 0, 0}, RAW(QUESTION), DNS_QUERY_NOTIMP },
    { "T112 opcode STATUS", 2 << 11 | RD, {1, 0, 0, 0}, RAW(QUESTION), DNS_QUERY_NOTIMP },
    { "T112 opcode NOTIFY", 4 << 11 | RD, {1, 0, 0, 0}, RAW(QUESTION), DNS_QUERY_NOTIMP },
    { "T112 opcode UPDATE", 5 << 11 | RD, {1, 0, 0, 0}, RAW(QUESTION), DNS_QUERY_NOTIMP },
    { "T112 no question", RD, {0, 0, 0, 0}, RAW(""), DNS_QUERY_FORMERR },
    { "T112 two questions", RD, {2, 0, 0, 0}, RAW(QUESTION QUESTION), DNS_QUERY_FORMERR },
    { "T112 65,535 questions", RD, {65535, 0, 0, 0}, RAW(QUESTION), DNS_QUERY_FORMERR },
    { "T112 a record in the answer section", RD, {1, 1, 0, 0}, RAW(QUESTION "\0\0\1\0\1\0\0\0\0\0\4\1\2\3\4"),
      DNS_QUERY_FORMERR },
    { "T112 a record in authority", RD, {1, 0, 1, 0}, RAW(QUESTION "\0\0\1\0\1\0\0\0\0\0\4\1\2\3\4"),
      DNS_QUERY_FORMERR },
    { "T112 no recursion desired", 0, {1, 0, 0, 0}, RAW(QUESTION), DNS_QUERY_REFUSED },
    { "T112 no recursion desired, with OPT", 0, {1, 0, 0, 1}, RAW(QUESTION OPT_4096), DNS_QUERY_REFUSED },
    { "T112 class CH", RD, {1, 0, 0, 0}, RAW(OK_EXAMPLE "\0\x10\0\3"), DNS_QUERY_REFUSED },
    { "T112 class ANY", RD, {1, 0, 0, 0}, RAW(OK_EXAMPLE "\0\1\0\xff"), DNS_QUERY_REFUSED },
    { "T111 the question is a pointer to itself", RD, {1, 0, 0, 0}, RAW("\xc0\x0c\0\1\0\1"), DNS_QUERY_FORMERR },
    { "T111 a pointer into the header", RD, {1, 0, 0, 0}, RAW("\xc0\0\0\1\0\1"), DNS_QUERY_FORMERR },
    { "T111 a pointer forward", RD, {1, 0, 0, 0}, RAW("\2ok\xc0\x13\0\1\0\1" "\7example\0"), DNS_QUERY_FORMERR },
    { "T111 a pointer in the last byte", RD, {1, 0, 0, 0}, RAW("\2ok\xc0"), DNS_QUERY_FORMERR },
    { "label type 01", RD, {1, 0, 0, 0}, RAW("\x41" "0\0\0\1\0\1"), DNS_QUERY_FORMERR },
    { "label type 10", RD, {1, 0, 0, 0}, RAW("\x82ok\0\0\1\0\1"), DNS_QUERY_FORMERR },
    { "a name without an end", RD, {1, 0, 0, 0}, RAW("\2ok\7example"), DNS_QUERY_FORMERR },
    { "a name and no type", RD, {1, 0, 0, 0}, RAW(OK_EXAMPLE "\0"), DNS_QUERY_FORMERR },
    { "255 bytes of name, whose text is 253", RD, {1, 0, 0, 0}, RAW(L63 L63 L63 L61 "\0\0\1\0\1"), DNS_QUERY_OK },
    { "T24 256 bytes of name", RD, {1, 0, 0, 0}, RAW(L63 L63 L63 "\x3e" "a" "bcdefghijklmnopqrstuvwxyzabcdefghijk"
      "lmnopqrstuvwxyz0123456789\0\0\1\0\1"), DNS_QUERY_FORMERR },
    { "T115 a dot inside a label", RD, {1, 0, 0, 0}, RAW("\7evil.ok\7example\0\0\1\0\1"), DNS_QUERY_INVALID_NAME },
    { "T115 NUL inside a label", RD, {1, 0, 0, 0}, RAW("\3o\0k\7example\0\0\1\0\1"), DNS_QUERY_INVALID_NAME },
    { "T115 a space", RD, {1, 0, 0, 0}, RAW("\3o k\7example\0\0\1\0\1"), DNS_QUERY_INVALID_NAME },
    { "T115 a backslash", RD, {1, 0, 0, 0}, RAW("\5evil\\\2ok\7example\0\0\1\0\1"), DNS_QUERY_INVALID_NAME },
    { "T18 a number last", RD, {1, 0, 0, 0}, RAW("\3" "127\1" "1\0\0\1\0\1"), DNS_QUERY_INVALID_NAME },
    { "the root", RD, {1, 0, 0, 0}, RAW("\0\0\2\0\1"), DNS_QUERY_INVALID_NAME },
    { "a byte behind the question", RD, {1, 0, 0, 0}, RAW(QUESTION "x"), DNS_QUERY_FORMERR },
    { "a byte behind OPT", RD, {1, 0, 0, 1}, RAW(QUESTION OPT_4096 "x"), DNS_QUERY_FORMERR },
    { "OPT counted, not there", RD, {1, 0, 0, 1}, RAW(QUESTION), DNS_QUERY_FORMERR },
    { "two OPT counted, none there", RD, {1, 0, 0, 2}, RAW(QUESTION), DNS_QUERY_FORMERR },
    { "OPT cut short", RD, {1, 0, 0, 1}, RAW(QUESTION "\0\0\x29\x10\0\0\0\0\0\0"), DNS_QUERY_FORMERR },
    { "two OPT", RD, {1, 0, 0, 2}, RAW(QUESTION OPT_4096 OPT_4096), DNS_QUERY_FORMERR },
    { "OPT that is not the root's", RD, {1, 0, 0, 1}, RAW(QUESTION "\2ok" OPT_4096), DNS_QUERY_FORMERR },
    { "OPT whose root is a pointer", RD, {1, 0, 0, 1}, RAW(QUESTION "\xc0\x17\0\x29\x10\0\0\0\0\0\0\0"),
      DNS_QUERY_FORMERR },
    { "another record in additional", RD, {1, 0, 0, 1}, RAW(QUESTION "\0\0\1\0\1\0\0\0\0\0\4\1\2\3\4"),
      DNS_QUERY_FORMERR },
    { "EDNS version 1", RD, {1, 0, 0, 1}, RAW(QUESTION "\0\0\x29\x10\0\0\1\0\0\0\0"), DNS_QUERY_FORMERR },
    { "an option longer than OPT", RD, {1, 0, 0, 1}, RAW(QUESTION "\0\0\x29\x10\0\0\0\0\0\0\4\0\x0a\0\1"),
      DNS_QUERY_FORMERR },
    { "half an option", RD, {1, 0, 0, 1}, RAW(QUESTION "\0\0\x29\x10\0\0\0\0\0\0\3\0\x0a\0"), DNS_QUERY_FORMERR },
};

static struct message query_message(const struct query_case *c)
{
    struct message m = {.len = 0};

    put_header(&m, ID, c->flags, c->counts);
    put(&m, c->body, c->body_len);
    return m;
}

/* RFC 8914 sections 4.16, 4.21 and 4.22 */
static int ede_of(const struct query_case *c)
{
    if (c->want == DNS_QUERY_INVALID_NAME)
        return DNS_EDE_BLOCKED;
    if (c->want == DNS_QUERY_REFUSED)
        return c->flags & RD ? DNS_EDE_NOT_SUPPORTED : DNS_EDE_NOT_AUTHORITATIVE;
    return DNS_EDE_NONE;
}

static void test_t111_t112_t115_queries(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(query_cases); i++) {
        const struct query_case *c = &query_cases[i];
        struct message m = query_message(c);
        struct dns_query q;
        enum dns_query_result got = read_query(m.bytes, m.len, &q);

        if (got != c->want)
            fail_msg("%s: %d, not %d", c->why, (int)got, (int)c->want);
        if (q.ede != ede_of(c))
            fail_msg("%s: EDE %d", c->why, q.ede);
        /* What is refused is answered to its sender, about its question. */
        if (got != DNS_QUERY_DROP && (q.id != ID || q.flags != c->flags))
            fail_msg("%s: id or flags", c->why);
        if ((got == DNS_QUERY_OK) != (q.name[0] != '\0'))
            fail_msg("%s: name '%s'", c->why, q.name);
        if ((got == DNS_QUERY_REFUSED || got == DNS_QUERY_INVALID_NAME) &&
            (q.qname_len == 0 || memcmp(q.qname, c->body, q.qname_len) != 0))
            fail_msg("%s: the question is not echoed", c->why);
    }
}

static void test_d11_queries_cut_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(query_cases); i++) {
        struct message m = query_message(&query_cases[i]);
        struct dns_query q;

        for (size_t len = 0; query_cases[i].want == DNS_QUERY_OK && len < m.len; len++) {
            enum dns_query_result got = read_query(m.bytes, len, &q);

            if (got != (len < 12 ? DNS_QUERY_DROP : DNS_QUERY_FORMERR))
                fail_msg("%s: %zu bytes: %d", query_cases[i].why, len, (int)got);
        }
    }
}

struct size_case {
    const char *why;
    unsigned offered; /* 0: no OPT */
    unsigned want;
};

static const struct size_case size_cases[] = {
    { "no OPT", 0, 512 },
    { "less than 512 counts as 512", 100, 512 },
    { "as offered", 900, 900 },
    { "as much as is ever sent", DNS_UDP_BYTES_MAX, DNS_UDP_BYTES_MAX },
    { "never more", 65535, DNS_UDP_BYTES_MAX },
};

static void test_query_fields(void **state)
{
    static const struct query_case mixed = {
        "", RD | 0x10, {1, 0, 0, 1}, RAW("\2oK\7ExAmple\0\0\x1c\0\1\0\0\x29\x10\0\0\0\x80\0\0\0"), DNS_QUERY_OK};
    struct message m = query_message(&mixed);
    struct dns_query q;

    (void)state;
    assert_int_equal(read_query(m.bytes, m.len, &q), DNS_QUERY_OK);
    assert_string_equal(q.name, "ok.example");
    assert_int_equal(q.qname_len, 12);
    assert_memory_equal(q.qname, "\2oK\7ExAmple\0", 12);
    assert_int_equal(q.type, DNS_TYPE_AAAA);
    assert_int_equal(q.klass, 1);
    assert_true(q.edns && q.dnssec_ok);
    for (size_t i = 0; i < ARRAY_SIZE(size_cases); i++) {
        const struct size_case *c = &size_cases[i];

        m.len = 0;
        put_header(&m, ID, RD, (unsigned[]){1, 0, 0, c->offered > 0});
        put(&m, RAW(QUESTION));
        put(&m, RAW(OPT_4096));
        m.bytes[m.len - 8] = (uint8_t)(c->offered >> 8);
        m.bytes[m.len - 7] = (uint8_t)c->offered;
        if (c->offered == 0)
            m.len -= sizeof(OPT_4096) - 1;
        assert_int_equal(read_query(m.bytes, m.len, &q), DNS_QUERY_OK);
        if (q.udp_bytes_max != c->want || q.edns != (c->offered > 0) || q.dnssec_ok)
            fail_msg("%s: %u", c->why, q.udp_bytes_max);
    }
}

static void test_d01_query_write(void **state)
{
    static const char want[] = "\x12\x34\1\0\0\1\0\0\0\0\0\1" OK_EXAMPLE "\0\x1c\0\1" "\0\0\x29\x04\xd0\0\0\0\0\0\0";
    char longest[NAME_TEXT_MAX + 1];
    uint8_t out[512];

    (void)state;
    assert_int_equal(dns_query_write(out, sizeof(out), ID, "ok.example", DNS_TYPE_AAAA), sizeof(want) - 1);
    assert_memory_equal(out, want, sizeof(want) - 1);
    assert_int_equal(dns_query_write(out, sizeof(want) - 2, ID, "ok.example", DNS_TYPE_AAAA), -ENOSPC);
    memset(longest, 'a', NAME_TEXT_MAX);
    longest[NAME_TEXT_MAX] = '\0';
    for (size_t i = 63; i < NAME_TEXT_MAX; i += 64)
        longest[i] = '.';
    assert_int_equal(dns_query_write(out, sizeof(out), ID, longest, DNS_TYPE_A), 12 + 255 + 4 + 11);
}

/* --- replies ----------------------------------------------------------------------------------- */

static unsigned u16_at(const uint8_t *bytes, size_t at)
{
    return (unsigned)bytes[at] << 8 | bytes[at + 1];
}

static struct dns_query asked(uint16_t type, bool edns)
{
    struct dns_query q = {.id = ID, .flags = RD | 0x10, .type = type, .klass = 1, .name = "ok.example",
                          .qname = "\2oK\7ExAmple", .qname_len = 12, .edns = edns, .udp_bytes_max = edns ? 1232 : 512};

    return q;
}

struct reply_case {
    const char *why;
    uint16_t type;
    bool edns, soa;
    int rcode, ede;
    const char *ptr;
    const char *want; /* behind the question */
    size_t want_len;
    unsigned flags, counts[3];
};

#define HEAD(type, ttl, len) "\xc0\x0c\0" type "\0\1\0\0\0" ttl "\0" len
#define SOA_EXAMPLE "\xc0\x0f\0\6\0\1\0\0\0\x3c\0\x45" "\7gateway\4weir\10internal\0" \
    "\12hostmaster\4weir\10internal\0" "\0\0\0\1" "\0\0\x0e\x10" "\0\0\x02\x58" "\0\x01\x51\x80" "\0\0\0\x3c"
#define OPT_OURS "\0\0\x29\x04\xd0\0\0\0\0\0"

static const struct reply_case reply_cases[] = {
    { "IPv4", DNS_TYPE_A, false, false, 0, DNS_EDE_NONE, NULL,
      RAW(HEAD("\1", "\x3c", "\4") "\xcb\0\x71\x0a" HEAD("\1", "\x3c", "\4") "\xcb\0\x71\x14"), 0x8190, {2, 0, 0} },
    { "IPv6", DNS_TYPE_AAAA, false, false, 0, DNS_EDE_NONE, NULL,
      RAW(HEAD("\x1c", "\x3c", "\x10") "\x20\1\0\0\0\0\0\0\0\0\0\0\0\0\0\1"), 0x8190, {1, 0, 0} },
    { "with OPT", DNS_TYPE_AAAA, true, false, 0, DNS_EDE_NONE, NULL,
      RAW(HEAD("\x1c", "\x3c", "\x10") "\x20\1\0\0\0\0\0\0\0\0\0\0\0\0\0\1" OPT_OURS "\0"), 0x8190, {1, 0, 1} },
    { "D4 T94 denied", TYPE_TXT, false, true, 3, DNS_EDE_BLOCKED, NULL, RAW(SOA_EXAMPLE), 0x8193, {0, 1, 0} },
    { "D4 T94 denied, EDE 15 to whom had OPT", TYPE_TXT, true, true, 3, DNS_EDE_BLOCKED, NULL,
      RAW(SOA_EXAMPLE OPT_OURS "\6\0\x0f\0\2\0\x0f"), 0x8193, {0, 1, 1} },
    { "T113 a type without an answer", TYPE_TXT, false, true, 0, DNS_EDE_NONE, NULL, RAW(SOA_EXAMPLE), 0x8190,
      {0, 1, 0} },
    { "SERVFAIL", TYPE_TXT, false, false, 2, DNS_EDE_NONE, NULL, RAW(""), 0x8192, {0, 0, 0} },
    { "T122 PTR", DNS_TYPE_PTR, false, false, 0, DNS_EDE_NONE, "x.cdn", RAW(HEAD("\x0c", "\x3c", "\7") "\1x\3cdn\0"),
      0x8190, {1, 0, 0} },
};

static const struct addr told[] = {
    {ADDR_V4, {203, 0, 113, 10}}, {ADDR_V6, {0x20, 1, [15] = 1}}, {ADDR_V4, {203, 0, 113, 20}}};

static void test_d04_t94_t122_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(reply_cases); i++) {
        const struct reply_case *c = &reply_cases[i];
        struct dns_query q = asked(c->type, c->edns);
        struct dns_reply r = {.rcode = c->rcode, .ede = c->ede, .ttl_s = 60, .addrs = told,
                              .addr_count = ARRAY_SIZE(told), .ptr = c->ptr, .soa = c->soa};
        struct message want = {.len = 0};
        uint8_t out[512];
        int len = dns_reply_write(out, sizeof(out), q.udp_bytes_max, &q, &r);

        put_header(&want, ID, c->flags, (unsigned[]){1, c->counts[0], c->counts[1], c->counts[2]});
        put(&want, "\2oK\7ExAmple\0", 12);
        put_u16(&want, c->type);
        put_u16(&want, 1);
        put(&want, c->want, c->want_len);
        if (len != (int)want.len || memcmp(out, want.bytes, want.len) != 0)
            fail_msg("%s: %d bytes", c->why, len);
    }
}

static void test_replies_to_what_could_not_be_read(void **state)
{
    struct dns_query q = {.id = ID, .flags = RD | 5 << 11, .edns = false};
    struct dns_reply r = {.rcode = DNS_NOTIMP, .ede = DNS_EDE_NONE};
    uint8_t out[64];

    (void)state;
    assert_int_equal(dns_reply_write(out, sizeof(out), 512, &q, &r), 12);
    assert_memory_equal(out, "\x12\x34\xa9\x84\0\0\0\0\0\0\0\0", 12); /* the opcode comes back */
    q = asked(16, false);
    q.klass = 3;
    r.rcode = DNS_REFUSED;
    assert_int_equal(dns_reply_write(out, sizeof(out), 512, &q, &r), 28);
    assert_memory_equal(out + 24, "\0\x10\0\3", 4); /* the class, too */
}

static void test_soa_of_a_single_label(void **state)
{
    struct dns_query q = asked(DNS_TYPE_A, false);
    struct dns_reply r = {.rcode = DNS_NXDOMAIN, .ede = DNS_EDE_NONE, .soa = true};
    uint8_t out[512];

    (void)state;
    memcpy(q.qname, "\4host", 6);
    q.qname_len = 6;
    assert_true(dns_reply_write(out, sizeof(out), 512, &q, &r) > 22);
    assert_memory_equal(out + 22, "\0\0\6\0\1", 5);
    q.qname[0] = 0; /* the root itself */
    q.qname_len = 1;
    assert_true(dns_reply_write(out, sizeof(out), 512, &q, &r) > 17);
    assert_memory_equal(out + 17, "\0\0\6\0\1", 5);
}

static void test_t121_the_do_bit_comes_back_alone(void **state)
{
    struct dns_query q = asked(TYPE_TXT, true);
    struct dns_reply r = {.rcode = DNS_NOERROR, .ede = DNS_EDE_NONE};
    uint8_t out[64];

    (void)state;
    q.dnssec_ok = true;
    q.flags |= 0x20; /* AD */
    assert_int_equal(dns_reply_write(out, sizeof(out), 512, &q, &r), 39);
    assert_int_equal(u16_at(out, 2), 0x8190);
    assert_memory_equal(out + 28, "\0\0\x29\x04\xd0\0\0\x80\0\0\0", 11);
}

static void test_d02_what_does_not_fit_sets_tc(void **state)
{
    struct addr many[DNS_ADDRS_MAX];
    struct dns_query q = asked(DNS_TYPE_A, true);
    struct dns_reply r = {.ede = DNS_EDE_BLOCKED, .ttl_s = 60, .addrs = many, .addr_count = DNS_ADDRS_MAX, .soa = true};
    const int bare = 28 + 11 + 6;
    uint8_t out[DNS_UDP_BYTES_MAX];

    (void)state;
    for (unsigned i = 0; i < DNS_ADDRS_MAX; i++)
        many[i] = addr_v4(0xcb007100u + i);
    for (size_t max = 0; max <= sizeof(out); max++) {
        uint8_t *exact = malloc(max > 0 ? max : 1);
        int len = dns_reply_write(exact, max, sizeof(out), &q, &r);
        unsigned answers;

        if ((len < 0) != ((int)max < bare) || (len < 0 && len != -ENOSPC) || len > (int)max)
            fail_msg("%zu: %d", max, len);
        if (len > 0) {
            answers = u16_at(exact, 6);
            assert_int_equal(u16_at(exact, 10), 1);
            assert_memory_equal(exact + len - 17, "\0\0\x29", 3); /* OPT is never what is left out */
            assert_int_equal((u16_at(exact, 2) & 0x200) == 0, answers == DNS_ADDRS_MAX && u16_at(exact, 8) == 1);
            assert_true(answers == DNS_ADDRS_MAX || (int)max - len < 16);
        }
        assert_int_equal(dns_reply_write(out, sizeof(out), max, &q, &r), len); /* @max bounds like @cap */
        free(exact);
    }
}

/* What we write, our own strict reader understands. */
static void test_replies_read_back(void **state)
{
    struct dns_query q = asked(DNS_TYPE_A, true);
    struct dns_reply r = {.ede = DNS_EDE_NONE, .ttl_s = 60, .addrs = told, .addr_count = ARRAY_SIZE(told)};
    struct dns_answer a;
    uint8_t out[512];
    int len;

    (void)state;
    memcpy(q.qname, "\2ok\7example", 12); /* as we ask ourselves */
    len = dns_reply_write(out, sizeof(out), sizeof(out), &q, &r);
    assert_int_equal(dns_answer_read(out, (size_t)len, ID, "ok.example", DNS_TYPE_A, &a), 0);
    assert_int_equal(a.addr_count, 2);
    assert_int_equal(a.ttl_s, 60);
    r = (struct dns_reply){.rcode = DNS_NXDOMAIN, .ede = DNS_EDE_BLOCKED, .ttl_s = 60, .soa = true};
    len = dns_reply_write(out, sizeof(out), sizeof(out), &q, &r);
    assert_int_equal(dns_answer_read(out, (size_t)len, ID, "ok.example", DNS_TYPE_A, &a), 0);
    assert_int_equal(a.rcode, DNS_NXDOMAIN);
    assert_int_equal(a.ttl_s, 60);
}

/* --- reverse names ----------------------------------------------------------------------------- */

#define IP6_TAIL "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"

struct ptr_case {
    const char *name;
    const char *want; /* NULL: none */
};

static const struct ptr_case ptr_cases[] = {
    { "4.3.2.1.in-addr.arpa", "1.2.3.4" },
    { "255.0.10.203.in-addr.arpa", "203.10.0.255" },
    { "256.3.2.1.in-addr.arpa", NULL },
    { "04.3.2.1.in-addr.arpa", NULL },
    { "3.2.1.in-addr.arpa", NULL },
    { "5.4.3.2.1.in-addr.arpa", NULL },
    { "4.3.2.1.in-addr.arpa.evil.example", NULL },
    { "4.3.2.1.xin-addr.arpa", NULL },
    { "a.3.2.1.in-addr.arpa", NULL },
    { "in-addr.arpa", NULL },
    { "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "2001:db8::1" },
    { "1." IP6_TAIL, NULL },
    { "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", NULL },
    { "g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", NULL },
    { "10.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", NULL },
    { "ok.example", NULL },
};

static void test_t122_ptr_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ptr_cases); i++) {
        char text[ADDR_TEXT_MAX];
        struct addr addr = {ADDR_NONE, {0}};
        int r = dns_ptr_addr(ptr_cases[i].name, &addr);

        if (r != (ptr_cases[i].want ? 0 : -EINVAL) ||
            strcmp(addr_format(&addr, text), ptr_cases[i].want ? ptr_cases[i].want : "-") != 0)
            fail_msg("%s: %d %s", ptr_cases[i].name, r, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t111_t112_t115_queries),
        cmocka_unit_test(test_d11_queries_cut_short),
        cmocka_unit_test(test_query_fields),
        cmocka_unit_test(test_d01_query_write),
        cmocka_unit_test(test_d04_t94_t122_replies),
        cmocka_unit_test(test_replies_to_what_could_not_be_read),
        cmocka_unit_test(test_soa_of_a_single_label),
        cmocka_unit_test(test_t121_the_do_bit_comes_back_alone),
        cmocka_unit_test(test_d02_what_does_not_fit_sets_tc),
        cmocka_unit_test(test_replies_read_back),
        cmocka_unit_test(test_t122_ptr_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
