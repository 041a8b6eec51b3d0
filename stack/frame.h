/*
 * The frame edge, first half: a guest's Ethernet frame as checked, typed fields.
 *
 * A frame is parsed once, in two steps around reassembly: frame_read() checks Ethernet, ARP and IP
 * headers, frame_read_l4() checks ports, lengths and checksums of a whole datagram. Nothing behind this file
 * looks at raw header bytes again. No state, no output: pure functions.
 */
#ifndef WEIR_STACK_FRAME_H
#define WEIR_STACK_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/counters.h"

enum {
    FRAME_MAC_BYTES = 6,
    FRAME_ETH_BYTES = 14,
    FRAME_IP_BYTES_MAX = 65535,  /* of IPv4: RFC 791 counts the header of 20 bytes into the length field, */
    FRAME_IP6_BYTES_MAX = 65575, /* RFC 8200 not its of 40 */
    FRAME_BYTES_MAX = FRAME_ETH_BYTES + FRAME_IP6_BYTES_MAX,
    FRAME_SEGMENTS_MAX = 128, /* datagrams in one frame (Linux: UDP_MAX_SEGMENTS); more would be work out of nothing */
    FRAME_TCP_MSS_MIN = 88, /* a smaller MSS option counts as this: tiny segments are an attack */
};

enum frame_ethertype { FRAME_ETHERTYPE_IPV4 = 0x0800, FRAME_ETHERTYPE_ARP = 0x0806, FRAME_ETHERTYPE_IPV6 = 0x86dd };

/* What the channel said about the frame (virtio-net header, VIRTIO 1.2 section 5.1.6). */
enum frame_gso { FRAME_GSO_NONE = 0, FRAME_GSO_TCP4 = 1, FRAME_GSO_TCP6 = 4, FRAME_GSO_UDP = 5 /* VIRTIO's UDP_L4 */ };
struct frame_offload {
    bool needs_csum;     /* the L4 checksum field holds only the pseudo-header sum */
    bool csum_trusted;   /* the sender vouches for the checksum (DATA_VALID, or the link's contract) */
    uint8_t gso_type;    /* enum frame_gso, without the ECN bit */
    uint16_t gso_size, hdr_len, csum_start, csum_offset;
};

enum frame_kind { FRAME_ARP, FRAME_IPV4, FRAME_IPV6 };

/** What a whole datagram of that family can carry. */
static inline uint32_t frame_l4_bytes_max(enum frame_kind kind)
{
    return kind == FRAME_IPV6 ? FRAME_IP6_BYTES_MAX - 40 : FRAME_IP_BYTES_MAX - 20;
}

enum frame_proto {
    FRAME_PROTO_ICMP = 1,
    FRAME_PROTO_IGMP = 2,
    FRAME_PROTO_TCP = 6,
    FRAME_PROTO_UDP = 17,
    FRAME_PROTO_ICMPV6 = 58,
};
enum frame_tcp_flags { FRAME_FIN = 1, FRAME_SYN = 2, FRAME_RST = 4, FRAME_PSH = 8, FRAME_ACK = 16 };

struct frame {
    const uint8_t *dst_mac, *src_mac; /* borrowed from the frame's bytes, as are all pointers here */
    enum frame_kind kind;

    uint8_t *ip;                /* the IP header (or the ARP body), writable */
    uint32_t ip_bytes;          /* header and payload, as the header says; trailing padding is gone */
    struct addr src, dst;
    uint8_t proto;
    bool dont_fragment;

    bool fragment;              /* one piece of a datagram: l4 is that piece only */
    uint32_t frag_id;
    uint32_t frag_offset;       /* bytes */
    bool frag_more;

    bool group_report;          /* of IGMP or MLD, its checksum holds; l4 is behind its router alert */

    uint8_t *l4;
    uint32_t l4_bytes;
    uint16_t src_port, dst_port; /* TCP, UDP */
    uint8_t *payload;
    uint32_t payload_bytes;
    uint16_t segment;           /* UDP, > 0: datagrams of this size in a row, the last one may be shorter */

    uint32_t seq, ack;          /* TCP from here on */
    uint16_t window;
    uint8_t tcp_flags;          /* enum frame_tcp_flags */
    uint8_t tcp_header_bytes;
    uint16_t tcp_mss;           /* of a SYN: its MSS option, at least FRAME_TCP_MSS_MIN; 536 without one */
};

/**
 * Read Ethernet and network headers.
 *
 * @bytes:     the frame from the destination MAC on; borrowed, written only by frame_read_l4()
 * @offload:   borrowed; its values are checked against the frame (gso_size 0, hdr_len or csum_start beyond the frame,
 *             a GSO type that is not the packet's: FRAME_BAD)
 * @out_frame: complete only on success
 *
 * Return: 0, or the counter (> 0) of the reason to drop: FRAME_BAD, FRAME_ETHERTYPE (VLAN, LLC, unknown), IP_OPTIONS
 * (IPv4 options, IPv6 extension headers, but for the router alert of a group report), FRAME_CSUM (IPv4 header), IP_FRAG
 * (fragments that cannot be part of any datagram: past its greatest size, middle pieces not a multiple of 8, a first
 * TCP fragment below 40 bytes, one that is the only one).
 */
int frame_read(uint8_t *bytes, size_t len, const struct frame_offload *offload, struct frame *out_frame);

/**
 * Read the transport header of a whole datagram (f->l4, f->l4_bytes) that is no group report.
 *
 * Checksums are verified unless @offload says they are partial or vouched for. UDP: the length field must fit and bytes
 * beyond it are cut. TCP: an MSS option outside a SYN is overwritten with NOPs (*out_mss_nop), inside a SYN
 * it is raised to FRAME_TCP_MSS_MIN; a header that
 * contradicts itself is FRAME_BAD. Changes keep the checksum field meaningless: nobody reads it afterwards.
 *
 * Return: 0, or the counter of the reason to drop: FRAME_BAD, FRAME_CSUM, PROTO_L3 (neither TCP, UDP nor ICMP).
 */
int frame_read_l4(struct frame *f, const struct frame_offload *offload, bool *out_mss_nop);

/** Internet checksum (RFC 1071) as a 32-bit partial sum over @len bytes, continued from @sum. */
uint32_t frame_sum(const void *bytes, size_t len, uint32_t sum);

/** Fold and complement a partial sum: the value of a checksum field, host order as loaded by frame_sum(). */
uint16_t frame_sum_fold(uint32_t sum);

/** Partial sum of the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1). */
uint32_t frame_sum_pseudo(const struct addr *src, const struct addr *dst, uint8_t proto,
                          uint32_t l4_bytes);

#endif
