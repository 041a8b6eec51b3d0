/*
 * Functions of lwIP files that are not built, called by name from files that are.
 *
 * Timers, neighbours and ICMP are ours (stack/stack.h): the calls that tell those parts something are answered with
 * nothing, those that only the never-entered inputs make CHECK.
 */
#include "lwip/icmp6.h"
#include "lwip/nd6.h"
#include "lwip/priv/tcp_priv.h"

#include "base/check.h"

/* lwIP declares it only with its ICMPv6, and calls it without. */
void icmp6_param_problem(struct pbuf *p, enum icmp6_pp_code c, const void *pointer);

/* stack_wants_tick() looks at the connections themselves. */
void tcp_timer_needed(void)
{
}

void nd6_reachability_hint(const ip6_addr_t *ip6addr)
{
    (void)ip6addr;
}

void nd6_restart_netif(struct netif *netif)
{
    (void)netif;
}

void nd6_cleanup_netif(struct netif *netif)
{
    (void)netif;
}

/* Every pcb and every RST names its netif; a route is nobody's answer. */
struct netif *nd6_find_route(const ip6_addr_t *ip6addr)
{
    (void)ip6addr;
    return NULL;
}

void icmp6_param_problem(struct pbuf *p, enum icmp6_pp_code c, const void *pointer)
{
    (void)p;
    (void)c;
    (void)pointer;
    CHECK(!"ip6_input is never entered");
}
