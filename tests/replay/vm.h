/*
 * The guest of a case: guest.txt or a capture says what it sends and when; connections that it opens with `open` are a small TCP of
 * its own (conn.c), for cases whose frames depend on what arrives. README.md has the language.
 */
#ifndef WEIR_TESTS_REPLAY_VM_H
#define WEIR_TESTS_REPLAY_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "stack/frame.h"
#include "wire.h"
#include "words.h"

enum { VM_PORTS = 65536, VM_HEAD_BYTES = 320, VM_FRAMES_MAX = 2000000, VM_RING_FRAMES = 1000, VM_HELLO_MAX = 512 };

struct conn;

/* What of a frame of weir's is kept for the comparison. */
struct seen {
    struct packet packet;
    size_t len;
    uint8_t head[VM_HEAD_BYTES]; /* its first bytes; packet.payload points here */
};

/* Both ends' initial numbers of the last connection from a port. */
struct conversation {
    struct addr dst;
    uint16_t dst_port;
    bool guest_known, weir_known, captured_known;
    uint32_t guest_isn, weir_isn, captured_isn; /* captured: weir's, in the capture that is replayed */
};

struct vm {
    struct script script;
    struct addr own, gateway;
    uint8_t mac[6], gateway_mac[6];
    uint64_t latency_us;
    bool offload;                  /* set by `offload tso` before the case begins */
    bool paused, gone;             /* paused: its ring fills; gone: it neither hears nor speaks */
    bool advertisements;           /* a case asks for router advertisements: they are kept */
    bool waking;                   /* an event that handles `arrived` is due */
    bool ring_was_full;
    unsigned ring_max;
    void (*set_policy)(void *ctx, const char *file); /* for `policy FILE` */
    void *ctx;
    double loss_down, loss_up;
    unsigned drop_down, drop_up;   /* the next ones with payload are lost */
    bool drop_any;                 /* those without as well */
    uint64_t random;
    struct list arrived;           /* frames on their way to it or in its ring */
    unsigned arrived_count;
    struct list conns;             /* owned */
    struct list due;               /* of them, by `due`: those that have something to say to what arrived */
    struct conn **by_port;         /* borrowed from `conns`: VM_PORTS, the last one of each port */
    struct conversation *talks;    /* owned: VM_PORTS */
    struct seen *seen;             /* owned: weir's frames */
    size_t seen_count, seen_cap;
    uint64_t sent_frames;
};

void vm_init(struct vm *vm, const struct addr *own, const struct addr *gateway, const uint8_t gateway_mac[6]);
void vm_deinit(struct vm *vm);

/** Schedule guest.txt (if there is one) and guest.pcap or guest.pcapng. Return: when the last line is due. */
uint64_t vm_load(struct vm *vm, const char *dir);

/** What vm_load() must know earlier: whether guest.txt asks for offloads. */
bool vm_wants_offload(const char *dir);

/** A frame of weir's (port.h). */
bool vm_on_frame(void *ctx, const uint8_t *bytes, size_t len, const struct frame_offload *offload);

/** Send @p from the guest: MAC addresses are filled in, loss applies. */
void vm_send(struct vm *vm, struct packet *p);

/** A ClientHello in one record (RFC 8446 section 4.1.2) that says a name, or none for "-". Return: its bytes, up to VM_HELLO_MAX. */
size_t vm_put_hello(const char *name, uint8_t *out);

/* ---- quic_words.c ---- */

enum { VM_RECORD_HEADER = 5 }; /* in front of a hello on TCP; QUIC has none */

/**
 * A datagram with one Initial packet whose CRYPTO frame has a ClientHello for @name, or a part of it: "from= to= pn= id= version=".
 *
 * @out: WIRE_FRAME_MAX bytes
 *
 * Return: bytes of the datagram.
 */
size_t vm_put_initial(const struct line *line, unsigned at, const char *name, uint8_t *out);

/* ---- packet_words.c ---- */

/* Which fields a line has. */
struct packet_fields {
    bool seq, ack, window, mss, wscale, no_wscale, sack_permitted, len, payload, type, code, about, ttl, sums;
    bool target, mac, nd_flags, hops, lifetime, prefix, prefix_flags, mtu, resolver;
    bool rel_seq, rel_ack, any_src, any_dst, any_flags, any_src_port, any_dst_port;
};

/**
 * Fill in a packet from the words of a line, from word @at on: "tcp SRC DST FLAGS seq=...".
 *
 * @payload_room: WIRE_FRAME_MAX bytes, for out_packet->payload
 */
void vm_read_packet(const struct line *line, unsigned at, const struct addr *own, struct packet *out_packet,
                    struct packet_fields *out_fields, uint8_t *payload_room);

/* ---- pcap.c ---- */

/** Write captured frames (heads of them). Return: whether it could. */
bool vm_write_pcap(const struct vm *vm, const char *path);

/** Schedule a capture's frames. Return: when the last one is due; 0: there is none. */
uint64_t pcap_load(struct vm *vm, const char *dir);

/* ---- conn.c ---- */

enum conn_state { CONN_OPENING, CONN_OPEN, CONN_REFUSED, CONN_UNREACHABLE, CONN_RESET, CONN_GAVE_UP };

enum { CONN_RANGES_MAX = 64, CONN_TEXT_MAX = 1024 };

struct conn_piece {
    struct list node;
    uint64_t at;
    size_t len;          /* of a literal; a pattern's is `bytes` */
    uint64_t bytes;
    uint8_t literal[];   /* len of them; none: pattern */
};

struct conn {
    struct list node;    /* on vm->conns */
    struct list due;     /* on vm->due; else linked to nothing */
    struct vm *vm;
    uint16_t port, dst_port;
    struct addr dst;
    enum conn_state state;
    uint64_t opened_us, changed_us; /* changed: when `state` was reached */
    uint16_t mss;
    uint8_t wscale, weir_wscale;
    bool scaled, half, muted;
    /* up */
    uint32_t iss;
    uint64_t acked, sent, to_send, recover;
    uint64_t window;     /* weir's */
    struct list pieces;
    bool fin_wanted, fin_sent, fin_acked;
    unsigned duplicates, tries, resent;
    bool timer_set;
    uint64_t timer_due_us;
    /* down */
    uint32_t irs;
    uint64_t got, unread, rcvbuf, fin_at;
    int64_t fixed_window; /* -1: what rcvbuf has room for */
    bool reading, fin_seen, fin_got, ack_due, pattern_bad;
    uint64_t fin_us, last_us;
    unsigned range_count, duplicates_seen; /* duplicates_seen: segments whose bytes were there already */
    struct {
        uint64_t left, right;
    } ranges[CONN_RANGES_MAX];
    uint8_t text[CONN_TEXT_MAX];
};

struct conn *conn_open(struct vm *vm, uint16_t port, const struct addr *dst, uint16_t dst_port, const struct line *line);
void conn_free(struct conn *conn);
/** Return: whether conn_turn() has something to send for it. */
bool conn_packet(struct conn *conn, const struct packet *p);
void conn_turn(struct conn *conn); /* send what is due */
void conn_send(struct conn *conn, const void *literal, size_t len, uint64_t pattern_bytes);
void conn_fin(struct conn *conn);
void conn_rst(struct conn *conn);
void conn_read(struct conn *conn, bool reading);
const char *conn_state_name(enum conn_state state);

#endif
