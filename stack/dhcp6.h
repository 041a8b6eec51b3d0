/*
 * The gateway's DHCPv6 server (RFC 8415, RFC 3646): bytes in, bytes out. A guest has exactly one address to
 * be given, so there is no pool, no binding is remembered, and no client id can exhaust anything.
 */
#ifndef WEIR_STACK_DHCP6_H
#define WEIR_STACK_DHCP6_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stack/guest.h"

enum {
    DHCP6_REPLY_BYTES_MAX = 1232, /* fits the smallest IPv6 link whole: 1280 without IPv6 and UDP headers */
    DHCP6_DUID_BYTES_MIN = 3,     /* RFC 8415 section 11.1: a type and at least one byte */
    DHCP6_DUID_BYTES_MAX = 130,
    DHCP6_IAS_MAX = 8,            /* identity associations in one message; above: malformed */
    DHCP6_ADDRS_MAX = 16,         /* addresses in all of them; above: malformed */
    DHCP6_SERVER_PORT = 547,
    DHCP6_CLIENT_PORT = 546,
};

struct dhcp6_reply {
    size_t len;      /* of the DHCP message */
    struct addr dst; /* the client's link-local address */
    bool refused;    /* it asked for what it may not have: an address, a temporary one, a prefix */
};

/**
 * Answer one DHCP message.
 *
 * @bytes: the UDP payload of a datagram from port 546 to [ff02::1:2]:547; borrowed. Unicast to the server is
 *         not for this function: RFC 8415 section 18.4 forbids it to clients that were not told otherwise
 * @src:   the datagram's IP source
 * @out:   at least DHCP6_REPLY_BYTES_MAX bytes
 *
 * SOLICIT -> ADVERTISE, or with Rapid Commit REPLY; REQUEST, RENEW, REBIND -> REPLY with guest6 in the first
 * IA_NA, any other address of it with lifetimes 0 when renewing, and a status in every further IA; CONFIRM ->
 * whether guest6 is all it has; RELEASE, DECLINE -> success without effect; INFORMATION-REQUEST -> REPLY
 * without address. A message for another server: silence.
 *
 * Return: 1 a reply is in @out; 0 nothing to say; -EBADMSG malformed (no client id where one must be, a
 * relay's or server's message, a source that is not link-local), to be counted as DHCP_BAD.
 */
int dhcp6_answer(const struct guest_config *config, const uint8_t *bytes, size_t len,
                 const struct addr *src, uint8_t *out, struct dhcp6_reply *out_reply);

#endif
