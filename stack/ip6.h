/*
 * The IPv6 header (RFC 8200 section 3) of packets that this side writes, and what it knows of extension headers: those
 * of a guest's packet are read by stack/frame.c, and none but the fragment header is ever written.
 */
#ifndef WEIR_STACK_IP6_H
#define WEIR_STACK_IP6_H

#include <stdint.h>

#include "base/addr.h"

enum {
    IP6_HEADER_BYTES = 40,
    IP6_FRAGMENT_BYTES = 8,  /* the fragment header, RFC 8200 section 4.5 */
    IP6_HOP_LIMIT = 64,      /* of what the gateway says itself */
    IP6_HOP_LIMIT_ND = 255,  /* RFC 4861 section 11.2: came over no router */
    IP6_MTU_MIN = 1280,      /* RFC 8200 section 5 */
};

/* Values of `next` (IANA, "Assigned Internet Protocol Numbers") that are extension headers. */
enum ip6_extension {
    IP6_HOP_BY_HOP = 0,
    IP6_ROUTING = 43,
    IP6_FRAGMENT = 44,
    IP6_ESP = 50,
    IP6_AH = 51,
    IP6_NO_NEXT = 59,
    IP6_DESTINATION = 60,
    IP6_MOBILITY = 135,
};

struct ip6_header {
    uint8_t traffic_class, next, hop_limit;
    uint16_t payload_bytes; /* behind this header */
    struct addr src, dst;
};

/** Write @header; the flow label is zero (RFC 6437 section 3: unlabelled). */
void ip6_write(const struct ip6_header *header, uint8_t out[static IP6_HEADER_BYTES]);

/** A fragment header. @offset_bytes: a multiple of 8. */
void ip6_write_fragment(uint8_t next, uint32_t offset_bytes, bool more, uint32_t id,
                        uint8_t out[static IP6_FRAGMENT_BYTES]);

#endif
