/*
 * Flows to an address that stands for a name (dns mode fake-ip, policy/fake_ip.h): the guest's pins say for which. The
 * name is resolved when the flow opens; its addresses are judged as if the guest had dialled them, and the flow goes to
 * the first that is allowed. Meanwhile it is FLOW_ASKING.
 *
 *   asking.c ─ named_start() ─ resolver.c ─ named_resolved() ─ asking_open(), or refused
 */
#ifndef WEIR_DATAPATH_NAMED_H
#define WEIR_DATAPATH_NAMED_H

#include <stdbool.h>

#include "datapath/flow.h"
#include "policy/dns.h"

/** Whether the destination stands for a name, and is no address of the network's. */
bool named_is(const struct instance *in, const struct addr *dst);

/** The name it stands for; NULL: none, this guest was never told of it. Valid until the guest's next pin. */
const char *named_name(const struct link *link, const struct addr *dst);

/** Resolve and judge. @flow: ASKING, its SYN parked or its datagram held. It may be over when this returns. */
void named_start(struct flow *flow);

/** It took too long. */
void named_silence(struct flow *flow);

/** For the resolver: what the upstreams say of the flow's name (its wait is over). NULL: nobody answered. */
void named_resolved(struct flow *flow, const struct dns_answer *answer);

#endif
