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

    conn->grant = TCP_WINDOW_FIRST - 1; /* what an unscaled window field can say */
    conn->grant_used = 0;
    pcb->rcv_wnd = conn->grant;
    pcb->rcv_ann_wnd = conn->grant;
    pcb->rcv_ann_right_edge = pcb->rcv_nxt + conn->grant;
}

static void grow(struct tcp_conn *conn)
{
    struct stack *stack = conn->guest->stack;
    uint32_t more = conn->grant;

    if (!(conn->pcb->flags & TF_WND_SCALE) || conn->grant * 2 > stack->window_max ||
        stack->grants_used + more > stack->grants_max)
        return;
    stack->grants_used += more;
    conn->grant += more;
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
    /* A guest may have used window that was free but not announced yet. */
    announced = TCP_SEQ_GT(pcb->rcv_ann_right_edge, pcb->rcv_nxt) ? pcb->rcv_ann_right_edge - pcb->rcv_nxt : 0;
    floor = LWIP_MIN(2u * conn->guest_mss, conn->grant / 2);
    if (pcb->rcv_wnd > announced && (announced < floor || pcb->rcv_wnd - announced >= conn->grant / 2)) {
        tcp_set_flags(pcb, TF_ACK_NOW);
        tcp_want_flush(conn);
    }
}

void tcp_window_announce(struct tcp_conn *conn)
{
    struct tcp_pcb *pcb = conn->pcb;

    if (TCP_SEQ_GT(pcb->rcv_nxt + pcb->rcv_wnd, pcb->rcv_ann_right_edge))
        pcb->rcv_ann_wnd = pcb->rcv_wnd;
}

void tcp_window_release(struct tcp_conn *conn)
{
    if (conn->grant > TCP_WINDOW_FIRST)
        conn->guest->stack->grants_used -= conn->grant - (TCP_WINDOW_FIRST - 1);
    conn->grant = 0;
}
