#include "datapath/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "datapath/flow_events.h"
#include "datapath/instance.h"
#include "datapath/link_backend.h"
#include "datapath/relay_ping.h"
#include "datapath/rule_use.h"
#include "policy/dns_budget.h"

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
        .uso = caps->uso,
        .bulk_apart = caps->bulk_apart,
        .windows_max = caps->windows_max,
    };
}

/* ---- the guest ---- */

static bool addr_taken(const struct instance *in, const struct addr *a)
{
    LIST_FOR_EACH(node, &in->links) {
        const struct guest_config *g = &LIST_ENTRY(node, struct link, node)->guest->config;

        if (addr_equal(&g->guest4, a) || addr_equal(&g->guest6, a))
            return true;
    }
    return false;
}

/* The address that the spec names. */
static int given_addr(const struct link *link, const struct network *net, struct addr *out_addr, unsigned *out_number,
                      char error[static LINK_ERROR_MAX])
{
    const struct addr *a = &link->spec.ip;
    char text[ADDR_TEXT_MAX], network[ADDR_PREFIX_TEXT_MAX];

    if (net->net.base.family == ADDR_NONE) {
        (void)snprintf(error, LINK_ERROR_MAX, "ip=%s, but IPv%d is off", addr_format(a, text), a->family);
        return -EINVAL;
    }
    if (!network_has(net, a, out_number)) {
        (void)snprintf(error, LINK_ERROR_MAX, "'%s' is not for guests: theirs are %s of %s", addr_format(a, text),
                       a->family == ADDR_V6 ? "those ending in ::2 to ::ffff"
                                            : "between the gateway and the host alias",
                       addr_prefix_format(&net->net, network));
        return -EINVAL;
    }
    if (addr_taken(link->instance, a)) {
        (void)snprintf(error, LINK_ERROR_MAX,
                       "another link has the guest's address '%s': give both an ip= of their own",
                       addr_format(a, text));
        return -EADDRINUSE;
    }
    *out_addr = *a;
    return 0;
}

/* The first address that no link has. */
static int first_free_addr(const struct instance *in, const struct network *net, struct addr *out_addr,
                           unsigned *out_number, char error[static LINK_ERROR_MAX])
{
    char text[ADDR_PREFIX_TEXT_MAX];

    /* Each link takes one at most: among one more than there are links, one is free. */
    for (unsigned n = 0; n <= in->link_count; n++) {
        struct addr a = network_guest(net, n);

        if (a.family == ADDR_NONE)
            break;
        if (!addr_taken(in, &a)) {
            *out_addr = a;
            *out_number = n;
            return 0;
        }
    }
    (void)snprintf(error, LINK_ERROR_MAX, "no address of %s is free for one more guest",
                   addr_prefix_format(&net->net, text));
    return -EADDRNOTAVAIL;
}

/* @out_addr: ADDR_NONE when the family is off */
static int give_addr(const struct link *link, const struct network *net, enum addr_family family,
                     struct addr *out_addr, unsigned *out_number, char error[static LINK_ERROR_MAX])
{
    *out_number = 0;
    *out_addr = (struct addr){.family = ADDR_NONE};
    if (link->spec.ip.family == family)
        return given_addr(link, net, out_addr, out_number, error);
    if (net->net.base.family == ADDR_NONE)
        return 0;
    return first_free_addr(link->instance, net, out_addr, out_number, error);
}

/* Whether some guest may choose addresses of that /64: two that do could meet. */
static bool is_chosen_in(const struct instance *in, const struct addr_prefix *net)
{
    LIST_FOR_EACH(node, &in->links) {
        const struct guest_config *g = &LIST_ENTRY(node, struct link, node)->guest->config;

        if (g->slaac && addr_equal(&g->net6.base, &net->base))
            return true;
    }
    return false;
}

static int give_addrs(const struct link *link, struct guest_config *g, char error[static LINK_ERROR_MAX])
{
    const struct networks *nets = &link->instance->nets;
    unsigned number;
    bool own;
    int err = give_addr(link, &nets->v4, ADDR_V4, &g->guest4, &number, error);

    if (err < 0)
        return err;
    g->net4 = nets->v4.net;
    g->gateway4 = nets->v4.gateway;
    g->alias4 = nets->v4.alias;
    err = give_addr(link, &nets->v6, ADDR_V6, &g->guest6, &number, error);
    if (err < 0 || g->guest6.family == ADDR_NONE)
        return err;
    g->net6 = network_on_link(&nets->v6, number, &own);
    g->slaac = own && !is_chosen_in(link->instance, &g->net6);
    g->gateway6 = nets->v6.gateway;
    g->alias6 = nets->v6.alias;
    (void)addr_parse("fe80::1", &g->router6); /* a constant that parses; each link is a scope of its own */
    return 0;
}

static int make_guest(struct link *link, char error[static LINK_ERROR_MAX])
{
    struct instance *in = link->instance;
    const struct instance_config *c = &in->config;
    struct guest_config g = {.mtu = c->mtu, .lease_s = 86400};
    struct wire wire = wire_of(link, &(struct link_caps){0});
    int err;

    memcpy(g.gateway_mac, c->gateway_mac, sizeof(g.gateway_mac));
    memcpy(g.search, c->search, c->search_len);
    g.search_len = c->search_len;
    (void)snprintf(g.hostname, sizeof(g.hostname), "%s", c->hostname);
    memcpy(g.guest_mac, link->spec.mac, sizeof(g.guest_mac));
    g.mac_pinned = link->spec.mac_pinned;
    err = give_addrs(link, &g, error);
    if (err < 0)
        return err;
    link->pins = pins_new();
    link->dns_budget = dns_budget_new();
    if (!link->pins || !link->dns_budget || rule_use_renew_link(link) < 0) {
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
    link->ping_refill_ms = instance_now(in);
    link->ping_tokens = PING_BURST;
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
    stack_set_time(link->instance->stack, instance_now(link->instance));
    guest_advertise(link->guest); /* a guest that was there before goes on at once */
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
