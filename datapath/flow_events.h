/*
 * What happens to a flow that is there: events of the guest's connection, deadlines, the end of its link. Each goes on
 * by the flow's state.
 */
#ifndef WEIR_DATAPATH_FLOW_EVENTS_H
#define WEIR_DATAPATH_FLOW_EVENTS_H

#include "datapath/flow.h"
#include "datapath/link.h"

/* For tcp_conn_init() of every flow with a connection. */
extern const struct tcp_events flow_tcp_events;

/** Let the idle limit and the lifetime of an open flow run. */
void flow_arm_idle(struct flow *flow);

/** A flow's deadline passed; what that means depends on its state. May kill it. */
void flow_deadline(struct flow *flow);

/** Kill all flows of a link whose monitor is gone. */
void flow_link_gone(struct link *link);

#endif
