/*
 * IP addresses of either family: 16 bytes and a family, everywhere outside stack/'s wire code.
 */
#ifndef WEIR_BASE_ADDR_H
#define WEIR_BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>

enum addr_family { ADDR_NONE = 0, ADDR_V4 = 4, ADDR_V6 = 6 };

/* IPv4 uses the first four bytes, the others are zero: two equal addresses compare equal bytewise. */
struct addr {
    uint8_t family; /* enum addr_family */
    uint8_t bytes[16];
};

/* A CIDR. Bits of `base` beyond `bits` are zero. */
struct addr_prefix {
    struct addr base;
    uint8_t bits; /* 0..32 or 0..128 */
};

#define ADDR_TEXT_MAX 46 /* INET6_ADDRSTRLEN */
#define ADDR_PREFIX_TEXT_MAX 50
#define ADDR_ENDPOINT_TEXT_MAX 56 /* "[v6]:65535" */

struct addr addr_v4(uint32_t host_order);
struct addr addr_from_v4(const uint8_t bytes[static 4]);
struct addr addr_from_v6(const uint8_t bytes[static 16]);

/** IPv4 as a host-order number. @a must be ADDR_V4. */
uint32_t addr_to_v4(const struct addr *a);

bool addr_equal(const struct addr *a, const struct addr *b);

/** 4 or 16; 0 for ADDR_NONE. */
unsigned addr_size(const struct addr *a);

/**
 * Read a literal: strict dotted quad or RFC 4291 text, no zone, no brackets, no short forms.
 *
 * Return: 0, or -EINVAL.
 */
int addr_parse(const char *text, struct addr *out_addr);

/**
 * Read "ADDR/BITS", or a bare address as its full-length prefix.
 *
 * Return: 0; -EINVAL when it is no address or the length is out of range; -ERANGE when host bits are
 * set (10.0.0.1/8), which is refused because the two readings differ.
 */
int addr_prefix_parse(const char *text, struct addr_prefix *out_prefix);

bool addr_prefix_contains(const struct addr_prefix *p, const struct addr *a);

/** Whether every address of @inner is in @outer. */
bool addr_prefix_covers(const struct addr_prefix *outer, const struct addr_prefix *inner);

/** The address @offset after the first one of @p (the offset is added to the last 32 bits). */
struct addr addr_prefix_nth(const struct addr_prefix *p, uint32_t offset);

/* Text forms. Return @out, always NUL-terminated. */
char *addr_format(const struct addr *a, char out[static ADDR_TEXT_MAX]);
char *addr_prefix_format(const struct addr_prefix *p, char out[static ADDR_PREFIX_TEXT_MAX]);
char *addr_endpoint_format(const struct addr *a, uint16_t port, char out[static ADDR_ENDPOINT_TEXT_MAX]);

#endif
