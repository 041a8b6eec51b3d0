/*
 * A guest as the stack sees it: its wire, its addresses, and what weir answers on that wire.
 *
 * The frame edge, second half, is guest_input(): every frame of a guest enters there. It learns and verifies
 * the source, answers what belongs to the link itself (ARP and neighbour discovery, DHCP, ping to the gateway),
 * reassembles, and hands everything else up through the events of stack/stack.h. Which family a packet has is known in
 * stack/ only: outside, an address is a struct addr and an error an enum unreachable.
 */
#ifndef WEIR_STACK_GUEST_H
#define WEIR_STACK_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/addr.h"
#include "base/counters.h"
#include "base/pool.h"
#include "stack/frag.h"
#include "stack/frame.h"

enum {
    GUEST_MTU_MIN = 576,
    GUEST_MTU_MAX = 65520,
    GUEST_SEARCH_MAX = 255, /* bytes of the search list in DHCP's wire form */
    GUEST_HOSTNAME_MAX = 63,
    GUEST_ADDRS6_MAX = 16,  /* IPv6 addresses a guest may give itself at a time */
    GUEST_IID_STATIC_MAX = 0xffff, /* interface identifiers up to here are given out, never chosen by a guest */
    WIRE_IOV_MAX = 64,
};

struct stack;
struct netif;
struct buf;

/* One frame on its way to the guest. Everything is borrowed for the call. */
struct wire_frame {
    const struct iovec *iov;      /* the first one holds at least the Ethernet header */
    int iovcnt;                   /* <= WIRE_IOV_MAX */
    struct frame_offload offload; /* zero on a wire without offloads */
    bool bulk;                    /* of a connection with bulk data: tcp_conn_is_bulk() */
    bool keep;                    /* TCP with payload: -EAGAIN makes the sender keep it */
};

/* The channel under a guest. The stack calls it, never the other way round from inside send(). */
struct wire {
    void *ctx;
    /** Take one frame, all or nothing. Return: 0; -EAGAIN full, wire_writable() follows; else < 0: dropped. */
    int (*send)(void *ctx, const struct wire_frame *frame);
    bool csum_offload; /* frames may carry partial checksums */
    bool tso4, tso6;   /* TCP super-segments may be sent to the guest */
    bool uso;          /* UDP datagrams in a row may be sent as one frame (VIRTIO 1.2, VIRTIO_NET_F_GUEST_USO4/6) */
    bool bulk_apart;   /* what connections with bulk data have under way to us waits apart from everything else */
    uint32_t windows_max; /* bytes all connections together may have under way to us; 0: no bound of the wire's own */
};

/* Why a packet of the guest's goes nowhere, in either family's ICMP. */
enum unreachable {
    UNREACHABLE_NET,
    UNREACHABLE_HOST,
    UNREACHABLE_PORT,
    UNREACHABLE_ADMIN,   /* policy forbids it */
    UNREACHABLE_TOO_BIG, /* with DF, above the MTU of the way */
};

/* What a guest is told and held to. Copied by guest_new(). */
struct guest_config {
    char hostname[GUEST_HOSTNAME_MAX + 1];  /* DHCP option 12; may be empty */
    uint8_t gateway_mac[FRAME_MAC_BYTES];
    uint8_t guest_mac[FRAME_MAC_BYTES];     /* when mac_pinned */
    bool mac_pinned;
    struct addr_prefix net4;
    struct addr gateway4, guest4, alias4;   /* family ADDR_NONE: IPv4 off / no alias */
    struct addr_prefix net6;                /* a /64 (RFC 4291 section 2.5.1) */
    struct addr gateway6, guest6, alias6;   /* of net6; family ADDR_NONE: IPv6 off / no alias */
    struct addr router6;                    /* the gateway's link-local address */
    bool slaac;                             /* the guest may choose addresses of net6 itself (RFC 4862) */
    uint16_t mtu;
    uint8_t search[GUEST_SEARCH_MAX];       /* RFC 3397 wire form, uncompressed */
    uint8_t search_len;
    uint32_t lease_s;
};

/* An IPv6 address the guest uses: its own choice. */
struct guest_addr6 {
    struct addr addr;
    uint64_t used_ms;
};

struct guest {
    struct stack *stack;        /* borrowed */
    struct guest_config config;
    struct wire wire;
    uint8_t mac[FRAME_MAC_BYTES]; /* learned, or configured */
    bool mac_known;
    bool alias_open;            /* a rule opens `host`: the alias answers ARP */
    struct netif *netif;        /* owned: lwIP's view, one per guest */
    struct guest_addr6 addrs6[GUEST_ADDRS6_MAX];
    unsigned addr6_count;
    struct frag_table frags;
    uint32_t ip_id;             /* of datagrams we fragment */
    uint64_t heard_ms;          /* when its last frame came */
    uint32_t windows;           /* sum of its connections' grants */
    uint64_t icmp_window_ms;    /* ICMP errors: token bucket, GUEST_ICMP_PER_S */
    uint32_t icmp_tokens;
    void *user;                 /* the caller's */
};

enum {
    GUEST_ICMP_PER_S = 1000,  /* errors and echo replies sent to one guest in a second */
    GUEST_ADDR6_IDLE_MS = 60000, /* an IPv6 address unused for so long makes way for a new one */
    GUEST_SILENCE_MS = 1000,  /* a guest heard again after this was paused: what it missed is sent at once */
};

/** Add a guest to the stack. Return: NULL when out of memory or beyond STACK_GUESTS_MAX. */
struct guest *guest_new(struct stack *stack, const struct guest_config *config,
                        const struct wire *wire);

/** All TCP connections and datagrams of the guest must be gone. NULL is fine. */
void guest_free(struct guest *guest);

/** The channel came back (a monitor reconnected): forget the learned MAC and half-received datagrams. */
void guest_reset(struct guest *guest, const struct wire *wire);

/**
 * One frame from the guest, at the time of stack_set_time().
 *
 * @buf: one reference is given; frame bytes at data[start], len of them. The stack keeps the buffer only as long as a
 *       connection holds its payload.
 *
 * May call the stack's events. Not re-entrant.
 */
void guest_input(struct guest *guest, struct buf *buf, const struct frame_offload *offload);

/**
 * Send one packet (from its network header on, fewer than WIRE_IOV_MAX iovecs) to the guest in an Ethernet frame.
 * Return: as wire.send; -EHOSTUNREACH while the guest's MAC is unknown.
 */
int guest_send(struct guest *guest, uint16_t ethertype, struct wire_frame *frame);

/** Send a small packet (ARP, ICMP, DHCP) to @dst_mac; drops are counted. */
void guest_send_packet(struct guest *guest, uint16_t ethertype, const uint8_t *packet, size_t len,
                       const uint8_t dst_mac[static FRAME_MAC_BYTES]);

/**
 * Tell the guest, as its gateway, that a packet of its own goes nowhere. Above GUEST_ICMP_PER_S nothing is said
 * (counted).
 *
 * @quoted: the packet from its IP header on, or as much of it as is known; borrowed
 * @mtu:    with UNREACHABLE_TOO_BIG, else 0
 */
void guest_send_unreachable(struct guest *guest, const uint8_t *quoted, size_t len, enum unreachable what,
                            uint16_t mtu);

/** Take one of the GUEST_ICMP_PER_S tokens; without one the caller stays silent (counted). */
bool guest_may_icmp(struct guest *guest);

void guest_count(struct guest *guest, enum counter c);

/** Whether @a is the guest's IPv4 address, the only one it may send from. */
bool guest_owns4(const struct guest *guest, const struct addr *a);

/** Tell the guest, unasked, what its IPv6 network is (a router advertisement); nothing while IPv6 is off. */
void guest_advertise(struct guest *guest);

/** The gateway's address, and the host alias's, in that family; family ADDR_NONE: there is none. */
struct addr guest_gateway(const struct guest *guest, enum addr_family family);
struct addr guest_alias(const struct guest *guest, enum addr_family family);

bool guest_is_gateway(const struct guest *guest, const struct addr *a); /* also its link-local one */
bool guest_is_alias(const struct guest *guest, const struct addr *a); /* whether or not a rule opens it */

#endif
