#include "datapath/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "datapath/flow_events.h"
#include "datapath/instance.h"
#include "datapath/link_backend.h"

/* Whether a frame of some link is on its way through the stack: lwIP is one a process, and so is this. */
static bool frame_under_way;

/* ---- towards the stack ---- */

static int wire_send(void *ctx, const struct wire_frame *frame)
{
    struct link *link = ctx;
    bool outer = frame_under_way;
    int err;

    frame_under_way = true;
    err = link->ops->send(link, frame);
    frame_under_way = outer;
    return err;
}

static struct wire wire_of(struct link *link, const struct link_caps *caps)
{
    return (struct wire){
        .ctx = link,
        .send = wire_send,
        .csum_offload = caps->csum_offload,
        .tso4 = caps->tso4,
        .tso6 = caps->tso6,
        .windows_max = caps->windows_max,
    };
}

/* ---- the guest ---- */

static bool addr_taken(const struct instance *in, const struct addr *a)
{
    LIST_FOR_EACH(node, &in->links)
        if (addr_equal(&LIST_ENTRY(node, struct link, node)->guest->config.guest4, a))
            return true;
    return false;
}

/* Whether it is one of network_guest()'s. */
static bool addr_for_guests(const struct network *n, const struct addr *a)
{
    return addr_prefix_contains(&n->net, a) && !addr_equal(a, &n->net.base) && !addr_equal(a, &n->gateway) &&
           !addr_equal(a, &n->alias) && !addr_equal(a, &n->broadcast);
}

static int check_addr(const struct instance *in, const struct addr *a, char error[static LINK_ERROR_MAX])
{
    char text[ADDR_TEXT_MAX], network[ADDR_PREFIX_TEXT_MAX];

    if (!addr_for_guests(&in->net4, a)) {
        (void)snprintf(error, LINK_ERROR_MAX,
                       "'%s' is not for guests: theirs are between the gateway and the host alias of %s",
                       addr_format(a, text), addr_prefix_format(&in->net4.net, network));
        return -EINVAL;
    }
    if (addr_taken(in, a)) {
        (void)snprintf(error, LINK_ERROR_MAX,
                       "another link has the guest's address '%s': give both an ip= of their own",
                       addr_format(a, text));
        return -EADDRINUSE;
    }
    return 0;
}

/* The first address that no link has. */
static int first_free_addr(const struct instance *in, struct addr *out_addr,
                           char error[static LINK_ERROR_MAX])
{
    char text[ADDR_PREFIX_TEXT_MAX];

    /* Each link takes one at most: among one more than there are links, one is free. */
    for (unsigned n = 0; n <= in->link_count; n++) {
        struct addr a = network_guest(&in->net4, n);

        if (a.family == ADDR_NONE)
            break;
        if (!addr_taken(in, &a)) {
            *out_addr = a;
            return 0;
        }
    }
    (void)snprintf(error, LINK_ERROR_MAX, "no address of %s is free for one more guest",
                   addr_prefix_format(&in->net4.net, text));
    return -EADDRNOTAVAIL;
}

static int make_guest(struct link *link, char error[static LINK_ERROR_MAX])
{
    struct instance *in = link->instance;
    const struct instance_config *c = &in->config;
    struct guest_config g = {.net4 = c->net4, .mtu = c->mtu, .lease_s = 86400};
    struct wire wire = wire_of(link, &(struct link_caps){0});
    int err;

    memcpy(g.gateway_mac, c->gateway_mac, sizeof(g.gateway_mac));
    memcpy(g.search, c->search, c->search_len);
    g.search_len = c->search_len;
    (void)snprintf(g.hostname, sizeof(g.hostname), "%s", c->hostname);
    memcpy(g.guest_mac, link->spec.mac, sizeof(g.guest_mac));
    g.mac_pinned = link->spec.mac_pinned;
    g.gateway4 = in->net4.gateway;
    g.alias4 = in->net4.alias;
    g.guest4 = link->spec.ip;
    err = g.guest4.family == ADDR_NONE ? first_free_addr(in, &g.guest4, error)
                                       : check_addr(in, &g.guest4, error);
    if (err < 0)
        return err;
    link->pins = pins_new();
    if (!link->pins) {
        (void)snprintf(error, LINK_ERROR_MAX, "out of memory");
        return -ENOMEM;
    }
    link->guest = guest_new(in->stack, &g, &wire);
    if (!link->guest) {
        (void)snprintf(error, LINK_ERROR_MAX, "at most %d links in a process", INSTANCE_LINKS_MAX);
        return -ENOSPC;
    }
    link->guest->user = link;
    link->guest->alias_open = policy_opens_host(in->policy, instance_wall_s());
    return 0;
}

/* ---- birth and death ---- */

int link_open(struct instance *in, const struct link_spec *spec, char error[static LINK_ERROR_MAX])
{
    struct link *link = spec->kind->new(spec);
    int err;

    if (!link) {
        (void)snprintf(error, LINK_ERROR_MAX, "out of memory");
        return -ENOMEM;
    }
    link->instance = in;
    link->spec = *spec;
    link->id = ++in->next_link_id;
    list_init(&link->node);
    err = make_guest(link, error);
    if (err < 0) {
        link->closing = true;
        link->ops->close(link);
        return err;
    }
    list_append(&in->links, &link->node);
    in->link_count++;
    err = link->ops->start(link, error);
    if (err < 0)
        link_close(link);
    return err;
}

const char *link_guest_name(const struct link *link)
{
    return link->spec.guest[0] != '\0' ? link->spec.guest : link->instance->config.name;
}

bool link_may_open(const struct link *link)
{
    const struct instance *in = link->instance;

    return in->link_count < 2 || link->flows < in->flows.flows_max - in->flows.flows_max / 4;
}

void link_close(struct link *link)
{
    if (link->closing)
        return;
    link->closing = true;
    flow_link_gone(link);
    link->up = false;
    link->ops->close(link);
}

/* ---- events of the back end ---- */

void link_came_up(struct link *link, const struct link_caps *caps)
{
    struct wire wire = wire_of(link, caps);

    guest_reset(link->guest, &wire);
    link->up = true;
}

void link_went_down(struct link *link)
{
    if (!link->up)
        return;
    link->up = false;
    instance_count(link->instance, COUNTER_LINK_LOST);
    flow_link_gone(link);
}

int link_input(struct link *link, struct buf *buf, const struct frame_offload *offload)
{
    if (frame_under_way) {
        instance_count(link->instance, COUNTER_LINK_REENTERED);
        buf_unref(buf);
        return -EBUSY;
    }
    frame_under_way = true;
    stack_set_time(link->instance->stack, instance_now(link->instance));
    guest_input(link->guest, buf, offload);
    frame_under_way = false;
    return 0;
}

void link_writable(struct link *link)
{
    stack_wire_writable(link->instance->stack, link->guest);
}
