#include "datapath/network.h"

#include <errno.h>

#include "policy/group.h"

enum {
    GUEST_FIRST = 2,
    GUESTS_SHARED6_MAX = 0xff00, /* in one /64: their identifiers stay below what a guest may choose */
};

/* The address @back before the end of the network; 0: its very last. */
static struct addr from_end(const struct addr_prefix *net, uint8_t back)
{
    struct addr a = net->base;
    unsigned size = addr_size(&a);

    for (unsigned bit = net->bits; bit < 8 * size; bit++)
        a.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    a.bytes[size - 1] = (uint8_t)(a.bytes[size - 1] - back);
    return a;
}

struct network network_plan(const struct addr_prefix *net)
{
    struct network n = {.net = *net};
    struct addr_prefix first = *net;

    if (net->base.family == ADDR_NONE)
        return n;
    if (net->base.family == ADDR_V6)
        first.bits = NETWORK_BITS6_MAX;
    n.gateway = addr_prefix_nth(&first, 1);
    n.alias = from_end(&first, 1);
    if (net->base.family == ADDR_V4)
        n.broadcast = from_end(net, 0);
    return n;
}

struct networks networks_plan(const struct addr_prefix *net4, const struct addr_prefix *net6)
{
    return (struct networks){.v4 = network_plan(net4), .v6 = network_plan(net6)};
}

int network_check(const struct addr_prefix *net)
{
    struct group_table scratch = {0};
    bool v4 = net->base.family == ADDR_V4;

    if (v4 ? net->bits < NETWORK_BITS4_MIN || net->bits > NETWORK_BITS4_MAX
           : net->bits < NETWORK_BITS6_MIN || net->bits > NETWORK_BITS6_MAX)
        return -ERANGE;
    /* 0.0.0.0/8, RFC 791 section 3.2; 240.0.0.0/4, RFC 1112 section 4 */
    if (v4 && (net->base.bytes[0] == 0 || net->base.bytes[0] >= 240))
        return -EPERM;
    /* What no entry of groups may move is no guest's either. */
    return group_table_add(&scratch, net, GROUP_PRIVATE) < 0 ? -EPERM : 0;
}

static bool is_split(const struct network *n)
{
    return n->net.base.family == ADDR_V6 && n->net.bits < NETWORK_BITS6_MAX;
}

/* How many guests it has room for. */
static unsigned guests_max(const struct network *n)
{
    if (n->net.base.family == ADDR_NONE)
        return 0;
    if (is_split(n))
        return 1u << (NETWORK_BITS6_MAX - n->net.bits);
    if (n->net.base.family == ADDR_V6)
        return GUESTS_SHARED6_MAX;
    return (UINT32_C(1) << (32 - n->net.bits)) - GUEST_FIRST - 2; /* behind them the alias and broadcast */
}

struct addr_prefix network_on_link(const struct network *n, unsigned number, bool *out_own)
{
    struct addr_prefix net = n->net;

    *out_own = number == 0 || is_split(n);
    if (!is_split(n))
        return net;
    net.bits = NETWORK_BITS6_MAX;
    net.base.bytes[6] = (uint8_t)(net.base.bytes[6] | number >> 8);
    net.base.bytes[7] = (uint8_t)(net.base.bytes[7] | number);
    return net;
}

struct addr network_guest(const struct network *n, unsigned number)
{
    static const struct addr none = {.family = ADDR_NONE};
    struct addr_prefix net;
    bool own;

    if (number >= guests_max(n))
        return none;
    net = network_on_link(n, number, &own);
    return addr_prefix_nth(&net, GUEST_FIRST + (is_split(n) ? 0 : number));
}

/* RFC 4291 section 2.5.1: the interface identifier is the second half. */
static bool is_given_out(const struct addr *a)
{
    for (int i = 8; i < 14; i++)
        if (a->bytes[i] != 0)
            return false;
    return true; /* GUEST_IID_STATIC_MAX: two bytes */
}

bool network_has(const struct network *n, const struct addr *a, unsigned *out_number)
{
    *out_number = 0;
    if (is_split(n))
        *out_number = (unsigned)((a->bytes[6] << 8 | a->bytes[7]) & ((1 << (NETWORK_BITS6_MAX - n->net.bits)) - 1));
    else if (a->family == ADDR_V6) /* of a shared one only the first may choose addresses */
        *out_number = a->bytes[14] == 0 && a->bytes[15] == GUEST_FIRST ? 0 : 1;
    return addr_prefix_contains(&n->net, a) && !addr_equal(a, &n->net.base) && !addr_equal(a, &n->gateway) &&
           !addr_equal(a, &n->alias) && !addr_equal(a, &n->broadcast) &&
           (a->family != ADDR_V6 || (is_given_out(a) && (a->bytes[14] | a->bytes[15]) != 0));
}
