/* The cache of upstreams' answers (policy/dns_cache.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "policy/dns_cache.h"

static struct dns_answer answer_of(unsigned count, uint32_t ttl_s)
{
    struct dns_answer a = {.rcode = DNS_NOERROR, .ttl_s = ttl_s, .addr_count = count};

    for (unsigned i = 0; i < count; i++)
        a.addrs[i] = addr_v4(0xc0000200 + i);
    return a;
}

static struct dns_cache *cache;

static int setup(void **state)
{
    (void)state;
    cache = dns_cache_new();
    assert_non_null(cache);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dns_cache_free(cache);
    return 0;
}

static void put(const char *name, uint16_t type, unsigned count, uint32_t ttl_s, uint64_t now_ms)
{
    struct dns_answer a = answer_of(count, ttl_s);

    dns_cache_put(cache, name, type, &a, now_ms);
}

static enum dns_cache_result get(const char *name, uint16_t type, uint64_t now_ms, struct dns_answer *out)
{
    return dns_cache_get(cache, name, type, now_ms, out);
}

static void test_d10_an_answer_lives_as_long_as_it_says(void **state)
{
    struct dns_answer a;

    (void)state;
    put("a.example", DNS_TYPE_A, 3, 60, 1000);
    assert_int_equal(get("a.example", DNS_TYPE_A, 1000, &a), DNS_CACHE_ANSWER);
    assert_int_equal(a.ttl_s, 60);
    assert_int_equal(a.addr_count, 3);
    assert_int_equal(addr_to_v4(&a.addrs[2]), 0xc0000202);
    assert_int_equal(get("a.example", DNS_TYPE_A, 31500, &a), DNS_CACHE_ANSWER);
    assert_int_equal(a.ttl_s, 29); /* what is left, never more */
    assert_int_equal(get("a.example", DNS_TYPE_A, 60999, &a), DNS_CACHE_ANSWER);
    assert_int_equal(a.ttl_s, 1);
    assert_int_equal(get("a.example", DNS_TYPE_A, 61000, &a), DNS_CACHE_MISS);
    assert_int_equal(dns_cache_count(cache), 0); /* and it is gone */
}

static void test_names_and_types_are_apart(void **state)
{
    struct dns_answer a;

    (void)state;
    put("a.example", DNS_TYPE_A, 1, 60, 0);
    put("a.example", DNS_TYPE_AAAA, 0, 60, 0);
    assert_int_equal(get("b.example", DNS_TYPE_A, 0, &a), DNS_CACHE_MISS);
    assert_int_equal(get("a.example", DNS_TYPE_AAAA, 0, &a), DNS_CACHE_ANSWER);
    assert_int_equal(a.addr_count, 0);
    assert_int_equal(get("a.example", DNS_TYPE_A, 0, &a), DNS_CACHE_ANSWER);
    assert_int_equal(a.addr_count, 1);
}

/* A TTL of 0 would let a guest use every question of its as a message upstream. */
static void test_d10_t104_once_in_five_seconds_whatever_the_ttl(void **state)
{
    struct dns_answer a;

    (void)state;
    put("a.example", DNS_TYPE_A, 1, 0, 0);
    dns_cache_put(cache, "dead.example", DNS_TYPE_A, NULL, 0);
    assert_int_equal(get("a.example", DNS_TYPE_A, 4999, &a), DNS_CACHE_ANSWER);
    assert_int_equal(a.ttl_s, 1);
    assert_int_equal(get("dead.example", DNS_TYPE_A, 4999, &a), DNS_CACHE_FAILURE);
    assert_int_equal(get("a.example", DNS_TYPE_A, 5000, &a), DNS_CACHE_MISS);
    assert_int_equal(get("dead.example", DNS_TYPE_A, 5000, &a), DNS_CACHE_MISS);
}

static void test_d10_negative_answers(void **state)
{
    struct dns_answer a = answer_of(0, 30);

    (void)state;
    a.rcode = DNS_NXDOMAIN;
    dns_cache_put(cache, "no.example", DNS_TYPE_A, &a, 0);
    memset(&a, 0xff, sizeof(a));
    assert_int_equal(get("no.example", DNS_TYPE_A, 10000, &a), DNS_CACHE_ANSWER);
    assert_int_equal(a.rcode, DNS_NXDOMAIN);
    assert_false(a.truncated);
    assert_int_equal(a.addr_count, 0);
}

static void test_d10_records_of_other_types(void **state)
{
    struct dns_answer a = {.ttl_s = 60, .cut = true, .record_count = 2, .records_len = 9, .records = "\0\2xy\0\3abc"}, b;

    (void)state;
    dns_cache_put(cache, "a.example", 65, &a, 0);
    put("a.example", DNS_TYPE_A, 2, 60, 0);
    memset(&b, 0xff, sizeof(b));
    assert_int_equal(get("a.example", 65, 0, &b), DNS_CACHE_ANSWER);
    assert_true(b.cut);
    assert_int_equal(b.record_count, 2);
    assert_int_equal(b.addr_count, 0);
    assert_int_equal(b.records_len, 9);
    assert_memory_equal(b.records, "\0\2xy\0\3abc", 9);
    memset(&b, 0xff, sizeof(b));
    assert_int_equal(get("a.example", DNS_TYPE_A, 0, &b), DNS_CACHE_ANSWER);
    assert_false(b.cut);
    assert_int_equal(b.record_count, 0);
    assert_int_equal(b.records_len, 0);
}

static void test_a_new_answer_replaces_the_old(void **state)
{
    struct dns_answer a;

    (void)state;
    put("a.example", DNS_TYPE_A, 64, 60, 0);
    put("a.example", DNS_TYPE_A, 1, 60, 1000);
    assert_int_equal(dns_cache_count(cache), 1);
    assert_int_equal(get("a.example", DNS_TYPE_A, 1000, &a), DNS_CACHE_ANSWER);
    assert_int_equal(a.addr_count, 1);
}

static void test_ttl_is_capped(void **state)
{
    struct dns_answer a;

    (void)state;
    put("a.example", DNS_TYPE_A, 1, UINT32_MAX, 0);
    assert_int_equal(get("a.example", DNS_TYPE_A, 0, &a), DNS_CACHE_ANSWER);
    assert_int_equal(a.ttl_s, DNS_CACHE_TTL_MAX_S);
}

/* A guest asks for more names than there is room for: the oldest go, what is used stays, bytes are bounded as well. */
static void test_d10_bounds(void **state)
{
    struct dns_answer a;
    char name[128];

    (void)state;
    put("kept.example", DNS_TYPE_A, 1, 3600, 0);
    for (int i = 0; i < 3 * DNS_CACHE_ENTRIES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "n%d.example", i);
        put(name, DNS_TYPE_A, i % 65, 3600, 0);
        assert_true(dns_cache_count(cache) <= DNS_CACHE_ENTRIES_MAX);
        assert_int_equal(get("kept.example", DNS_TYPE_A, 0, &a), DNS_CACHE_ANSWER);
    }
    assert_int_equal(get("n0.example", DNS_TYPE_A, 0, &a), DNS_CACHE_MISS);
    assert_int_equal(get(name, DNS_TYPE_A, 0, &a), DNS_CACHE_ANSWER);
    /* 64 addresses of 17 bytes each: far fewer than the number alone allows */
    assert_true(dns_cache_count(cache) < 2400);
    dns_cache_clear(cache);
    assert_int_equal(dns_cache_count(cache), 0);
    assert_int_equal(get("kept.example", DNS_TYPE_A, 0, &a), DNS_CACHE_MISS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        CASE(test_d10_an_answer_lives_as_long_as_it_says),
        CASE(test_names_and_types_are_apart),
        CASE(test_d10_t104_once_in_five_seconds_whatever_the_ttl),
        CASE(test_d10_negative_answers),
        CASE(test_d10_records_of_other_types),
        CASE(test_a_new_answer_replaces_the_old),
        CASE(test_ttl_is_capped),
        CASE(test_d10_bounds),
    };

    return cmocka_run_group_tests_name("dns_cache", tests, NULL, NULL);
}
