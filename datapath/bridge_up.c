#include "datapath/bridge_private.h"

#include "base/check.h"
#include "datapath/flow_end.h"
#include "datapath/follow.h"
#include "datapath/instance_private.h"
#include "datapath/rule_use.h"

enum {
    WRITE_IOV_MAX = 32,
    GATHER_FROM = 32 * 1024,      /* fewer bytes are no bulk: they leave at the end of the turn */
    GATHER_TO = 240 * 1024,       /* so many are written at once */
    GATHER_TURNS = 4,             /* and no bytes wait longer */
    WRITE_BYTES_MAX = 256 * 1024, /* one uv_write(): the guest's window reopens in steps of this */
};

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct flow *flow = CONTAINER_OF(req, struct flow, as.bridge.shutdown);

    if (flow->killed || flow->state == FLOW_CLOSING)
        return;
    if (status < 0 && status != UV_ENOTCONN) {
        flow_kill(flow, FLOW_CLOSE_PEER_RST, REASON_DIAL_RESET);
        return;
    }
    half_sink_shut(&flow->as.bridge.up);
    bridge_finish_if_done(flow);
}

static void shut_host_if_due(struct flow *flow)
{
    struct bridge *b = &flow->as.bridge;

    if (tcp_conn_eof(&flow->conn) && tcp_conn_held(&flow->conn) == 0)
        half_source_end(&b->up);
    if (!half_should_shut(&b->up, tcp_conn_held(&flow->conn) + b->writing))
        return;
    bridge_note_end(flow, FLOW_CLOSE_GUEST_FIN);
    if (uv_shutdown(&b->shutdown, bridge_host(flow), on_shutdown) < 0)
        flow_kill(flow, FLOW_CLOSE_PEER_RST, REASON_DIAL_RESET);
}

static void taken(struct flow *flow, size_t n)
{
    flow->up_bytes += n;
    flow->active_ms = instance_now(flow->instance);
    follow_taken(flow, n);
    tcp_conn_consume(&flow->conn, n);
}

static void on_written(uv_write_t *req, int status)
{
    struct flow *flow = CONTAINER_OF(req, struct flow, as.bridge.write);
    uint32_t n = flow->as.bridge.writing;

    flow->as.bridge.writing = 0;
    if (flow->killed || flow->state == FLOW_CLOSING)
        return;
    if (status < 0) {
        bridge_host_broke(flow);
        return;
    }
    taken(flow, n);
    bridge_push_up(flow);
}

/* How many of the held bytes may go up now. 0: none, or the flow is over. Asked while none is being written. */
static size_t up_allowance(struct flow *flow)
{
    size_t read = flow->as.bridge.follow ? follow_allowance(flow) : tcp_conn_held(&flow->conn);

    return smaller(read, flow_up_left(flow));
}

/* At most @allowed bytes. */
static int collect(struct flow *flow, size_t allowed, uv_buf_t bufs[static WRITE_IOV_MAX], size_t *out_total)
{
    struct iovec iov[WRITE_IOV_MAX];
    int n = tcp_conn_peek(&flow->conn, iov, WRITE_IOV_MAX);
    size_t total = 0;

    for (int i = 0; i < n; i++) {
        size_t len = smaller(iov[i].iov_len, allowed - total);

        if (len == 0 || (total > 0 && total + len > WRITE_BYTES_MAX)) {
            n = i;
            break;
        }
        bufs[i] = uv_buf_init(iov[i].iov_base, (unsigned)len);
        total += len;
    }
    *out_total = total;
    return n;
}

void bridge_push_up(struct flow *flow)
{
    struct bridge *b = &flow->as.bridge;
    uv_buf_t bufs[WRITE_IOV_MAX];
    size_t total, allowed;
    int n;

    while (b->writing == 0 && (allowed = up_allowance(flow)) > 0) {
        int r;

        n = collect(flow, allowed, bufs, &total);
        r = uv_try_write(bridge_host(flow), bufs, (unsigned)n);
        if (r > 0) {
            taken(flow, (size_t)r);
            allowed -= (size_t)r;
            if ((size_t)r == total)
                continue;
        } else if (r != UV_EAGAIN) {
            bridge_host_broke(flow);
            return;
        }
        n = collect(flow, allowed, bufs, &total);
        tcp_conn_pin(&flow->conn, total);
        b->writing = (uint32_t)total;
        r = uv_write(&b->write, bridge_host(flow), bufs, (unsigned)n, on_written);
        if (r < 0) {
            b->writing = 0;
            flow_kill(flow, FLOW_CLOSE_PEER_RST, REASON_DIAL_RESET);
            return;
        }
    }
    if (flow->state != FLOW_OPEN)
        return;
    if (tcp_conn_held(&flow->conn) > 0 && flow_up_left(flow) == 0)
        rule_use_spent(flow, RULE_USE_UP); /* there is more than the server may have */
    else
        shut_host_if_due(flow);
}

void bridge_push_up_soon(struct flow *flow)
{
    struct list *node = &flow->as.bridge.up_node;

    if (!list_linked(node))
        list_append(&flow->instance->up_due, node);
}

/*
 * What a write costs is mostly waking its reader: bytes are gathered until GATHER_TO of them are there or the turn
 * ends, and over a few turns while the link has more frames waiting for us anyway.
 */
void bridge_data(struct flow *flow)
{
    struct pool *pool = &flow->instance->pool; /* what is gathered costs buffers: while there are plenty */
    struct bridge *b = &flow->as.bridge;

    if (!tcp_conn_is_bulk(&flow->conn))
        flow->instance->interactive_ms = instance_now(flow->instance);
    if (b->writing > 0)
        return; /* on_written() goes on */
    if (tcp_conn_held(&flow->conn) < GATHER_TO && pool_left(pool) >= pool->bytes_max / 2) {
        bridge_push_up_soon(flow);
        return;
    }
    list_unlink(&b->up_node);
    b->up_turns = 0;
    bridge_push_up(flow);
}

static bool gathers(struct flow *flow)
{
    return flow->instance->more_frames && tcp_conn_held(&flow->conn) >= GATHER_FROM &&
           ++flow->as.bridge.up_turns < GATHER_TURNS;
}

void bridge_write_due(struct instance *in)
{
    struct list round;

    list_init(&round);
    list_splice(&round, &in->up_due);
    for (struct list *node; (node = list_take_first(&round));) {
        struct flow *flow = LIST_ENTRY(node, struct flow, as.bridge.up_node);

        if (gathers(flow)) {
            list_append(&in->up_due, node);
            continue;
        }
        flow->as.bridge.up_turns = 0;
        if (flow->state == FLOW_OPEN)
            bridge_push_up(flow);
    }
}
