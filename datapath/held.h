/*
 * Datagrams of a guest's that wait for a verdict, in the order of arrival. Bounded: one flow's guess at how many a
 * client sends before it has heard anything.
 */
#ifndef WEIR_DATAPATH_HELD_H
#define WEIR_DATAPATH_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { HELD_DATAGRAMS_MAX = 8, HELD_BYTES_MAX = 16 * 1024 };

struct held {
    unsigned count;
    size_t len;
    struct {
        uint16_t len;
        bool df;
    } dgrams[HELD_DATAGRAMS_MAX];
    uint8_t bytes[HELD_BYTES_MAX]; /* one behind the other */
};

/** Copy a datagram. @df: no router may fragment it. Return: false when there is no room. */
static inline bool held_add(struct held *h, const uint8_t *bytes, size_t len, bool df)
{
    if (h->count == HELD_DATAGRAMS_MAX || len > sizeof(h->bytes) - h->len)
        return false;
    memcpy(h->bytes + h->len, bytes, len);
    h->dgrams[h->count].len = (uint16_t)len;
    h->dgrams[h->count++].df = df;
    h->len += len;
    return true;
}

static inline void held_clear(struct held *h)
{
    h->count = 0;
    h->len = 0;
}

#endif
