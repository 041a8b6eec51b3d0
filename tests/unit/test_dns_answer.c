/*
 * What upstreams say, and how much of it is taken.
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

/* Read from an allocation of exactly its size, so that the sanitizer sees a byte too far. */
static int read_answer(const struct message *m, uint16_t type, struct dns_answer *out_answer)
{
    uint8_t *copy = malloc(m->len > 0 ? m->len : 1);
    int r;

    assert_non_null(copy);
    memcpy(copy, m->bytes, m->len);
    r = dns_answer_read(copy, m->len, ID, "ok.example", type, out_answer);
    free(copy);
    return r;
}

enum record_kind { END, A, AAAA, CNAME, SOA, OTHER, OPT, SECTION };

/* One record; SECTION begins the next section. */
struct record {
    enum record_kind kind;
    const char *owner;
    uint32_t ttl;
    const char *value; /* of A its last number, of CNAME its target, of SOA the minimum */
};

struct answer_case {
    const char *why;
    unsigned flags;
    uint16_t type;
    struct record records[24];
    int want;
    const char *addrs; /* last numbers, joined by blanks; "" for none */
    uint32_t ttl;
};

static const struct answer_case answer_cases[] = {
    { "one address", ANSWER, DNS_TYPE_A, {{A, "@12", 300, "10"}}, 0, "10", 300 },
    { "two, the smallest TTL", ANSWER, DNS_TYPE_A, {{A, "@12", 300, "10"}, {A, "@12", 60, "20"}}, 0, "10 20", 60 },
    { "the owner written out, in other case", ANSWER, DNS_TYPE_A, {{A, "OK.example", 5, "10"}}, 0, "10", 5 },
    { "the same address twice", ANSWER, DNS_TYPE_A, {{A, "@12", 1, "10"}, {A, "@12", 1, "10"}}, 0, "10", 1 },
    { "IPv6", ANSWER, DNS_TYPE_AAAA, {{AAAA, "@12", 300, "10"}}, 0, "10", 300 },
    { "IPv6 asked, IPv4 told", ANSWER, DNS_TYPE_AAAA, {{A, "@12", 300, "10"}}, 0, "", 0 },
    { "T105 a chain, in order", ANSWER, DNS_TYPE_A,
      {{CNAME, "@12", 300, "x.cdn"}, {CNAME, "x.cdn", 20, "evil.example"}, {A, "evil.example", 60, "10"}}, 0, "10", 20 },
    { "T105 a chain, backwards", ANSWER, DNS_TYPE_A,
      {{A, "evil.example", 60, "10"}, {CNAME, "x.cdn", 20, "evil.example"}, {CNAME, "@12", 300, "x.cdn"}}, 0, "10", 20 },
    { "T105 names of the chain differ in case only", ANSWER, DNS_TYPE_A,
      {{CNAME, "@12", 300, "X.cdn"}, {A, "x.CDN", 60, "10"}}, 0, "10", 60 },
    { "T105 a chain that ends nowhere", ANSWER, DNS_TYPE_A, {{CNAME, "@12", 300, "x.cdn"}}, 0, "", 0 },
    { "T105 a chain with a gap", ANSWER, DNS_TYPE_A, {{CNAME, "@12", 300, "x.cdn"}, {A, "y.cdn", 60, "10"}}, 0, "", 0 },
    { "T105 a loop of one", ANSWER, DNS_TYPE_A, {{CNAME, "@12", 300, "ok.example"}}, -EBADMSG, "", 0 },
    { "T105 a loop of two", ANSWER, DNS_TYPE_A,
      {{CNAME, "@12", 300, "x.cdn"}, {CNAME, "x.cdn", 300, "ok.example"}, {A, "x.cdn", 1, "1"}}, -EBADMSG, "", 0 },
    { "T105 two targets", ANSWER, DNS_TYPE_A,
      {{CNAME, "@12", 300, "x.cdn"}, {CNAME, "@12", 300, "y.cdn"}, {A, "x.cdn", 60, "10"}}, -EBADMSG, "", 0 },
    { "the same target twice", ANSWER, DNS_TYPE_A,
      {{CNAME, "@12", 300, "x.cdn"}, {CNAME, "@12", 300, "x.cdn"}, {A, "x.cdn", 60, "10"}}, 0, "10", 60 },
    { "T105 an alias with addresses of its own", ANSWER, DNS_TYPE_A,
      {{CNAME, "@12", 300, "x.cdn"}, {A, "@12", 60, "20"}, {A, "x.cdn", 60, "10"}}, -EBADMSG, "", 0 },
    { "T106 addresses of an unrelated name", ANSWER, DNS_TYPE_A, {{A, "bank.example", 300, "66"}, {A, "@12", 9, "10"}},
      0, "10", 9 },
    { "T106 of a name below, and above", ANSWER, DNS_TYPE_A, {{A, "a.@12", 300, "66"}, {A, "@15", 9, "67"}}, 0, "", 0 },
    { "T106 in authority", ANSWER, DNS_TYPE_A, {{SECTION, "", 0, ""}, {A, "@12", 300, "66"}}, 0, "", 0 },
    { "T106 in additional", ANSWER, DNS_TYPE_A, {{SECTION, "", 0, ""}, {SECTION, "", 0, ""}, {A, "@12", 300, "66"}}, 0,
      "", 0 },
    { "other types are passed over", ANSWER, DNS_TYPE_A, {{OTHER, "@12", 1, ""}, {A, "@12", 300, "10"}}, 0, "10", 300 },
    { "a TTL with its top bit set is 0 (RFC 2181)", ANSWER, DNS_TYPE_A, {{A, "@12", 0x80000000, "10"}}, 0, "10", 0 },
    { "the longest TTL", ANSWER, DNS_TYPE_A, {{A, "@12", 0x7fffffff, "10"}}, 0, "10", 0x7fffffff },
    { "a CNAME asked for is no alias to follow", ANSWER, DNS_TYPE_CNAME,
      {{CNAME, "@12", 300, "x.cdn"}, {CNAME, "x.cdn", 1, "@12"}}, 0, "", 300 },
    { "D10 no such name: the SOA's minimum", ANSWER | 3, DNS_TYPE_A,
      {{SECTION, "", 0, ""}, {SOA, "example", 900, "60"}}, 0, "", 60 },
    { "D10 no such name: the SOA's own TTL", ANSWER | 3, DNS_TYPE_A,
      {{SECTION, "", 0, ""}, {SOA, "example", 30, "60"}}, 0, "", 30 },
    { "D10 no such type", ANSWER, DNS_TYPE_A, {{SECTION, "", 0, ""}, {SOA, "@12", 900, "60"}}, 0, "", 60 },
    { "D10 the root's SOA", ANSWER | 3, DNS_TYPE_A, {{SECTION, "", 0, ""}, {SOA, "", 86400, "86400"}}, 0, "", 86400 },
    { "D10 an alias to nothing: the smaller of both", ANSWER | 3, DNS_TYPE_A,
      {{CNAME, "@12", 10, "x.cdn"}, {SECTION, "", 0, ""}, {SOA, "cdn", 900, "60"}}, 0, "", 10 },
    { "D10 an SOA of somewhere else", ANSWER | 3, DNS_TYPE_A, {{SECTION, "", 0, ""}, {SOA, "bank.example", 900, "60"}},
      0, "", 0 },
    { "D10 no SOA: unknown", ANSWER | 3, DNS_TYPE_A, {{END, "", 0, ""}}, 0, "", 0 },
    { "no such name, and yet an address", ANSWER | 3, DNS_TYPE_A, {{A, "@12", 300, "10"}}, 0, "", 0 },
    { "SERVFAIL", ANSWER | 2, DNS_TYPE_A, {{END, "", 0, ""}}, 0, "", 0 },
    { "OPT", ANSWER, DNS_TYPE_A, {{A, "@12", 300, "10"}, {SECTION, "", 0, ""}, {SECTION, "", 0, ""}, {OPT, "", 0, ""}}, 0,
      "10", 300 },
    { "two OPT", ANSWER, DNS_TYPE_A,
      {{A, "@12", 300, "10"}, {SECTION, "", 0, ""}, {SECTION, "", 0, ""}, {OPT, "", 0, ""}, {OPT, "", 0, ""}}, -EBADMSG,
      "", 0 },
    { "T108 a query", 0x0100, DNS_TYPE_A, {{A, "@12", 300, "10"}}, -ENOENT, "", 0 },
    { "T108 another opcode", ANSWER | 4 << 11, DNS_TYPE_A, {{A, "@12", 300, "10"}}, -ENOENT, "", 0 },
    { "T111 an owner that points to itself", ANSWER, DNS_TYPE_A, {{A, "@28", 300, "10"}}, -EBADMSG, "", 0 },
    { "T111 an owner that points forward", ANSWER, DNS_TYPE_A, {{A, "@40", 300, "10"}}, -EBADMSG, "", 0 },
    { "T111 an owner that points into the header", ANSWER, DNS_TYPE_A, {{A, "@4", 300, "10"}}, -EBADMSG, "", 0 },
    { "T111 a pointer to the label in front of it", ANSWER, DNS_TYPE_A, {{A, "a.@28", 300, "10"}}, -EBADMSG, "", 0 },
    { "T111 also in records nobody asked for", ANSWER, DNS_TYPE_A, {{A, "@12", 300, "10"}, {OTHER, "@900", 1, ""}},
      -EBADMSG, "", 0 },
    { "T111 into the middle of a label, where a letter is no length", ANSWER, DNS_TYPE_A, {{A, "@14", 300, "66"}}, -EBADMSG,
      "", 0 },
};

static void put_answer_record(struct message *m, const struct record *r)
{
    uint8_t addr[16] = {203, 0, 113, (uint8_t)atoi(r->value)};
    struct message rdata = {.len = 0};

    switch (r->kind) {
    case A:
        put_record(m, r->owner, DNS_TYPE_A, r->ttl, addr, 4);
        break;
    case AAAA:
        put_record(m, r->owner, DNS_TYPE_AAAA, r->ttl, addr, 16);
        break;
    case CNAME:
        put_name(&rdata, r->value);
        put_record(m, r->owner, DNS_TYPE_CNAME, r->ttl, rdata.bytes, rdata.len);
        break;
    case SOA:
        put_name(&rdata, "ns.@12");
        put_name(&rdata, "mail.@12");
        for (int i = 0; i < 4; i++)
            put_u32(&rdata, 7);
        put_u32(&rdata, (uint32_t)atoi(r->value));
        put_record(m, r->owner, DNS_TYPE_SOA, r->ttl, rdata.bytes, rdata.len);
        break;
    case OTHER:
        put_record(m, r->owner, 46, r->ttl, "signature", 9);
        break;
    case OPT:
        put(m, RAW(OPT_4096));
        break;
    case END:
    case SECTION:
        break;
    }
}

static struct message answer_message(const struct answer_case *c)
{
    unsigned counts[4] = {1}, section = 1;
    struct message m = {.len = 0};

    put_header(&m, ID, c->flags, counts);
    put_name(&m, "ok.example");
    put_u16(&m, c->type);
    put_u16(&m, 1);
    for (const struct record *r = c->records; r->kind != END; r++) {
        section += r->kind == SECTION;
        counts[section] += r->kind != SECTION;
        put_answer_record(&m, r);
    }
    for (size_t i = 0; i < 4; i++)
        m.bytes[4 + 2 * i + 1] = (uint8_t)counts[i];
    return m;
}

static void addrs_text(const struct dns_answer *a, char out[static 512])
{
    size_t at = 0;

    out[0] = '\0';
    for (size_t i = 0; i < a->addr_count; i++)
        at += (size_t)snprintf(out + at, 512 - at, "%s%u", i > 0 ? " " : "", a->addrs[i].bytes[3]);
}

static void test_d10_t105_t106_t111_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(answer_cases); i++) {
        const struct answer_case *c = &answer_cases[i];
        struct message m = answer_message(c);
        struct dns_answer a = {.rcode = -1};
        char addrs[512];
        int got = read_answer(&m, c->type, &a);

        addrs_text(&a, addrs);
        if (got != c->want || (got < 0 && a.rcode != -1))
            fail_msg("%s: %d, not %d", c->why, got, c->want);
        if (got == 0 && (strcmp(addrs, c->addrs) != 0 || a.ttl_s != c->ttl || a.rcode != (int)(c->flags & 15)))
            fail_msg("%s: '%s' ttl %u rcode %d", c->why, addrs, a.ttl_s, a.rcode);
        for (size_t j = 0; got == 0 && j < a.addr_count; j++)
            assert_int_equal(a.addrs[j].family, c->type == DNS_TYPE_A ? ADDR_V4 : ADDR_V6);
    }
}

static void test_d11_answers_cut_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(answer_cases); i++) {
        struct message m = answer_message(&answer_cases[i]);
        struct dns_answer a;
        size_t whole = m.len;

        if (answer_cases[i].want != 0)
            continue;
        for (m.len = 0; m.len < whole; m.len++)
            if (read_answer(&m, answer_cases[i].type, &a) != (m.len < 28 ? -ENOENT : -EBADMSG))
                fail_msg("%s: %zu bytes", answer_cases[i].why, m.len);
        m.len = whole + 1;
        assert_int_equal(read_answer(&m, answer_cases[i].type, &a), -EBADMSG); /* a byte that is not counted */
    }
}

static void test_d09_t108_what_is_no_answer_to_the_question(void **state)
{
    static const struct answer_case plain = {"", ANSWER, DNS_TYPE_A, {{A, "@12", 300, "10"}}, 0, "", 0};
    struct message m = answer_message(&plain);
    struct dns_answer a;

    (void)state;
    assert_int_equal(dns_answer_read(m.bytes, m.len, ID + 1, "ok.example", DNS_TYPE_A, &a), -ENOENT);
    assert_int_equal(dns_answer_read(m.bytes, m.len, ID, "no.example", DNS_TYPE_A, &a), -ENOENT);
    assert_int_equal(dns_answer_read(m.bytes, m.len, ID, "ok.example", DNS_TYPE_AAAA, &a), -ENOENT);
    assert_int_equal(dns_answer_read(m.bytes, m.len, ID, "ok.example", DNS_TYPE_A, &a), 0);
    m.bytes[27] = 3; /* class CH */
    assert_int_equal(dns_answer_read(m.bytes, m.len, ID, "ok.example", DNS_TYPE_A, &a), -ENOENT);
    m.bytes[27] = 1;
    m.bytes[5] = 0; /* no question */
    assert_int_equal(dns_answer_read(m.bytes, m.len, ID, "ok.example", DNS_TYPE_A, &a), -ENOENT);
    m.bytes[5] = 2;
    assert_int_equal(dns_answer_read(m.bytes, m.len, ID, "ok.example", DNS_TYPE_A, &a), -ENOENT);
    m.bytes[5] = 1;
    m.bytes[13] = 'O'; /* it was asked in lower case, and whoever heard it knows that */
    assert_int_equal(dns_answer_read(m.bytes, m.len, ID, "ok.example", DNS_TYPE_A, &a), -ENOENT);
}

static void test_d02_t109_truncated(void **state)
{
    static const struct answer_case tc = {"", ANSWER | 0x200, DNS_TYPE_A, {{A, "@12", 300, "10"}}, 0, "", 0};
    struct message m = answer_message(&tc);
    struct dns_answer a;

    (void)state;
    for (; m.len >= 28; m.len--) { /* wherever it ends */
        assert_int_equal(read_answer(&m, DNS_TYPE_A, &a), 0);
        assert_true(a.truncated);
        assert_int_equal(a.addr_count, 0);
    }
}

static void test_t105_longest_chain(void **state)
{
    (void)state;
    for (unsigned aliases = DNS_CHAIN_MAX; aliases <= DNS_CHAIN_MAX + 1; aliases++) {
        struct answer_case c = {"", ANSWER, DNS_TYPE_A, {{END, "", 0, ""}}, 0, "", 0};
        char names[DNS_CHAIN_MAX + 2][16] = {"@12"};
        struct dns_answer a;
        struct message m;

        for (unsigned i = 0; i < aliases; i++) {
            snprintf(names[i + 1], sizeof(names[0]), "c%u.cdn", i);
            c.records[i] = (struct record){CNAME, names[i], 300, names[i + 1]};
        }
        c.records[aliases] = (struct record){A, names[aliases], 300, "10"};
        m = answer_message(&c);
        assert_int_equal(read_answer(&m, DNS_TYPE_A, &a), aliases > DNS_CHAIN_MAX ? -EBADMSG : 0);
    }
}

/* Each of the records below has the name of the one before it behind a label of its own. */
static void test_t111_long_chains_of_pointers(void **state)
{
    struct message m = {.len = 0};
    struct dns_answer a;
    unsigned records = 0, before = 12;

    (void)state;
    put_header(&m, ID, ANSWER, (unsigned[]){1, 0, 0, 0});
    put(&m, RAW(QUESTION));
    for (;;) {
        unsigned at = (unsigned)m.len;
        char owner[16];

        snprintf(owner, sizeof(owner), "a.@%u", before);
        put_record(&m, owner, 46, 1, "", 0);
        before = at;
        m.bytes[7] = (uint8_t)++records;
        if (read_answer(&m, DNS_TYPE_A, &a) < 0)
            break;
        assert_in_range(records, 1, 100);
    }
    assert_int_equal(records, 65); /* 64 pointers are followed */
}

/* A pointer backward, to a label that runs over the pointer itself: 4, then c0 XX 00 2e, then the root. */
static void test_t111_a_name_that_runs_into_itself(void **state)
{
    struct message m = {.len = 0};
    struct dns_answer a;
    char owner[16];

    (void)state;
    put_header(&m, ID, ANSWER, (unsigned[]){1, 2, 0, 0});
    put(&m, RAW(QUESTION));
    put_record(&m, "@12", 46, 1, "\4", 1);
    snprintf(owner, sizeof(owner), "@%u", (unsigned)m.len - 1);
    put_record(&m, owner, 46, 1, "", 0);
    assert_int_equal(read_answer(&m, DNS_TYPE_A, &a), -EBADMSG);
}

static void test_rdata_that_is_no_address(void **state)
{
    static const struct { unsigned type, len; } wrong[] = {{1, 3}, {1, 5}, {1, 0}, {1, 16}, {28, 4}, {28, 15}, {28, 17}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct message m = {.len = 0};
        struct dns_answer a;

        put_header(&m, ID, ANSWER, (unsigned[]){1, 1, 0, 0});
        put_name(&m, "ok.example");
        put_u16(&m, wrong[i].type);
        put_u16(&m, 1);
        put_record(&m, "@12", wrong[i].type, 300, "0123456789abcdefg", wrong[i].len);
        assert_int_equal(read_answer(&m, (uint16_t)wrong[i].type, &a), -EBADMSG);
    }
}

static void test_rdata_that_is_no_name(void **state)
{
    static const struct { const char *why, *rdata; size_t len; } wrong[] = {
        { "empty", RAW("") },
        { "a byte behind the name", RAW("\1x\3cdn\0x") },
        { "a name that goes on behind the record", RAW("\1x\3cd") },
        { "half a pointer", RAW("\1x\xc0") },
        { "a pointer to itself", RAW("\xc0\x28") },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct message m = {.len = 0};
        struct dns_answer a;

        put_header(&m, ID, ANSWER, (unsigned[]){1, 2, 0, 0});
        put(&m, RAW(QUESTION));
        put_record(&m, "@12", DNS_TYPE_CNAME, 300, wrong[i].rdata, wrong[i].len);
        put_record(&m, "@12", 46, 300, "n\0", 2);
        if (read_answer(&m, DNS_TYPE_A, &a) != -EBADMSG)
            fail_msg("%s", wrong[i].why);
    }
}

static void test_more_addresses_than_are_kept(void **state)
{
    struct message m = {.len = 0};
    struct dns_answer a;

    (void)state;
    put_header(&m, ID, ANSWER, (unsigned[]){1, 100, 0, 0});
    put(&m, RAW(QUESTION));
    for (unsigned i = 0; i < 100; i++)
        put_record(&m, "@12", DNS_TYPE_A, 300, (uint8_t[]){203, 0, 113, (uint8_t)i}, 4);
    assert_int_equal(read_answer(&m, DNS_TYPE_A, &a), 0);
    assert_int_equal(a.addr_count, DNS_ADDRS_MAX);
    for (unsigned i = 0; i < DNS_ADDRS_MAX; i++)
        assert_int_equal(a.addrs[i].bytes[3], i);
}

static void test_extended_rcode(void **state)
{
    struct message m = {.len = 0};
    struct dns_answer a;

    (void)state;
    put_header(&m, ID, ANSWER, (unsigned[]){1, 0, 0, 1});
    put(&m, RAW(QUESTION "\0\0\x29\x04\xd0\1\0\0\0\0\0")); /* BADVERS, whose lower bits say NOERROR */
    assert_int_equal(read_answer(&m, DNS_TYPE_A, &a), 0);
    assert_int_equal(a.rcode, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_d10_t105_t106_t111_answers),
        cmocka_unit_test(test_d11_answers_cut_short),
        cmocka_unit_test(test_d09_t108_what_is_no_answer_to_the_question),
        cmocka_unit_test(test_d02_t109_truncated),
        cmocka_unit_test(test_t105_longest_chain),
        cmocka_unit_test(test_t111_long_chains_of_pointers),
        cmocka_unit_test(test_t111_a_name_that_runs_into_itself),
        cmocka_unit_test(test_rdata_that_is_no_address),
        cmocka_unit_test(test_rdata_that_is_no_name),
        cmocka_unit_test(test_more_addresses_than_are_kept),
        cmocka_unit_test(test_extended_rcode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
