/*
 * A connection of the guest's: a TCP small enough to be read at one sitting. It sends as much as weir's window allows, acknowledges
 * every batch of segments at once, keeps what comes out of order, resends what is missing after three duplicate ACKs or its timer, and
 * compares every byte with the pattern.
 */
#include "vm.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "host/kernel.h"

enum {
    RTO_US = 300000,
    SYN_US = 1000000,
    SYN_TRIES = 6,
    DUPLICATES = 3,
    PUSH_BYTES_MAX = 1 << 20, /* sent in one turn */
};

static void on_timer(void *ctx);

const char *conn_state_name(enum conn_state state)
{
    static const char *const names[] = {"opening", "open", "refused", "unreachable", "reset", "gave-up"};

    return names[state];
}

static void move(struct conn *c, enum conn_state state)
{
    c->state = state;
    c->changed_us = kernel_now_us() - KERNEL_START_US;
}

static void arm(struct conn *c, uint64_t after_us)
{
    c->timer_due_us = kernel_now_us() + after_us;
    if (!c->timer_set)
        kernel_at(c->timer_due_us, on_timer, c);
    c->timer_set = true;
}

/* ---- segments out ---- */

static uint64_t window_of(const struct conn *c)
{
    if (c->fixed_window >= 0)
        return (uint64_t)c->fixed_window;
    return c->unread < c->rcvbuf ? c->rcvbuf - c->unread : 0;
}

static void emit(struct conn *c, uint8_t flags, uint64_t at, const uint8_t *bytes, size_t len)
{
    uint64_t window = window_of(c);
    struct packet p = {
        .kind = WIRE_TCP,
        .src = c->vm->own,
        .dst = c->dst,
        .src_port = c->port,
        .dst_port = c->dst_port,
        .ttl = 64,
        .dont_fragment = true,
        .flags = flags,
        .seq = flags & WIRE_SYN ? c->iss : (uint32_t)(c->iss + 1 + at),
        .wscale = -1,
        .payload = bytes,
        .payload_bytes = len,
        .gso_size = len > c->mss ? c->mss : 0,
    };

    if (flags & WIRE_ACK)
        p.ack = (uint32_t)(c->irs + 1 + c->got + (c->fin_got ? 1 : 0));
    if (flags & WIRE_SYN) {
        p.mss = c->mss;
        p.wscale = c->wscale;
        p.window = (uint16_t)(window < 65535 ? window : 65535);
    } else {
        window >>= c->scaled ? c->wscale : 0;
        p.window = (uint16_t)(window < 65535 ? window : 65535);
    }
    vm_send(c->vm, &p);
    c->ack_due = false;
}

/* Bytes of the stream at @at, up to @max. */
static size_t stream_bytes(const struct conn *c, uint64_t at, size_t max, uint8_t *out)
{
    size_t n = 0;

    LIST_FOR_EACH(node, &c->pieces) {
        const struct conn_piece *piece = LIST_ENTRY(node, struct conn_piece, node);
        uint64_t end = piece->at + piece->bytes;
        size_t part;

        if (at + n < piece->at || at + n >= end || n == max)
            continue;
        part = end - (at + n) < max - n ? (size_t)(end - (at + n)) : max - n;
        if (piece->len > 0)
            memcpy(out + n, piece->literal + (at + n - piece->at), part);
        else
            pattern_fill(out + n, part, at + n);
        n += part;
    }
    return n;
}

static size_t segment(struct conn *c, uint64_t at, size_t max)
{
    static uint8_t bytes[65536];
    size_t n = stream_bytes(c, at, max, bytes);
    bool last = c->fin_wanted && at + n == c->to_send;

    emit(c, (uint8_t)(WIRE_ACK | (n > 0 ? WIRE_PSH : 0) | (last ? WIRE_FIN : 0)), at, bytes, n);
    c->fin_sent = c->fin_sent || last;
    return n;
}

static void resend(struct conn *c)
{
    uint64_t left = c->sent - c->acked;

    c->resent++;
    (void)segment(c, c->acked, left < c->mss ? (size_t)left : c->mss);
}

static void push(struct conn *c)
{
    uint64_t limit = c->acked + c->window, sent = 0;
    size_t most = c->vm->offload ? 65000u / c->mss * c->mss : c->mss;

    while (c->sent < c->to_send && c->sent < limit && sent < PUSH_BYTES_MAX) {
        uint64_t n = c->to_send - c->sent;

        n = n < limit - c->sent ? n : limit - c->sent;
        n = segment(c, c->sent, n < most ? (size_t)n : most);
        c->sent += n;
        sent += n;
    }
    if (c->fin_wanted && !c->fin_sent && c->sent == c->to_send)
        (void)segment(c, c->sent, 0);
    if (c->sent > c->acked || (c->fin_sent && !c->fin_acked) || (c->sent < c->to_send && c->window == 0))
        arm(c, RTO_US);
}

void conn_turn(struct conn *c)
{
    if (c->state != CONN_OPEN || c->muted)
        return;
    push(c);
    if (c->ack_due)
        emit(c, WIRE_ACK, c->sent + (c->fin_sent ? 1 : 0), NULL, 0);
}

static void on_timer(void *ctx)
{
    struct conn *c = ctx;

    c->timer_set = false;
    if (kernel_now_us() < c->timer_due_us || c->vm->paused) {
        arm(c, c->vm->paused ? RTO_US : c->timer_due_us - kernel_now_us());
        return;
    }
    if (c->muted)
        return;
    if (c->state == CONN_OPENING) {
        if (++c->tries == SYN_TRIES) {
            move(c, CONN_GAVE_UP);
            return;
        }
        emit(c, WIRE_SYN, 0, NULL, 0);
        arm(c, (uint64_t)SYN_US << c->tries);
    } else if (c->state == CONN_OPEN && (c->sent > c->acked || (c->fin_sent && !c->fin_acked))) {
        resend(c);
        c->recover = c->sent;
        arm(c, RTO_US);
    } else if (c->state == CONN_OPEN && c->sent < c->to_send && c->window == 0) {
        c->sent += segment(c, c->sent, 1); /* a probe of the zero window (RFC 9293 section 3.8.6.1) */
        arm(c, RTO_US);
    }
}

/* ---- segments in ---- */

static void acked(struct conn *c, const struct packet *p)
{
    uint64_t at = (uint32_t)(p->ack - c->iss - 1), all;

    at += c->acked & ~UINT64_C(0xffffffff);
    if (at + 0x80000000u < c->acked)
        at += UINT64_C(0x100000000);
    all = c->sent + (c->fin_sent ? 1 : 0);
    if (at > all)
        return;
    c->window = (uint64_t)p->window << c->weir_wscale;
    if (c->fin_sent && at == all) {
        c->fin_acked = true;
        at--;
    }
    if (at > c->acked) {
        c->acked = at;
        c->duplicates = 0;
        if (c->acked < c->recover)
            resend(c); /* a partial acknowledgement: the next hole (RFC 6582) */
        arm(c, RTO_US);
    } else if (at == c->acked && c->sent > c->acked && p->payload_bytes == 0 && ++c->duplicates == DUPLICATES &&
               c->acked >= c->recover) {
        c->recover = c->sent;
        resend(c);
    }
}

/* Keep [left, right) and advance over what is whole now. */
static void keep(struct conn *c, uint64_t left, uint64_t right)
{
    uint64_t before = c->got;

    if (right <= c->got)
        c->duplicates_seen++;
    for (unsigned i = 0; i < c->range_count;) {
        if (c->ranges[i].right < left || c->ranges[i].left > right) {
            i++;
            continue;
        }
        left = left < c->ranges[i].left ? left : c->ranges[i].left;
        right = right > c->ranges[i].right ? right : c->ranges[i].right;
        c->ranges[i] = c->ranges[--c->range_count];
    }
    if (left <= c->got) {
        c->got = right > c->got ? right : c->got;
    } else if (c->range_count < CONN_RANGES_MAX) {
        c->ranges[c->range_count].left = left;
        c->ranges[c->range_count++].right = right;
    }
    if (!c->reading)
        c->unread += c->got - before;
}

static void payload(struct conn *c, const struct packet *p)
{
    uint64_t at = (uint32_t)(p->seq - c->irs - 1);

    at += c->got & ~UINT64_C(0xffffffff);
    if (at > c->got + 0x80000000u)
        at -= UINT64_C(0x100000000);
    else if (at + 0x80000000u < c->got)
        at += UINT64_C(0x100000000);
    if (c->fin_seen && p->payload_bytes > 0 && at + p->payload_bytes > c->fin_at) {
        c->pattern_bad = true; /* bytes behind the end: no receiver takes them */
        return;
    }
    if (p->payload_bytes > 0) {
        c->ack_due = true; /* also of what is not acceptable (RFC 9293 section 3.10.7.4) */
        if (at + p->payload_bytes > c->got + (window_of(c) > 0 ? c->rcvbuf + 65536 : 1))
            return; /* beyond any window it was ever given */
        if (!pattern_holds(p->payload, p->payload_bytes, at))
            c->pattern_bad = true;
        if (at < CONN_TEXT_MAX)
            memcpy(c->text + at, p->payload,
                   p->payload_bytes < CONN_TEXT_MAX - at ? p->payload_bytes : (size_t)(CONN_TEXT_MAX - at));
        if (window_of(c) > 0)
            keep(c, at, at + p->payload_bytes);
        c->last_us = kernel_now_us() - KERNEL_START_US;
    }
    if (p->flags & WIRE_FIN) {
        c->fin_seen = true;
        c->fin_at = at + p->payload_bytes;
        c->ack_due = true;
    }
    if (c->fin_seen && !c->fin_got && c->got == c->fin_at) {
        c->fin_got = true;
        c->fin_us = kernel_now_us() - KERNEL_START_US;
        if (!c->half)
            c->fin_wanted = true;
    }
}

static void opening(struct conn *c, const struct packet *p)
{
    if (p->flags & WIRE_RST) {
        move(c, CONN_REFUSED);
    } else if (p->flags & WIRE_SYN && p->flags & WIRE_ACK && p->ack == c->iss + 1) {
        c->irs = p->seq;
        c->scaled = p->wscale >= 0;
        c->window = p->window;
        c->weir_wscale = c->scaled ? (uint8_t)p->wscale : 0;
        move(c, CONN_OPEN);
        c->ack_due = true;
    }
}

/* Of a connection that is open. */
static void segment_in(struct conn *c, const struct packet *p)
{
    if (p->flags & WIRE_RST) {
        move(c, CONN_RESET);
    } else if (p->flags & WIRE_SYN) {
        c->ack_due = true; /* RFC 9293 section 3.10.7.4: a duplicate SYN-ACK gets an ACK */
    } else {
        acked(c, p);
        payload(c, p);
    }
}

bool conn_packet(struct conn *c, const struct packet *p)
{
    if (c->muted)
        return false;
    if (p->kind == WIRE_ICMP) {
        if (c->state == CONN_OPENING)
            move(c, CONN_UNREACHABLE);
        return false;
    }
    if (!addr_equal(&p->src, &c->dst) || p->src_port != c->dst_port)
        return false;
    if (c->state == CONN_OPENING)
        opening(c, p);
    else if (c->state == CONN_OPEN)
        segment_in(c, p);
    return c->state == CONN_OPEN && (c->ack_due || c->sent < c->to_send || (c->fin_wanted && !c->fin_sent));
}

/* ---- what the application does ---- */

struct conn *conn_open(struct vm *vm, uint16_t port, const struct addr *dst, uint16_t dst_port, const struct line *line)
{
    const char *mss = line_get(line, 3, "mss"), *ws = line_get(line, 3, "ws"), *win = line_get(line, 3, "win");
    struct conn *c = kernel_alloc(sizeof(*c));

    list_init(&c->node);
    list_init(&c->due);
    list_init(&c->pieces);
    c->vm = vm;
    c->port = port;
    c->dst = *dst;
    c->dst_port = dst_port;
    c->mss = mss ? (uint16_t)word_number(line, mss) : dst->family == ADDR_V6 ? 1440 : 1460;
    c->wscale = ws ? (uint8_t)word_number(line, ws) : 7;
    c->rcvbuf = win ? word_number(line, win) : 1 << 20;
    c->half = line_has(line, 3, "half");
    c->fixed_window = -1;
    c->reading = true;
    c->opened_us = kernel_now_us() - KERNEL_START_US;
    vm->random = vm->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    c->iss = (uint32_t)(vm->random >> 32);
    list_append(&vm->conns, &c->node);
    vm->by_port[port] = c;
    emit(c, WIRE_SYN, 0, NULL, 0);
    arm(c, SYN_US);
    c->muted = line_has(line, 3, "silent");
    return c;
}

void conn_free(struct conn *c)
{
    while (!list_empty(&c->pieces))
        kernel_free(LIST_ENTRY(list_take_first(&c->pieces), struct conn_piece, node));
    kernel_free(c);
}

void conn_send(struct conn *c, const void *literal, size_t len, uint64_t pattern_bytes)
{
    struct conn_piece *piece = kernel_alloc(sizeof(*piece) + len);

    list_init(&piece->node);
    piece->at = c->to_send;
    piece->len = len;
    piece->bytes = len > 0 ? len : pattern_bytes;
    if (len > 0)
        memcpy(piece->literal, literal, len);
    list_append(&c->pieces, &piece->node);
    c->to_send += piece->bytes;
    conn_turn(c);
}

void conn_fin(struct conn *c)
{
    c->fin_wanted = true;
    conn_turn(c);
}

void conn_rst(struct conn *c)
{
    emit(c, WIRE_RST | WIRE_ACK, c->sent + (c->fin_sent ? 1 : 0), NULL, 0);
    c->muted = true;
}

void conn_read(struct conn *c, bool reading)
{
    bool was_closed = window_of(c) < c->mss;

    c->reading = reading;
    if (reading)
        c->unread = 0;
    if (reading && was_closed && c->state == CONN_OPEN)
        emit(c, WIRE_ACK, c->sent + (c->fin_sent ? 1 : 0), NULL, 0);
}
