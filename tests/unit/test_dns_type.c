/* Record types by name, and which of them go upstream (policy/dns_type.h). */
#include "policy/dns_type.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

struct name_case {
    const char *text;
    int type; /* -1: none */
    const char *back; /* how it is written; NULL: as it was read */
};

static const struct name_case name_cases[] = {
    {"A", 1, NULL}, {"aaaa", 28, "AAAA"}, {"mx", 15, "MX"}, {"TXT", 16, NULL}, {"SRV", 33, NULL}, {"CAA", 257, NULL},
    {"HTTPS", 65, NULL}, {"ANY", 255, NULL}, {"TYPE15", 15, "MX"}, {"type1234", 1234, "TYPE1234"}, {"TYPE0", 0, NULL},
    {"TYPE65535", 65535, NULL}, {"TYPE65536", -1, NULL}, {"TYPE100000", -1, NULL}, {"TYPE015", -1, NULL}, {"TYPE", -1, NULL},
    {"TYPE-1", -1, NULL}, {"TYPE1x", -1, NULL}, {"", -1, NULL}, {"15", -1, NULL}, {"TXTS", -1, NULL}, {"*", -1, NULL},
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(name_cases); i++) {
        const struct name_case *c = &name_cases[i];
        char text[DNS_TYPE_TEXT_MAX];
        uint16_t type = 4711;
        int err = dns_type_parse(c->text, &type);

        if (err != (c->type < 0 ? -EINVAL : 0) || type != (c->type < 0 ? 4711 : c->type))
            fail_msg("'%s': %d, %u", c->text, err, type);
        if (err == 0 && strcmp(dns_type_format(type, text), c->back ? c->back : c->text) != 0)
            fail_msg("'%s': written as '%s'", c->text, text);
    }
}

/* Every number there is comes back from its text. */
static void test_every_type_reads_back(void **state)
{
    (void)state;
    for (unsigned n = 0; n <= UINT16_MAX; n++) {
        char text[DNS_TYPE_TEXT_MAX];
        uint16_t type;

        assert_int_equal(dns_type_parse(dns_type_format((uint16_t)n, text), &type), 0);
        assert_int_equal(type, n);
    }
}

struct judge_case {
    const char *why;
    const char *type;
    enum dns_type_verdict deny, listed, allow; /* default deny; with MX, TXT and SRV listed; default allow */
};

#define ALL(v) DNS_TYPE_##v, DNS_TYPE_##v, DNS_TYPE_##v

static const struct judge_case judge_cases[] = {
    { "addresses always", "A", ALL(ASK) },
    { "addresses always", "AAAA", ALL(ASK) },
    { "T113 what is listed", "MX", DNS_TYPE_WITHHELD, DNS_TYPE_ASK, DNS_TYPE_ASK },
    { "T113 a channel both ways, when somebody wants it", "TXT", DNS_TYPE_WITHHELD, DNS_TYPE_ASK, DNS_TYPE_ASK },
    { "T113 what is not", "NULL", DNS_TYPE_WITHHELD, DNS_TYPE_WITHHELD, DNS_TYPE_ASK },
    { "T113 NAPTR", "NAPTR", DNS_TYPE_WITHHELD, DNS_TYPE_WITHHELD, DNS_TYPE_ASK },
    { "T113 DNSKEY", "DNSKEY", DNS_TYPE_WITHHELD, DNS_TYPE_WITHHELD, DNS_TYPE_ASK },
    { "D11 nobody's type", "TYPE4711", DNS_TYPE_WITHHELD, DNS_TYPE_WITHHELD, DNS_TYPE_ASK },
    { "T91 HTTPS", "HTTPS", DNS_TYPE_WITHHELD, DNS_TYPE_WITHHELD, DNS_TYPE_ASK },
    { "T91 SVCB", "SVCB", DNS_TYPE_WITHHELD, DNS_TYPE_WITHHELD, DNS_TYPE_ASK },
    { "T113 ANY", "ANY", ALL(REFUSED) },
    { "T113 AXFR", "AXFR", ALL(REFUSED) },
    { "T113 IXFR", "IXFR", ALL(REFUSED) },
    { "MAILB", "TYPE253", ALL(REFUSED) },
    { "MAILA", "TYPE254", ALL(REFUSED) },
    { "TKEY, which makes keys", "TYPE249", ALL(REFUSED) },
    { "TSIG", "TYPE250", ALL(REFUSED) },
    { "NXNAME, the first that is no data", "TYPE128", ALL(REFUSED) },
    { "and the last before it", "TYPE127", DNS_TYPE_WITHHELD, DNS_TYPE_WITHHELD, DNS_TYPE_ASK },
    { "URI, the first behind them", "URI", DNS_TYPE_WITHHELD, DNS_TYPE_WITHHELD, DNS_TYPE_ASK },
    { "OPT", "TYPE41", ALL(REFUSED) },
    { "nothing", "TYPE0", ALL(REFUSED) },
    { "the last one", "TYPE65535", ALL(REFUSED) },
};

static void test_d11_t91_t113_what_goes_upstream(void **state)
{
    struct dns_types none = {.count = 0}, some = {.count = 0};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(dns_types_add(&some, (uint16_t[]){15, 16, 33}[i]), 0);
    for (size_t i = 0; i < ARRAY_SIZE(judge_cases); i++) {
        const struct judge_case *c = &judge_cases[i];
        uint16_t type;

        assert_int_equal(dns_type_parse(c->type, &type), 0);
        if (dns_types_judge(&none, type, false) != c->deny || dns_types_judge(&some, type, false) != c->listed ||
            dns_types_judge(&none, type, true) != c->allow || dns_types_judge(&some, type, true) != c->allow)
            fail_msg("%s: %s", c->why, c->type);
    }
}

static void test_t113_what_cannot_be_listed(void **state)
{
    static const char *const never[] = {"ANY", "AXFR", "IXFR", "TYPE41", "TYPE0", "TYPE249", "PTR", "SVCB", "HTTPS"};
    struct dns_types types = {.count = 0};
    uint16_t type;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
        assert_int_equal(dns_type_parse(never[i], &type), 0);
        assert_int_equal(dns_types_add(&types, type), -EPERM);
    }
    for (uint16_t n = 1000; n < 1000 + DNS_TYPES_MAX; n++)
        assert_int_equal(dns_types_add(&types, n), 0);
    assert_int_equal(dns_types_add(&types, 1000), 0); /* no new one */
    assert_int_equal(dns_types_add(&types, 1), 0);
    assert_int_equal(dns_types_add(&types, 999), -E2BIG);
    assert_int_equal(types.count, DNS_TYPES_MAX);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_type_reads_back),
        cmocka_unit_test(test_d11_t91_t113_what_goes_upstream),
        cmocka_unit_test(test_t113_what_cannot_be_listed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
