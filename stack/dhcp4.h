/*
 * The gateway's DHCPv4 server (RFC 2131, RFC 2132, RFC 3397): bytes in, bytes out. A guest has
 * exactly one address, so there is no pool and no lease table to exhaust.
 */
#ifndef WEIR_STACK_DHCP4_H
#define WEIR_STACK_DHCP4_H

#include <stdint.h>

#include "stack/guest.h"

enum { DHCP4_REPLY_BYTES_MAX = 576, DHCP4_SERVER_PORT = 67, DHCP4_CLIENT_PORT = 68 };

struct dhcp4_reply {
    size_t len;                 /* of the BOOTP message */
    struct addr dst;            /* 255.255.255.255, or the client's address when it has one or asked for no broadcast */
    bool nak;
};

/**
 * Answer one DHCP message.
 *
 * @bytes:     the UDP payload from port 68 to 67; borrowed
 * @src:       the datagram's IP source (0.0.0.0 while the client has none)
 * @src_mac:   the frame's source: chaddr must equal it
 * @out:       at least DHCP4_REPLY_BYTES_MAX bytes
 *
 * DISCOVER -> OFFER; REQUEST for our address -> ACK, for any other (or a foreign subnet) -> NAK; REQUEST naming another
 * server -> silence; INFORM -> ACK without lease; RELEASE, DECLINE -> silence.
 *
 * Return: 1 a reply is in @out; 0 nothing to say; -EBADMSG malformed, to be counted as DHCP_BAD.
 */
int dhcp4_answer(const struct guest_config *config, const uint8_t *bytes, size_t len,
                 const struct addr *src, const uint8_t src_mac[static FRAME_MAC_BYTES],
                 uint8_t *out, struct dhcp4_reply *out_reply);

#endif
