/*
 * Segments from the guest into lwIP, and what lwIP says about them back out.
 *
 * lwIP's callbacks record in the connection and return; tcp_deliver() reports after lwIP is done. Payload stays in
 * the link's buffer (a custom pbuf refers to it) until the host side has taken it; what is held longer is copied
 * together when it would waste its buffer.
 */
#include "stack/stack_private.h"

#include <errno.h>
#include <string.h>

/* lwIP reads a frame in place through this; it returns to the heap with the last pbuf reference. */
struct frame_pbuf {
    struct pbuf_custom custom; /* first: lwIP hands back a pointer to it */
    struct buf *buf;           /* one reference */
};

static void frame_pbuf_free(struct pbuf *p)
{
    struct frame_pbuf *fp = CONTAINER_OF(p, struct frame_pbuf, custom.pbuf);

    buf_unref(fp->buf);
    heap_free(fp);
}

static struct pbuf *pbuf_over(struct buf *buf, void *bytes, size_t len)
{
    struct frame_pbuf *fp = heap_malloc(sizeof(*fp));

    if (!fp)
        return NULL;
    fp->custom.custom_free_function = frame_pbuf_free;
    fp->buf = buf_ref(buf);
    return pbuf_alloced_custom(PBUF_RAW, (u16_t)len, PBUF_REF, &fp->custom, bytes, (u16_t)len);
}

/* A segment ahead of its turn is copied: lwIP may keep it for seconds, and a frame's buffer is large. */
static struct pbuf *pbuf_copied(struct stack *stack, const struct frame *f)
{
    struct buf *buf = pool_get(stack->pool, f->l4_bytes);
    struct pbuf *p;

    if (!buf)
        return NULL;
    memcpy(buf->data, f->l4, f->l4_bytes);
    p = pbuf_over(buf, buf->data, f->l4_bytes);
    buf_unref(buf);
    return p;
}

/* ---- callbacks from lwIP: record only ---- */

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    struct tcp_conn *conn = arg;
    struct pbuf *last;

    (void)pcb;
    (void)err; /* lwIP passes ERR_OK here, always */
    if (!p) {
        conn->eof = true;
        conn->pending |= TCP_PENDING_EOF;
        return ERR_OK;
    }
    conn->held_bytes += p->tot_len;
    for (last = p; last->next; last = last->next)
        ;
    if (conn->held_last)
        conn->held_last->next = p; /* tot_len is not kept across; nothing of ours reads it */
    else
        conn->held_first = p;
    conn->held_last = last;
    conn->pending |= TCP_PENDING_DATA;
    return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    struct tcp_conn *conn = arg;

    (void)pcb;
    conn->acked_bytes += len;
    return ERR_OK;
}

static void on_err(void *arg, err_t err)
{
    tcp_record_gone(arg, err == ERR_RST    ? TCP_GONE_RESET
                         : err == ERR_CLSD ? TCP_GONE_CLOSED
                                           : TCP_GONE_TIMEOUT);
}

void tcp_hook_callbacks(struct tcp_conn *conn)
{
    tcp_arg(conn->pcb, conn);
    tcp_recv(conn->pcb, on_recv);
    tcp_sent(conn->pcb, on_sent);
    tcp_err(conn->pcb, on_err);
}

/* ---- after lwIP ---- */

void tcp_drop_held(struct tcp_conn *conn)
{
    if (conn->held_first)
        (void)pbuf_free(conn->held_first);
    conn->held_first = conn->held_last = NULL;
    conn->held_bytes = 0;
}

/*
 * Held bytes the host side did not take at once: a payload that fills less than half of its buffer is moved into one
 * that fits, or behind its predecessor's bytes, so that 1-byte segments cannot pin 64 KiB each.
 */
static bool append_to(struct tcp_conn *conn, struct pbuf *before, struct pbuf *p)
{
    struct buf *buf = CONTAINER_OF(before, struct frame_pbuf, custom.pbuf)->buf;
    uint8_t *end = (uint8_t *)before->payload + before->len;

    if (buf->holder != conn || (size_t)(buf->data + buf->cap - end) < p->len ||
        before->len + p->len > UINT16_MAX)
        return false;
    memcpy(end, p->payload, p->len);
    before->len = (u16_t)(before->len + p->len);
    before->next = p->next;
    p->next = NULL;
    if (conn->held_last == p)
        conn->held_last = before;
    (void)pbuf_free(p);
    return true;
}

/* Move @p's bytes into a buffer of their own, in its place behind @before (NULL: it is the first). Return: that. */
static struct pbuf *repack(struct tcp_conn *conn, struct pbuf *before, struct pbuf *p)
{
    struct buf *buf = pool_get(conn->guest->stack->pool,
                               conn->held_bytes > POOL_SMALL_BYTES ? POOL_BIG_BYTES / 2 : p->len);
    struct pbuf *copy;

    if (!buf)
        return p; /* the frame's own buffer goes on holding it */
    memcpy(buf->data, p->payload, p->len);
    copy = pbuf_over(buf, buf->data, p->len);
    if (copy) {
        buf->holder = conn;
        copy->next = p->next;
        p->next = NULL;
        if (before)
            before->next = copy;
        else
            conn->held_first = copy;
        if (conn->held_last == p)
            conn->held_last = copy;
        (void)pbuf_free(p);
    }
    buf_unref(buf);
    return copy ? copy : p;
}

/* One segment may release many that waited for it: all that is held is looked at, but for what must not move. */
static void compact(struct tcp_conn *conn)
{
    struct pbuf *before = NULL, *next;
    uint32_t at = 0;

    for (struct pbuf *p = conn->held_first; p; p = next) {
        uint32_t len = p->len;
        bool ours = CONTAINER_OF(p, struct frame_pbuf, custom.pbuf)->buf->holder == conn;

        next = p->next;
        if (!ours && at >= conn->pinned_bytes && len < TCP_HOLD_COPY_BYTES) {
            if (!before || !append_to(conn, before, p))
                before = repack(conn, before, p);
        } else {
            before = p;
        }
        at += len;
    }
}

void tcp_deliver(struct tcp_conn *conn)
{
    const struct tcp_events *events = conn->events;
    uint8_t pending = conn->pending;
    uint32_t acked = conn->acked_bytes;

    conn->pending = 0;
    conn->acked_bytes = 0;
    if (pending & TCP_PENDING_CONNECTED && conn->events)
        events->on_connected(conn);
    if (pending & TCP_PENDING_DATA && conn->events && conn->held_bytes > 0)
        events->on_data(conn);
    if (acked > 0 && conn->events)
        events->on_acked(conn, acked);
    if (pending & TCP_PENDING_EOF && conn->events)
        events->on_eof(conn);
    if (pending & TCP_PENDING_GONE && conn->events) {
        tcp_window_release(conn);
        events->on_gone(conn, conn->gone);
    }
}

/* ---- into lwIP ---- */

/* What the guest said in its SYN, or in its SYN-ACK to ours. */
static void conn_learn_mss(struct tcp_conn *conn, uint16_t mss)
{
    unsigned headers = (conn->remote.family == ADDR_V6 ? IP6_HLEN : IP_HLEN) + TCP_HLEN;

    conn->guest_mss = LWIP_MAX(mss, FRAME_TCP_MSS_MIN);
    conn->gso_size = LWIP_MIN(conn->guest_mss, (uint16_t)(conn->guest->config.mtu - headers));
}

static void tune(struct tcp_conn *conn)
{
    struct tcp_pcb *pcb = conn->pcb;
    struct guest *guest = conn->guest;
    bool v6 = conn->remote.family == ADDR_V6;
    bool gso = v6 ? guest->wire.tso6 : guest->wire.tso4;
    unsigned segments;

    segments = gso ? TCP_MSS / conn->gso_size : 1;
    pcb->mss = (u16_t)(conn->gso_size * (segments > 0 ? segments : 1));
    pcb->cwnd = 1u << 30; /* the link loses nothing: the guest's window is the only limit */
    pcb->ssthresh = 1u << 30;
    /*
     * lwIP sizes segments by half the largest window it has seen and CHECKs that this never shrinks, but takes 0
     * for "no limit": a guest that opens with a window of 0 or 1 and says 2 later would abort us.
     */
    pcb->snd_wnd_max = LWIP_MAX(pcb->snd_wnd_max, 2u * conn->gso_size);
    conn->tuned = true;
    conn->pending |= TCP_PENDING_CONNECTED;
}

static bool is_ahead(const struct tcp_conn *conn, const struct frame *f)
{
    return f->seq != conn->pcb->rcv_nxt;
}

static void cut_payload(struct frame *f, uint32_t bytes)
{
    f->l4_bytes -= f->payload_bytes - bytes;
    f->payload_bytes = bytes;
    f->l4[13] &= (uint8_t)~(FRAME_FIN | FRAME_PSH);
}

/* The pool is full: the payload is lost here, counted, and lwIP sees the rest of the header. */
static void strip_payload(struct stack *stack, struct frame *f)
{
    counter_bump(stack->counters, COUNTER_TCP_POOL_FULL);
    cut_payload(f, 0);
}

/*
 * The pool is short: a connection holds as much as fits a small buffer, where its bytes are copied to. What is beyond
 * is lost here, counted, and comes again.
 */
static void hold_less(const struct tcp_conn *conn, struct frame *f)
{
    uint32_t room = conn->held_bytes < TCP_HOLD_SHORT ? TCP_HOLD_SHORT - conn->held_bytes : 0;

    if (f->payload_bytes <= room)
        return;
    counter_bump(conn->guest->stack->counters, COUNTER_TCP_POOL_FULL);
    cut_payload(f, room);
}

/*
 * What lwIP would take from a live connection's segment and then stumble over.
 *
 * Options count in the SYN that opened the connection: a second one could still turn on scaling, and with it 4 MiB
 * of window. The first segment queued ahead of its turn is not trimmed to the window, and a FIN queued there is
 * merged into others: either way lwIP later CHECKs that the data fits the window. So what lies beyond the window is
 * cut, and a FIN counts in its turn only. While our own SYN waits for its answer (SYN_SENT) there is no window
 * yet, and the options of that answer are those that count.
 */
static void defuse(const struct tcp_conn *conn, struct frame *f)
{
    const struct tcp_pcb *pcb = conn->pcb;
    uint32_t ahead = f->seq - pcb->rcv_nxt;

    if (pcb->state == SYN_SENT)
        return;
    if (f->tcp_flags & FRAME_SYN)
        memset(f->l4 + TCP_HLEN, 1, f->tcp_header_bytes - (size_t)TCP_HLEN);
    if (conn->time_wait || !TCP_SEQ_GT(f->seq, pcb->rcv_nxt))
        return;
    if (ahead < pcb->rcv_wnd)
        cut_payload(f, LWIP_MIN(f->payload_bytes, pcb->rcv_wnd - ahead));
}

/*
 * An ACK alone, in its turn, at a window of zero. RFC 9293 section 3.10.7.4 accepts it; lwIP takes it for one from
 * beyond the window and would answer, and two such ends answer each other for ever. It is lent a window of one byte.
 */
static bool is_acceptable_ack(const struct tcp_conn *conn, const struct frame *f)
{
    return conn->pcb->rcv_wnd == 0 && f->payload_bytes == 0 && f->seq == conn->pcb->rcv_nxt &&
           f->tcp_flags == FRAME_ACK && !conn->time_wait;
}

static void hand_over(struct tcp_conn *conn, struct frame *f, struct pbuf *p)
{
    struct tcp_pcb *pcb = conn->pcb;

    if (f->payload_bytes > 0) {
        conn->unacked_in += f->payload_bytes;
        tcp_window_arrived(conn, f->payload_bytes);
        /* lwIP would acknowledge every second segment by itself; we do once per turn, in stack_flush(). */
        if (!conn->time_wait)
            tcp_clear_flags(pcb, TF_ACK_DELAY);
    }
    ip_data_set(conn->guest, &f->src, &f->dst);
    tcp_input(p, conn->guest->netif);
    ip_data_clear();
}

void tcp_conn_input(struct tcp_conn *conn, struct frame *f, struct buf *buf)
{
    struct stack *stack = conn->guest->stack;
    struct pbuf *p;
    uint32_t held = conn->held_bytes;
    bool gap, is_short;
    tcpwnd_size_t lent;

    CHECK(conn->pcb);
    conn->heard_ms = stack->now_ms;
    if (conn->pcb->state == SYN_SENT && f->tcp_flags & FRAME_SYN)
        conn_learn_mss(conn, f->tcp_mss);
    defuse(conn, f);
    is_short = f->payload_bytes > 0 && pool_is_short(stack->pool);
    if (is_short)
        hold_less(conn, f);
    /* Accepted above the reserve alone, where there is one buffer more: what is held can be copied together. */
    if (f->payload_bytes > 0 && pool_left(stack->pool) < POOL_BIG_BYTES)
        strip_payload(stack, f);
    if (f->payload_bytes > 0 && (is_short || is_ahead(conn, f)))
        p = pbuf_copied(stack, f);
    else
        p = pbuf_over(buf, f->l4, f->l4_bytes);
    if (!p && f->payload_bytes > 0) {
        strip_payload(stack, f);
        p = pbuf_over(buf, f->l4, f->l4_bytes);
    }
    if (!p)
        return; /* the heap counts it */
    gap = f->payload_bytes > 0 && !conn->time_wait && conn->pcb->ooseq;
    lent = is_acceptable_ack(conn, f) ? 1 : 0;
    conn->pcb->rcv_wnd += lent;
    tcp_enter(conn);
    hand_over(conn, f, p);
    tcp_leave(conn);
    if (conn->pcb)
        conn->pcb->rcv_wnd -= lent;
    if (conn->pcb && !conn->time_wait) {
        if (!conn->tuned && conn->pcb->state >= ESTABLISHED)
            tune(conn);
        if (!(conn->pcb->flags & (TF_ACK_DELAY | TF_ACK_NOW)))
            conn->unacked_in = 0;
        else if (gap) /* it filled one: the guest must know now (RFC 5681 section 4.2) */
            conn->unacked_in += conn->guest_mss;
        if (conn->unacked_in > conn->guest_mss || conn->pcb->persist_backoff > 0)
            tcp_want_flush(conn);
    }
    tcp_deliver(conn);
    if (conn->held_bytes > held)
        compact(conn);
}

static struct pbuf *syn_pbuf(const struct tcp_syn *syn, struct addr *out_src, struct addr *out_dst)
{
    bool v6 = syn->bytes[0] >> 4 == 6;
    size_t ip_bytes = v6 ? IP6_HLEN : IP_HLEN;
    struct pbuf *p;

    CHECK(syn->len > ip_bytes + TCP_HLEN - 1);
    *out_src = v6 ? addr_from_v6(syn->bytes + 8) : addr_from_v4(syn->bytes + 12);
    *out_dst = v6 ? addr_from_v6(syn->bytes + 24) : addr_from_v4(syn->bytes + 16);
    p = pbuf_alloc(PBUF_RAW, (u16_t)(syn->len - ip_bytes), PBUF_RAM);
    if (p)
        (void)pbuf_take(p, syn->bytes + ip_bytes, p->len);
    return p;
}

static uint16_t syn_mss(const struct tcp_syn *syn)
{
    size_t at = (syn->bytes[0] >> 4 == 6 ? IP6_HLEN : IP_HLEN) + TCP_HLEN;

    while (at < syn->len && syn->bytes[at] != 0) {
        uint8_t kind = syn->bytes[at];

        if (kind == 1) {
            at++;
            continue;
        }
        if (kind == 2 && at + 4 <= syn->len)
            return (uint16_t)(syn->bytes[at + 2] << 8 | syn->bytes[at + 3]);
        if (at + 1 >= syn->len || syn->bytes[at + 1] < 2)
            break;
        at += syn->bytes[at + 1];
    }
    return 536; /* RFC 9293 section 3.7.1: no option received */
}

int tcp_conn_accept(struct tcp_conn *conn, const struct tcp_syn *syn)
{
    struct stack *stack = conn->guest->stack;
    struct tcp_pcb_listen *listener = stack->listener;
    struct pbuf *p = syn_pbuf(syn, &conn->remote, &conn->local);
    size_t tcp_at = conn->remote.family == ADDR_V6 ? IP6_HLEN : IP_HLEN;

    CHECK(!conn->pcb);
    if (!p)
        return -ENOMEM;
    conn->remote_port = (uint16_t)(syn->bytes[tcp_at] << 8 | syn->bytes[tcp_at + 1]);
    conn->local_port = (uint16_t)(syn->bytes[tcp_at + 2] << 8 | syn->bytes[tcp_at + 3]);
    conn->heard_ms = stack->now_ms;
    conn_learn_mss(conn, syn_mss(syn));

    tcp_enter(conn);
    listener->local_port = conn->local_port;
    listener->netif_idx = netif_get_index(conn->guest->netif);
    listener->callback_arg = conn;
    listener->next = NULL;
    tcp_listen_pcbs.listen_pcbs = listener;
    ip_data_set(conn->guest, &conn->remote, &conn->local);
    tcp_input(p, conn->guest->netif);
    ip_data_clear();
    tcp_listen_pcbs.listen_pcbs = NULL;
    listener->callback_arg = NULL;
    if (tcp_active_pcbs) {
        conn->pcb = tcp_active_pcbs;
        tcp_hook_callbacks(conn);
        tcp_nagle_disable(conn->pcb);
        tcp_window_init(conn);
    }
    tcp_leave(conn);
    return conn->pcb ? 0 : -ENOMEM;
}

/* With no pcb and no listener on lwIP's lists it answers by itself. */
static void answer_nobody(struct guest *guest, const struct addr *src, const struct addr *dst,
                          struct pbuf *p)
{
    CHECK(guest->stack->depth == 0 && !tcp_active_pcbs && !tcp_tw_pcbs);
    ip_data_set(guest, src, dst);
    tcp_input(p, guest->netif);
    ip_data_clear();
}

void tcp_stray_input(struct guest *guest, struct frame *f)
{
    struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)f->l4_bytes, PBUF_REF); /* payload too: the RST tells its length */

    counter_bump(guest->stack->counters, COUNTER_TCP_STRAY);
    if (!p)
        return;
    p->payload = f->l4;
    answer_nobody(guest, &f->src, &f->dst, p);
}

void tcp_syn_refuse(struct guest *guest, const struct tcp_syn *syn)
{
    struct addr src, dst;
    struct pbuf *p = syn_pbuf(syn, &src, &dst);

    if (p)
        answer_nobody(guest, &src, &dst, p);
}
