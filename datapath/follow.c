#include "datapath/follow.h"

#include <errno.h>
#include <stdlib.h>

#include "datapath/asking.h"
#include "datapath/bridge.h"
#include "datapath/flow_end.h"
#include "datapath/flow_events.h"
#include "datapath/instance_private.h"
#include "datapath/peek.h"
#include "datapath/rule_use.h"
#include "datapath/verdicts.h"
#include "policy/http_follow.h"
#include "policy/tls.h"
#include "policy/tls_follow.h"

enum { AHEAD_BYTES_MAX = 256 * 1024 }; /* judged before they are written: what one write takes */

struct follow {
    enum evidence_kind kind; /* EVIDENCE_TLS or EVIDENCE_HTTP */
    size_t passed;           /* held bytes that may go up */
    bool begun;              /* the first request, which was judged, is behind us */
    bool server_ended;
    bool answered;           /* by the embedder: `answer`, about the bytes behind those that passed */
    enum decide_answer answer;
    union {
        struct tls_follow tls;
        struct http_follow http;
    } as;
};

static size_t hello_bytes(const struct flow *flow)
{
    uint8_t bytes[PEEK_BYTES_MAX];
    struct evidence e;
    int r = tls_hello_read(bytes, tcp_conn_copy(&flow->conn, 0, bytes, sizeof(bytes)), &e);

    return r > 0 ? (size_t)r : 0; /* it was read a moment ago */
}

int follow_start(struct flow *flow, const struct verdict *verdict)
{
    enum evidence_kind kind = (enum evidence_kind)flow->evidence_kind;
    struct follow *f;

    if (!(kind == EVIDENCE_TLS && verdict->follows_hello) && !(kind == EVIDENCE_HTTP && verdict->follows_http))
        return 0;
    f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->kind = kind;
    if (kind == EVIDENCE_TLS)
        tls_follow_init(&f->as.tls, hello_bytes(flow));
    else
        http_follow_init(&f->as.http);
    flow->as.bridge.follow = f;
    return 0;
}

void follow_free(struct flow *flow)
{
    free(flow->as.bridge.follow);
    flow->as.bridge.follow = NULL;
}

/* ---- the guest's bytes ---- */

/* Return: whether the bytes in hand may go up now; if not, the flow is refused, or waits. */
static bool judge(struct flow *flow, const struct evidence *e)
{
    struct follow *f = flow->as.bridge.follow;
    bool first = !f->begun && f->kind == EVIDENCE_HTTP && e->kind == EVIDENCE_HTTP;
    struct verdict v, met;

    f->begun = true;
    if (first)
        return true;
    verdict_judge_bytes(flow, e, &v);
    if (f->answered)
        asking_apply(flow, f->answer, &v);
    else if (asking_bytes(flow, e, &v))
        return false;
    f->answered = false;
    peek_keep(flow, e);
    if (v.action == VERDICT_ALLOW && !rule_use_move(flow, &v, &met))
        v = met;
    if (v.action == VERDICT_ALLOW) {
        v.audited = v.audited || flow->verdict.audited; /* of one request, so of the flow */
        verdict_keep(flow, &v, peek_name_src(e));
        return true;
    }
    flow->name_src = peek_name_src(e);
    flow_refuse_accepted(flow, &v, e);
    return false;
}

static enum follow_step step(struct follow *f, const uint8_t *bytes, size_t len, size_t *out_len,
                             struct evidence *out_evidence)
{
    if (f->kind == EVIDENCE_TLS)
        return tls_follow_guest(&f->as.tls, bytes, len, out_len, out_evidence);
    return http_follow_guest(&f->as.http, bytes, len, out_len, out_evidence);
}

static void allow(struct follow *f)
{
    if (f->kind == EVIDENCE_TLS)
        tls_follow_allow(&f->as.tls);
    else
        http_follow_allow(&f->as.http);
}

/* A guest that will say no more completes no handshake, whatever it said. */
static bool too_late(const struct flow *flow)
{
    const struct follow *f = flow->as.bridge.follow;

    return f->kind == EVIDENCE_TLS && f->as.tls.server == TLS_SERVER_SILENT && tcp_conn_eof(&flow->conn);
}

/* Everything passes from now on. Return: how much that is. */
static size_t end(struct flow *flow)
{
    flow->opaque = flow->as.bridge.follow->kind == EVIDENCE_HTTP;
    follow_free(flow);
    return tcp_conn_held(&flow->conn);
}

/* How much may go up of a flow whose next bytes may not. */
static size_t waiting(const struct flow *flow)
{
    return flow->token != 0 ? flow->as.bridge.follow->passed : 0;
}

size_t follow_allowance(struct flow *flow)
{
    struct follow *f = flow->as.bridge.follow;
    size_t held = tcp_conn_held(&flow->conn);
    uint8_t bytes[PEEK_BYTES_MAX];
    size_t at = 0, len = 0; /* of `bytes`, behind what passed: copied once, however many steps it takes */

    if (too_late(flow))
        return end(flow);
    if (flow->token != 0)
        return f->passed; /* the embedder has been asked about the next bytes */
    while (f->passed < held && f->passed < AHEAD_BYTES_MAX) {
        struct evidence e;
        size_t n = 0;

        if (at == len) {
            len = tcp_conn_copy(&flow->conn, f->passed, bytes, sizeof(bytes));
            at = 0;
        }
        switch (step(f, bytes + at, len - at, &n, &e)) {
        case FOLLOW_PASS:
            f->passed += n;
            at += n;
            continue;
        case FOLLOW_JUDGE:
            if (!judge(flow, &e))
                return waiting(flow);
            allow(f);
            continue;
        case FOLLOW_MORE:
            if (at > 0) {
                at = len; /* there may be more than was copied */
                continue;
            }
            if (!tcp_conn_eof(&flow->conn) || f->passed + len < held)
                return f->passed;
            e = (struct evidence){
                .kind = EVIDENCE_BAD,
                .bad = f->kind == EVIDENCE_TLS ? REASON_TLS_MALFORMED : REASON_HTTP_MALFORMED,
            };
            break; /* half of something, and nothing more will come */
        case FOLLOW_BAD:
            break;
        case FOLLOW_HOLD:
            if (f->server_ended && f->passed == 0) {
                flow_kill(flow, FLOW_CLOSE_PEER_FIN, flow->verdict.reason); /* nobody will tell any more */
                return 0;
            }
            return f->passed;
        case FOLLOW_OPAQUE:
            return end(flow);
        }
        return judge(flow, &e) ? end(flow) : waiting(flow); /* unreadable, and allowed all the same */
    }
    return f->passed;
}

void follow_taken(struct flow *flow, size_t n)
{
    struct follow *f = flow->as.bridge.follow;

    if (f)
        f->passed -= n;
}

/* ---- the server's ---- */

bool follow_server(struct flow *flow, const uint8_t *bytes, size_t n)
{
    struct follow *f = flow->as.bridge.follow;

    if (f->kind == EVIDENCE_TLS) {
        tls_follow_server(&f->as.tls, bytes, n);
        if (f->as.tls.server == TLS_SERVER_OTHER)
            follow_free(flow);
    } else if (http_follow_server(&f->as.http, bytes, n) < 0) {
        flow_kill(flow, FLOW_CLOSE_POLICY, REASON_HTTP_MALFORMED);
        return false;
    }
    bridge_push_up_soon(flow); /* what waited for the server may go now */
    return true;
}

void follow_server_end(struct flow *flow)
{
    struct follow *f = flow->as.bridge.follow;

    if (!f)
        return;
    f->server_ended = true;
    if (f->kind == EVIDENCE_TLS)
        tls_follow_server_end(&f->as.tls);
    bridge_push_up_soon(flow);
}

void follow_decided(struct flow *flow, enum decide_answer answer)
{
    struct follow *f = flow->as.bridge.follow;

    flow_arm_idle(flow);
    f->answered = true;
    f->answer = answer;
    bridge_push_up(flow);
}

bool follow_may_answer(const struct flow *flow)
{
    const struct bridge *b = &flow->as.bridge;

    return b->follow && b->follow->kind == EVIDENCE_HTTP && b->follow->passed == 0 && b->unsent == 0 &&
           http_follow_all_answered(&b->follow->as.http);
}
