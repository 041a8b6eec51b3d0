#include "policy/dns_budget.h"

#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"

enum { BUCKETS = 1024, NAMES_FIRST = 4 }; /* BUCKETS: a power of two */

struct scope {
    struct scope *next;  /* bucket chain */
    uint64_t id;         /* keyed hash of its text */
    uint64_t since_ms;
    unsigned count, cap;
    uint64_t *names;     /* owned: keyed hashes */
};

struct dns_budget {
    struct siphash_key key;
    unsigned count;
    struct scope *buckets[BUCKETS]; /* owned */
};

bool dns_rate_take(struct dns_rate *rate, uint32_t per_s, uint64_t now_ms)
{
    enum { TOKEN = 1000 };
    uint64_t full = (uint64_t)per_s * DNS_RATE_BURST_S * TOKEN;
    uint64_t more = (now_ms - rate->filled_ms) * per_s; /* one a second is a thousandth a millisecond */

    if (rate->filled_ms == 0 || more >= full || rate->thousandths + more >= full)
        rate->thousandths = full;
    else
        rate->thousandths += more;
    rate->filled_ms = now_ms;
    if (rate->thousandths < TOKEN)
        return false;
    rate->thousandths -= TOKEN;
    return true;
}

struct dns_budget *dns_budget_new(void)
{
    struct dns_budget *b = calloc(1, sizeof(*b));

    if (b)
        siphash_key_random(&b->key);
    return b;
}

static void scope_drop(struct dns_budget *b, struct scope **at)
{
    struct scope *s = *at;

    *at = s->next;
    b->count--;
    free(s->names);
    free(s);
}

void dns_budget_free(struct dns_budget *b)
{
    if (!b)
        return;
    for (unsigned i = 0; i < BUCKETS; i++)
        while (b->buckets[i])
            scope_drop(b, &b->buckets[i]);
    free(b);
}

/* Scopes of the bucket whose windows are over go on the way: there is no timer. */
static struct scope *scope_find(struct dns_budget *b, struct scope **bucket, uint64_t id, uint64_t now_ms)
{
    struct scope *found = NULL;

    for (struct scope **at = bucket; *at;) {
        if (now_ms - (*at)->since_ms >= DNS_BUDGET_WINDOW_MS) {
            scope_drop(b, at);
            continue;
        }
        if ((*at)->id == id)
            found = *at;
        at = &(*at)->next;
    }
    return found;
}

static void drop_ended(struct dns_budget *b, uint64_t now_ms)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        (void)scope_find(b, &b->buckets[i], 0, now_ms);
}

static struct scope *scope_make(struct dns_budget *b, struct scope **bucket, uint64_t id, uint64_t now_ms)
{
    struct scope *s;

    if (b->count >= DNS_BUDGET_SCOPES_MAX)
        drop_ended(b, now_ms);
    if (b->count >= DNS_BUDGET_SCOPES_MAX || !(s = calloc(1, sizeof(*s))))
        return NULL;
    s->id = id;
    s->since_ms = now_ms;
    s->next = *bucket;
    *bucket = s;
    b->count++;
    return s;
}

static bool add_name(struct scope *s, uint64_t name)
{
    if (s->count == DNS_BUDGET_NAMES_MAX)
        return false;
    if (s->count == s->cap) {
        unsigned cap = s->cap == 0 ? NAMES_FIRST : 2 * s->cap;
        uint64_t *names = realloc(s->names, cap * sizeof(*names));

        if (!names)
            return false;
        s->names = names;
        s->cap = cap;
    }
    s->names[s->count++] = name;
    return true;
}

bool dns_budget_take(struct dns_budget *b, const char *scope, const char *name, uint64_t now_ms)
{
    uint64_t id = siphash(&b->key, scope, strlen(scope)), name_id = siphash(&b->key, name, strlen(name));
    struct scope **bucket = &b->buckets[id % BUCKETS], *s = scope_find(b, bucket, id, now_ms);

    if (!s)
        s = scope_make(b, bucket, id, now_ms);
    if (!s)
        return false;
    for (unsigned i = 0; i < s->count; i++)
        if (s->names[i] == name_id)
            return true;
    return add_name(s, name_id);
}
