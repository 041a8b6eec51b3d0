/*
 * Pins: which names the gateway's resolver told this guest, and for which addresses.
 *
 * The only writer is the resolver, from its own upstream's answers. A pin lasts max(TTL, 30 s) + 60 s;
 * answers are united, never replaced. Bounds: PINS_NAMES_MAX names, PINS_ADDRS_MAX addresses a name; the
 * least recently used name goes first, but never one a live flow holds (pins_hold()); of a name's addresses,
 * the one whose answer is the longest ago (a name that rotates through more must stay reachable).
 * Keyed hashes throughout: a guest cannot choose the buckets. No clock: times are passed in.
 */
#ifndef WEIR_POLICY_PINS_H
#define WEIR_POLICY_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "policy/name.h"

enum {
    PINS_NAMES_MAX = 4096,
    PINS_ADDRS_MAX = 64,
    PINS_TTL_FLOOR_S = 30,
    PINS_GRACE_S = 60,
    PINS_TTL_CAP_S = 86400, /* a longer TTL counts as a day */
};

struct pins;      /* one guest's */
struct pin_name;  /* one name; address-stable while held */

struct pins *pins_new(void);          /* NULL: out of memory */
void pins_free(struct pins *pins);    /* NULL is fine */

/**
 * Tie canonical @name to @addr.
 *
 * Return: 0; -ENOSPC when there are PINS_NAMES_MAX names and flows hold them all (then the address must not be
 * told to the guest, or it could never be used); -ENOMEM.
 */
int pins_add(struct pins *pins, const char *name, const struct addr *addr, uint32_t ttl_s,
             uint64_t now_ms);

/** Whether a live pin ties canonical @name to @addr. */
bool pins_has(const struct pins *pins, const char *name, const struct addr *addr, uint64_t now_ms);

/**
 * Canonical names pinned to @addr now.
 *
 * @out_names: up to @max borrowed pointers, the newest first, valid until the next pins_add()
 *
 * Return: how many names there are; @max + 1 stands for any number above @max (then the caller must treat the
 * rest as unknown names).
 */
size_t pins_names_of(const struct pins *pins, const struct addr *addr, uint64_t now_ms,
                     const char **out_names, size_t max);

/**
 * Keep a name from being dropped while a flow uses it. Balanced by pins_release().
 *
 * The name stays; its pins run out all the same: new flows need a fresh answer.
 *
 * Return: NULL when the name is not in the table.
 */
struct pin_name *pins_hold(struct pins *pins, const char *name);
const char *pins_held_name(const struct pin_name *held); /* lives as long as it is held */
void pins_release(struct pins *pins, struct pin_name *held); /* NULL is fine */

/** Names in the table, those included whose pins have run out and whose place nobody needed yet. */
size_t pins_name_count(const struct pins *pins);

#endif
