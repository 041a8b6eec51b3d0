/*
 * The host's own addresses, as a case has them, in the place of datapath/host_addrs.c, which asks the kernel of this machine.
 */
#ifndef WEIR_TESTS_REPLAY_HOST_STUB_H
#define WEIR_TESTS_REPLAY_HOST_STUB_H

#include "datapath/host_addrs.h"

void host_stub_set(const struct addr *addrs, unsigned count);

#endif
