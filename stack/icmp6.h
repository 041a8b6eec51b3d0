/*
 * ICMPv6 (RFC 4443): the gateway's echo, and errors to the guest. Neighbour discovery is stack/nd6.h.
 */
#ifndef WEIR_STACK_ICMP6_H
#define WEIR_STACK_ICMP6_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "stack/frame.h"
#include "stack/ip6.h"

enum {
    ICMP6_ERROR_BYTES_MAX = IP6_MTU_MIN, /* RFC 4443 section 2.4 (c) */
    ICMP6_UNREACHABLE = 1, /* types */
    ICMP6_TOO_BIG = 2,
    ICMP6_ECHO = 128,
    ICMP6_ECHO_REPLY = 129,
    ICMP6_NO_ROUTE = 0, /* codes of destination unreachable */
    ICMP6_ADMIN_PROHIBITED = 1,
    ICMP6_ADDR_UNREACHABLE = 3,
    ICMP6_PORT_UNREACHABLE = 4,
};

/** Write the checksum of @len bytes of ICMPv6 at @icmp, its field included in what is overwritten. */
void icmp6_put_sum(uint8_t *icmp, size_t len, const struct addr *src, const struct addr *dst);

/**
 * Turn an echo request in place into its reply (addresses swapped, hop limit 64, checksum new).
 *
 * @f: a whole IPv6 datagram whose checksum held; f->ip and f->ip_bytes are then the packet to send
 *
 * Return: 1 it is a reply now; 0 it was no echo request.
 */
int icmp6_echo_reply(struct frame *f);

/**
 * Build an error, IP header included.
 *
 * @quoted: the offending packet from its IP header on; as much of it is quoted as fits
 * @from:   who says so
 * @to:     the guest: the source of the offending packet
 * @mtu:    with ICMP6_TOO_BIG, else 0
 * @out:    at least ICMP6_ERROR_BYTES_MAX bytes
 *
 * Return: length of the packet.
 */
size_t icmp6_error(const uint8_t *quoted, size_t quoted_len, const struct addr *from, const struct addr *to,
                   uint8_t type, uint8_t code, uint32_t mtu, uint8_t *out);

#endif
