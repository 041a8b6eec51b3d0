/*
 * A simulated link: the real stack/ between a scripted guest and a scripted host side, on a clock that only
 * moves when told.
 *
 *     guest: struct sim_peer (peer.h)  ⇄  wires with faults  ⇄  stack/  ⇄  struct sim_flow: an application
 *
 * A case starts a sim, connects peers, says what the application does, lets time pass and looks at both ends.
 * Streams carry a pattern, so that every byte is compared where it arrives. Every frame the stack sends is
 * checked against the rules of the wire (lengths, checksums, offloads, MTU) before anybody looks at it. Same
 * seed, same run.
 */
#ifndef WEIR_TESTS_SIM_H
#define WEIR_TESTS_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/counters.h"
#include "base/list.h"
#include "base/pool.h"
#include "stack/guest.h"
#include "stack/stack.h"
#include "stack/tcp.h"

enum {
    SIM_STEP_MS = 10,          /* how far time jumps in sim_run() */
    SIM_PATTERN_BYTES = 65521, /* a prime: no segment size divides it, so a misplaced segment shows */
    SIM_RANGES_MAX = 256,
    SIM_FRAMES_MAX = 100000,   /* frames under way at once; more is a runaway */
};

#define SIM_KIB 1024u
#define SIM_MIB (1024u * 1024u)

struct sim_options {
    enum addr_family family;    /* ADDR_NONE: the program's, sim_family() */
    size_t pool_bytes;          /* 0: 64 MiB */
    uint16_t mtu;               /* 0: 1500 */
    bool csum_offload, tso, uso; /* what the guest's wire takes */
    bool bulk_apart;            /* and whether that keeps bulk data apart */
    bool mac_pinned;
    uint32_t flows_max;         /* 0: 64 */
    uint32_t flow_buffer_bytes; /* 0: TCP_WINDOW_MAX */
    uint64_t seed;
};

/* What a wire does to frames, per mille. */
struct sim_faults {
    unsigned drop, dup, delay; /* delay: by 1 to 20 ms, which reorders */
};

/* ---- frames ---- */

/* One frame, read. `bytes` is the whole of it; pointers point into it. */
struct sim_frame {
    struct list node;
    uint64_t due_ms;
    struct frame_offload offload;
    uint16_t ethertype;
    uint8_t proto, ttl;
    struct addr src, dst;
    uint32_t frag_id, frag_offset;
    bool frag_more;
    uint16_t src_port, dst_port;
    uint32_t seq, ack;
    uint16_t window;           /* as on the wire, unscaled */
    uint8_t flags;             /* enum frame_tcp_flags */
    uint16_t mss;              /* 0: no option */
    int wscale;                /* -1: no option */
    bool sack_permitted;
    unsigned sack_count;
    struct {
        uint32_t left, right;
    } sacks[4];
    const uint8_t *l4, *payload; /* l4: a fragment's bytes as they are */
    size_t l4_bytes, payload_bytes;
    size_t len;
    uint8_t bytes[];
};

/* A TCP segment to build. */
struct sim_tcp {
    struct addr src, dst;
    uint16_t src_port, dst_port;
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window;
    const void *options;       /* borrowed; options_bytes is a multiple of 4 */
    size_t options_bytes;
    const void *payload;       /* borrowed */
    size_t payload_bytes;
    uint16_t gso_size;         /* > 0: a super-segment with a partial checksum */
};

/* ---- the host side ---- */

enum sim_app {
    SIM_HOLD,   /* takes nothing until sim_consume() */
    SIM_SINK,   /* takes and compares everything */
    SIM_ECHO,   /* sends back what it took */
};

enum sim_event { SIM_CONNECTED = 1, SIM_DATA = 2, SIM_ACKED = 4, SIM_EOF = 8, SIM_GONE = 16 };

/* One TCP connection as the host side has it. */
struct sim_flow {
    struct tcp_conn conn;
    struct tcp_syn syn;        /* parked while len > 0 */
    struct sim *sim;
    struct sim_flow *next;     /* on sim.flows_by_port */
    enum sim_app app;
    unsigned events;           /* enum sim_event, seen so far */
    unsigned abort_in;         /* enum sim_event: tcp_conn_abort() from inside these */
    bool aborted;              /* by abort_in: nothing may be heard after it */
    enum tcp_gone why;
    uint64_t received, bad_bytes;        /* taken from the guest */
    uint64_t to_send, sent, acked;       /* stream offsets */
    uint64_t on_connected_at, on_eof_at; /* ms */
    size_t write_max;          /* bytes a tcp_conn_send(); 0: no limit */
    bool pin_next;             /* SIM_HOLD: pin what is held at the next on_data, as a write under way does */
    const uint8_t *pinned;     /* where it was */
    bool close_when_sent;      /* shutdown after to_send bytes */
    bool close_on_eof;         /* shutdown when the guest did, after to_send bytes */
};

/* What the stack handed up last. */
struct sim_datagram {
    struct addr src, dst;
    uint16_t src_port, dst_port;
    size_t len;
    uint16_t segment;
    uint8_t bytes[FRAME_IP6_BYTES_MAX];
};

struct sim_peer;

struct sim {
    struct sim_options options;
    struct pool pool;
    struct counters counters;
    struct stack *stack;
    struct guest *guest;
    uint64_t now_ms, tick_at_ms;
    bool inside;               /* a call into the stack has not returned */
    uint64_t random;           /* state of sim_random() */

    struct sim_faults up, down;  /* guest to stack, stack to guest */
    bool wire_full;              /* the wire answers -EAGAIN */
    unsigned wire_room;          /* > 0: frames it takes before wire_full becomes true */
    int wire_error;              /* < 0: the wire is broken and answers this */
    uint8_t guest_mac[FRAME_MAC_BYTES]; /* source of frames to come */
    struct list up_frames, down_frames; /* under way, by due_ms */
    struct list seen;            /* frames to the guest that no automatic peer took, for sim_take() */
    struct sim_frame *taken;     /* what sim_take() returned last */
    size_t under_way, seen_count;
    uint64_t frames_to_guest, payload_to_guest, super_segments;
    void (*on_input)(struct sim *sim, const uint8_t *bytes, size_t len, const struct frame_offload *offload);
    void *on_input_ctx;

    enum { SIM_ACCEPT, SIM_PARK, SIM_REFUSE } syn_policy;
    enum sim_app app;            /* of flows to come */
    unsigned abort_in;           /* of flows to come */
    struct sim_flow *flows;      /* flows_max of them, in order of arrival */
    struct sim_flow *flows_by_port[65536];
    uint32_t flow_count;
    struct list peers;
    uint16_t next_port;

    struct sim_datagram datagram;
    unsigned datagrams, echoes, refusals;
    struct echo echo;            /* the last one; its bytes are gone, those that were not the pattern are counted */
    uint64_t echo_bad_bytes;
};

/**
 * The family of a program's cases: its first argument, "4" or "6"; 4 without. meson.build runs each program about flows and
 * datagrams with either.
 */
void sim_family(int argc, char **argv);

/* cmocka fixtures: *state becomes a struct sim. With other options call sim_start() in the case itself. */
int sim_setup(void **state);
int sim_teardown(void **state);

struct sim *sim_start(const struct sim_options *options);
void sim_stop(struct sim *sim); /* CHECKs that no buffer and no block of lwIP's heap is left */

/** Pseudo-random number below @bound. */
uint32_t sim_random(struct sim *sim, uint32_t bound);

/* ---- time ---- */

/** Deliver what is due both ways and flush, until nothing more happens at this time. */
void sim_turn(struct sim *sim);

/** Let @ms pass in steps of SIM_STEP_MS, ticking the stack when it asks for it. */
void sim_run(struct sim *sim, uint64_t ms);

/** The same until @done says so. Return: whether it did within @ms. */
bool sim_run_until(struct sim *sim, bool (*done)(const void *ctx), const void *ctx, uint64_t ms);

/* ---- the wire ---- */

/** A frame from the guest, on its way: delivered by the next sim_turn(). */
void sim_send(struct sim *sim, const uint8_t *bytes, size_t len, const struct frame_offload *offload);

/** The wire takes frames again. */
void sim_wire_writable(struct sim *sim);

/** The oldest frame to the guest that nobody took, or NULL. Valid until the next call. */
struct sim_frame *sim_take(struct sim *sim);

/** Drop all of them. Return: how many there were. */
unsigned sim_drain(struct sim *sim);

uint64_t sim_count(const struct sim *sim, enum counter c);

/* ---- the host side ---- */

/** Make the application send pattern bytes up to stream offset @to_send, then shut down if @close. */
void sim_source(struct sim_flow *flow, uint64_t to_send, bool close);

/** Take and compare @n held bytes. */
void sim_consume(struct sim_flow *flow, size_t n);

/** Accept a parked SYN. */
void sim_accept(struct sim_flow *flow);

/* ---- packets (packet.c) ---- */

extern const struct addr sim_guest4, sim_gateway4, sim_alias4, sim_server4;
extern const struct addr sim_guest6, sim_gateway6, sim_alias6, sim_router6, sim_server6;
extern struct addr sim_guest, sim_gateway, sim_alias, sim_server; /* those of the running case's family: sim_start() */
extern const uint8_t sim_gateway_mac[FRAME_MAC_BYTES], sim_guest_mac[FRAME_MAC_BYTES];

/** @n pattern bytes from stream offset @at; valid for ever, @n <= SIM_PATTERN_BYTES. */
const uint8_t *sim_pattern(uint64_t at);

/** How many of @n bytes differ from the pattern at stream offset @at. */
uint64_t sim_compare(const uint8_t *bytes, size_t n, uint64_t at);

/** Read a frame; fails the test when it breaks a rule that holds for every frame. */
struct sim_frame *sim_read_frame(const struct sim *sim, const struct wire_frame *frame);

/** Bytes of an IP header between these addresses, without extension headers. */
size_t sim_ip_bytes(const struct addr *src);

/** The largest TCP payload that @sim's MTU has room for, without options. */
static inline uint16_t sim_mss(const struct sim *sim)
{
    return (uint16_t)(sim->options.mtu - 20 - sim_ip_bytes(&sim_guest));
}

/** Build a frame at @out (FRAME_BYTES_MAX of room). Return: its length. */
size_t sim_build_tcp(struct sim *sim, const struct sim_tcp *tcp, uint8_t *out,
                     struct frame_offload *out_offload);
size_t sim_build_ip(struct sim *sim, const struct addr *src, const struct addr *dst, uint8_t proto,
                    const void *l4, size_t len, uint8_t *out);
size_t sim_build_eth(struct sim *sim, const uint8_t dst_mac[static FRAME_MAC_BYTES], uint16_t ethertype,
                     const void *packet, size_t len, uint8_t *out);

/** UDP header and checksum in front of @len bytes. Return: l4 length. */
size_t sim_build_udp(const struct addr *src, uint16_t src_port, const struct addr *dst, uint16_t dst_port,
                     const void *bytes, size_t len, uint8_t *out);

void sim_send_tcp(struct sim *sim, const struct sim_tcp *tcp);
void sim_send_udp(struct sim *sim, const struct addr *src, uint16_t src_port, const struct addr *dst,
                  uint16_t dst_port, const void *bytes, size_t len);

/** One fragment of a datagram of @dst's family: l4 bytes [@at, @at + @n) of @l4. */
void sim_send_fragment(struct sim *sim, const struct addr *dst, uint8_t proto, uint32_t id, const uint8_t *l4,
                       size_t at, size_t n, bool more);

uint16_t sim_checksum(const void *bytes, size_t len, uint32_t sum);
uint32_t sim_pseudo(const struct addr *src, const struct addr *dst, uint8_t proto, size_t len);

#endif
