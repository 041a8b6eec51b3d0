/*
 * Ethernet addresses as text (IEEE 802: six bytes, the first bit sent tells a group from a station).
 */
#ifndef WEIR_BASE_MAC_H
#define WEIR_BASE_MAC_H

#include <stdbool.h>
#include <stdint.h>

enum { MAC_BYTES = 6, MAC_TEXT_MAX = 3 * MAC_BYTES };

/**
 * Read "52:54:00:12:34:56": six pairs of hex digits joined by ':', nothing else.
 *
 * Return: 0, or -EINVAL.
 */
int mac_parse(const char *text, uint8_t out_mac[static MAC_BYTES]);

/** The text form, lower-case. Return: @out. */
char *mac_format(const uint8_t mac[static MAC_BYTES], char out[static MAC_TEXT_MAX]);

/** Whether it is a group's (multicast, broadcast) and so nobody's own. */
static inline bool mac_is_group(const uint8_t mac[static MAC_BYTES])
{
    return mac[0] & 1;
}

#endif
