#include "policy/dns_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/siphash.h"

enum { BUCKETS = 4096 }; /* a power of two */

struct entry {
    struct list used;         /* on cache.used, the least recently used first */
    struct entry *next;       /* bucket chain */
    uint64_t until_ms;        /* it is told until then */
    uint64_t ttl_until_ms;    /* what the upstream said */
    uint16_t type;
    bool failure, cut;
    int rcode;
    size_t addr_count, bytes; /* bytes: of this allocation */
    struct addr *addrs;       /* behind the name, in this allocation */
    uint8_t *records;         /* behind the addresses */
    size_t records_len;
    unsigned record_count;
    char name[];
};

struct dns_cache {
    struct siphash_key key;
    struct list used;
    size_t count, bytes;
    struct entry *buckets[BUCKETS];
};

struct dns_cache *dns_cache_new(void)
{
    struct dns_cache *cache = calloc(1, sizeof(*cache));

    if (!cache)
        return NULL;
    siphash_key_random(&cache->key);
    list_init(&cache->used);
    return cache;
}

static struct entry **bucket_of(struct dns_cache *cache, const char *name)
{
    return &cache->buckets[siphash(&cache->key, name, strlen(name)) % BUCKETS];
}

static struct entry **place_of(struct dns_cache *cache, const char *name, uint16_t type)
{
    struct entry **at = bucket_of(cache, name);

    while (*at && ((*at)->type != type || strcmp((*at)->name, name) != 0))
        at = &(*at)->next;
    return at;
}

static void drop(struct dns_cache *cache, struct entry **at)
{
    struct entry *e = *at;

    *at = e->next;
    list_unlink(&e->used);
    cache->count--;
    cache->bytes -= e->bytes;
    free(e);
}

static void drop_oldest(struct dns_cache *cache)
{
    struct entry *e = LIST_ENTRY(cache->used.next, struct entry, used);

    drop(cache, place_of(cache, e->name, e->type));
}

void dns_cache_clear(struct dns_cache *cache)
{
    while (!list_empty(&cache->used))
        drop_oldest(cache);
}

void dns_cache_free(struct dns_cache *cache)
{
    if (!cache)
        return;
    dns_cache_clear(cache);
    free(cache);
}

size_t dns_cache_count(const struct dns_cache *cache)
{
    return cache->count;
}

/* ---- entries ---- */

static struct entry *make(const char *name, uint16_t type, const struct dns_answer *answer)
{
    size_t addrs = answer ? answer->addr_count : 0, name_bytes = strlen(name) + 1;
    size_t addrs_at = (sizeof(struct entry) + name_bytes + _Alignof(struct addr) - 1) & ~(_Alignof(struct addr) - 1);
    size_t records_len = answer ? answer->records_len : 0;
    size_t bytes = addrs_at + addrs * sizeof(struct addr) + records_len;
    struct entry *e = calloc(1, bytes);

    if (!e)
        return NULL;
    list_init(&e->used);
    e->bytes = bytes;
    e->type = type;
    e->failure = !answer;
    e->rcode = answer ? answer->rcode : 0;
    e->addr_count = addrs;
    memcpy(e->name, name, name_bytes);
    e->addrs = (void *)((uint8_t *)e + addrs_at);
    if (addrs > 0)
        memcpy(e->addrs, answer->addrs, addrs * sizeof(struct addr));
    e->records = (uint8_t *)(e->addrs + addrs);
    e->records_len = records_len;
    if (records_len > 0)
        memcpy(e->records, answer->records, records_len);
    e->record_count = answer ? answer->record_count : 0;
    e->cut = answer && answer->cut;
    return e;
}

void dns_cache_put(struct dns_cache *cache, const char *name, uint16_t type, const struct dns_answer *answer,
                   uint64_t now_ms)
{
    uint32_t ttl_s = answer ? answer->ttl_s : 0;
    struct entry **at = place_of(cache, name, type), *e = make(name, type, answer);

    if (*at)
        drop(cache, at);
    if (!e)
        return;
    while (cache->count >= DNS_CACHE_ENTRIES_MAX || cache->bytes + e->bytes > DNS_CACHE_BYTES_MAX)
        drop_oldest(cache);
    if (ttl_s > DNS_CACHE_TTL_MAX_S)
        ttl_s = DNS_CACHE_TTL_MAX_S;
    e->ttl_until_ms = now_ms + ttl_s * UINT64_C(1000);
    e->until_ms = now_ms + DNS_CACHE_MIN_MS;
    if (e->until_ms < e->ttl_until_ms)
        e->until_ms = e->ttl_until_ms;
    at = bucket_of(cache, name);
    e->next = *at;
    *at = e;
    list_append(&cache->used, &e->used);
    cache->count++;
    cache->bytes += e->bytes;
}

enum dns_cache_result dns_cache_get(struct dns_cache *cache, const char *name, uint16_t type, uint64_t now_ms,
                                    struct dns_answer *out_answer)
{
    struct entry **at = place_of(cache, name, type), *e = *at;

    if (!e)
        return DNS_CACHE_MISS;
    if (e->until_ms <= now_ms) {
        drop(cache, at);
        return DNS_CACHE_MISS;
    }
    list_unlink(&e->used);
    list_append(&cache->used, &e->used);
    if (e->failure)
        return DNS_CACHE_FAILURE;
    out_answer->rcode = e->rcode;
    out_answer->truncated = false;
    out_answer->ttl_s = e->ttl_until_ms >= now_ms + 1000 ? (uint32_t)((e->ttl_until_ms - now_ms) / 1000) : 1;
    out_answer->addr_count = e->addr_count;
    memcpy(out_answer->addrs, e->addrs, e->addr_count * sizeof(struct addr));
    out_answer->cut = e->cut;
    out_answer->record_count = e->record_count;
    out_answer->records_len = e->records_len;
    memcpy(out_answer->records, e->records, e->records_len);
    return DNS_CACHE_ANSWER;
}
