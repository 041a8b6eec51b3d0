/*
 * Packets of a guest for the tests of stack/: 192.168.127.2 talks to 93.184.216.34. Checksums are
 * computed byte by byte, not with the code under test.
 */
#ifndef WEIR_TESTS_UNIT_PACKETS_H
#define WEIR_TESTS_UNIT_PACKETS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "stack/frame.h"

enum {
    IP = FRAME_ETH_BYTES,
    L4 = IP + 20,
    TCP_DATA = L4 + 20,
};

struct packet {
    uint8_t bytes[256];
    size_t len;
};

static inline uint32_t slow_sum(const uint8_t *p, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 == 0 ? p[i] << 8 : p[i];
    return sum;
}

static inline void put_slow(uint8_t *field, uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    sum = ~sum;
    field[0] = (uint8_t)(sum >> 8);
    field[1] = (uint8_t)sum;
}

static inline uint64_t xorshift(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

/* Right checksums, as far as the frame has room for the fields. */
static inline void seal(uint8_t *bytes, size_t len)
{
    size_t header = (bytes[IP] & 15) * 4u, total = (size_t)bytes[IP + 2] << 8 | bytes[IP + 3];
    uint8_t proto = bytes[IP + 9], *l4 = bytes + IP + header;
    size_t at = proto == 6 ? 16 : proto == 17 ? 6 : 2, n = total - header;
    uint32_t sum;

    if (header < 20 || IP + header > len)
        return;
    memset(bytes + IP + 10, 0, 2);
    put_slow(bytes + IP + 10, slow_sum(bytes + IP, header, 0));
    if (total < header + at + 2 || IP + total > len)
        return;
    if (proto == 17 && n >= 8 && ((size_t)l4[4] << 8 | l4[5]) <= n)
        n = (size_t)l4[4] << 8 | l4[5];
    sum = proto == 1 || proto == 2 ? 0 : slow_sum(bytes + IP + 12, 8, proto + (uint32_t)n);
    memset(l4 + at, 0, 2);
    put_slow(l4 + at, slow_sum(l4, n, sum));
}

static inline struct packet ip_packet(uint8_t proto, size_t l4_bytes)
{
    struct packet p = {
        .bytes = {0x52, 0, 0, 0, 0, 1, 0x52, 0, 0, 0, 0, 2, 8, 0,
                  0x45, 0, 0, (uint8_t)(20 + l4_bytes), 0x12, 0x34, 0x40, 0, 64, proto, 0, 0,
                  192, 168, 127, 2, 93, 184, 216, 34},
        .len = L4 + l4_bytes,
    };

    return p;
}

static inline struct packet tcp_packet(uint8_t flags, const uint8_t *options, size_t option_bytes,
                                       size_t payload)
{
    struct packet p = ip_packet(6, 20 + option_bytes + payload);
    const uint8_t head[20] = {0xc0, 1, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8,
                              (uint8_t)((20 + option_bytes) / 4 << 4), flags, 0xfa, 0xf0};

    memcpy(p.bytes + L4, head, sizeof(head));
    if (option_bytes > 0)
        memcpy(p.bytes + TCP_DATA, options, option_bytes);
    memset(p.bytes + TCP_DATA + option_bytes, 'x', payload);
    seal(p.bytes, p.len);
    return p;
}

static inline struct packet udp_packet(size_t payload)
{
    struct packet p = ip_packet(17, 8 + payload);
    const uint8_t head[8] = {0xc0, 2, 0, 53, 0, (uint8_t)(8 + payload)};

    memcpy(p.bytes + L4, head, sizeof(head));
    memset(p.bytes + L4 + 8, 'u', payload);
    seal(p.bytes, p.len);
    return p;
}

static inline struct packet icmp_packet(size_t payload)
{
    struct packet p = ip_packet(1, 8 + payload);
    const uint8_t head[8] = {8, 0, 0, 0, 0, 7, 0, 1};

    memcpy(p.bytes + L4, head, sizeof(head));
    seal(p.bytes, p.len);
    return p;
}

static inline struct packet arp_packet(void)
{
    struct packet p = {
        .bytes = {255, 255, 255, 255, 255, 255, 0x52, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1},
        .len = FRAME_ETH_BYTES + 28,
    };

    return p;
}

#endif
