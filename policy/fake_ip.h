/*
 * The pool of addresses that stand for names (dns mode fake-ip): 198.18.0.0/15 (RFC 2544, no network routes it) and
 * fd77:6569:7265:6661::/64 (RFC 4193). Which name has which is in the guest's pins; here is which one a name gets: a
 * keyed hash of it, the next one while another name has that. So an address says nothing about its name, and a name
 * has the same one for every guest and, with the same key, after a restart. Pure.
 */
#ifndef WEIR_POLICY_FAKE_IP_H
#define WEIR_POLICY_FAKE_IP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"
#include "policy/pins.h"

enum {
    FAKE_IP_COUNT = 1 << 17, /* of each family; names, and so addresses in use, are PINS_NAMES_MAX at most */
    FAKE_IP_PROBES_MAX = 256,
    FAKE_IP_KEEP_S = 86400,  /* a guest may use one for so long behind its last answer, whatever the TTL */
};

bool fake_ip_is(const struct addr *a);

/**
 * The address of that family that stands for canonical @name, and is pinned to no other name.
 *
 * Return: 0, or -ENOSPC.
 */
int fake_ip_pick(const struct siphash_key *key, const struct pins *pins, const char *name, enum addr_family family,
                 uint64_t now_ms, struct addr *out_addr);

#endif
