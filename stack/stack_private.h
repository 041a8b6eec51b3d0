/*
 * What the lwIP-facing files of stack/ share: the stack object and the enter/leave bracket.
 *
 * lwIP keeps its pcbs on process-wide lists and searches them linearly. We never let it: between enter() and
 * leave() those lists hold exactly one connection's pcb, and outside they are empty. leave() looks at what lwIP left
 * there and stores it back in the connection.
 */
#ifndef WEIR_STACK_PRIVATE_H
#define WEIR_STACK_PRIVATE_H

#include "base/siphash.h"
#include "stack/stack.h"

#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "lwip/udp.h"

struct stack {
    struct pool *pool;                 /* borrowed */
    struct counters *counters;         /* borrowed */
    const struct stack_events *events; /* borrowed */
    void *ctx;
    uint64_t now_ms;
    struct siphash_key isn_key;
    struct tcp_pcb_listen *listener;   /* owned; on lwIP's list only while a SYN is handed over */
    struct udp_pcb *udp;               /* owned; its port is set per datagram */
    struct udp_pcb *udp_list;          /* what lwIP's list holds while we are inside udp_input */
    struct frame *datagram;            /* the one being handed to udp_input, else NULL */
    bool datagram_taken;               /* lwIP gave it back: it goes up when lwIP has returned */
    struct tcp_conn *entered;
    unsigned depth;
    bool in_tick, slow_turn;
    unsigned guest_count;
    struct list flush;                 /* connections that owe their guest something this turn */
    struct list timers;                /* connections with timer work, linked by timer_node */
    struct list blocked;               /* connections whose guest's wire was full */
    uint64_t grants_used, grants_max;  /* window bytes beyond TCP_WINDOW_FIRST */
    uint32_t window_max;
    struct {
        uint64_t since_ms;
        uint32_t number;
        uint32_t bulk, bulk_before;    /* connections that received bulk data in it, and in the one before it */
    } spell;                           /* a short time in which it is seen who shares the windows */
    uint32_t guest_timeout_ms;
};

/* events recorded in tcp_conn.pending */
enum { TCP_PENDING_CONNECTED = 1, TCP_PENDING_DATA = 2, TCP_PENDING_EOF = 4, TCP_PENDING_GONE = 8 };

/* stack.c */
void stack_count_refusals(struct stack *stack); /* of the heap and the pool, which have no counters of their own */

/* tcp_lists.c */
void tcp_enter(struct tcp_conn *conn);
void tcp_leave(struct tcp_conn *conn);
void tcp_want_flush(struct tcp_conn *conn);
void tcp_guest_is_back(struct guest *guest);
void tcp_record_gone(struct tcp_conn *conn, enum tcp_gone why);

/* tcp_input.c */
void tcp_hook_callbacks(struct tcp_conn *conn);
void tcp_deliver(struct tcp_conn *conn);
void tcp_drop_held(struct tcp_conn *conn);

/* tcp_window.c */
void tcp_window_init(struct tcp_conn *conn);     /* after the SYN was taken */
void tcp_window_arrived(struct tcp_conn *conn, uint32_t n);
void tcp_window_credit(struct tcp_conn *conn, uint32_t n);
void tcp_window_announce(struct tcp_conn *conn); /* before an ACK leaves */
void tcp_window_release(struct tcp_conn *conn);  /* the connection is gone */

/* ip_data.c: what lwIP's inputs expect to find in ip_data */
void ip_data_set(struct guest *guest, const struct addr *src, const struct addr *dst);
void ip_data_clear(void);
void ip_addr_from(ip_addr_t *out, const struct addr *a);
struct addr ip_addr_to(const ip_addr_t *a);

/* guest.c: what the edges of both families share */
void guest_learn_mac(struct guest *guest, const struct frame *f); /* of a frame with an address of the guest's own */
bool guest_read_datagram(struct guest *guest, struct frame *f, const struct frame_offload *offload); /* else counted */
struct buf *guest_reassemble(struct guest *guest, struct frame *f); /* NULL: more to come, or dropped and counted */
void guest_hand_up(struct guest *guest, struct frame *f, struct buf *buf); /* TCP or UDP */
void guest_hand_up_error(struct guest *guest, const struct frame *f);      /* an ICMP message that is no echo */

/* edge4.c */
void edge4_arp(struct guest *guest, const struct frame *f);
void edge4_input(struct guest *guest, struct frame *f, struct buf *buf, const struct frame_offload *offload);
void edge4_send_unreachable(struct guest *guest, const uint8_t *quoted, size_t len, enum unreachable what,
                            uint16_t mtu);

/* edge6.c */
void edge6_input(struct guest *guest, struct frame *f, struct buf *buf, const struct frame_offload *offload);
void edge6_send_unreachable(struct guest *guest, const uint8_t *quoted, size_t len, enum unreachable what,
                            uint16_t mtu);
void edge6_advertise(struct guest *guest);

/* egress.c */
err_t egress_netif_init(struct netif *netif);

/* udp.c */
int udp_relay_init(struct stack *stack);
void udp_relay_deinit(struct stack *stack);
void udp_relay_input(struct stack *stack, struct guest *guest, struct frame *f);

#endif
