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
    if (conn->time_wait)
        tcp_window_release(conn); /* nothing more will be received */
    list_set(&stack->timers, &conn->timer_node, needs_timer(conn));
    list_set(&stack->blocked, &conn->blocked_node,
             conn->pcb && !conn->time_wait && conn->pcb->flags & (TF_NAGLEMEMERR | TF_ACK_NOW));
}

bool stack_wants_tick(const struct stack *stack)
{
    return !list_empty(&stack->timers);
}

/* ---- a segment larger than the guest's window ---- */

/* Data of @head from @split on, by reference; NULL: no memory, or the bytes are lwIP's own. */
static struct pbuf *refer_to_rest(const struct tcp_seg *head, uint16_t split)
{
    struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, 0, PBUF_RAM);
    uint32_t skip = (uint32_t)head->p->tot_len - head->len + split;

    for (const struct pbuf *q = head->p; p && q; q = q->next) {
        uint32_t here = LWIP_MIN(skip, q->len);
        struct pbuf *rom;

        skip -= here;
        if (here == q->len)
            continue;
        rom = q->type_internal & PBUF_TYPE_FLAG_STRUCT_DATA_CONTIGUOUS
                  ? NULL
                  : pbuf_alloc(PBUF_RAW, (u16_t)(q->len - here), PBUF_ROM);
        if (!rom) {
            (void)pbuf_free(p);
            return NULL;
        }
        ((struct pbuf_rom *)rom)->payload = (const uint8_t *)q->payload + here;
        pbuf_cat(p, rom);
    }
    return p;
}

/* Keep @split bytes in the first unsent segment and queue the others as one behind it. */
static void split_head(struct tcp_pcb *pcb, uint16_t split)
{
    struct tcp_seg *head = pcb->unsent, *rest;
    uint8_t flags = TCPH_FLAGS(head->tcphdr) & (TCP_PSH | TCP_FIN);
    uint16_t rest_bytes = (uint16_t)(head->len - split);
    struct pbuf *p = refer_to_rest(head, split);

    if (!p)
        return; /* tried again at the next tick */
    rest = memp_malloc(MEMP_TCP_SEG);
    if (!rest || pbuf_add_header(p, TCP_HLEN) != 0) {
        memp_free(MEMP_TCP_SEG, rest);
        (void)pbuf_free(p);
        return;
    }
    *rest = (struct tcp_seg){.next = head->next, .p = p, .len = rest_bytes, .tcphdr = p->payload};
    memcpy(rest->tcphdr, head->tcphdr, TCP_HLEN);
    rest->tcphdr->seqno = lwip_htonl(lwip_ntohl(head->tcphdr->seqno) + split);
    TCPH_HDRLEN_FLAGS_SET(rest->tcphdr, TCP_HLEN / 4, flags);
    TCPH_UNSET_FLAG(head->tcphdr, TCP_PSH | TCP_FIN);

    pcb->snd_queuelen = (u16_t)(pcb->snd_queuelen - pbuf_clen(head->p));
    pbuf_realloc(head->p, (u16_t)(head->p->tot_len - rest_bytes));
    head->len = split;
    head->next = rest;
    pcb->snd_queuelen = (u16_t)(pcb->snd_queuelen + pbuf_clen(head->p) + pbuf_clen(p));
}

/*
 * The guest's window is open, but not as far as the segment that lwIP has cut already, which can be of 64 KiB: send
 * what fits, as long as it is @least bytes. lwIP would do so after seconds, and copy the rest into its small heap,
 * which has no room for it.
 */
static void fit_window(struct tcp_conn *conn, uint32_t least)
{
    struct tcp_pcb *pcb = conn->pcb;
    uint32_t fits = pcb->snd_wnd;

    if (pcb->persist_backoff == 0 || !pcb->unsent || fits < least || fits >= pcb->unsent->len)
        return;
    if (fits > conn->gso_size)
        fits -= fits % conn->gso_size;
    split_head(pcb, (uint16_t)fits);
}

/* ---- timers ---- */

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
        /* A guest that acknowledges a probe of its closed window leaves this running without data: lwIP CHECKs. */
        if (!pcb->unsent)
            pcb->persist_backoff = 0;
        /* Nor while the window has room again: it would split at the window's low 16 bits, which may be none. */
        if (pcb->unsent && pcb->persist_backoff > 0 && pcb->snd_wnd >= pcb->unsent->len) {
            pcb->persist_backoff = 0;
            tcp_want_flush(conn);
        }
        if (stack->slow_turn)
            fit_window(conn, 1);
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

/* Retransmissions into a pause are not the guest's fault: they count for nothing, and the next tick sends again. */
void tcp_guest_is_back(struct guest *guest)
{
    LIST_FOR_EACH(node, &guest->stack->timers) {
        struct tcp_conn *conn = LIST_ENTRY(node, struct tcp_conn, timer_node);

        if (conn->guest != guest || !conn->pcb || conn->time_wait || !conn->pcb->unacked)
            continue;
        conn->pcb->rtime = conn->pcb->rto;
        conn->pcb->nrtx = 0;
        conn->heard_ms = guest->stack->now_ms;
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

/* RFC 5482's user timeout: who owes an ACK, or an answer to a probe of its closed window, and says nothing at all. */
static bool guest_vanished(const struct tcp_conn *conn)
{
    const struct stack *stack = conn->guest->stack;
    const struct tcp_pcb *pcb = conn->pcb;

    return pcb && stack->guest_timeout_ms > 0 && !conn->time_wait && (pcb->unacked || pcb->persist_backoff > 0) &&
           stack->now_ms - conn->heard_ms > stack->guest_timeout_ms;
}

static void give_up(struct tcp_conn *conn)
{
    tcp_enter(conn);
    tcp_err(conn->pcb, NULL);
    tcp_abort(conn->pcb); /* with RST: the guest may come back after all */
    conn->pcb = NULL;
    tcp_leave(conn);
    tcp_record_gone(conn, TCP_GONE_TIMEOUT);
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
        if (guest_vanished(conn))
            give_up(conn);
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
    if (conn->window_due || conn->unacked_in > conn->guest_mss)
        tcp_set_flags(conn->pcb, TF_ACK_NOW);
    conn->window_due = false;
    tcp_window_announce(conn);
    fit_window(conn, conn->gso_size);
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
    stack_count_refusals(stack);
}
