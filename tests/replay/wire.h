/*
 * Ethernet frames as values: built from and read into struct packet, from the RFCs alone; nothing here calls stack/. The family is
 * that of the addresses.
 */
#ifndef WEIR_TESTS_REPLAY_WIRE_H
#define WEIR_TESTS_REPLAY_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum { WIRE_FRAME_MAX = 14 + 40 + 65535, WIRE_SACKS_MAX = 4, WIRE_TEXT_MAX = 512 };

enum wire_flags { WIRE_FIN = 1, WIRE_SYN = 2, WIRE_RST = 4, WIRE_PSH = 8, WIRE_ACK = 16 };
enum wire_kind { WIRE_OTHER, WIRE_ARP, WIRE_TCP, WIRE_UDP, WIRE_ICMP };

/* RFC 4861 section 4 */
enum wire_nd { WIRE_ROUTER_SOLICITATION = 133, WIRE_ROUTER_ADVERTISEMENT, WIRE_NEIGHBOUR_SOLICITATION, WIRE_NEIGHBOUR_ADVERTISEMENT };

/* What neighbour discovery's messages say. ADDR_NONE, 0: nothing. */
struct wire_nd_fields {
    struct addr target;           /* of neighbour messages */
    bool has_mac;                 /* a link-layer address: a solicitation's or router's own, an advertisement's target's */
    uint8_t mac[6];
    uint8_t flags;                /* the byte of an advertisement: R, S, O of a neighbour's, M, O of a router's */
    uint8_t hop_limit;            /* a router's from here on */
    uint16_t lifetime_s;
    struct addr_prefix prefix;
    uint8_t prefix_flags;         /* L, A */
    uint32_t mtu;
    struct addr resolver;
};

struct packet {
    uint64_t at_us;               /* from the case's beginning */
    enum wire_kind kind;
    uint8_t src_mac[6], dst_mac[6];
    struct addr src, dst;         /* ARP: sender's and target's */
    uint16_t src_port, dst_port;
    uint8_t ttl;
    bool dont_fragment, sums_ok;
    uint32_t seq, ack;
    bool tracked;                 /* the relative ones below are known */
    uint32_t rel_seq, rel_ack;    /* from the initial numbers of either side */
    uint8_t flags;                /* enum wire_flags */
    uint16_t window, mss;         /* mss 0: no option */
    int wscale;                   /* -1: no option */
    bool sack_permitted;
    unsigned sack_count;
    uint32_t sacks[2 * WIRE_SACKS_MAX];
    uint8_t type, code;           /* ICMP; ARP: type is the operation */
    struct addr quoted;           /* ICMP error: the destination it is about */
    uint16_t quoted_port, quoted_src_port;
    struct wire_nd_fields nd;
    const uint8_t *payload;       /* borrowed */
    size_t payload_bytes;
    bool bad_sum;                 /* build: spoil the checksum */
    uint16_t gso_size;            /* build: the wire's offload cuts it; read: what the wire was told */
};

/** Return: bytes of the frame at @out (WIRE_FRAME_MAX of room). */
size_t wire_build(const struct packet *p, uint8_t *out);

/** @p->payload points into @bytes. What cannot be read is WIRE_OTHER. */
void wire_read(const uint8_t *bytes, size_t len, bool partial_sums, struct packet *out);

/** "tcp 203.0.113.10:443 192.168.127.2:40000 SA seq=+0 ack=+1 win=65535 len=0" Return: @out. */
char *wire_format(const struct packet *p, char out[static WIRE_TEXT_MAX]);

/** Whether it is a message of neighbour discovery. */
bool wire_is_nd(const struct packet *p);

/** "SA" to flags, letter by letter: S A F R P. Return: false for another letter. "." alone: none. */
bool wire_flags_parse(const char *text, uint8_t *out_flags);

#endif
