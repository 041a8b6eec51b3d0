/*
 * IPv6 packets of a guest for the tests of stack/, beside packets.h: fd77:6569:72::2 talks to 2001:db8::10. Checksums are
 * computed byte by byte, not with the code under test.
 */
#ifndef WEIR_TESTS_UNIT_PACKETS6_H
#define WEIR_TESTS_UNIT_PACKETS6_H

#include "tests/unit/packets.h"

enum {
    IP6_BYTES = 40,
    IP6_FRAG_BYTES = 8,
    L4_OF_6 = IP + IP6_BYTES,
};

/* RFC 8200 section 8.1: the sum over addresses, length and protocol. @ip: the header. */
static inline uint32_t slow_pseudo6(const uint8_t *ip, uint8_t proto, size_t len)
{
    return slow_sum(ip + 8, 32, proto + (uint32_t)(len >> 16) + (uint32_t)(len & 0xffff));
}

/* A right checksum, as far as the packet has room for the field and no extension header. */
static inline void seal6(uint8_t *bytes, size_t len)
{
    uint8_t *ip = bytes + IP, *l4 = bytes + L4_OF_6, proto = ip[6];
    size_t n = (size_t)ip[4] << 8 | ip[5], at = proto == 6 ? 16 : proto == 17 ? 6 : 2;

    if (L4_OF_6 + n > len || n < at + 2)
        return;
    if (proto == 17 && n >= 8 && ((size_t)l4[4] << 8 | l4[5]) <= n)
        n = (size_t)l4[4] << 8 | l4[5];
    memset(l4 + at, 0, 2);
    put_slow(l4 + at, slow_sum(l4, n, slow_pseudo6(ip, proto, n)));
}

static inline struct packet ip6_packet(uint8_t proto, size_t l4_bytes)
{
    struct packet p = {
        .bytes = {0x52, 0, 0, 0, 0, 1, 0x52, 0, 0, 0, 0, 2, 0x86, 0xdd,
                  0x60, 0, 0, 0, 0, (uint8_t)l4_bytes, proto, 64,
                  0xfd, 0x77, 0x65, 0x69, 0, 0x72, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
                  0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10},
        .len = L4_OF_6 + l4_bytes,
    };

    return p;
}

/* The transport part of packets.h's packet under an IPv6 header. */
static inline struct packet over_ip6(const struct packet *v4, uint8_t proto)
{
    size_t n = v4->len - L4;
    struct packet p = ip6_packet(proto, n);

    memcpy(p.bytes + L4_OF_6, v4->bytes + L4, n);
    seal6(p.bytes, p.len);
    return p;
}

static inline struct packet udp6_packet(size_t payload)
{
    struct packet p = udp_packet(payload);

    return over_ip6(&p, 17);
}

static inline struct packet tcp6_packet(uint8_t flags, const uint8_t *options, size_t option_bytes, size_t payload)
{
    struct packet p = tcp_packet(flags, options, option_bytes, payload);

    return over_ip6(&p, 6);
}

static inline struct packet icmp6_packet(uint8_t type, size_t payload)
{
    struct packet p = icmp_packet(payload);

    p.bytes[L4] = type;
    return over_ip6(&p, 58);
}

/* A fragment header and @l4_bytes behind it. @field: offset and the M bit, as on the wire. */
static inline struct packet frag6_packet(uint8_t proto, uint16_t field, size_t l4_bytes)
{
    struct packet p = ip6_packet(44, IP6_FRAG_BYTES + l4_bytes);
    const uint8_t head[IP6_FRAG_BYTES] = {proto, 0, (uint8_t)(field >> 8), (uint8_t)field, 0x89, 0xab, 0xcd, 0xef};

    memcpy(p.bytes + L4_OF_6, head, sizeof(head));
    return p;
}

#endif
