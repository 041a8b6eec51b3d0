/*
 * What upstreams answered, for as long as it holds: by name and type, for all guests of an instance.
 *
 * Whatever its TTL, an answer (a failure as well) is kept for DNS_CACHE_MIN_MS, so that no guest makes one question go
 * upstream more often than that; and none is kept longer than its TTL otherwise. Answers are as they came: what a
 * guest may be told of them is judged each time. Bounded; the least recently used goes first.
 */
#ifndef WEIR_POLICY_DNS_CACHE_H
#define WEIR_POLICY_DNS_CACHE_H

#include "policy/dns.h"

enum {
    DNS_CACHE_ENTRIES_MAX = 4096,
    DNS_CACHE_BYTES_MAX = 1024 * 1024,
    DNS_CACHE_MIN_MS = 5000,
    DNS_CACHE_TTL_MAX_S = 86400,
};

struct dns_cache;

struct dns_cache *dns_cache_new(void);          /* NULL: out of memory */
void dns_cache_free(struct dns_cache *cache);   /* NULL is fine */

/** Forget everything: other upstreams may answer otherwise. */
void dns_cache_clear(struct dns_cache *cache);

/**
 * Keep an answer.
 *
 * @name:   canonical; copied
 * @answer: copied; NULL: nobody answered. An answer that is there already is replaced. Out of memory: nothing is kept
 */
void dns_cache_put(struct dns_cache *cache, const char *name, uint16_t type, const struct dns_answer *answer,
                   uint64_t now_ms);

enum dns_cache_result { DNS_CACHE_MISS, DNS_CACHE_ANSWER, DNS_CACHE_FAILURE };

/** Look up. @out_answer: filled with DNS_CACHE_ANSWER; its TTL is what is left, at least 1. */
enum dns_cache_result dns_cache_get(struct dns_cache *cache, const char *name, uint16_t type, uint64_t now_ms,
                                    struct dns_answer *out_answer);

/** How many entries there are, expired ones included. */
size_t dns_cache_count(const struct dns_cache *cache);

#endif
