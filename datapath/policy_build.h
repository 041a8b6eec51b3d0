/*
 * The policy in force, from the one that was given and what only the instance knows: the guests' networks and the
 * host's addresses.
 */
#ifndef WEIR_DATAPATH_POLICY_BUILD_H
#define WEIR_DATAPATH_POLICY_BUILD_H

#include "datapath/host_addrs.h"
#include "datapath/network.h"
#include "policy/policy.h"

/**
 * The rules and group entries of @given, with the groups `guest` and `host` filled in.
 *
 * @given: a reference to its rules is kept; may itself be the result of an earlier call
 *
 * Return: one reference, the caller's; NULL out of memory.
 */
struct policy *policy_build(struct policy *given, const struct networks *nets, const struct host_addrs *host);

#endif
