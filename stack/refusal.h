/*
 * ICMP errors of the guest's about datagrams that came for it: nobody listens there any more.
 */
#ifndef WEIR_STACK_REFUSAL_H
#define WEIR_STACK_REFUSAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "stack/frame.h"

/* The datagram that a guest refused: from whom, and to which port of its own. */
struct refusal {
    struct addr peer, guest;
    uint16_t peer_port, guest_port;
};

/**
 * Read "port unreachable" (RFC 792 type 3 code 3, RFC 4443 type 1 code 4) about UDP.
 *
 * @f: a whole datagram of FRAME_PROTO_ICMP or FRAME_PROTO_ICMPV6 whose checksum held
 *
 * Return: false for every other message, and for one that does not quote a datagram sent to who says it.
 */
bool refusal_read(const struct frame *f, struct refusal *out_refusal);

#endif
