/*
 * How much a guest may ask.
 *
 * How many new names under one wildcard: labels are bytes, and a wildcard lets a guest send as many of
 * them as it asks names (docs/policy.md, "DNS").
 *
 * A scope is what the names are counted under: a suffix rule's target, or, where rules open DNS to all names, a
 * registrable domain. In each window of DNS_BUDGET_WINDOW_MS from its first name a scope has DNS_BUDGET_NAMES_MAX
 * names; asking one of them again is free. Of one guest; nobody shares it.
 */
#ifndef WEIR_POLICY_DNS_BUDGET_H
#define WEIR_POLICY_DNS_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum {
    DNS_BUDGET_NAMES_MAX = 100,
    DNS_BUDGET_WINDOW_MS = 600000,
    DNS_RATE_BURST_S = 4,
    DNS_BUDGET_SCOPES_MAX = 4096, /* with a window that runs; beyond it new scopes are refused */
};

/* How many questions a guest may ask: a bucket of tokens. All zeroes is a full one. */
struct dns_rate {
    uint64_t filled_ms;   /* 0: no question was asked yet */
    uint64_t thousandths; /* of tokens */
};

/**
 * Take a token.
 *
 * @per_s:  questions a second (> 0), of which DNS_RATE_BURST_S seconds' worth may come at once; it may change
 * @now_ms: above 0
 *
 * Return: whether there was one.
 */
bool dns_rate_take(struct dns_rate *rate, uint32_t per_s, uint64_t now_ms);

struct dns_budget;

struct dns_budget *dns_budget_new(void);          /* NULL: out of memory */
void dns_budget_free(struct dns_budget *budget);  /* NULL is fine */

/**
 * Ask for a name under a scope. Both are borrowed texts, canonical.
 *
 * Return: false when it would be one too many, or memory is short.
 */
bool dns_budget_take(struct dns_budget *budget, const char *scope, const char *name, uint64_t now_ms);

#endif
