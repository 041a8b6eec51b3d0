/*
 * Records that are no addresses: how their data is read and written anew.
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

enum { NS = 2, SOA = 6, NULL_TYPE = 10, HINFO = 13, MINFO = 14, MX = 15, TXT = 16, RP = 17, PX = 26, SRV = 33, NAPTR = 35,
       DNAME = 39, RRSIG = 46, NSEC = 47, LP = 107, CAA = 257 };

static struct message answer_start(uint16_t type, unsigned answers)
{
    struct message m = {.len = 0};

    put_header(&m, ID, ANSWER, (unsigned[]){1, answers, 0, 0});
    put_name(&m, "ok.example");
    put_u16(&m, type);
    put_u16(&m, 1);
    return m;
}

/* Read from an allocation of exactly its size, so that the sanitizer sees a byte too far. */
static int read_answer(const struct message *m, uint16_t type, struct dns_answer *out_answer)
{
    uint8_t *copy = malloc(m->len);
    int r;

    assert_non_null(copy);
    memcpy(copy, m->bytes, m->len);
    r = dns_answer_read(copy, m->len, ID, "ok.example", type, out_answer);
    free(copy);
    return r;
}

enum fate { WHOLE, CUT, WITHHELD, BAD };

struct record_case {
    const char *why;
    uint16_t type;
    const char *rdata; /* it begins at offset 40; the question's name is at 12, its last label at 15 */
    size_t rdata_len;
    const char *want;  /* NULL: the same */
    size_t want_len;
    enum fate fate;
};

#define SAME NULL, 0
#define TWENTY "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5"
#define EIGHTEEN "\0\1\x0d\2\0\0\0\1\0\0\0\2\0\0\0\3\0\4"
#define OK_EXAMPLE "\2ok\7example\0"

static const struct record_case record_cases[] = {
    { "MX", MX, RAW("\0\x0a\4mail\3net\0"), SAME, WHOLE },
    { "MX whose name is compressed", MX, RAW("\0\x0a\4mail\xc0\x0c"), RAW("\0\x0a\4mail" OK_EXAMPLE), WHOLE },
    { "case is kept", MX, RAW("\0\x0a\4MaiL\xc0\x0f"), RAW("\0\x0a\4MaiL\7example\0"), WHOLE },
    { "MX of the root: no mail", MX, RAW("\0\0\0"), SAME, WHOLE },
    { "MX without a name", MX, RAW("\0\x0a"), SAME, BAD },
    { "half a preference", MX, RAW("\0"), SAME, BAD },
    { "a byte behind MX", MX, RAW("\0\x0a\4mail\xc0\x0cx"), SAME, BAD },
    { "T111 a name that points to itself", MX, RAW("\0\x0a\xc0\x2a"), SAME, BAD },
    { "T111 and one that points forward", MX, RAW("\0\x0a\xc0\x40"), SAME, BAD },
    { "T111 a pointer whose second half is missing", MX, RAW("\0\x0a\xc0"), SAME, BAD },
    { "a dot inside a label is a name's owner's business", MX, RAW("\0\x0a\3a.b\0"), SAME, WHOLE },
    { "SRV", SRV, RAW("\0\1\0\2\x14\x95\3sip\xc0\x0c"), RAW("\0\1\0\2\x14\x95\3sip" OK_EXAMPLE), WHOLE },
    { "SRV without a port", SRV, RAW("\0\1\0\2\3sip\0"), SAME, BAD },
    { "NS", NS, RAW("\xc0\x0c"), RAW(OK_EXAMPLE), WHOLE },
    { "CNAME, asked for", DNS_TYPE_CNAME, RAW("\1x\xc0\x0f"), RAW("\1x\7example\0"), WHOLE },
    { "PTR, though nobody asks", DNS_TYPE_PTR, RAW("\xc0\x0c"), RAW(OK_EXAMPLE), WHOLE },
    { "SOA: two names, the second leans on the first", SOA, RAW("\2ns\xc0\x0c\5admin\xc0\x28" TWENTY),
      RAW("\2ns" OK_EXAMPLE "\5admin\2ns" OK_EXAMPLE TWENTY), WHOLE },
    { "SOA with a number too few", SOA, RAW("\2ns\0\5admin\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4"), SAME, BAD },
    { "SOA with one too many", SOA, RAW("\2ns\0\5admin\0" TWENTY "\0\0\0\6"), SAME, BAD },
    { "MINFO", MINFO, RAW("\xc0\x0c\xc0\x0f"), RAW(OK_EXAMPLE "\7example\0"), WHOLE },
    { "RP", RP, RAW("\xc0\x0c\xc0\x0f"), RAW(OK_EXAMPLE "\7example\0"), WHOLE },
    { "PX", PX, RAW("\0\1\xc0\x0c\xc0\x0f"), RAW("\0\1" OK_EXAMPLE "\7example\0"), WHOLE },
    { "NAPTR", NAPTR, RAW("\0\1\0\2\1s\7SIP+D2U\0\xc0\x0c"), RAW("\0\1\0\2\1s\7SIP+D2U\0" OK_EXAMPLE), WHOLE },
    { "NAPTR with a string that runs over its end", NAPTR, RAW("\0\1\0\2\1s\x7fSIP"), SAME, BAD },
    { "DNAME", DNAME, RAW("\xc0\x0f"), RAW("\7example\0"), WHOLE },
    { "RRSIG: a name, and a signature of any bytes", RRSIG, RAW(EIGHTEEN "\7example\0\xc0\xff\0"), SAME, WHOLE },
    { "RRSIG with a pointer, which it may not have", RRSIG, RAW(EIGHTEEN "\xc0\x0f\1"), SAME, BAD },
    { "NSEC", NSEC, RAW("\1b\7example\0\0\1\x40"), SAME, WHOLE },
    { "LP with a pointer", LP, RAW("\0\1\xc0\x0c"), SAME, BAD },
    { "TXT", TXT, RAW("\5hello"), SAME, WHOLE },
    { "TXT of several strings, one of them empty", TXT, RAW("\1a\0\2bc"), SAME, WHOLE },
    { "TXT without a string", TXT, RAW(""), SAME, BAD },
    { "TXT with a string cut off", TXT, RAW("\1a\3bc"), SAME, BAD },
    { "TXT that looks like a pointer", TXT, RAW("\2\xc0\x0c"), SAME, WHOLE },
    { "HINFO", HINFO, RAW("\1a\2bc"), SAME, WHOLE },
    { "HINFO with a third string", HINFO, RAW("\1a\2bc\0"), SAME, BAD },
    { "NULL holds whatever it holds", NULL_TYPE, RAW("\xc0\x0c\0\xff"), SAME, WHOLE },
    { "and nothing", NULL_TYPE, RAW(""), SAME, WHOLE },
    { "CAA", CAA, RAW("\0\5issueca.example"), SAME, WHOLE },
    { "D11 a type that nobody knows, with what another would take for a name (RFC 3597)", 4711, RAW("\xc0\x0c"), SAME, WHOLE },

    { "HTTPS", DNS_TYPE_HTTPS, RAW("\0\1\0\0\1\0\3\2h3\0\3\0\2\x20\xfb"), SAME, WHOLE },
    { "SVCB", DNS_TYPE_SVCB, RAW("\0\1\3dns\0\0\7\0\4/q{}"), SAME, WHOLE },
    { "HTTPS without parameters", DNS_TYPE_HTTPS, RAW("\0\1\3svc\0"), SAME, WHOLE },
    { "alias mode", DNS_TYPE_HTTPS, RAW("\0\0\3svc\7example\0"), SAME, WHOLE },
    { "T91 ech goes", DNS_TYPE_HTTPS, RAW("\0\1\0\0\1\0\3\2h2\0\5\0\3ech"), RAW("\0\1\0\0\1\0\3\2h2"), CUT },
    { "T91 ech alone", DNS_TYPE_HTTPS, RAW("\0\1\0\0\5\0\3ech"), RAW("\0\1\0"), CUT },
    { "T91 address hints go", DNS_TYPE_HTTPS,
      RAW("\0\1\0\0\1\0\3\2h2\0\4\0\4\x0a\0\0\1\0\6\0\x10\x20\1\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\7\0\1x"),
      RAW("\0\1\0\0\1\0\3\2h2\0\7\0\1x"), CUT },
    { "T91 all three, between others", DNS_TYPE_SVCB,
      RAW("\0\1\0\0\3\0\2\1\xbb\0\4\0\4\1\2\3\4\0\5\0\1e\0\6\0\x10" "0123456789abcdef\xff\xfe\0\1z"),
      RAW("\0\1\0\0\3\0\2\1\xbb\xff\xfe\0\1z"), CUT },
    { "mandatory names what stays", DNS_TYPE_HTTPS, RAW("\0\1\0\0\0\0\4\0\1\0\3\0\1\0\3\2h2\0\3\0\2\1\xbb\0\5\0\1e"),
      RAW("\0\1\0\0\0\0\4\0\1\0\3\0\1\0\3\2h2\0\3\0\2\1\xbb"), CUT },
    { "T91 ech is mandatory: without it there is no such record", DNS_TYPE_HTTPS,
      RAW("\0\1\0\0\0\0\2\0\5\0\1\0\3\2h2\0\5\0\3ech"), NULL, 0, WITHHELD },
    { "T91 a hint is mandatory, beside others", DNS_TYPE_HTTPS,
      RAW("\0\1\0\0\0\0\4\0\1\0\4\0\1\0\3\2h2\0\4\0\4\1\2\3\4"), NULL, 0, WITHHELD },
    { "ipv6hint is mandatory", DNS_TYPE_SVCB, RAW("\0\1\0\0\0\0\2\0\6\0\6\0\x10" "0123456789abcdef"), NULL, 0, WITHHELD },
    { "in alias mode parameters mean nothing", DNS_TYPE_HTTPS, RAW("\0\0\1a\0\0\5\0\3ech"), RAW("\0\0\1a\0"), CUT },
    { "not even mandatory ones", DNS_TYPE_HTTPS, RAW("\0\0\1a\0\0\0\0\2\0\5\0\5\0\3ech"), RAW("\0\0\1a\0"), CUT },
    { "RFC 9460 section 2.2: the target is not compressed", DNS_TYPE_HTTPS, RAW("\0\1\xc0\x0c"), SAME, BAD },
    { "keys out of order, which one client reads and another does not", DNS_TYPE_HTTPS, RAW("\0\1\0\0\5\0\1e\0\1\0\3\2h2"), SAME, BAD },
    { "a key twice", DNS_TYPE_HTTPS, RAW("\0\1\0\0\7\0\1a\0\7\0\1b"), SAME, BAD },
    { "mandatory twice", DNS_TYPE_HTTPS, RAW("\0\1\0\0\0\0\2\0\1\0\0\0\2\0\5\0\1\0\3\2h2"), SAME, BAD },
    { "half a key", DNS_TYPE_HTTPS, RAW("\0\1\0\0"), SAME, BAD },
    { "half a length", DNS_TYPE_HTTPS, RAW("\0\1\0\0\1\0"), SAME, BAD },
    { "a value that runs over the end", DNS_TYPE_HTTPS, RAW("\0\1\0\0\5\0\4ech"), SAME, BAD },
    { "no priority", DNS_TYPE_HTTPS, RAW("\0"), SAME, BAD },
    { "mandatory of nothing", DNS_TYPE_HTTPS, RAW("\0\1\0\0\0\0\0\0\1\0\3\2h2"), SAME, BAD },
    { "of half a key", DNS_TYPE_HTTPS, RAW("\0\1\0\0\0\0\3\0\1\0\0\1\0\3\2h2"), SAME, BAD },
    { "of itself", DNS_TYPE_HTTPS, RAW("\0\1\0\0\0\0\2\0\0\0\1\0\3\2h2"), SAME, BAD },
    { "of a key that is not there", DNS_TYPE_HTTPS, RAW("\0\1\0\0\0\0\2\0\3\0\1\0\3\2h2"), SAME, BAD },
    { "of one key twice", DNS_TYPE_HTTPS, RAW("\0\1\0\0\0\0\4\0\1\0\1\0\1\0\3\2h2"), SAME, BAD },
    { "of keys out of order", DNS_TYPE_HTTPS, RAW("\0\1\0\0\0\0\4\0\3\0\1\0\1\0\3\2h2\0\3\0\2\1\xbb"), SAME, BAD },
    { "alpn of nothing", DNS_TYPE_HTTPS, RAW("\0\1\0\0\1\0\0"), SAME, BAD },
    { "an empty protocol", DNS_TYPE_HTTPS, RAW("\0\1\0\0\1\0\4\2h2\0"), SAME, BAD },
    { "a protocol cut off", DNS_TYPE_HTTPS, RAW("\0\1\0\0\1\0\3\3h2"), SAME, BAD },
    { "no-default-alpn with a value", DNS_TYPE_HTTPS, RAW("\0\1\0\0\1\0\3\2h2\0\2\0\1x"), SAME, BAD },
    { "a port of one byte", DNS_TYPE_HTTPS, RAW("\0\1\0\0\3\0\1\1"), SAME, BAD },
    { "three bytes of IPv4", DNS_TYPE_HTTPS, RAW("\0\1\0\0\4\0\3\1\2\3"), SAME, BAD },
    { "none of IPv6", DNS_TYPE_HTTPS, RAW("\0\1\0\0\6\0\0"), SAME, BAD },
};

static void check_case(const struct record_case *c, const struct dns_answer *a)
{
    const char *want = c->want ? c->want : c->rdata;
    size_t want_len = c->want ? c->want_len : c->rdata_len;

    if (a->record_count != (c->fate != WITHHELD) || a->cut != (c->fate != WHOLE) || a->addr_count != 0 || a->ttl_s != 300)
        fail_msg("%s: %u records, cut %d", c->why, a->record_count, a->cut);
    if (c->fate == WITHHELD) {
        if (a->records_len != 0)
            fail_msg("%s: %zu bytes are left", c->why, a->records_len);
        return;
    }
    if (a->records_len != want_len + 2 || a->records[0] != 0 || a->records[1] != want_len ||
        memcmp(a->records + 2, want, want_len) != 0)
        fail_msg("%s: other bytes", c->why);
}

static void test_d11_t91_t111_records(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(record_cases); i++) {
        const struct record_case *c = &record_cases[i];
        struct message m = answer_start(c->type, 1);
        struct dns_answer a;
        int got;

        put_record(&m, "@12", c->type, 300, c->rdata, c->rdata_len);
        got = read_answer(&m, c->type, &a);
        if (got != (c->fate == BAD ? -EBADMSG : 0))
            fail_msg("%s: %d", c->why, got);
        if (got == 0)
            check_case(c, &a);
    }
}

/* A record of another type says nothing about this one, and is not even read. */
static void test_t106_only_what_was_asked(void **state)
{
    struct message m = answer_start(MX, 5);
    struct dns_answer a;

    (void)state;
    put_record(&m, "bank.example", MX, 300, RAW("\0\1\4evil\0"));
    put_record(&m, "@12", DNS_TYPE_A, 300, RAW("\1\2\3\4"));
    put_record(&m, "@12", TXT, 300, RAW("\x7f"));
    put_record(&m, "@12", MX, 300, RAW("\0\1\1a\0"));
    put_record(&m, "@12", MX, 60, RAW("\0\2\1b\0"));
    assert_int_equal(read_answer(&m, MX, &a), 0);
    assert_int_equal(a.record_count, 2);
    assert_int_equal(a.addr_count, 0); /* an answer about mail pins no address */
    assert_int_equal(a.ttl_s, 60);
    assert_memory_equal(a.records, "\0\5\0\1\1a\0\0\5\0\2\1b\0", 14);
    assert_int_equal(a.records_len, 14);
}

static void test_t105_records_at_the_end_of_a_chain(void **state)
{
    struct message m = answer_start(MX, 2);
    struct dns_answer a;

    (void)state;
    put_record(&m, "@12", DNS_TYPE_CNAME, 10, RAW("\1x\3cdn\0"));
    put_record(&m, "x.cdn", MX, 300, RAW("\0\1\1a\0"));
    assert_int_equal(read_answer(&m, MX, &a), 0);
    assert_int_equal(a.record_count, 1);
    assert_int_equal(a.ttl_s, 10);
    m.bytes[3] |= 3; /* no such name, and yet a record */
    assert_int_equal(read_answer(&m, MX, &a), 0);
    assert_int_equal(a.record_count, 0);
    assert_int_equal(a.records_len, 0);
}

/* As many as fit, and none of a set that does not: half a set is not what its owner says. */
static void test_sets_are_bounded(void **state)
{
    static uint8_t bytes[65535];
    struct dns_answer a;
    struct message m;

    (void)state;
    for (unsigned count = DNS_RECORDS_MAX; count <= DNS_RECORDS_MAX + 1; count++) {
        m = answer_start(TXT, 0);
        for (unsigned i = 0; i < count; i++)
            put_record(&m, "@12", TXT, 300, RAW("\1a"));
        m.bytes[6] = (uint8_t)(count >> 8);
        m.bytes[7] = (uint8_t)count;
        assert_int_equal(read_answer(&m, TXT, &a), count == DNS_RECORDS_MAX ? 0 : -E2BIG);
    }
    for (unsigned over = 0; over <= 1; over++) {
        size_t len = DNS_RECORDS_BYTES_MAX - 2 + over;

        m = answer_start(NULL_TYPE, 1);
        put_record(&m, "@12", NULL_TYPE, 300, "", 0);
        m.bytes[m.len - 2] = (uint8_t)(len >> 8);
        m.bytes[m.len - 1] = (uint8_t)len;
        memcpy(bytes, m.bytes, m.len);
        assert_int_equal(dns_answer_read(bytes, m.len + len, ID, "ok.example", NULL_TYPE, &a), over ? -E2BIG : 0);
    }
    /* Small on the wire, large in full: 60 names of 14 bytes, by pointers to them. */
    m = answer_start(NS, 200);
    for (unsigned i = 0; i < 200; i++)
        put_record(&m, "@12", NS, 300, RAW("\xc0\x0c"));
    assert_int_equal(read_answer(&m, NS, &a), 0);
    assert_int_equal(a.records_len, 200 * 14);
}

/* What a guest gets: the question's name as owner, one TTL, and TC where it is too much. */
static void test_d02_records_are_told(void **state)
{
    struct dns_query q = {.id = ID, .flags = RD, .type = MX, .klass = 1, .qname = "\2oK\7example", .qname_len = 12};
    static struct dns_answer a = {.record_count = 2, .records_len = 14, .records = "\0\5\0\1\1a\0\0\5\0\2\1b\0"};
    struct dns_reply r = {.ede = DNS_EDE_NONE, .ttl_s = 60, .answer = &a};
    uint8_t out[512];

    (void)state;
    assert_int_equal(dns_reply_write(out, sizeof(out), 512, &q, &r), 28 + 2 * 17);
    assert_memory_equal(out, "\x12\x34\x81\x80\0\1\0\2\0\0\0\0", 12);
    assert_memory_equal(out + 28, "\xc0\x0c\0\x0f\0\1\0\0\0\x3c\0\5\0\1\1a\0\xc0\x0c\0\x0f\0\1\0\0\0\x3c\0\5\0\2\1b\0", 34);
    assert_int_equal(dns_reply_write(out, sizeof(out), 28 + 2 * 17 - 1, &q, &r), 28 + 17);
    assert_memory_equal(out + 2, "\x83\x80\0\1\0\1", 6);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_d11_t91_t111_records),
        cmocka_unit_test(test_t106_only_what_was_asked),
        cmocka_unit_test(test_t105_records_at_the_end_of_a_chain),
        cmocka_unit_test(test_sets_are_bounded),
        cmocka_unit_test(test_d02_records_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
