#include "datapath/bridge_private.h"

#include <string.h>

#include "base/check.h"
#include "datapath/flow_end.h"
#include "datapath/follow.h"
#include "datapath/instance_private.h"
#include "datapath/rule_use.h"
#include "proxy/host_stream.h"

enum {
    CHUNK_BYTES = 64 * 1024,
    SHORT_CHUNK_BYTES = 3 * 1024, /* while the pool is short: what fits a small buffer, and all that a flow queues */
    CHUNK_ROOM_MIN = 8 * 1024,   /* with less room left, the next read starts a new chunk */
    READ_ROOM_MIN = 32 * 1024,   /* with less room in TCP's queue a read is not worth its call */
    READ_CHUNKS_MAX = 4,         /* of one read */
    QUEUES_CACHED = 4 * 1024 * 1024,
    QUEUE_FLOOR = 256 * 1024,
    READS_AT_ONCE = 8,
    TURN_BYTES_MAX = 1024 * 1024, /* read in a turn of the loop on the word of ACKs: the others wait no longer */
    TURN_BYTES_BESIDE = 256 * 1024, /* while a guest waits for an answer */
};

static void push_down(struct flow *flow);

static struct flow *flow_of(const uv_handle_t *handle)
{
    return handle->data;
}

void bridge_init(struct flow *flow)
{
    memset(&flow->as.bridge, 0, sizeof(flow->as.bridge));
    list_init(&flow->as.bridge.up_node);
    list_init(&flow->as.bridge.starved_node);
}

void bridge_set_host(struct flow *flow, uv_stream_t *host)
{
    flow->as.bridge.host = host;
    host->data = flow;
}

void bridge_keep_alive(struct flow *flow)
{
    flow->as.bridge.kept_alive = true;
    host_stream_keepalive(bridge_host(flow), flow->instance->config.limits.keepalive_ms);
}

void bridge_finish_if_done(struct flow *flow)
{
    const struct bridge *b = &flow->as.bridge;

    if (flow->state == FLOW_OPEN && b->up.state == HALF_SHUT && b->down.state == HALF_SHUT)
        flow_finish(flow);
}

void bridge_note_end(struct flow *flow, enum flow_close how)
{
    if (flow->close_how == FLOW_CLOSE_NONE)
        flow->close_how = how;
}

/* ---- down ---- */

/* A chunk with room to read into, the last of the queue; NULL: the pool is full. */
static struct buf *chunk_to_fill(struct flow *flow)
{
    struct pool *pool = &flow->instance->pool;
    struct bridge *b = &flow->as.bridge;
    struct buf *chunk = b->chunk_last;

    if (chunk && chunk->cap - chunk->len >= CHUNK_ROOM_MIN)
        return chunk;
    chunk = pool_get(pool, pool_is_short(pool) ? SHORT_CHUNK_BYTES : CHUNK_BYTES);
    if (!chunk)
        return NULL;
    if (b->chunk_last)
        b->chunk_last->next = chunk;
    else
        b->chunk_first = chunk;
    b->chunk_last = chunk;
    if (!b->chunk_send) {
        b->chunk_send = chunk;
        b->send_at = 0;
    }
    return chunk;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out_buf)
{
    struct buf *chunk = chunk_to_fill(flow_of(handle));

    (void)suggested;
    if (chunk)
        *out_buf = uv_buf_init((char *)chunk->data + chunk->len, chunk->cap - chunk->len);
    else
        *out_buf = uv_buf_init(NULL, 0); /* read_cb gets UV_ENOBUFS */
}

/* Chunks at the end of the queue that got no byte of a read go back at once. */
static void drop_unused(struct bridge *b)
{
    struct buf **at = &b->chunk_first, *last = NULL;

    for (struct buf *chunk; (chunk = *at);) {
        if (chunk->len > 0) {
            last = chunk;
            at = &chunk->next;
            continue;
        }
        if (b->chunk_send == chunk)
            b->chunk_send = NULL;
        *at = chunk->next;
        buf_unref(chunk);
    }
    b->chunk_last = last;
}

/* Chunks whose bytes were all acknowledged go back; so does an unused last one: an idle flow owns no buffers. */
static void release_chunks(struct bridge *b)
{
    while (b->chunk_first && b->chunk_first->start == b->chunk_first->len) {
        struct buf *chunk = b->chunk_first;

        if (b->chunk_send == chunk) {
            b->chunk_send = chunk->next;
            b->send_at = 0;
        }
        b->chunk_first = chunk->next;
        if (!b->chunk_first)
            b->chunk_last = NULL;
        buf_unref(chunk);
    }
}

static void stop_reading(struct flow *flow)
{
    if (flow->as.bridge.reading)
        (void)uv_read_stop(bridge_host(flow)); /* cannot fail */
    flow->as.bridge.reading = false;
}

static void starve(struct flow *flow)
{
    struct bridge *b = &flow->as.bridge;

    stop_reading(flow);
    b->more = true;
    if (!list_linked(&b->starved_node))
        list_append(&flow->instance->starved, &b->starved_node);
}

/* Bytes of the host's, or its end: UV_EOF, or an error. */
static void take_from_host(struct flow *flow, ssize_t n)
{
    struct bridge *b = &flow->as.bridge;

    if (n > 0) {
        b->unsent += (uint32_t)n;
        flow->active_ms = instance_now(flow->instance);
    } else if (n == UV_EOF) {
        bridge_note_end(flow, FLOW_CLOSE_PEER_FIN);
        stop_reading(flow);
        release_chunks(b);
        half_source_end(&b->down);
    } else {
        flow_kill(flow, FLOW_CLOSE_PEER_RST, REASON_DIAL_RESET);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct flow *flow = flow_of((uv_handle_t *)stream);
    struct bridge *b = &flow->as.bridge;

    (void)buf;
    if (n == 0) {
        release_chunks(b);
        return;
    }
    if (n == UV_ENOBUFS) {
        starve(flow);
        return;
    }
    if (n > 0)
        b->chunk_last->len += (uint32_t)n;
    take_from_host(flow, n == UV_EOF ? host_stream_end(stream) : n);
    if (!flow->killed)
        push_down(flow);
}

/*
 * What one flow may keep queued for its guest. Dynamic thresholds (Choudhury and Hahne, "Dynamic queue length
 * thresholds", 1998) twice: bulk flows share QUEUES_CACHED, so that bytes are still in the processor's cache when they
 * leave, above a floor that keeps any link busy; and none takes more than an eighth of what the pool has left. Of its
 * last quarter each has one small buffer, so that no number of stalled readers takes it all from the others.
 */
static size_t queue_max(const struct flow *flow)
{
    const struct instance *in = flow->instance;
    size_t cached = in->down_queued < QUEUES_CACHED ? QUEUES_CACHED - (size_t)in->down_queued : 0;
    size_t limit = smaller(pool_left(&in->pool) / 8, in->config.limits.flow_buffer);

    if (pool_is_short(&in->pool))
        return SHORT_CHUNK_BYTES;
    limit = smaller(limit, cached > QUEUE_FLOOR ? cached : QUEUE_FLOOR);
    return limit > CHUNK_BYTES ? limit : CHUNK_BYTES;
}

static bool wants_bytes(const struct flow *flow)
{
    const struct bridge *b = &flow->as.bridge;

    return b->down_started && b->down.state == HALF_OPEN && b->unsent == 0 && b->queued < queue_max(flow) &&
           !list_linked(&b->starved_node) && tcp_conn_room(&flow->conn) >= READ_ROOM_MIN;
}

/* Give lwIP what it takes and the guest may have. */
static void hand_over(struct flow *flow)
{
    struct bridge *b = &flow->as.bridge;

    while (b->unsent > 0 && flow_down_left(flow) > 0) {
        struct buf *chunk = b->chunk_send;
        uint32_t here = (uint32_t)smaller(chunk->len - b->send_at, flow_down_left(flow));
        long n;

        if (here == 0) {
            b->chunk_send = chunk->next;
            b->send_at = 0;
            continue;
        }
        n = tcp_conn_send(&flow->conn, chunk->data + b->send_at, here);
        if (n == 0 && b->queued == 0)
            starve(flow); /* not full: memory was short, and no ACK will come to try again */
        if (n <= 0)
            break; /* full, or the guest is gone: on_acked or on_gone goes on */
        b->send_at += (uint32_t)n;
        b->unsent -= (uint32_t)n;
        b->queued += (uint32_t)n;
        flow->instance->down_queued += (uint64_t)n;
        flow->down_bytes += (uint64_t)n;
        if (b->follow && !follow_server(flow, chunk->data + b->send_at - n, (size_t)n))
            return;
        if ((uint32_t)n < here)
            break;
    }
}

static bool is_turn_over(const struct instance *in)
{
    return in->turn_bytes >= (instance_guest_waits(in) ? TURN_BYTES_BESIDE : TURN_BYTES_MAX);
}

/*
 * Read what there is room for, without asking the loop first. Return: as take_from_host() wants it; 0: nothing there,
 * or the pool is full.
 */
static ssize_t read_at_once(struct flow *flow)
{
    struct bridge *b = &flow->as.bridge;
    size_t room = smaller(tcp_conn_room(&flow->conn), queue_max(flow) - b->queued), total = 0;
    struct buf *chunks[READ_CHUNKS_MAX];
    struct iovec iov[READ_CHUNKS_MAX];
    int count = 0;
    ssize_t n, left;

    while (count < READ_CHUNKS_MAX && total < room) {
        struct buf *chunk = chunk_to_fill(flow);

        if (!chunk)
            break;
        chunks[count] = chunk;
        iov[count] = (struct iovec){.iov_base = chunk->data + chunk->len, .iov_len = chunk->cap - chunk->len};
        total += iov[count++].iov_len;
        chunk->len = chunk->cap; /* so that the next one is a new one */
    }
    n = count > 0 ? host_stream_readv(bridge_host(flow), iov, count) : -ENOBUFS;
    left = n > 0 ? n : 0;
    for (int i = 0; i < count; i++) {
        size_t used = (size_t)left < iov[i].iov_len ? (size_t)left : iov[i].iov_len;

        chunks[i]->len = chunks[i]->cap - (uint32_t)(iov[i].iov_len - used);
        left -= (ssize_t)used;
    }
    drop_unused(b);
    if (n == -ENOBUFS) {
        starve(flow);
        return 0;
    }
    if (n == 0)
        return UV_EOF;
    if (n == -EAGAIN) {
        b->more = false;
        return 0;
    }
    return n;
}

/* A write failed: the server has reset. What it said before (an early answer, as a rule) is still there to be read. */
void bridge_host_broke(struct flow *flow)
{
    if (flow->as.bridge.down.state == HALF_OPEN)
        stop_reading(flow);
    for (int i = 0; i < READS_AT_ONCE && wants_bytes(flow); i++) {
        ssize_t n = read_at_once(flow);

        if (n <= 0)
            break;
        take_from_host(flow, n);
        hand_over(flow);
        if (flow->killed)
            return;
    }
    flow_kill(flow, FLOW_CLOSE_PEER_RST, REASON_DIAL_RESET);
}

/*
 * Who waits for whom: while the guest is the faster one, libuv tells when the host has bytes. While the host is, each
 * ACK of the guest's makes room and the next bytes are read right then, with no word of the loop in between.
 */
static void read_or_pause(struct flow *flow)
{
    struct bridge *b = &flow->as.bridge;

    if (!wants_bytes(flow)) {
        b->more = b->more || b->reading;
        stop_reading(flow);
        return;
    }
    for (int i = 0; i < READS_AT_ONCE && b->more && wants_bytes(flow); i++) {
        ssize_t n;

        if (is_turn_over(flow->instance)) {
            starve(flow);
            return;
        }
        n = read_at_once(flow);
        if (n == 0)
            break;
        if (n > 0)
            flow->instance->turn_bytes += (uint32_t)n;
        take_from_host(flow, n);
        if (flow->killed || b->down.state != HALF_OPEN)
            return;
        hand_over(flow);
        if (flow->killed)
            return;
    }
    if (b->reading || b->more || !wants_bytes(flow))
        return;
    b->reading = uv_read_start(bridge_host(flow), on_alloc, on_read) == 0;
    if (!b->reading)
        flow_kill(flow, FLOW_CLOSE_PEER_RST, REASON_DIAL_RESET);
}

static void push_down(struct flow *flow)
{
    struct bridge *b = &flow->as.bridge;

    hand_over(flow);
    if (flow->killed)
        return;
    read_or_pause(flow);
    /* There is more than the guest may have: it ends when the guest has what it may. */
    if (b->unsent > 0 && b->queued == 0 && flow_down_left(flow) == 0)
        rule_use_spent(flow, RULE_USE_DOWN);
    if (flow->killed || !half_should_shut(&b->down, b->unsent))
        return;
    tcp_conn_shutdown(&flow->conn);
    half_sink_shut(&b->down);
    follow_server_end(flow);
    bridge_finish_if_done(flow);
}

void bridge_start_down(struct flow *flow)
{
    if (flow->as.bridge.down_started)
        return;
    flow->as.bridge.down_started = true;
    push_down(flow);
}

void bridge_acked(struct flow *flow, size_t n)
{
    struct bridge *b = &flow->as.bridge;

    if (flow->refused)
        n = smaller(n, b->queued); /* the rest is the refusal, and that a constant */
    CHECK(n <= b->queued);
    b->queued -= (uint32_t)n;
    flow->instance->down_queued -= n;
    flow->active_ms = instance_now(flow->instance);
    for (struct buf *chunk = b->chunk_first; n > 0; chunk = chunk->next) {
        size_t part;

        CHECK(chunk);
        part = chunk->len - chunk->start;
        part = part < n ? part : n;
        chunk->start += (uint32_t)part;
        n -= part;
    }
    release_chunks(b);
    if (flow->state == FLOW_OPEN || flow->state == FLOW_JUDGING)
        push_down(flow);
}

void bridge_stop(struct flow *flow)
{
    struct bridge *b = &flow->as.bridge;

    list_unlink(&b->up_node);
    list_unlink(&b->starved_node);
    follow_free(flow);
    b->reading = false;
}

void bridge_release(struct flow *flow)
{
    struct bridge *b = &flow->as.bridge;

    bridge_stop(flow);
    for (struct buf *chunk = b->chunk_first; chunk;) {
        struct buf *next = chunk->next;

        buf_unref(chunk);
        chunk = next;
    }
    b->chunk_first = b->chunk_last = b->chunk_send = NULL;
    flow->instance->down_queued -= b->queued;
    b->queued = b->unsent = 0;
}

bool bridge_resume_starved(struct instance *in)
{
    struct list round;

    list_init(&round);
    list_splice(&round, &in->starved);
    /* Whoever starves again ends the round: the next turn tries the others. */
    while (list_empty(&in->starved) && !list_empty(&round) && pool_left(&in->pool) >= 4 * POOL_BIG_BYTES) {
        struct list *node = list_take_first(&round);

        push_down(LIST_ENTRY(node, struct flow, as.bridge.starved_node));
    }
    list_splice(&round, &in->starved); /* behind those that have had nothing yet */
    list_splice(&in->starved, &round);
    return !list_empty(&in->starved) && is_turn_over(in);
}
