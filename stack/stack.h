/*
 * The stack: lwIP as TCP and UDP engine for any number of guests, on one thread.
 *
 * lwIP is one global instance, so there is one stack a process (stack_new() says -EBUSY to a second one). Sans-I/O:
 * frames come in through guest_input(), frames go out through each guest's wire, time is passed in. What guests do is
 * reported through these events, only from guest_input(), stack_flush() and stack_tick(), when lwIP has returned, never
 * from inside a call of the caller's own.
 */
#ifndef WEIR_STACK_STACK_H
#define WEIR_STACK_STACK_H

#include <stdint.h>

#include "base/counters.h"
#include "base/pool.h"
#include "stack/guest.h"
#include "stack/refusal.h"
#include "stack/tcp.h"

enum {
    STACK_GUESTS_MAX = 250,              /* lwIP's netif index is a u8 */
    STACK_TICK_MS = 250,
    STACK_HEAP_PER_FLOW_BYTES = 4096,    /* sizes lwIP's heap together with the flow limit */
    STACK_HEAP_FLOOR_BYTES = 8 * 1024 * 1024,
};

struct stack_events {
    /** A TCP segment, checked. @buf is borrowed: tcp_* functions that keep payload take their own reference. */
    void (*on_segment)(void *ctx, struct guest *guest, struct frame *f, struct buf *buf);
    /** A UDP datagram, checked, not for the gateway's DHCP server. Borrowed. */
    void (*on_datagram)(void *ctx, struct guest *guest, struct frame *f);
    /** An ICMP echo request to another address than the gateway's. Borrowed. */
    void (*on_echo)(void *ctx, struct guest *guest, struct frame *f);
    /** The guest says that nobody listens where a datagram was sent to. */
    void (*on_refusal)(void *ctx, struct guest *guest, const struct refusal *refusal);
};

struct stack_config {
    struct pool *pool;               /* borrowed */
    struct counters *counters;       /* borrowed */
    const struct stack_events *events; /* borrowed */
    void *ctx;                       /* borrowed */
    uint32_t flows_max;
    uint32_t flow_buffer_bytes;      /* ceiling of one flow's receive window, at most 4 MiB */
    uint32_t guest_timeout_ms;       /* silence of a guest that owes an ACK, which ends its connection; 0: lwIP's own */
};

struct stack;

/** Return: 0; -EBUSY a stack exists in this process; -ENOMEM. */
int stack_new(const struct stack_config *config, uint64_t now_ms, struct stack **out_stack);

/** Other bounds from now on; what is granted already stands (struct stack_config). */
void stack_set_limits(struct stack *stack, uint32_t flow_buffer_bytes, uint32_t guest_timeout_ms);

/** All guests must be gone. NULL is fine. */
void stack_free(struct stack *stack);

/** The time of this turn; every entry point below and guest_input() work at this time. */
void stack_set_time(struct stack *stack, uint64_t now_ms);

/**
 * End of a turn: send what connections owe their guests, once per connection. The counters HEAP_FULL and POOL_FULL are
 * up to date then.
 */
void stack_flush(struct stack *stack);

/** Whether some connection needs stack_tick() every STACK_TICK_MS; otherwise no timer is needed. */
bool stack_wants_tick(const struct stack *stack);

void stack_tick(struct stack *stack);

/** The guest's wire takes frames again: connections that met -EAGAIN send at the next stack_flush(). */
void stack_wire_writable(struct stack *stack, struct guest *guest);

/* A UDP datagram for a guest. Everything is borrowed for the call. */
struct datagram {
    struct addr src, dst;         /* of one family */
    uint16_t src_port, dst_port;
    uint16_t segment;             /* > 0: several datagrams of this size in a row, the last one may be shorter */
    const void *bytes;
    size_t len;
};

/**
 * Send a datagram to the guest: in fragments above its MTU, several in one frame where the wire takes that. Return:
 * 0; < 0 dropped, in part at least, and counted.
 */
int stack_send_datagram(struct stack *stack, struct guest *guest, const struct datagram *datagram);

/**
 * Tell the guest that a datagram of its own, from @datagram->src to dst, went nowhere (guest_send_unreachable()). Its
 * bytes are what is known of them.
 */
void stack_send_datagram_error(struct guest *guest, const struct datagram *datagram, enum unreachable what,
                               uint16_t mtu);

/* An ICMP echo, request or reply. Everything is borrowed for the call. */
struct echo {
    struct addr src, dst; /* of one family */
    uint16_t id, seq;
    const void *bytes;
    size_t len;           /* at most STACK_ECHO_BYTES_MAX */
};

enum { STACK_ECHO_BYTES_MAX = 1024 };

/** The request in a frame that on_echo() gave. */
struct echo stack_read_echo(const struct frame *f);

/** Send a reply to the guest. Return: 0; < 0 dropped and counted. */
int stack_send_echo_reply(struct guest *guest, const struct echo *echo);

/** As stack_send_datagram_error(), of a request of the guest's. */
void stack_send_echo_error(struct guest *guest, const struct echo *echo, enum unreachable what, uint16_t mtu);

#endif
