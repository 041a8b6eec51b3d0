/*
 * The guest's end of a TCP connection (peer.h).
 */
#include "peer.h"

#include <stdlib.h>

#include "base/check.h"

enum {
    SUPER_BYTES = 44 * 1460, /* what Linux puts into one TSO frame at MTU 1500 */
    RTO_FIRST_MS = 200,
    RTO_MAX_MS = 2000,
};

struct sim_peer *peer_new(struct sim *sim, const struct sim_peer_options *options)
{
    struct sim_peer *peer = calloc(1, sizeof(*peer));

    assert_non_null(peer);
    peer->sim = sim;
    peer->options = *options;
    peer->port = sim->next_port++;
    peer->iss = sim_random(sim, UINT32_MAX);
    peer->seq = peer->iss + 1;
    peer->rto_ms = RTO_FIRST_MS;
    list_init(&peer->node);
    list_append(&sim->peers, &peer->node);
    return peer;
}

/* ---- sending ---- */

static uint32_t free_window(const struct sim_peer *peer)
{
    return peer->options.window - peer->buffered;
}

static uint16_t window_field(const struct sim_peer *peer)
{
    uint32_t field = free_window(peer) >> (peer->options.wscale > 0 ? peer->options.wscale : 0);

    return (uint16_t)(field < UINT16_MAX ? field : UINT16_MAX);
}

static uint32_t ack_number(const struct sim_peer *peer)
{
    if (!peer->options.automatic)
        return peer->ack;
    return peer->irs + 1 + (uint32_t)peer->received + (peer->fin_in ? 1 : 0);
}

static struct sim_tcp segment(const struct sim_peer *peer, uint8_t flags, uint32_t seq)
{
    return (struct sim_tcp){
        .src = sim_guest,
        .dst = sim_server,
        .src_port = peer->port,
        .dst_port = peer->options.dst_port,
        .seq = seq,
        .ack = flags & FRAME_ACK ? ack_number(peer) : 0,
        .flags = flags,
        .window = window_field(peer),
    };
}

void peer_send_raw(struct sim_peer *peer, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t window,
                   const void *options, size_t options_bytes, const void *bytes, size_t len)
{
    struct sim_tcp tcp = segment(peer, flags, seq);

    tcp.ack = ack;
    tcp.window = window;
    tcp.options = options;
    tcp.options_bytes = options_bytes;
    tcp.payload = bytes;
    tcp.payload_bytes = len;
    sim_send_tcp(peer->sim, &tcp);
}

void peer_send(struct sim_peer *peer, uint8_t flags, uint32_t seq, const void *bytes, size_t len)
{
    struct sim_tcp tcp = segment(peer, flags, seq);

    tcp.payload = bytes;
    tcp.payload_bytes = len;
    if (len > sim_mss(peer->sim))
        tcp.gso_size = sim_mss(peer->sim);
    sim_send_tcp(peer->sim, &tcp);
    if (peer->options.automatic && flags & FRAME_ACK) {
        int shift = peer->options.wscale > 0 ? peer->options.wscale : 0;
        uint64_t edge = peer->received + ((uint64_t)tcp.window << shift);

        peer->edge = edge > peer->edge ? edge : peer->edge;
        peer->ack_due = false;
    }
}

void peer_data(struct sim_peer *peer, size_t n)
{
    while (n > 0) {
        size_t part = n < SUPER_BYTES ? n : SUPER_BYTES;

        peer_send(peer, FRAME_ACK | FRAME_PSH, peer->seq, sim_pattern(peer->seq - peer->iss - 1), part);
        peer->seq += (uint32_t)part;
        n -= part;
    }
}

void peer_ack(struct sim_peer *peer)
{
    peer_send(peer, FRAME_ACK, peer->seq, NULL, 0);
}

void peer_fin(struct sim_peer *peer)
{
    peer_send(peer, FRAME_ACK | FRAME_FIN, peer->seq, NULL, 0);
    peer->seq++;
}

void peer_syn(struct sim_peer *peer)
{
    struct sim_tcp tcp = segment(peer, FRAME_SYN, peer->iss);
    uint8_t options[16];
    size_t n = 0;

    if (peer->options.mss > 0) {
        memcpy(options, (uint8_t[]){2, 4, (uint8_t)(peer->options.mss >> 8), (uint8_t)peer->options.mss}, 4);
        n += 4;
    }
    if (peer->options.sack) {
        memcpy(options + n, (uint8_t[]){1, 1, 4, 2}, 4);
        n += 4;
    }
    if (peer->options.wscale >= 0) {
        memcpy(options + n, (uint8_t[]){1, 3, 3, (uint8_t)peer->options.wscale}, 4);
        n += 4;
    }
    tcp.options = options;
    tcp.options_bytes = n;
    /* RFC 7323 section 2.2: the window of a SYN is never scaled. */
    tcp.window = (uint16_t)(free_window(peer) < UINT16_MAX ? free_window(peer) : UINT16_MAX);
    peer->edge = tcp.window;
    sim_send_tcp(peer->sim, &tcp);
}

static bool both_connected(const void *ctx)
{
    const struct sim_peer *peer = ctx;
    const struct sim_flow *flow = peer->sim->flows_by_port[peer->port];

    return peer->connected && flow && flow->events & SIM_CONNECTED;
}

struct sim_peer *peer_connect(struct sim *sim, const struct sim_peer_options *options)
{
    struct sim_peer *peer = peer_new(sim, options);
    struct sim_frame *f;

    (void)sim_drain(sim);
    peer_syn(peer);
    sim_turn(sim);
    if (!options->automatic) {
        f = sim_take(sim);
        assert_non_null(f);
        assert_int_equal(f->flags, FRAME_SYN | FRAME_ACK);
        assert_int_equal(f->ack, peer->iss + 1);
        peer->irs = f->seq;
        peer->ack = f->seq + 1;
        peer->connected = true;
        peer_ack(peer);
        sim_turn(sim);
    }
    (void)sim_run_until(sim, both_connected, peer, 60000); /* a lossy wire takes its time */
    peer->flow = sim->flows_by_port[peer->port];
    assert_true(peer->connected && peer->flow);
    assert_true(peer->flow->events & SIM_CONNECTED);
    return peer;
}

/* ---- receiving, automatic ---- */

static void drop_range(struct sim_peer *peer, unsigned i)
{
    peer->range_count--;
    memmove(peer->ranges + i, peer->ranges + i + 1, (peer->range_count - i) * sizeof(*peer->ranges));
}

/* Bytes [from, to) are here: what is in order now moves `received`. */
static void add_range(struct sim_peer *peer, uint64_t from, uint64_t to)
{
    uint64_t before = peer->received;

    for (unsigned i = 0; i < peer->range_count;) {
        struct peer_range r = peer->ranges[i];

        if (r.from > to || r.to < from) {
            i++;
            continue;
        }
        from = r.from < from ? r.from : from;
        to = r.to > to ? r.to : to;
        drop_range(peer, i);
    }
    if (from <= peer->received) {
        peer->received = to > peer->received ? to : peer->received;
    } else {
        assert_true(peer->range_count < SIM_RANGES_MAX);
        peer->ranges[peer->range_count++] = (struct peer_range){from, to};
    }
    if (peer->stopped)
        peer->buffered += (uint32_t)(peer->received - before);
}

static void take_data(struct sim_peer *peer, const struct sim_frame *f)
{
    uint32_t expected = peer->irs + 1 + (uint32_t)peer->received;
    uint64_t from = peer->received + (uint64_t)(int64_t)(int32_t)(f->seq - expected);
    uint64_t to = from + f->payload_bytes;
    size_t on_wire = f->offload.gso_size > 0 ? f->offload.gso_size : f->payload_bytes;

    if (f->payload_bytes == 0 && !(f->flags & FRAME_FIN)) {
        peer->acks_in++;
        return;
    }
    peer->ack_due = true;
    peer->segment_max = on_wire > peer->segment_max ? on_wire : peer->segment_max;
    if (f->payload_bytes > 0 && (int64_t)from >= 0)
        peer->bad_bytes += sim_compare(f->payload, f->payload_bytes, from);
    if (f->flags & FRAME_FIN) {
        assert_true(!peer->fin_seen || peer->fin_at == to); /* one end, whatever comes again */
        peer->fin_seen = true;
        peer->fin_at = to;
    }
    if (to > peer->edge) {
        if (to - peer->edge > 1) /* one byte may probe a closed window */
            peer->overrun_bytes += to - peer->edge;
        to = peer->edge > from ? peer->edge : from;
    }
    if (to > from)
        add_range(peer, from, to);
    if (peer->fin_seen && peer->received == peer->fin_at)
        peer->fin_in = true;
}

static void take_ack(struct sim_peer *peer, const struct sim_frame *f)
{
    uint64_t top = peer->sent_max + (peer->fin_sent ? 1 : 0);
    uint64_t at = peer->una + (uint64_t)(int64_t)(int32_t)(f->ack - (peer->iss + 1 + (uint32_t)peer->una));
    uint64_t window = (uint64_t)f->window << peer->snd_wscale;

    if (at > peer->una && at <= top) {
        peer->fin_acked |= peer->fin_sent && at == peer->to_send + 1;
        peer->una = at < peer->to_send ? at : peer->to_send;
        peer->nxt = peer->nxt > peer->una ? peer->nxt : peer->una;
        peer->dupacks = 0;
        peer->rto_ms = RTO_FIRST_MS;
        peer->rto_at_ms = peer->sim->now_ms + peer->rto_ms;
    } else if (at == peer->una && f->payload_bytes == 0 && window == peer->window && peer->nxt > peer->una) {
        peer->dupacks++;
    }
    peer->window = window;
}

bool peer_take(struct sim_peer *peer, const struct sim_frame *f)
{
    if (!peer->options.automatic || f->proto != FRAME_PROTO_TCP || f->dst_port != peer->port)
        return false;
    if (f->flags & FRAME_RST) {
        peer->reset = true;
        return true;
    }
    if (f->flags & FRAME_SYN) {
        if (!peer->connected) {
            peer->irs = f->seq;
            peer->snd_wscale = f->wscale >= 0 && peer->options.wscale >= 0 ? f->wscale : 0;
            peer->window = f->window;
            peer->connected = true;
        }
        peer->ack_due = true;
        return true;
    }
    assert_true(peer->connected && f->flags & FRAME_ACK);
    take_ack(peer, f);
    take_data(peer, f);
    return true;
}

/* ---- sending, automatic ---- */

static size_t segment_bytes(const struct sim_peer *peer)
{
    return peer->options.super_segments ? SUPER_BYTES : peer->sim->options.mtu - 40u;
}

static void send_range(struct sim_peer *peer, uint64_t from, size_t n)
{
    peer_send(peer, FRAME_ACK | FRAME_PSH, peer->iss + 1 + (uint32_t)from, sim_pattern(from), n);
    if (from + n > peer->sent_max)
        peer->sent_max = from + n;
    else
        peer->retransmits++;
}

static void send_new(struct sim_peer *peer)
{
    while (peer->nxt < peer->to_send && peer->nxt - peer->una < peer->window) {
        uint64_t n = peer->to_send - peer->nxt, room = peer->window - (peer->nxt - peer->una);

        n = n < room ? n : room;
        n = n < segment_bytes(peer) ? n : segment_bytes(peer);
        if (peer->nxt == peer->una)
            peer->rto_at_ms = peer->sim->now_ms + peer->rto_ms;
        send_range(peer, peer->nxt, (size_t)n);
        peer->nxt += n;
    }
    if (peer->nxt == peer->to_send && peer->close_when_sent && !peer->fin_sent) {
        if (peer->nxt == peer->una)
            peer->rto_at_ms = peer->sim->now_ms + peer->rto_ms;
        peer_send(peer, FRAME_ACK | FRAME_FIN, peer->iss + 1 + (uint32_t)peer->to_send, NULL, 0);
        peer->fin_sent = true;
    }
}

static void on_rto(struct sim_peer *peer)
{
    if (peer->window == 0 && peer->una == peer->nxt)
        send_range(peer, peer->una, 1); /* probes a closed window */
    else
        peer->nxt = peer->una;
    if (peer->una == peer->to_send)
        peer->fin_sent = false;
    peer->rto_ms = peer->rto_ms * 2 < RTO_MAX_MS ? peer->rto_ms * 2 : RTO_MAX_MS;
    peer->rto_at_ms = peer->sim->now_ms + peer->rto_ms;
}

void peer_turn(struct sim_peer *peer)
{
    bool owes;

    if (!peer->options.automatic || peer->reset)
        return;
    if (!peer->connected) {
        if (peer->rto_at_ms > 0 && peer->sim->now_ms >= peer->rto_at_ms)
            peer_syn(peer);
        if (peer->rto_at_ms == 0 || peer->sim->now_ms >= peer->rto_at_ms)
            peer->rto_at_ms = peer->sim->now_ms + 1000;
        return;
    }
    if (peer->dupacks >= 3) {
        uint64_t left = peer->sent_max - peer->una;

        peer->dupacks = 0;
        if (left > 0)
            send_range(peer, peer->una, left < segment_bytes(peer) ? (size_t)left : segment_bytes(peer));
    }
    owes = peer->una < peer->to_send || (peer->fin_sent && !peer->fin_acked);
    if (!owes)
        peer->rto_at_ms = peer->sim->now_ms + peer->rto_ms;
    else if (peer->sim->now_ms >= peer->rto_at_ms)
        on_rto(peer);
    send_new(peer);
    if (peer->ack_due)
        peer_ack(peer);
}

void peer_source(struct sim_peer *peer, uint64_t to_send, bool close)
{
    peer->to_send = to_send;
    peer->close_when_sent = close;
    peer_turn(peer);
}

void peer_stop_reading(struct sim_peer *peer)
{
    peer->stopped = true;
}

void peer_read(struct sim_peer *peer)
{
    peer->stopped = false;
    peer->buffered = 0;
    peer->ack_due = true;
    peer_turn(peer);
}

bool peer_saw_fin(const void *peer)
{
    return ((const struct sim_peer *)peer)->fin_in;
}

bool peer_all_acked(const void *peer)
{
    const struct sim_peer *p = peer;

    return p->una == p->to_send && (!p->close_when_sent || p->fin_acked);
}
