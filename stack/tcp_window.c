/*
 * Receive windows as grants (docs/architecture.md, "Windows").
 *
 * Invariant: pcb->rcv_wnd + held bytes = conn->grant. A grant starts at TCP_WINDOW_FIRST, which may be
 * over-promised (a full pool drops payload before lwIP sees it), and doubles each time the host side has taken a whole
 * grant, while all growth of all connections fits the pool. Closing the window is withholding: bytes the host
 * has not taken are never credited.
 */
#include "stack/stack_private.h"

void tcp_window_init(struct tcp_conn *conn)
{
    struct tcp_pcb *pcb = conn->pcb;
    struct guest *guest = conn->guest;
    uint32_t wire_max = guest->wire.windows_max;

    conn->grant = TCP_WINDOW_FIRST - 1; /* what an unscaled window field can say */
    if (wire_max > 0) { /* the newcomer gets a quarter of what is left, and two segments at least */
        uint32_t left = guest->windows < wire_max ? wire_max - guest->windows : 0;

        conn->grant = LWIP_MIN(conn->grant, LWIP_MAX(left / 4, 2u * conn->guest_mss));
    }
    guest->windows += conn->grant;
    conn->grant_used = 0;
    pcb->rcv_wnd = conn->grant;
    pcb->rcv_ann_wnd = conn->grant;
    pcb->rcv_ann_right_edge = pcb->rcv_nxt + conn->grant;
}

static void grow(struct tcp_conn *conn)
{
    struct stack *stack = conn->guest->stack;
    struct guest *guest = conn->guest;
    uint32_t more = conn->grant, wire_max = guest->wire.windows_max;

    if (!(conn->pcb->flags & TF_WND_SCALE) || conn->grant * 2 > stack->window_max ||
        (wire_max > 0 && guest->windows + more > wire_max) ||
        stack->grants_used + more > stack->grants_max)
        return;
    stack->grants_used += more;
    guest->windows += more;
    conn->grant += more;
    conn->grown += more;
    conn->grant_used = 0;
    conn->pcb->rcv_wnd += more;
}

void tcp_window_credit(struct tcp_conn *conn, uint32_t n)
{
    struct tcp_pcb *pcb = conn->pcb;
    uint32_t announced, floor;

    if (!pcb || conn->time_wait)
        return;
    pcb->rcv_wnd += n;
    conn->grant_used += n;
    if (conn->grant_used >= conn->grant)
        grow(conn);

    /* RFC 9293 section 3.8.6.2.2, sharpened: a window that had nearly closed is reopened at once. */
    announced = pcb->rcv_ann_right_edge - pcb->rcv_nxt;
    floor = LWIP_MIN(2u * conn->guest_mss, conn->grant / 2);
    if (pcb->rcv_wnd > announced && (announced < floor || pcb->rcv_wnd - announced >= conn->grant / 2)) {
        tcp_set_flags(pcb, TF_ACK_NOW);
        tcp_want_flush(conn);
    }
}

/* While the pool is short the window opens no further than what would be held; what was said before stands. */
void tcp_window_announce(struct tcp_conn *conn)
{
    struct tcp_pcb *pcb = conn->pcb;
    bool is_short = pool_is_short(conn->guest->stack->pool);
    tcpwnd_size_t open = is_short ? LWIP_MIN(pcb->rcv_wnd, TCP_HOLD_SHORT) : pcb->rcv_wnd;
    tcpwnd_size_t said = TCP_SEQ_GT(pcb->rcv_ann_right_edge, pcb->rcv_nxt) ? pcb->rcv_ann_right_edge - pcb->rcv_nxt : 0;

    pcb->rcv_ann_wnd = LWIP_MAX(open, said);
}

void tcp_window_release(struct tcp_conn *conn)
{
    conn->guest->stack->grants_used -= conn->grown;
    conn->guest->windows -= conn->grant;
    conn->grant = conn->grown = 0;
}
