#include "datapath/network.h"

#include <errno.h>

#include "policy/group.h"

enum { GUEST_FIRST = 2 };

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

    if (net->base.family == ADDR_NONE)
        return n;
    n.gateway = addr_prefix_nth(net, 1);
    n.alias = from_end(net, 1);
    if (net->base.family == ADDR_V4)
        n.broadcast = from_end(net, 0);
    return n;
}

int network_check(const struct addr_prefix *net)
{
    struct group_table scratch = {0};
    bool v4 = net->base.family == ADDR_V4;

    if (v4 ? net->bits < NETWORK_BITS4_MIN || net->bits > NETWORK_BITS4_MAX : net->bits != NETWORK_BITS6)
        return -ERANGE;
    /* 0.0.0.0/8, RFC 791 section 3.2; 240.0.0.0/4, RFC 1112 section 4 */
    if (v4 && (net->base.bytes[0] == 0 || net->base.bytes[0] >= 240))
        return -EPERM;
    /* What no entry of groups may move is no guest's either. */
    return group_table_add(&scratch, net, GROUP_PRIVATE) < 0 ? -EPERM : 0;
}

struct addr network_guest(const struct network *n, unsigned number)
{
    static const struct addr none = {.family = ADDR_NONE};
    uint32_t last = n->net.base.family == ADDR_V4 ? (UINT32_C(1) << (32 - n->net.bits)) - 3 : UINT32_MAX;

    if (n->net.base.family == ADDR_NONE || number > last - GUEST_FIRST)
        return none;
    return addr_prefix_nth(&n->net, GUEST_FIRST + number);
}
