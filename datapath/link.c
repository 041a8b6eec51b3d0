#include "datapath/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "datapath/flow_events.h"
#include "datapath/instance.h"

static int wire_send(void *ctx, const struct wire_frame *frame)
{
    struct link *link = ctx;

    return link->ops->send(link, frame);
}

static struct wire wire_of(struct link *link, const struct wire *caps)
{
    struct wire wire = {.ctx = link, .send = wire_send};

    if (caps) {
        wire.csum_offload = caps->csum_offload;
        wire.tso4 = caps->tso4;
        wire.tso6 = caps->tso6;
        wire.windows_max = caps->windows_max;
    }
    return wire;
}

static int make_guest(struct link *link, char error[static LINK_ERROR_MAX])
{
    struct instance *in = link->instance;
    const struct instance_config *c = &in->config;
    struct guest_config g = {.net4 = c->net4, .mtu = c->mtu, .lease_s = 86400};
    struct wire wire = wire_of(link, NULL);
    char text[ADDR_TEXT_MAX];

    memcpy(g.gateway_mac, c->gateway_mac, sizeof(g.gateway_mac));
    memcpy(g.search, c->search, c->search_len);
    g.search_len = c->search_len;
    (void)snprintf(g.hostname, sizeof(g.hostname), "%s", c->hostname);
    memcpy(g.guest_mac, link->spec.mac, sizeof(g.guest_mac));
    g.mac_pinned = link->spec.mac_pinned;
    g.gateway4 = addr_prefix_nth(&c->net4, 1);
    g.alias4 = addr_prefix_nth(&c->net4, (UINT32_C(1) << (32 - c->net4.bits)) - 2);
    g.guest4 = link->spec.ip.family == ADDR_V4 ? link->spec.ip : instance_guest_addr(in, in->link_count);
    if (!addr_prefix_contains(&c->net4, &g.guest4) || addr_equal(&g.guest4, &g.gateway4) ||
        addr_equal(&g.guest4, &g.alias4)) {
        (void)snprintf(error, LINK_ERROR_MAX, "the guest's address %s is not a free one of the network",
                       addr_format(&g.guest4, text));
        return -EINVAL;
    }
    LIST_FOR_EACH(node, &in->links) {
        struct link *other = LIST_ENTRY(node, struct link, node);

        if (addr_equal(&other->guest->config.guest4, &g.guest4)) {
            (void)snprintf(error, LINK_ERROR_MAX, "two links have the guest address %s",
                           addr_format(&g.guest4, text));
            return -EINVAL;
        }
    }
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

int link_open(struct instance *in, const struct link_spec *spec, char error[static LINK_ERROR_MAX])
{
    struct link *link = spec->kind == LINK_TAP ? link_tap_new() : link_stream_new();
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
        if (spec->fd >= 0)
            (void)close(spec->fd);
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

void link_close(struct link *link)
{
    if (link->closing)
        return;
    link->closing = true;
    flow_link_gone(link);
    link->up = false;
    link->ops->close(link);
}

void link_came_up(struct link *link, const struct wire *caps)
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

void link_input(struct link *link, struct buf *buf, const struct frame_offload *offload)
{
    stack_set_time(link->instance->stack, instance_now(link->instance));
    guest_input(link->guest, buf, offload);
}

void link_writable(struct link *link)
{
    stack_wire_writable(link->instance->stack, link->guest);
}
