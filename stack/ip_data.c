#include "stack/stack_private.h"

#include <string.h>

void ip_addr_from(ip_addr_t *out, const struct addr *a)
{
    memset(out, 0, sizeof(*out));
    if (a->family == ADDR_V4) {
        memcpy(&ip_2_ip4(out)->addr, a->bytes, 4);
        IP_SET_TYPE(out, IPADDR_TYPE_V4);
    } else {
        memcpy(ip_2_ip6(out)->addr, a->bytes, 16);
        IP_SET_TYPE(out, IPADDR_TYPE_V6);
    }
}

struct addr ip_addr_to(const ip_addr_t *a)
{
    if (IP_IS_V4(a))
        return addr_from_v4((const uint8_t *)&ip_2_ip4(a)->addr);
    return addr_from_v6((const uint8_t *)ip_2_ip6(a)->addr);
}

/* lwIP asks whether the packet is IPv6 by looking at current_ip6_header, and reads no field of either header. */
static struct ip_hdr dummy4;
static struct ip6_hdr dummy6;

void ip_data_set(struct guest *guest, const struct addr *src, const struct addr *dst)
{
    bool v6 = dst->family == ADDR_V6;

    ip_data.current_netif = guest->netif;
    ip_data.current_input_netif = guest->netif;
    ip_data.current_ip4_header = v6 ? NULL : &dummy4;
    ip_data.current_ip6_header = v6 ? &dummy6 : NULL;
    ip_data.current_ip_header_tot_len = v6 ? IP6_HLEN : IP_HLEN;
    ip_addr_from(&ip_data.current_iphdr_src, src);
    ip_addr_from(&ip_data.current_iphdr_dest, dst);
}

void ip_data_clear(void)
{
    memset(&ip_data, 0, sizeof(ip_data));
}
