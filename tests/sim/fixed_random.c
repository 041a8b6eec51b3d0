/*
 * The stack's keyed hashes with a key that is the same in every run: a failing case fails again. Linked
 * instead of base/siphash.c, whose hash it keeps.
 */
#include "base/siphash.h"

void siphash_key_from_kernel(struct siphash_key *out_key);

#define siphash_key_random siphash_key_from_kernel
#include "base/siphash.c"
#undef siphash_key_random

void siphash_key_random(struct siphash_key *out_key)
{
    *out_key = (struct siphash_key){{0x7765697220697320u, 0x6b6579656420616eu}};
}
