/*
 * Packets that no decent guest sends, made to be nearly right: chains of extension headers, neighbour discovery, groups, DHCP,
 * errors, and fragments. For tests/sim/test_fuzz.c.
 */
#ifndef WEIR_TESTS_SIM_HOSTILE_H
#define WEIR_TESTS_SIM_HOSTILE_H

#include "sim.h"

/** One of some values. */
#define HOSTILE_PICK(sim, ...)                                                                                \
    hostile_pick(sim, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))
uint32_t hostile_pick(struct sim *sim, const uint32_t *values, size_t n);

/** An IPv6 packet. */
void hostile_send6(struct sim *sim);

/** An IPv4 packet. */
void hostile_send4(struct sim *sim);

/** Pieces of one datagram of @family: out of order, some lost, some twice or over others. */
void hostile_send_fragments(struct sim *sim, enum addr_family family);

#endif
