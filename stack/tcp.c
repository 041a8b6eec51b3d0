/*
 * The calling side of a connection (stack/tcp.h); segments and events are in tcp_input.c, lists in tcp_lists.c.
 */
#include "stack/stack_private.h"

#include <errno.h>
#include <string.h>

int tcp_syn_park(struct tcp_syn *syn, const struct frame *f)
{
    size_t len = (size_t)(f->l4 - f->ip) + f->tcp_header_bytes; /* data in a SYN is resent by the guest */

    if (len > sizeof(syn->bytes))
        return -E2BIG;
    memcpy(syn->bytes, f->ip, len);
    syn->len = (uint8_t)len;
    return 0;
}

bool tcp_syn_given_up(const struct tcp_syn *syn, const struct frame *f)
{
    size_t at = (syn->bytes[0] >> 4 == 6 ? IP6_HLEN : IP_HLEN) + 4;
    const uint8_t *b = syn->bytes + at;
    uint32_t isn;

    if (!(f->tcp_flags & FRAME_RST) || syn->len < at + 4)
        return false;
    isn = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return f->seq == isn || f->seq == isn + 1;
}

void tcp_conn_init(struct tcp_conn *conn, struct guest *guest, const struct tcp_events *events)
{
    memset(conn, 0, sizeof(*conn));
    conn->guest = guest;
    conn->events = events;
    conn->guest_mss = FRAME_TCP_MSS_MIN; /* until it says more */
    list_init(&conn->flush_node);
    list_init(&conn->timer_node);
    list_init(&conn->blocked_node);
}

size_t tcp_conn_held(const struct tcp_conn *conn)
{
    return conn->held_bytes;
}

bool tcp_conn_eof(const struct tcp_conn *conn)
{
    return conn->eof;
}

size_t tcp_conn_copy(const struct tcp_conn *conn, size_t from, void *out_bytes, size_t max)
{
    size_t len = 0;

    for (const struct pbuf *p = conn->held_first; p && len < max; p = p->next) {
        size_t skip = LWIP_MIN(p->len, from), part = LWIP_MIN(p->len - skip, max - len);

        memcpy((uint8_t *)out_bytes + len, (const uint8_t *)p->payload + skip, part);
        from -= skip;
        len += part;
    }
    return len;
}

int tcp_conn_peek(const struct tcp_conn *conn, struct iovec *out_iov, int iov_max)
{
    int n = 0;

    for (struct pbuf *p = conn->held_first; p && n < iov_max; p = p->next)
        if (p->len > 0)
            out_iov[n++] = (struct iovec){.iov_base = p->payload, .iov_len = p->len};
    return n;
}

void tcp_conn_pin(struct tcp_conn *conn, size_t n)
{
    CHECK(n <= conn->held_bytes);
    conn->pinned_bytes = (uint32_t)n;
}

void tcp_conn_consume(struct tcp_conn *conn, size_t n)
{
    size_t left = n;

    CHECK(n <= conn->held_bytes);
    while (conn->held_first && (left > 0 || conn->held_first->len == 0)) {
        struct pbuf *p = conn->held_first;

        if (p->len > left) {
            p->payload = (u8_t *)p->payload + left;
            p->len = (u16_t)(p->len - left);
            break;
        }
        left -= p->len;
        conn->held_first = p->next;
        if (!conn->held_first)
            conn->held_last = NULL;
        p->next = NULL;
        (void)pbuf_free(p);
    }
    conn->held_bytes -= (uint32_t)n;
    conn->pinned_bytes -= LWIP_MIN(conn->pinned_bytes, (uint32_t)n);
    tcp_window_credit(conn, (uint32_t)n);
}

size_t tcp_conn_room(const struct tcp_conn *conn)
{
    const struct tcp_pcb *pcb = conn->pcb;
    uint32_t queued, limit;

    if (!tcp_conn_established(conn) || conn->fin_wanted ||
        pcb->snd_queuelen >= TCP_SND_QUEUELEN - 4)
        return 0;
    /* Many tiny segments cost lwIP's heap more than they are worth: an ACK makes room again. */
    if (pcb->snd_queuelen >= TCP_TINY_SEGMENTS &&
        TCP_SND_BUF - pcb->snd_buf < (uint32_t)pcb->snd_queuelen * TCP_TINY_BYTES)
        return 0;
    /* A guest that does not read costs TCP_SEND_AHEAD, not a whole send buffer. */
    queued = TCP_SND_BUF - pcb->snd_buf;
    limit = pcb->snd_wnd + TCP_SEND_AHEAD;
    return queued < limit ? LWIP_MIN(pcb->snd_buf, limit - queued) : 0;
}

long tcp_conn_send(struct tcp_conn *conn, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    size_t left;

    if (!tcp_conn_established(conn) || conn->fin_wanted)
        return -EPIPE;
    left = LWIP_MIN(len, tcp_conn_room(conn));
    tcp_enter(conn);
    while (left > 0) {
        u16_t chunk = (u16_t)LWIP_MIN(left, 0xffffu); /* tcp_write takes a u16 */

        if (tcp_write(conn->pcb, at, chunk, 0) != ERR_OK)
            break; /* full; tiny writes exhaust the segment queue before the byte count */
        at += chunk;
        left -= chunk;
    }
    tcp_leave(conn);
    tcp_want_flush(conn);
    return at - (const uint8_t *)bytes;
}

void tcp_conn_flush(struct tcp_conn *conn)
{
    if (!conn->pcb || conn->time_wait)
        return;
    tcp_enter(conn);
    tcp_output(conn->pcb);
    tcp_leave(conn);
}

void tcp_conn_shutdown(struct tcp_conn *conn)
{
    if (!conn->pcb || conn->fin_wanted)
        return;
    conn->fin_wanted = true;
    tcp_want_flush(conn); /* queued data first; leave() queues the FIN when none is unsent */
}

static void unhook(struct tcp_conn *conn)
{
    tcp_drop_held(conn);
    conn->pending = 0;
    conn->acked_bytes = 0;
    conn->events = NULL;
    list_unlink(&conn->flush_node);
    list_unlink(&conn->timer_node);
    list_unlink(&conn->blocked_node);
    tcp_window_release(conn);
    conn->guest = NULL; /* which may be gone before the caller's storage is */
}

void tcp_conn_abort(struct tcp_conn *conn)
{
    if (!conn->guest)
        return;
    if (conn->pcb) {
        tcp_enter(conn);
        tcp_recv(conn->pcb, NULL);
        tcp_sent(conn->pcb, NULL);
        tcp_err(conn->pcb, NULL);
        tcp_abandon(conn->pcb, !conn->time_wait);
        conn->pcb = NULL; /* leave() must not look at it: a FIN may still be wanted */
        tcp_leave(conn);
    }
    unhook(conn);
}

bool tcp_conn_live(const struct tcp_conn *conn)
{
    return conn->pcb != NULL;
}

bool tcp_conn_established(const struct tcp_conn *conn)
{
    return conn->pcb && !conn->time_wait &&
           (conn->pcb->state == ESTABLISHED || conn->pcb->state == CLOSE_WAIT);
}

bool tcp_conn_time_wait(const struct tcp_conn *conn)
{
    return conn->pcb && conn->time_wait;
}

bool tcp_conn_closing(const struct tcp_conn *conn)
{
    return conn->pcb && !conn->time_wait &&
           (conn->pcb->state == LAST_ACK || conn->pcb->state == CLOSING);
}
