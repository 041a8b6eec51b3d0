/*
 * The IPv4 header (RFC 791 section 3.1) of packets that this side writes. Nothing has options: a guest's packet with
 * some is dropped by stack/frame.c, but for the router alert of a group report.
 */
#ifndef WEIR_STACK_IP4_H
#define WEIR_STACK_IP4_H

#include <stdint.h>

#include "base/addr.h"

enum {
    IP4_HEADER_BYTES = 20,
    IP4_RESERVED = 0x8000, /* bits of the field `fragment` */
    IP4_DF = 0x4000,
    IP4_MF = 0x2000,
    IP4_OFFSET = 0x1fff,   /* in units of 8 bytes */
    IP4_TTL = 64,          /* of what the gateway says itself */
};

struct ip4_header {
    uint8_t tos, ttl, proto;
    uint16_t total_bytes; /* header and payload */
    uint16_t id, fragment;
    struct addr src, dst;
};

/** Read a header that was checked (or written here). */
void ip4_read(const uint8_t ip[static IP4_HEADER_BYTES], struct ip4_header *out_header);

/** Write @header with its checksum. */
void ip4_write(const struct ip4_header *header, uint8_t out[static IP4_HEADER_BYTES]);

#endif
