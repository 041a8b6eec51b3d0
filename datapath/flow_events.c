#include "datapath/flow_events.h"

#include <errno.h>

#include "base/check.h"
#include "datapath/asking.h"
#include "datapath/bridge.h"
#include "datapath/dns_session.h"
#include "datapath/flow_end.h"
#include "datapath/instance_private.h"
#include "datapath/peek.h"
#include "datapath/relay.h"
#include "datapath/relay_quic.h"
#include "datapath/resolver.h"

/* ---- what the guest's connection says ---- */

static struct flow *flow_of(struct tcp_conn *conn)
{
    return CONTAINER_OF(conn, struct flow, conn);
}

static void handshake_over(struct flow *flow)
{
    if (flow->counts_half_open)
        flow->link->half_open--;
    flow->counts_half_open = false;
}

static void on_connected(struct tcp_conn *conn)
{
    struct flow *flow = flow_of(conn);

    handshake_over(flow);
    if (flow->kind == FLOW_TCP && (flow->state == FLOW_OPEN || flow->state == FLOW_JUDGING))
        bridge_start_down(flow);
}

static void on_data(struct tcp_conn *conn)
{
    struct flow *flow = flow_of(conn);

    if (flow->kind == FLOW_DNS_TCP && flow->state == FLOW_OPEN) {
        dns_session_input(flow);
        return;
    }
    switch (flow->state) {
    case FLOW_PEEKING:
    case FLOW_JUDGING:
        peek_bytes(flow);
        break;
    case FLOW_OPEN:
        bridge_data(flow);
        break;
    case FLOW_ASKING:
    case FLOW_DIALING: /* judged, and held until the host is connected */
        break;
    case FLOW_CLOSING: /* nobody wants it any more; credited, or lwIP would answer with RST */
        tcp_conn_consume(conn, tcp_conn_held(conn));
        break;
    case FLOW_FREE:
    case FLOW_CLAIMED:
        CHECK(!"data of a flow that is not there");
    }
}

static void on_acked(struct tcp_conn *conn, size_t n)
{
    struct flow *flow = flow_of(conn);

    if (flow->kind == FLOW_DNS_TCP)
        dns_session_acked(flow, n);
    else
        bridge_acked(flow, n);
}

static void on_eof(struct tcp_conn *conn)
{
    struct flow *flow = flow_of(conn);

    if (flow->kind == FLOW_DNS_TCP) {
        if (flow->state == FLOW_OPEN)
            dns_session_eof(flow);
        return;
    }
    if (flow->state == FLOW_PEEKING || flow->state == FLOW_JUDGING)
        peek_bytes(flow);
    else if (flow->state == FLOW_OPEN)
        bridge_push_up(flow);
}

static void on_gone(struct tcp_conn *conn, enum tcp_gone why)
{
    static const enum flow_close how[] = {
        [TCP_GONE_CLOSED] = FLOW_CLOSE_GUEST_FIN,
        [TCP_GONE_RESET] = FLOW_CLOSE_GUEST_RST,
        [TCP_GONE_TIMEOUT] = FLOW_CLOSE_IDLE,
    };
    struct flow *flow = flow_of(conn);
    bool judged = flow->state == FLOW_OPEN || flow->state == FLOW_CLOSING;

    handshake_over(flow);
    if (flow->state == FLOW_CLOSING) {
        if (why != TCP_GONE_CLOSED && !flow->recorded)
            flow->close_how = how[why];
        flow_settle(flow);
        return;
    }
    /* Both ends said FIN; what the host has not taken yet is still held and still goes there. */
    if (why == TCP_GONE_CLOSED && flow->state == FLOW_OPEN && flow->kind == FLOW_TCP &&
        flow->as.bridge.up.state != HALF_SHUT) {
        flow_arm_idle(flow);
        return;
    }
    /* What came before a reset has come: the server's kernel would have kept it for its program, too. */
    if (why == TCP_GONE_RESET && flow->state == FLOW_OPEN && flow->kind == FLOW_TCP)
        bridge_push_up(flow);
    flow_kill(flow, how[why], judged ? flow->verdict.reason : REASON_GUEST_CLOSED);
}

const struct tcp_events flow_tcp_events = {
    .on_connected = on_connected,
    .on_data = on_data,
    .on_acked = on_acked,
    .on_eof = on_eof,
    .on_gone = on_gone,
};

/* ---- time ---- */

enum { KEEPALIVE_AFTER_MS = 1000 }; /* most connections are over by then */

/* A question is over when it is answered; a QUIC connection is kept by both ends for minutes of silence. */
static uint64_t udp_idle_ms(const struct instance_limits *l, uint16_t port)
{
    switch (port) {
    case 53:
    case 123: /* NTP: one question, one answer */
        return l->udp_idle_dns_ms;
    case 443:
    case 853:
    case 8443:
        return l->udp_idle_quic_ms;
    default:
        return l->udp_idle_ms;
    }
}

static uint64_t idle_ms_of(const struct flow *flow)
{
    const struct instance_limits *l = &flow->instance->config.limits;

    switch (flow->kind) {
    case FLOW_DNS_TCP:
        return DNS_SESSION_IDLE_MS;
    case FLOW_UDP:
        return udp_idle_ms(l, flow->key.port);
    case FLOW_PING:
        return RELAY_PING_IDLE_MS;
    case FLOW_TCP:
        break;
    }
    return l->idle_ms;
}

/* When a TCP flow's time is over whatever it does; 0: never. */
static uint64_t end_of_life(const struct flow *flow)
{
    uint64_t lifetime_ms = flow->instance->config.limits.lifetime_ms;

    return lifetime_ms > 0 && flow->kind == FLOW_TCP ? flow->opened_ms + lifetime_ms : 0;
}

/* When its server is put under keepalive; 0: never, or it is already. */
static uint64_t keepalive_due(const struct flow *flow)
{
    bool wanted = flow->kind == FLOW_TCP && flow->instance->config.limits.keepalive_ms > 0 &&
                  !flow->as.bridge.kept_alive && flow->as.bridge.host;

    return wanted ? flow->opened_ms + KEEPALIVE_AFTER_MS : 0;
}

static uint64_t earlier(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms == 0 || (b_ms > 0 && b_ms < a_ms) ? b_ms : a_ms;
}

static bool guest_is_gone(const struct flow *flow)
{
    bool is_tcp = flow->kind == FLOW_TCP || flow->kind == FLOW_DNS_TCP;

    return is_tcp && flow->accepted && !tcp_conn_live(&flow->conn);
}

void flow_arm_idle(struct flow *flow)
{
    struct instance *in = flow->instance;
    uint64_t idle_ms = idle_ms_of(flow);
    uint64_t due_ms = earlier(idle_ms > 0 ? flow->active_ms + idle_ms : 0, end_of_life(flow));

    if (flow->token != 0)
        return; /* its deadline is the embedder's */
    if (guest_is_gone(flow)) /* what it left behind has this long to be taken */
        due_ms = instance_now(in) + INSTANCE_LINGER_MS;
    else
        due_ms = earlier(due_ms, keepalive_due(flow));
    flow_set_deadline(&in->flows, flow, due_ms);
}

static void open_is_due(struct flow *flow)
{
    uint64_t now_ms = instance_now(flow->instance), end_ms = end_of_life(flow), idle_ms = idle_ms_of(flow);
    uint64_t keepalive_ms = keepalive_due(flow);

    if (keepalive_ms > 0 && keepalive_ms <= now_ms)
        bridge_keep_alive(flow);
    if (guest_is_gone(flow)) /* what it left behind was not taken in time */
        flow_kill(flow, FLOW_CLOSE_IDLE, flow->verdict.reason);
    else if (end_ms > 0 && end_ms <= now_ms)
        flow_kill(flow, FLOW_CLOSE_LIMIT, flow->verdict.reason);
    else if (idle_ms > 0 && flow->active_ms + idle_ms <= now_ms)
        flow_kill(flow, FLOW_CLOSE_IDLE, flow->verdict.reason);
    else
        flow_arm_idle(flow); /* there was traffic since it was set */
}

/* A guest that answers still gets its tail, however slowly it reads; a refusal has been said for long enough. */
static void closing_is_due(struct flow *flow)
{
    uint64_t now_ms = instance_now(flow->instance);

    bool said = flow->refused && flow->as.bridge.queued == 0;

    if (!said && tcp_conn_live(&flow->conn) && now_ms - flow->conn.heard_ms < INSTANCE_LINGER_MS)
        flow_set_deadline(&flow->instance->flows, flow, now_ms + INSTANCE_LINGER_MS);
    else
        flow_kill(flow, FLOW_CLOSE_IDLE, flow->verdict.reason);
}

void flow_deadline(struct flow *flow)
{
    if (flow->state == FLOW_ASKING || flow->token != 0) {
        asking_due(flow);
        return;
    }
    if (relay_quic_waits(flow)) {
        relay_quic_silence(flow);
        return;
    }
    switch (flow->state) {
    case FLOW_DIALING:
        flow_dial_failed(flow, -ETIMEDOUT);
        break;
    case FLOW_PEEKING:
    case FLOW_JUDGING:
        if (flow->peek_from_ms == 0)
            open_is_due(flow); /* its budget has not begun */
        else
            peek_silence(flow);
        break;
    case FLOW_OPEN:
        open_is_due(flow);
        break;
    case FLOW_CLOSING:
        closing_is_due(flow);
        break;
    case FLOW_FREE:
    case FLOW_CLAIMED:
    case FLOW_ASKING:
        CHECK(!"a deadline of a flow that is not there");
    }
}

/* ---- links ---- */

void flow_link_gone(struct link *link)
{
    struct flow_table *t = &link->instance->flows;

    for (uint32_t i = 0; i < t->fresh; i++) {
        struct flow *flow = &t->flows[i];

        if (flow->state != FLOW_FREE && !flow->killed && flow->link == link)
            flow_kill(flow, FLOW_CLOSE_SHUTDOWN, flow->verdict.reason);
    }
    resolver_forget_link(link->instance->resolver, link);
}
