/*
 * The clock, the wires and the host side (sim.h).
 */
#include "peer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "stack/heap.h"

enum { TURNS_MAX = 100000, DELAY_MS_MAX = 20 };

uint32_t sim_random(struct sim *sim, uint32_t bound)
{
    /* xorshift64*: any good mixing will do, but the same on every machine. */
    sim->random ^= sim->random >> 12;
    sim->random ^= sim->random << 25;
    sim->random ^= sim->random >> 27;
    return (uint32_t)((sim->random * 0x2545f4914f6cdd1du) >> 32) % bound;
}

uint64_t sim_count(const struct sim *sim, enum counter c)
{
    return sim->counters.n[c];
}

/* ---- the host side ---- */

static struct sim_flow *flow_of(struct tcp_conn *conn)
{
    return CONTAINER_OF(conn, struct sim_flow, conn);
}

static void pump(struct sim_flow *flow)
{
    while (flow->sent < flow->to_send) {
        uint64_t left = flow->to_send - flow->sent;
        size_t n = left < SIM_PATTERN_BYTES ? (size_t)left : SIM_PATTERN_BYTES;
        long taken;

        if (flow->write_max > 0 && n > flow->write_max)
            n = flow->write_max;
        taken = tcp_conn_send(&flow->conn, sim_pattern(flow->sent), n);
        if (taken <= 0)
            return;
        flow->sent += (uint64_t)taken;
    }
    if (flow->close_when_sent || (flow->close_on_eof && flow->events & SIM_EOF))
        tcp_conn_shutdown(&flow->conn);
}

void sim_source(struct sim_flow *flow, uint64_t to_send, bool close)
{
    flow->to_send = to_send;
    flow->close_when_sent = close;
    pump(flow);
}

void sim_consume(struct sim_flow *flow, size_t n)
{
    size_t left = n;

    while (left > 0) {
        struct iovec iov;
        size_t here;

        assert_int_equal(tcp_conn_peek(&flow->conn, &iov, 1), 1);
        here = iov.iov_len < left ? iov.iov_len : left;
        flow->bad_bytes += sim_compare(iov.iov_base, here, flow->received);
        flow->received += here;
        left -= here;
        tcp_conn_consume(&flow->conn, here);
    }
}

/* Return: whether the connection is gone because the case wants it gone at this event. */
static bool note(struct sim_flow *flow, enum sim_event event)
{
    assert_false(flow->aborted);
    flow->events |= event;
    if (!(flow->abort_in & event))
        return false;
    flow->aborted = true;
    tcp_conn_abort(&flow->conn);
    return true;
}

static void on_connected(struct tcp_conn *conn)
{
    struct sim_flow *flow = flow_of(conn);

    flow->on_connected_at = flow->sim->now_ms;
    if (!note(flow, SIM_CONNECTED))
        pump(flow);
}

static void on_data(struct tcp_conn *conn)
{
    struct sim_flow *flow = flow_of(conn);

    assert_true(conn->held_bytes > 0);
    if (note(flow, SIM_DATA))
        return;
    if (flow->pin_next) {
        struct iovec iov;

        assert_int_equal(tcp_conn_peek(conn, &iov, 1), 1);
        flow->pinned = iov.iov_base;
        flow->pin_next = false;
        tcp_conn_pin(conn, conn->held_bytes);
    }
    if (flow->app == SIM_HOLD)
        return;
    sim_consume(flow, conn->held_bytes);
    if (flow->app == SIM_ECHO) {
        flow->to_send = flow->received;
        pump(flow);
    }
}

static void on_acked(struct tcp_conn *conn, size_t n)
{
    struct sim_flow *flow = flow_of(conn);

    flow->acked += n;
    assert_true(flow->acked <= flow->sent);
    if (!note(flow, SIM_ACKED))
        pump(flow);
}

static void on_eof(struct tcp_conn *conn)
{
    struct sim_flow *flow = flow_of(conn);

    assert_false(flow->events & SIM_EOF);
    flow->on_eof_at = flow->sim->now_ms;
    if (!note(flow, SIM_EOF))
        pump(flow);
}

static void on_gone(struct tcp_conn *conn, enum tcp_gone why)
{
    struct sim_flow *flow = flow_of(conn);

    assert_false(tcp_conn_live(conn));
    assert_false(flow->events & SIM_GONE);
    flow->why = why;
    (void)note(flow, SIM_GONE);
}

static const struct tcp_events flow_events = {on_connected, on_data, on_acked, on_eof, on_gone};

void sim_accept(struct sim_flow *flow)
{
    int err;

    assert_true(flow->syn.len > 0);
    err = tcp_conn_accept(&flow->conn, &flow->syn);
    if (err == 0)
        flow->syn.len = 0;
    else
        assert_int_equal(err, -ENOMEM);
}

static struct sim_flow *find_flow(struct sim *sim, const struct frame *f)
{
    for (struct sim_flow *flow = sim->flows_by_port[f->src_port]; flow; flow = flow->next)
        if (flow->conn.remote_port == f->src_port && flow->conn.local_port == f->dst_port &&
            addr_equal(&flow->conn.local, &f->dst))
            return flow;
    return NULL;
}

static void open_flow(struct sim *sim, struct guest *guest, struct frame *f)
{
    struct sim_flow *flow = &sim->flows[sim->flow_count];
    struct tcp_syn syn;

    assert_int_equal(tcp_syn_park(&syn, f), 0);
    if (sim->syn_policy == SIM_REFUSE || sim->flow_count == sim->options.flows_max) {
        tcp_syn_refuse(guest, &syn);
        return;
    }
    sim->flow_count++;
    flow->sim = sim;
    flow->app = sim->app;
    flow->abort_in = sim->abort_in;
    flow->close_on_eof = true;
    flow->syn = syn;
    flow->next = sim->flows_by_port[f->src_port];
    sim->flows_by_port[f->src_port] = flow;
    tcp_conn_init(&flow->conn, guest, &flow_events);
    flow->conn.local = f->dst; /* while it is parked; tcp_conn_accept() sets the same */
    flow->conn.local_port = f->dst_port;
    flow->conn.remote_port = f->src_port;
    if (sim->syn_policy == SIM_ACCEPT)
        sim_accept(flow);
}

static void on_segment(void *ctx, struct guest *guest, struct frame *f, struct buf *buf)
{
    struct sim *sim = ctx;
    struct sim_flow *flow = find_flow(sim, f);
    bool fresh = (f->tcp_flags & (FRAME_SYN | FRAME_ACK | FRAME_RST)) == FRAME_SYN;

    if (flow && flow->syn.len > 0)
        return; /* a SYN that came again while it is parked */
    if (flow && fresh && (tcp_conn_time_wait(&flow->conn) || tcp_conn_closing(&flow->conn)))
        tcp_conn_abort(&flow->conn); /* the guest opens the same pair again */
    if (flow && tcp_conn_live(&flow->conn))
        tcp_conn_input(&flow->conn, f, buf);
    else if (fresh)
        open_flow(sim, guest, f);
    else
        tcp_stray_input(guest, f);
}

static void on_datagram(void *ctx, struct guest *guest, struct frame *f)
{
    struct sim *sim = ctx;

    (void)guest;
    sim->datagrams++;
    sim->datagram.src = f->src;
    sim->datagram.dst = f->dst;
    sim->datagram.src_port = f->src_port;
    sim->datagram.dst_port = f->dst_port;
    sim->datagram.len = f->payload_bytes;
    sim->datagram.segment = f->segment;
    memcpy(sim->datagram.bytes, f->payload, f->payload_bytes);
}

static void on_echo(void *ctx, struct guest *guest, struct frame *f)
{
    struct sim *sim = ctx;

    (void)guest;
    sim->echoes++;
    sim->echo = stack_read_echo(f);
    sim->echo_bad_bytes += sim_compare(sim->echo.bytes, sim->echo.len, 0);
    sim->echo.bytes = NULL;
}

static void on_refusal(void *ctx, struct guest *guest, const struct refusal *refusal)
{
    struct sim *sim = ctx;

    (void)guest;
    (void)refusal;
    sim->refusals++;
}

static const struct stack_events stack_events = {on_segment, on_datagram, on_echo, on_refusal};

/* ---- the wires ---- */

static void enqueue(struct sim *sim, struct list *queue, const struct sim_faults *faults, struct sim_frame *f)
{
    struct list *at = queue;

    if (sim_random(sim, 1000) < faults->drop) {
        free(f);
        return;
    }
    f->due_ms = sim->now_ms;
    if (sim_random(sim, 1000) < faults->delay)
        f->due_ms += 1 + sim_random(sim, DELAY_MS_MAX);
    while (at->prev != queue && LIST_ENTRY(at->prev, struct sim_frame, node)->due_ms > f->due_ms)
        at = at->prev;
    f->node.prev = at->prev;
    f->node.next = at;
    at->prev->next = &f->node;
    at->prev = &f->node;
    assert_true(++sim->under_way <= SIM_FRAMES_MAX);
    if (sim_random(sim, 1000) < faults->dup) {
        struct sim_faults none = {0};
        struct sim_frame *copy = malloc(sizeof(*f) + f->len);

        assert_non_null(copy);
        memcpy(copy, f, sizeof(*f) + f->len);
        if (f->l4) {
            copy->l4 = copy->bytes + (f->l4 - f->bytes);
            copy->payload = f->payload ? copy->bytes + (f->payload - f->bytes) : NULL;
        }
        list_init(&copy->node);
        enqueue(sim, queue, &none, copy);
    }
}

static struct sim_frame *dequeue(struct sim *sim, struct list *queue)
{
    struct sim_frame *f;

    if (list_empty(queue))
        return NULL;
    f = LIST_ENTRY(queue->next, struct sim_frame, node);
    if (f->due_ms > sim->now_ms)
        return NULL;
    list_unlink(&f->node);
    sim->under_way--;
    return f;
}

static int wire_send(void *ctx, const struct wire_frame *frame)
{
    struct sim *sim = ctx;
    struct sim_frame *f;

    if (sim->wire_error < 0)
        return sim->wire_error;
    if (sim->wire_full)
        return -EAGAIN;
    if (sim->wire_room > 0 && --sim->wire_room == 0)
        sim->wire_full = true;
    f = sim_read_frame(sim, frame);
    assert_memory_equal(f->bytes, f->bytes[0] & 1 ? f->bytes : sim->guest->mac, FRAME_MAC_BYTES);
    sim->frames_to_guest++;
    sim->payload_to_guest += f->payload_bytes;
    sim->super_segments += f->offload.gso_type != FRAME_GSO_NONE;
    enqueue(sim, &sim->down_frames, &sim->down, f);
    return 0;
}

void sim_wire_writable(struct sim *sim)
{
    sim->wire_full = false;
    sim->wire_room = 0;
    stack_wire_writable(sim->stack, sim->guest);
}

void sim_send(struct sim *sim, const uint8_t *bytes, size_t len, const struct frame_offload *offload)
{
    struct sim_frame *f = calloc(1, sizeof(*f) + len);

    assert_non_null(f);
    memcpy(f->bytes, bytes, len);
    f->len = len;
    if (offload)
        f->offload = *offload;
    list_init(&f->node);
    if (sim->on_input)
        sim->on_input(sim, f->bytes, len, &f->offload);
    enqueue(sim, &sim->up_frames, &sim->up, f);
}

/* As a link would: a frame that the pool has no buffer for is not read, and so lost here. */
static bool deliver_up(struct sim *sim)
{
    struct sim_frame *f = dequeue(sim, &sim->up_frames);
    struct buf *buf;

    if (!f)
        return false;
    buf = pool_get_wire(&sim->pool, FRAME_BYTES_MAX); /* a link cannot know how long the next frame is */
    if (buf) {
        memcpy(buf->data, f->bytes, f->len);
        buf->len = (uint32_t)f->len;
        sim->inside = true;
        guest_input(sim->guest, buf, &f->offload);
        sim->inside = false;
    }
    free(f);
    return true;
}

static bool deliver_down(struct sim *sim)
{
    struct sim_frame *f = dequeue(sim, &sim->down_frames);

    if (!f)
        return false;
    LIST_FOR_EACH(node, &sim->peers) {
        if (peer_take(LIST_ENTRY(node, struct sim_peer, node), f)) {
            free(f);
            return true;
        }
    }
    assert_true(++sim->seen_count <= SIM_FRAMES_MAX);
    list_append(&sim->seen, &f->node);
    return true;
}

struct sim_frame *sim_take(struct sim *sim)
{
    struct list *node = list_take_first(&sim->seen);

    free(sim->taken);
    sim->taken = node ? LIST_ENTRY(node, struct sim_frame, node) : NULL;
    if (node)
        sim->seen_count--;
    return sim->taken;
}

unsigned sim_drain(struct sim *sim)
{
    unsigned n = 0;

    while (sim_take(sim))
        n++;
    return n;
}

/* ---- time ---- */

static void maybe_tick(struct sim *sim)
{
    if (!stack_wants_tick(sim->stack)) {
        sim->tick_at_ms = 0;
        return;
    }
    if (sim->tick_at_ms == 0)
        sim->tick_at_ms = sim->now_ms + STACK_TICK_MS;
    if (sim->now_ms < sim->tick_at_ms)
        return;
    sim->tick_at_ms += STACK_TICK_MS;
    stack_tick(sim->stack);
}

void sim_turn(struct sim *sim)
{
    stack_set_time(sim->stack, sim->now_ms);
    for (unsigned turns = 0; turns < TURNS_MAX; turns++) {
        bool moved = false;

        while (deliver_up(sim))
            moved = true;
        sim->inside = true;
        maybe_tick(sim);
        stack_flush(sim->stack);
        sim->inside = false;
        while (deliver_down(sim))
            moved = true;
        LIST_FOR_EACH(node, &sim->peers)
            peer_turn(LIST_ENTRY(node, struct sim_peer, node));
        if (!moved && (list_empty(&sim->up_frames) ||
                       LIST_ENTRY(sim->up_frames.next, struct sim_frame, node)->due_ms > sim->now_ms))
            return;
    }
    fail_msg("the two ends never come to rest at %llu ms", (unsigned long long)sim->now_ms);
}

void sim_run(struct sim *sim, uint64_t ms)
{
    for (uint64_t end = sim->now_ms + ms; sim->now_ms < end;) {
        sim->now_ms += SIM_STEP_MS;
        sim_turn(sim);
    }
}

bool sim_run_until(struct sim *sim, bool (*done)(const void *ctx), const void *ctx, uint64_t ms)
{
    sim_turn(sim);
    for (uint64_t end = sim->now_ms + ms; !done(ctx) && sim->now_ms < end;) {
        sim->now_ms += SIM_STEP_MS;
        sim_turn(sim);
    }
    return done(ctx);
}

/* ---- start and stop ---- */

static enum addr_family program_family = ADDR_V4;

void sim_family(int argc, char **argv)
{
    program_family = argc > 1 && strcmp(argv[1], "6") == 0 ? ADDR_V6 : ADDR_V4;
}

static void use_family(enum addr_family family)
{
    bool v6 = family == ADDR_V6;

    sim_guest = v6 ? sim_guest6 : sim_guest4;
    sim_gateway = v6 ? sim_gateway6 : sim_gateway4;
    sim_alias = v6 ? sim_alias6 : sim_alias4;
    sim_server = v6 ? sim_server6 : sim_server4;
}

static struct guest_config guest_config(const struct sim_options *options)
{
    struct guest_config config = {
        .hostname = "guest",
        .mac_pinned = options->mac_pinned,
        .net4 = {.base = {ADDR_V4, {192, 168, 127, 0}}, .bits = 24},
        .gateway4 = sim_gateway4,
        .guest4 = sim_guest4,
        .alias4 = sim_alias4,
        .net6 = {.base = {ADDR_V6, {0xfd, 0x77, 0x65, 0x69, 0, 0x72}}, .bits = 64},
        .gateway6 = sim_gateway6,
        .guest6 = sim_guest6,
        .alias6 = sim_alias6,
        .router6 = sim_router6,
        .mtu = options->mtu,
        .lease_s = 3600,
    };

    memcpy(config.gateway_mac, sim_gateway_mac, FRAME_MAC_BYTES);
    memcpy(config.guest_mac, sim_guest_mac, FRAME_MAC_BYTES);
    return config;
}

struct sim *sim_start(const struct sim_options *options)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    struct guest_config guest;
    struct wire wire = {
        .ctx = sim,
        .send = wire_send,
        .csum_offload = options->csum_offload,
        .tso4 = options->tso,
        .tso6 = options->tso,
        .uso = options->uso,
        .bulk_apart = options->bulk_apart,
    };
    struct stack_config config = {
        .pool = &sim->pool,
        .counters = &sim->counters,
        .events = &stack_events,
        .ctx = sim,
    };

    assert_non_null(sim);
    sim->options = *options;
    if (sim->options.pool_bytes == 0)
        sim->options.pool_bytes = 64 * SIM_MIB;
    if (sim->options.family == ADDR_NONE)
        sim->options.family = program_family;
    use_family(sim->options.family);
    if (sim->options.mtu == 0)
        sim->options.mtu = 1500;
    if (sim->options.flows_max == 0)
        sim->options.flows_max = 64;
    if (sim->options.flow_buffer_bytes == 0)
        sim->options.flow_buffer_bytes = TCP_WINDOW_MAX;
    sim->random = options->seed ^ 0x9e3779b97f4a7c15u;
    sim->now_ms = 1000000;
    sim->app = SIM_SINK;
    sim->next_port = 40000;
    memcpy(sim->guest_mac, sim_guest_mac, sizeof(sim->guest_mac));
    list_init(&sim->up_frames);
    list_init(&sim->down_frames);
    list_init(&sim->seen);
    list_init(&sim->peers);
    sim->flows = calloc(sim->options.flows_max, sizeof(*sim->flows));
    assert_non_null(sim->flows);
    assert_int_equal(pool_init(&sim->pool, sim->options.pool_bytes), 0);
    config.flows_max = sim->options.flows_max;
    config.flow_buffer_bytes = sim->options.flow_buffer_bytes;
    assert_int_equal(stack_new(&config, sim->now_ms, &sim->stack), 0);
    guest = guest_config(&sim->options);
    sim->guest = guest_new(sim->stack, &guest, &wire);
    assert_non_null(sim->guest);
    return sim;
}

static void free_frames(struct list *queue)
{
    for (struct list *node; (node = list_take_first(queue));)
        free(LIST_ENTRY(node, struct sim_frame, node));
}

void sim_stop(struct sim *sim)
{
    if (!sim)
        return;
    if (sim->inside) /* the case failed in a callback and never came back: the stack cannot be taken down */
        fail_msg("failed inside the stack: all that follows in this program fails too");
    for (uint32_t i = 0; i < sim->flow_count; i++)
        tcp_conn_abort(&sim->flows[i].conn);
    guest_free(sim->guest);
    stack_free(sim->stack); /* CHECKs lwIP's heap */
    pool_deinit(&sim->pool); /* CHECKs the buffers */
    free_frames(&sim->up_frames);
    free_frames(&sim->down_frames);
    free_frames(&sim->seen);
    free(sim->taken);
    for (struct list *node; (node = list_take_first(&sim->peers));)
        free(LIST_ENTRY(node, struct sim_peer, node));
    free(sim->flows);
    free(sim);
}

int sim_setup(void **state)
{
    struct sim_options options = {.seed = 1};

    *state = sim_start(&options);
    return 0;
}

int sim_teardown(void **state)
{
    sim_stop(*state);
    return 0;
}
