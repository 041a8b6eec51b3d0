/*
 * Receive windows as grants (docs/architecture.md, "Windows").
 *
 * Invariant: pcb->rcv_wnd + held bytes = conn->grant. A grant starts at TCP_WINDOW_FIRST, which may be
 * over-promised (a full pool drops payload before lwIP sees it), and doubles each time the host side has taken a whole
 * grant, while all growth of all connections fits the pool. Closing the window is withholding: bytes the host
 * has not taken are never credited.
 *
 * What is announced is less while many move bulk data: they share TCP_WINDOWS_SHARED, so that what they have sent is
 * still in the processor's caches when it is read, and does not keep others waiting in the link's queue; where that
 * queue is theirs alone, TCP_WINDOWS_APART.
 */
#include "stack/stack_private.h"

enum {
    SPELL_MS = 16, /* in one of these it is seen who moves bulk data */
    BULK_BYTES = 32 * 1024, /* received in a spell */
    SUPER_BYTES_MAX = 65535 - 320, /* of payload in a super-segment: Linux leaves so much for headers */
};

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

void tcp_window_arrived(struct tcp_conn *conn, uint32_t n)
{
    struct stack *stack = conn->guest->stack;
    uint64_t passed_ms = stack->now_ms - stack->spell.since_ms;

    if (passed_ms >= SPELL_MS) {
        stack->spell.bulk_before = passed_ms < 2 * SPELL_MS ? stack->spell.bulk : 0;
        stack->spell.bulk = 0;
        stack->spell.number++;
        stack->spell.since_ms = stack->now_ms;
    }
    if (conn->spell != stack->spell.number) {
        conn->bulk_before = conn->spell + 1 == stack->spell.number && conn->spell_bytes >= BULK_BYTES;
        conn->spell = stack->spell.number;
        conn->spell_bytes = 0;
    }
    if (conn->spell_bytes < BULK_BYTES && conn->spell_bytes + n >= BULK_BYTES)
        stack->spell.bulk++;
    conn->spell_bytes += n;
}

bool tcp_conn_is_bulk(const struct tcp_conn *conn)
{
    return conn->bulk_before || conn->spell_bytes >= BULK_BYTES;
}

/* How much of its grant a connection may use now. */
static uint32_t share(const struct tcp_conn *conn)
{
    const struct stack *stack = conn->guest->stack;
    uint32_t bulk = LWIP_MAX(stack->spell.bulk, stack->spell.bulk_before), mss = conn->guest_mss;
    uint32_t shared = conn->guest->wire.bulk_apart ? TCP_WINDOWS_APART : TCP_WINDOWS_SHARED;
    uint32_t each = bulk > 1 ? shared / bulk : TCP_WINDOW_MAX;
    uint32_t super = SUPER_BYTES_MAX / mss * mss;

    each = LWIP_MAX(each, LWIP_MAX((uint32_t)TCP_WINDOW_FIRST, 2 * mss));
    if (super > mss) /* whole ones: a guest would use up the rest of its window with small frames */
        each -= each % super - mss / 2;
    return LWIP_MIN(conn->grant, each);
}

/* What it may be told now: its share, less what it sent and the host side has not taken. */
static uint32_t open_bytes(const struct tcp_conn *conn)
{
    uint32_t most = share(conn);

    return LWIP_MIN(conn->pcb->rcv_wnd, conn->held_bytes < most ? most - conn->held_bytes : 0);
}

/* What it was told, and has not used yet. */
static uint32_t announced_bytes(const struct tcp_pcb *pcb)
{
    return TCP_SEQ_GT(pcb->rcv_ann_right_edge, pcb->rcv_nxt) ? pcb->rcv_ann_right_edge - pcb->rcv_nxt : 0;
}

void tcp_window_credit(struct tcp_conn *conn, uint32_t n)
{
    struct tcp_pcb *pcb = conn->pcb;
    uint32_t announced, open, half;

    if (!pcb || conn->time_wait)
        return;
    pcb->rcv_wnd += n;
    conn->grant_used += n;
    if (conn->grant_used >= conn->grant)
        grow(conn);

    /* RFC 9293 section 3.8.6.2.2, sharpened: a window that had nearly closed is reopened at once. */
    announced = announced_bytes(pcb);
    open = open_bytes(conn);
    half = share(conn) / 2;
    if (open > announced && (announced < LWIP_MIN(2u * conn->guest_mss, half) || open - announced >= half)) {
        conn->window_due = true; /* not TF_ACK_NOW: lwIP would say it with the next segment of this turn, and in full */
        tcp_want_flush(conn);
    }
}

/* While the pool is short the window opens no further than what would be held; what was said before stands. */
void tcp_window_announce(struct tcp_conn *conn)
{
    struct tcp_pcb *pcb = conn->pcb;
    uint32_t open = open_bytes(conn);

    if (pool_is_short(conn->guest->stack->pool))
        open = LWIP_MIN(open, TCP_HOLD_SHORT);
    pcb->rcv_ann_wnd = LWIP_MAX(open, announced_bytes(pcb));
}

void tcp_window_release(struct tcp_conn *conn)
{
    conn->guest->stack->grants_used -= conn->grown;
    conn->guest->windows -= conn->grant;
    conn->grant = conn->grown = 0;
}
