/*
 * ICMPv4 (RFC 792, RFC 1191, RFC 1812 section 4.3): the gateway's echo, and errors to the guest.
 */
#ifndef WEIR_STACK_ICMP4_H
#define WEIR_STACK_ICMP4_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "stack/frame.h"

enum {
    ICMP4_ERROR_BYTES_MAX = 576,
    ICMP4_ECHO = 8, /* type */
    ICMP4_NET_UNREACHABLE = 0, /* codes of destination unreachable */
    ICMP4_HOST_UNREACHABLE = 1,
    ICMP4_PORT_UNREACHABLE = 3,
    ICMP4_FRAG_NEEDED = 4,
    ICMP4_ADMIN_PROHIBITED = 13,
};

/** Write the checksum of @len bytes of ICMP at @icmp, its field included in what is overwritten. */
void icmp4_put_sum(uint8_t *icmp, size_t len);

/**
 * Turn an echo request in place into its reply (addresses swapped, TTL 64, checksums new).
 *
 * @f: a whole IPv4 datagram whose checksum held; f->ip and f->ip_bytes are then the packet to send
 *
 * Return: 1 it is a reply now; 0 it was no echo request.
 */
int icmp4_echo_reply(struct frame *f);

/**
 * Build a destination-unreachable error, IP header included.
 *
 * @quoted:   the offending packet from its IP header on, as the guest sent it (or as much of it as is known); at most
 *            548 bytes of it are quoted
 * @from:     who says so
 * @to:       the guest
 * @mtu:      for ICMP4_FRAG_NEEDED, else 0
 * @out:      at least ICMP4_ERROR_BYTES_MAX bytes
 *
 * Return: length of the packet.
 */
size_t icmp4_unreachable(const uint8_t *quoted, size_t quoted_len, const struct addr *from,
                         const struct addr *to, uint8_t code, uint16_t mtu, uint8_t *out);

#endif
