/*
 * SipHash-2-4 (Aumasson, Bernstein, "SipHash: a fast short-input PRF", 2012): the keyed hash of
 * every table a guest can fill, of initial sequence numbers and of transaction ids.
 */
#ifndef WEIR_BASE_SIPHASH_H
#define WEIR_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
    uint64_t k[2];
};

/** Fill @out_key from the kernel's random source. CHECKs: without randomness nothing is safe. */
void siphash_key_random(struct siphash_key *out_key);

uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t len);

#endif
