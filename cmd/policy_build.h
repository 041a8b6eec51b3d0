/*
 * A policy made from a configuration and what the host is like now.
 */
#ifndef WEIR_CMD_POLICY_BUILD_H
#define WEIR_CMD_POLICY_BUILD_H

#include "cmd/config.h"
#include "cmd/host_addrs.h"

/** Return: one reference, the caller's; NULL out of memory. */
struct policy *policy_build(const struct config *c, const struct host_addrs *host);

/** The address of the guest's network that stands for the host: the last usable one. */
struct addr policy_build_alias(const struct addr_prefix *net4);

#endif
