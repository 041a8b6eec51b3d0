/*
 * What the files of datapath/ call in each other beyond the objects' own headers.
 */
#ifndef WEIR_DATAPATH_INSTANCE_PRIVATE_H
#define WEIR_DATAPATH_INSTANCE_PRIVATE_H

#include "datapath/instance.h"
#include "datapath/link.h"

/** Zero-filled key of a guest's flow. */
struct flow_key flow_key_of(const struct link *link, const struct frame *f);

static inline struct link *link_of(struct guest *guest)
{
    return guest->user;
}

/* instance.c */
void instance_child_closed(struct instance *in); /* one of in->handles is closed */

#endif
