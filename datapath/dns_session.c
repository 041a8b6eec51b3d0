#include "datapath/dns_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "datapath/flow_end.h"
#include "datapath/flow_events.h"
#include "datapath/instance_private.h"
#include "datapath/resolver.h"

enum { LENGTH_BYTES = 2, HEADER_BYTES = 12 };

struct dns_session {
    struct flow *flow;                  /* borrowed: the flow owns the session */
    unsigned waiting;                   /* questions without an answer yet */
    unsigned queued;                    /* answers the guest has not acknowledged */
    struct buf *answers, *answers_last; /* owned: a queue; start: acknowledged, len: filled */
    struct buf *sending;                /* the first one not wholly given to TCP */
    uint32_t sent;                      /* bytes of it that were */
    bool in_input;
};

int dns_session_open(struct flow *flow)
{
    struct dns_session *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->flow = flow;
    flow->as.dns = s;
    flow_arm_idle(flow);
    return 0;
}

void dns_session_close(struct flow *flow)
{
    struct dns_session *s = flow->as.dns;

    if (!s)
        return;
    resolver_forget_session(flow->instance->resolver, s);
    while (s->answers) {
        struct buf *next = s->answers->next;

        buf_unref(s->answers);
        s->answers = next;
    }
    free(s);
    flow->as.dns = NULL;
}

struct link *dns_session_link(const struct dns_session *session)
{
    return session->flow->link;
}

const struct flow_key *dns_session_key(const struct dns_session *session)
{
    return &session->flow->key;
}

/* ---- answers ---- */

static void finish_if_done(struct dns_session *s)
{
    struct flow *flow = s->flow;

    if (!tcp_conn_eof(&flow->conn) || s->waiting > 0 || s->sending || flow->state != FLOW_OPEN)
        return;
    if (s->queued >= DNS_SESSION_QUESTIONS_MAX && tcp_conn_held(&flow->conn) > 0)
        return; /* whole questions wait for answers to be acknowledged */
    tcp_conn_consume(&flow->conn, tcp_conn_held(&flow->conn)); /* half a question: no more of it will come */
    tcp_conn_shutdown(&flow->conn);
    flow_finish(flow);
}

static void push(struct dns_session *s)
{
    while (s->sending) {
        struct buf *b = s->sending;
        long n = tcp_conn_send(&s->flow->conn, b->data + s->sent, b->len - s->sent);

        if (n <= 0)
            return;
        s->sent += (uint32_t)n;
        if (s->sent < b->len)
            return;
        s->sending = b->next;
        s->sent = 0;
    }
}

static void queue(struct dns_session *s, const uint8_t *bytes, size_t len)
{
    struct buf *b = pool_get(&s->flow->instance->pool, LENGTH_BYTES + len);

    if (!b)
        return; /* the pool is full and counts it; the client asks again */
    b->data[0] = (uint8_t)(len >> 8);
    b->data[1] = (uint8_t)len;
    memcpy(b->data + LENGTH_BYTES, bytes, len);
    b->len = (uint32_t)(LENGTH_BYTES + len);
    if (s->answers_last)
        s->answers_last->next = b;
    else
        s->answers = b;
    s->answers_last = b;
    if (!s->sending)
        s->sending = b;
    s->queued++;
}

void dns_session_reply(struct dns_session *s, const uint8_t *bytes, size_t len)
{
    CHECK(s->waiting > 0);
    s->waiting--;
    if (len > 0)
        queue(s, bytes, len);
    s->flow->active_ms = instance_now(s->flow->instance);
    push(s);
    if (!s->in_input) /* else its loop goes on by itself */
        dns_session_input(s->flow);
}

void dns_session_acked(struct flow *flow, size_t n)
{
    struct dns_session *s = flow->as.dns;

    while (n > 0) {
        struct buf *b = s->answers;
        size_t part;

        CHECK(b);
        part = b->len - b->start < n ? b->len - b->start : n;
        b->start += (uint32_t)part;
        n -= part;
        if (b->start < b->len)
            break;
        s->answers = b->next;
        if (!s->answers)
            s->answers_last = NULL;
        buf_unref(b);
        s->queued--;
    }
    push(s);
    if (flow->state == FLOW_OPEN)
        dns_session_input(flow); /* questions may have waited for this */
}

/* ---- questions ---- */

/* Return: whether a question was taken. */
static bool take_one(struct dns_session *s)
{
    struct flow *flow = s->flow;
    uint8_t bytes[LENGTH_BYTES + DNS_SESSION_QUESTION_BYTES_MAX];
    size_t have = tcp_conn_copy(&flow->conn, 0, bytes, sizeof(bytes)), len;

    if (have < LENGTH_BYTES)
        return false;
    len = (size_t)bytes[0] << 8 | bytes[1];
    if (len < HEADER_BYTES || len > DNS_SESSION_QUESTION_BYTES_MAX) {
        instance_count(flow->instance, COUNTER_DNS_MALFORMED);
        flow_kill(flow, FLOW_CLOSE_POLICY, REASON_DNS_MALFORMED);
        return false;
    }
    if (have < LENGTH_BYTES + len)
        return false;
    tcp_conn_consume(&flow->conn, LENGTH_BYTES + len);
    s->waiting++;
    if (!resolver_message(flow->instance->resolver, s, bytes + LENGTH_BYTES, len))
        s->waiting--;
    return true;
}

void dns_session_input(struct flow *flow)
{
    struct dns_session *s = flow->as.dns;

    flow->active_ms = instance_now(flow->instance);
    s->in_input = true;
    while (!flow->killed && s->waiting + s->queued < DNS_SESSION_QUESTIONS_MAX && take_one(s))
        ;
    if (flow->killed)
        return; /* the session is gone too */
    s->in_input = false;
    finish_if_done(s);
}

void dns_session_eof(struct flow *flow)
{
    finish_if_done(flow->as.dns);
}
