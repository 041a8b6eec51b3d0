/*
 * The guest's end of a TCP connection.
 *
 * Scripted, it sends exactly what a case says (peer_send() and its short forms) and the case reads the answers
 * with sim_take(). Automatic, it is a small correct TCP of its own, written from RFC 9293 and sharing no code
 * with stack/: it acknowledges, reassembles, keeps to windows, retransmits and closes.
 */
#ifndef WEIR_TESTS_SIM_PEER_H
#define WEIR_TESTS_SIM_PEER_H

#include "sim.h"

struct sim_peer_options {
    uint16_t mss;        /* 0: no option */
    int wscale;          /* -1: no option */
    bool sack;
    uint32_t window;     /* bytes of receive buffer */
    uint16_t dst_port;
    bool automatic;
    bool super_segments; /* send 64 KiB at a time, as a guest with TSO does */
};

#define PEER_DEFAULT \
    {.mss = 1460, .wscale = 7, .sack = true, .window = 256 * SIM_KIB, .dst_port = 80, .automatic = true}
#define PEER_SCRIPTED \
    {.mss = 1460, .wscale = 7, .sack = true, .window = 256 * SIM_KIB, .dst_port = 80, .automatic = false}

struct peer_range {
    uint64_t from, to; /* stream offsets, received ahead of their turn */
};

struct sim_peer {
    struct list node;
    struct sim *sim;
    struct sim_flow *flow;     /* the stack's side, once its SYN was taken */
    struct sim_peer_options options;
    uint16_t port;
    bool connected, reset;     /* reset: a RST came */

    uint32_t iss, irs;
    uint32_t seq, ack;         /* scripted: the next to send and to expect */

    /* receiving */
    uint64_t received, bad_bytes; /* in order */
    uint64_t edge;             /* right edge of the window told to the stack: stream offset */
    uint64_t overrun_bytes;    /* the stack sent beyond it */
    uint32_t buffered;         /* received, not read */
    bool stopped;              /* the application in the guest does not read */
    bool fin_in;
    uint64_t fin_at;           /* stream offset of the stack's FIN, when seen */
    bool fin_seen, ack_due;
    size_t segment_max;        /* largest payload of a segment on the wire (gso_size of super-segments) */
    unsigned acks_in;          /* segments without payload that came */
    unsigned range_count;
    struct peer_range ranges[SIM_RANGES_MAX];

    /* sending */
    uint64_t to_send, una, nxt, sent_max;
    bool close_when_sent, fin_sent, fin_acked;
    uint64_t window;           /* the stack's, scaled */
    int snd_wscale;
    unsigned dupacks, retransmits;
    uint64_t rto_at_ms, rto_ms;
};

/** A peer that has sent nothing yet. Freed by sim_stop(). */
struct sim_peer *peer_new(struct sim *sim, const struct sim_peer_options *options);

/** Send its SYN. */
void peer_syn(struct sim_peer *peer);

/** The whole handshake; fails the test when it does not succeed. Frames that were not taken are dropped. */
struct sim_peer *peer_connect(struct sim *sim, const struct sim_peer_options *options);

/* ---- scripted ---- */

/** A segment with the peer's window and acknowledgement. */
void peer_send(struct sim_peer *peer, uint8_t flags, uint32_t seq, const void *bytes, size_t len);

/** The next @n pattern bytes, in segments as large as IP allows; peer->seq moves. */
void peer_data(struct sim_peer *peer, size_t n);
void peer_ack(struct sim_peer *peer);
void peer_fin(struct sim_peer *peer); /* peer->seq moves */

/** Like peer_send() with options and window field given. */
void peer_send_raw(struct sim_peer *peer, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t window,
                   const void *options, size_t options_bytes, const void *bytes, size_t len);

/* ---- automatic ---- */

/** Send pattern bytes up to stream offset @to_send, then FIN if @close. */
void peer_source(struct sim_peer *peer, uint64_t to_send, bool close);

/** The application in the guest stops or goes on reading. */
void peer_stop_reading(struct sim_peer *peer);
void peer_read(struct sim_peer *peer); /* tells the stack at once */

/* For sim_run_until(). */
bool peer_saw_fin(const void *peer);
bool peer_all_acked(const void *peer);

/* ---- for sim.c ---- */

/** Offer a frame; return: whether it is this peer's and was dealt with. */
bool peer_take(struct sim_peer *peer, const struct sim_frame *frame);

/** Acknowledge and send what is due, once per turn. */
void peer_turn(struct sim_peer *peer);

#endif
