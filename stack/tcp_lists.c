/*
 * enter and leave: lwIP's process-wide lists hold one connection at a time (stack_private.h).
 */
#include "stack/stack_private.h"

#include <string.h>

/* Connections without timer work are not chained: a pass over 100,000 idle pcbs costs tens of ms. */
static bool needs_timer(const struct tcp_conn *conn)
{
    const struct tcp_pcb *pcb = conn->pcb;

    if (!pcb)
        return false;
    if (conn->time_wait)
        return true;
    switch (pcb->state) {
    case ESTABLISHED:
    case CLOSE_WAIT:
    case FIN_WAIT_2:
        return pcb->unacked || pcb->unsent || pcb->ooseq || pcb->flags & (TF_ACK_DELAY | TF_CLOSEPEND);
    default:
        return true;
    }
}

static void list_set(struct list *head, struct list *node, bool on)
{
    if (on && !list_linked(node))
        list_append(head, node);
    else if (!on && list_linked(node))
        list_unlink(node);
}

void tcp_want_flush(struct tcp_conn *conn)
{
    list_set(&conn->guest->stack->flush, &conn->flush_node, true);
}

void tcp_record_gone(struct tcp_conn *conn, enum tcp_gone why)
{
    conn->pcb = NULL;
    conn->time_wait = false;
    if (!(conn->pending & TCP_PENDING_GONE)) {
        conn->pending |= TCP_PENDING_GONE;
        conn->gone = (uint8_t)why;
    }
}

void tcp_enter(struct tcp_conn *conn)
{
    struct stack *stack = conn->guest->stack;

    CHECK(!stack->in_tick);
    if (stack->depth++ > 0) {
        CHECK(stack->entered == conn);
        return;
    }
    CHECK(!tcp_active_pcbs && !tcp_tw_pcbs);
    stack->entered = conn;
    if (conn->pcb) {
        CHECK(conn->pcb->next == NULL);
        if (conn->time_wait)
            tcp_tw_pcbs = conn->pcb;
        else
            tcp_active_pcbs = conn->pcb;
    }
}

/* FIN goes out only when nothing is unsent: lwIP would leave it on the first half of a segment it splits later. */
static void maybe_fin(struct tcp_conn *conn)
{
    struct tcp_pcb *pcb = conn->pcb;

    if (!conn->fin_wanted || conn->fin_queued || !pcb || conn->time_wait || pcb->unsent)
        return;
    if (pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT)
        return;
    if (tcp_shutdown(pcb, 0, 1) != ERR_OK)
        return; /* tried again at the next leave; lwIP keeps TF_CLOSEPEND when only memory was short */
    conn->fin_queued = true;
    tcp_output(pcb);
}

void tcp_leave(struct tcp_conn *conn)
{
    struct stack *stack = conn->guest->stack;
    struct tcp_pcb *before = conn->pcb;

    CHECK(stack->depth > 0 && stack->entered == conn);
    if (stack->depth > 1) {
        stack->depth--;
        return;
    }
    maybe_fin(conn);
    stack->depth = 0;
    stack->entered = NULL;
    conn->time_wait = tcp_tw_pcbs != NULL;
    conn->pcb = tcp_active_pcbs ? tcp_active_pcbs : tcp_tw_pcbs;
    CHECK(!conn->pcb || !conn->pcb->next);
    tcp_active_pcbs = NULL;
    tcp_tw_pcbs = NULL;
    if (before && !conn->pcb)
        tcp_record_gone(conn, TCP_GONE_CLOSED);
    list_set(&stack->timers, &conn->timer_node, needs_timer(conn));
    list_set(&stack->blocked, &conn->blocked_node,
             conn->pcb && !conn->time_wait && conn->pcb->flags & TF_NAGLEMEMERR);
}

bool stack_wants_tick(const struct stack *stack)
{
    return !list_empty(&stack->timers);
}

/* Put every connection with timer work on lwIP's lists at once: once per flow would overrun its u8 pass counter. */
static void chain_all(struct stack *stack)
{
    LIST_FOR_EACH(node, &stack->timers) {
        struct tcp_conn *conn = LIST_ENTRY(node, struct tcp_conn, timer_node);
        struct tcp_pcb *pcb = conn->pcb;

        conn->seen = false;
        conn->last_snd_nxt = pcb->snd_nxt;
        conn->last_rcv_nxt = pcb->rcv_nxt;
        if (conn->time_wait) {
            pcb->next = tcp_tw_pcbs;
            tcp_tw_pcbs = pcb;
            continue;
        }
        /* lwIP would drop these with queued data after 2 * TCP_MSL; the flow's own deadline ends them instead. */
        if ((pcb->state == LAST_ACK || pcb->state == CLOSING) && (pcb->unacked || pcb->unsent))
            pcb->tmr = tcp_ticks;
        pcb->next = tcp_active_pcbs;
        tcp_active_pcbs = pcb;
    }
}

static void unchain(struct tcp_pcb **list, bool time_wait)
{
    while (*list) {
        struct tcp_pcb *pcb = *list;
        struct tcp_conn *conn = pcb->callback_arg;

        *list = pcb->next;
        pcb->next = NULL;
        conn->seen = true;
        conn->time_wait = time_wait;
    }
}

/* lwIP drops a connection whose guest stopped answering without a word; the guest may come back and is told. */
static void rst_after_timeout(struct tcp_conn *conn)
{
    ip_addr_t local, remote;

    ip_addr_from(&local, &conn->local);
    ip_addr_from(&remote, &conn->remote);
    tcp_rst_netif(conn->guest->netif, conn->last_snd_nxt, conn->last_rcv_nxt, &local, &remote,
                  conn->local_port, conn->remote_port);
}

void stack_tick(struct stack *stack)
{
    struct list round;

    CHECK(stack->depth == 0 && !tcp_active_pcbs && !tcp_tw_pcbs);
    stack->in_tick = true;
    chain_all(stack);
    tcp_fasttmr();
    if (stack->slow_turn)
        tcp_slowtmr();
    stack->slow_turn = !stack->slow_turn;
    unchain(&tcp_active_pcbs, false);
    unchain(&tcp_tw_pcbs, true);
    stack->in_tick = false;

    list_init(&round);
    list_splice(&round, &stack->timers);
    for (struct list *node; (node = list_take_first(&round));) {
        struct tcp_conn *conn = LIST_ENTRY(node, struct tcp_conn, timer_node);

        if (!conn->seen) {
            bool timed_out = conn->pending & TCP_PENDING_GONE && conn->gone == TCP_GONE_TIMEOUT;

            tcp_record_gone(conn, TCP_GONE_CLOSED);
            if (timed_out)
                rst_after_timeout(conn);
        }
        tcp_enter(conn); /* leave() sorts it back onto the lists it belongs to */
        tcp_leave(conn);
        tcp_deliver(conn);
    }
}

void stack_wire_writable(struct stack *stack, struct guest *guest)
{
    LIST_FOR_EACH(node, &stack->blocked) {
        struct tcp_conn *conn = LIST_ENTRY(node, struct tcp_conn, blocked_node);

        if (conn->guest == guest)
            tcp_want_flush(conn);
    }
}

static void flush_one(struct tcp_conn *conn)
{
    if (!conn->pcb || conn->time_wait)
        return;
    tcp_enter(conn);
    if (conn->unacked_in > conn->guest_mss)
        tcp_set_flags(conn->pcb, TF_ACK_NOW);
    tcp_window_announce(conn);
    tcp_output(conn->pcb);
    if (!(conn->pcb->flags & (TF_ACK_DELAY | TF_ACK_NOW)))
        conn->unacked_in = 0;
    tcp_leave(conn);
    tcp_deliver(conn);
}

void stack_flush(struct stack *stack)
{
    for (struct list *node; (node = list_take_first(&stack->flush));)
        flush_one(LIST_ENTRY(node, struct tcp_conn, flush_node));
}
