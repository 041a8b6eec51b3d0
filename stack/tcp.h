/*
 * One TCP connection with the guest: lwIP's pcb behind an interface that cannot be misused.
 *
 * The connection's storage is the caller's (a flow embeds it). lwIP's callbacks only record; what happened is reported
 * through tcp_events after lwIP has returned, so any function here may be called from any event, abort included.
 *
 *     tcp_conn_init ─ tcp_conn_accept(syn) ─ on_connected ─ on_data* on_acked* ─ on_eof ─ on_gone
 *
 * Received bytes are held, and the guest's window with them, until tcp_conn_consume(). Bytes given to tcp_conn_send()
 * are borrowed until on_acked() covers them or the connection is gone.
 */
#ifndef WEIR_STACK_TCP_H
#define WEIR_STACK_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/pool.h"
#include "stack/frame.h"

enum {
    TCP_SYN_BYTES_MAX = 120,            /* IP and TCP headers with all options */
    TCP_WINDOW_FIRST = 64 * 1024,       /* what every connection may have at once */
    TCP_WINDOW_MAX = 4 * 1024 * 1024,
    TCP_TINY_SEGMENTS = 32,             /* so many may be smaller, on average, than ... */
    TCP_TINY_BYTES = 256,               /* ... this; with more queued, the sender waits for an ACK */
    TCP_HOLD_COPY_BYTES = 34 * 1024,    /* smaller payloads are copied out of a big buffer when held */
    TCP_HOLD_SHORT = 3 * 1024,          /* what a connection may hold while the pool is short: one small buffer */
    TCP_GRANTS_MAX = 16 * 1024 * 1024,   /* window bytes beyond TCP_WINDOW_FIRST, of all connections: what is under way
                                           to us waits in line, and others' round trips with it */
    TCP_WINDOWS_SHARED = 2 * 1024 * 1024, /* what several that move bulk data at a time have announced, but for
                                             TCP_WINDOW_FIRST each */
    TCP_WINDOWS_APART = 8 * 1024 * 1024, /* the same where the wire keeps others from waiting behind it */
    TCP_SEND_AHEAD = 128 * 1024,        /* queued beyond the guest's window, so that it never waits for us */
};

struct guest;
struct stack;
struct tcp_pcb;
struct pbuf;
struct tcp_conn;

enum tcp_gone {
    TCP_GONE_CLOSED,  /* both directions closed in order */
    TCP_GONE_RESET,   /* the guest sent RST */
    TCP_GONE_TIMEOUT, /* the guest stopped answering; it was sent a RST */
};

struct tcp_events {
    void (*on_connected)(struct tcp_conn *conn);        /* the guest completed the handshake */
    void (*on_data)(struct tcp_conn *conn);             /* more bytes are held */
    void (*on_acked)(struct tcp_conn *conn, size_t n);  /* the oldest n sent bytes may be reused */
    void (*on_eof)(struct tcp_conn *conn);              /* the guest sent FIN */
    void (*on_gone)(struct tcp_conn *conn, enum tcp_gone why); /* all sent bytes may be reused; it is over */
};

/* A parked SYN: enough to start the connection later, refuse it, or quote it in an ICMP error. */
struct tcp_syn {
    uint8_t len;                     /* 0: none */
    uint8_t bytes[TCP_SYN_BYTES_MAX]; /* from the IP header on */
};

/* Members are stack/tcp*.c's own, others ask functions; zero is "no connection". */
struct tcp_conn {
    struct guest *guest;              /* borrowed */
    const struct tcp_events *events;  /* borrowed */
    struct tcp_pcb *pcb;              /* lwIP's; NULL: gone */
    struct pbuf *held_first, *held_last; /* owned: received, not consumed */
    struct list flush_node;           /* on stack.flush */
    struct list timer_node;           /* on stack.timers */
    struct list blocked_node;         /* on stack.blocked */
    uint32_t held_bytes, pinned_bytes;
    uint32_t grant;                   /* receive window given to this connection */
    uint32_t grown;                   /* part of it that came after the first */
    uint32_t grant_used;              /* bytes consumed since the grant last grew */
    uint32_t acked_bytes;             /* recorded, to be reported */
    uint32_t unacked_in;              /* received since an ACK last left */
    uint32_t spell, spell_bytes;      /* received in that spell (stack.spell) */
    bool bulk_before;                 /* bulk data, in the one before it */
    struct addr local, remote;        /* the destination the guest dialled, and the guest */
    uint16_t local_port, remote_port;
    uint64_t heard_ms;                /* when its last segment came */
    uint32_t last_snd_nxt, last_rcv_nxt; /* for a RST after lwIP forgot the pcb */
    uint16_t guest_mss;               /* of its SYN or SYN-ACK, at least FRAME_TCP_MSS_MIN */
    uint16_t gso_size;                /* payload bytes a segment on the wire may have */
    uint8_t pending;                  /* events recorded */
    uint8_t gone;                     /* enum tcp_gone */
    bool tuned : 1;                   /* mss, cwnd and window set after the handshake */
    bool window_due : 1;              /* the guest is to be told of its window */
    bool fin_wanted : 1, fin_queued : 1, eof : 1, time_wait : 1, reported_gone : 1, seen : 1;
};

/** Keep a SYN. Return: 0, or -E2BIG (cannot happen for a frame that frame_read_l4() passed). */
int tcp_syn_park(struct tcp_syn *syn, const struct frame *f);

/** Whether @f is the RST of a guest that gives this parked SYN up (RFC 9293 section 3.5.2: in sequence). */
bool tcp_syn_given_up(const struct tcp_syn *syn, const struct frame *f);

/** Initialise storage. @events' context is the struct that embeds @conn. */
void tcp_conn_init(struct tcp_conn *conn, struct guest *guest, const struct tcp_events *events);

/** Answer a parked SYN with SYN-ACK. Return: 0, or -ENOMEM (the guest will resend its SYN). */
int tcp_conn_accept(struct tcp_conn *conn, const struct tcp_syn *syn);

/** A segment of this connection. @buf is borrowed; a reference is taken while payload is held. */
void tcp_conn_input(struct tcp_conn *conn, struct frame *f, struct buf *buf);

/** How many bytes are held: received and not consumed. */
size_t tcp_conn_held(const struct tcp_conn *conn);

/** The guest has sent FIN; what is held is all that will come. */
bool tcp_conn_eof(const struct tcp_conn *conn);

/** Copy held bytes behind the first @from, oldest first, @max of them at most. Return: how many were copied. */
size_t tcp_conn_copy(const struct tcp_conn *conn, size_t from, void *out_bytes, size_t max);

/** Held bytes as iovecs, oldest first. Valid until the next call on @conn. Return: how many iovecs were filled. */
int tcp_conn_peek(const struct tcp_conn *conn, struct iovec *out_iov, int iov_max);

/** The first @n held bytes are being written elsewhere: they must not move until they are consumed. */
void tcp_conn_pin(struct tcp_conn *conn, size_t n);

/** Whether the guest sends so much on it, these milliseconds, that nobody can wait for each of its bytes. */
bool tcp_conn_is_bulk(const struct tcp_conn *conn);

/** Drop the first @n held bytes (@n <= tcp_conn_held()) and open the guest's window by as much. */
void tcp_conn_consume(struct tcp_conn *conn, size_t n);

/** How many bytes tcp_conn_send() would take now. */
size_t tcp_conn_room(const struct tcp_conn *conn);

/**
 * Queue bytes without copying.
 *
 * Return: bytes taken, which may be fewer than @len or 0 when the send queue is full (on_acked tells when to try
 * again); -EPIPE after tcp_conn_shutdown() or when the connection is gone.
 */
long tcp_conn_send(struct tcp_conn *conn, const void *bytes, size_t len);

/** Send now what is queued and fits the guest's window, not at the end of the turn. */
void tcp_conn_flush(struct tcp_conn *conn);

/** Send FIN once everything queued has been sent. Idempotent. */
void tcp_conn_shutdown(struct tcp_conn *conn);

/** Send RST (nothing in TIME_WAIT) and forget the connection, in any state; no event follows, on_gone included. */
void tcp_conn_abort(struct tcp_conn *conn);

bool tcp_conn_live(const struct tcp_conn *conn);
bool tcp_conn_established(const struct tcp_conn *conn);

/** In TIME_WAIT: only lwIP still needs it; nothing more is reported but on_gone. */
bool tcp_conn_time_wait(const struct tcp_conn *conn);

/** LAST_ACK or CLOSING: both ends have sent their FIN, one acknowledgement is missing. */
bool tcp_conn_closing(const struct tcp_conn *conn);

/** A segment of no connection: lwIP answers with RST (nothing for a RST). */
void tcp_stray_input(struct guest *guest, struct frame *f);

/** Refuse a parked SYN with RST. */
void tcp_syn_refuse(struct guest *guest, const struct tcp_syn *syn);

#endif
