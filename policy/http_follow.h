/*
 * Follower of one HTTP/1 connection, for rules whose Host is judged with every request: says which of the guest's bytes
 * belong to requests that were judged, and reads the server's to know what has been answered. Pure: no sockets, no
 * clock; it keeps no byte of the guest's.
 *
 * What the server takes for a request must have been judged. So requests are read strictly, as http_head_resume() and
 * http_body_take() say, and beyond them:
 *   - GET and HEAD have no body: servers differ in whether they read it, and what they leave is the next request;
 *   - a request with Upgrade goes up alone: when all before it were answered, and with nothing behind it until it is.
 *     So only its own response can be the 101 behind which bytes are opaque, whatever was answered before.
 *     A 101 while its body is still on its way counts, too: the server has left HTTP (RFC 9110 section 7.8).
 *
 * Responses say nothing about what may pass but for that 101. A doubt about where one ends must only ever delay: a body
 * without an end that is certain lasts until the server closes, what is ambiguous is unreadable.
 *
 * A response to no request: servers say 408 on a connection that has been idle too long, and close (any 4xx or 5xx is
 * taken for that). From its first byte on nothing goes up any more, so it cannot confuse what is read as a request, and
 * the guest sees it as if weir were not there. Any other byte that answers nothing is unreadable: the server has framed
 * an earlier response otherwise.
 */
#ifndef WEIR_POLICY_HTTP_FOLLOW_H
#define WEIR_POLICY_HTTP_FOLLOW_H

#include "policy/evidence.h"
#include "policy/follow.h"
#include "policy/http.h"
#include "policy/http_body.h"
#include "policy/http_response.h"

enum {
    HTTP_PIPELINE_MAX = 32, /* requests without a complete response */
    HTTP_INTERIM_MAX = 256, /* 1xx of a request: servers repeat 102 while they work */
};

/*
 *   HEAD -- http_follow_allow() --> ALLOWED -- FOLLOW_PASS of the head --> BODY (if any) -- its end --> HEAD
 */
enum http_up { HTTP_UP_HEAD, HTTP_UP_ALLOWED, HTTP_UP_BODY };

/*
 *   READING -- 101 to an Upgrade --> OPAQUE
 *           -- a byte that answers no request --> ADRIFT -- it was an error's head --> LAST
 *   READING, ADRIFT -- http_follow_server() said -EBADMSG --> UNREADABLE
 *
 *   ADRIFT      reading the head of a response to no request; from here on nothing goes up
 *   LAST        what follows is passed down unread
 */
enum http_down { HTTP_DOWN_READING, HTTP_DOWN_OPAQUE, HTTP_DOWN_ADRIFT, HTTP_DOWN_LAST, HTTP_DOWN_UNREADABLE };

/* Value type of a fixed size, some 600 bytes; no heap, no pointers. */
struct http_follow {
    enum http_up up;
    bool refused; /* for `bad`, in `up` */
    enum reason bad;
    struct http_head head;
    struct http_body body;

    unsigned unanswered;      /* requests that went up; <= HTTP_PIPELINE_MAX */
    uint32_t unanswered_head; /* which of them are HEAD; bit 0 is the oldest */
    bool upgrade;             /* the only one of them asked for another protocol */

    enum http_down down;
    struct http_response response;
    unsigned interims; /* of the oldest unanswered request */
};

void http_follow_init(struct http_follow *follow);

/**
 * Say what may be done with the guest's bytes.
 *
 * @bytes:        all of them from the first one that did not pass: what was there before, and what has come since
 * @out_len:      with FOLLOW_PASS and FOLLOW_JUDGE: of how many bytes
 * @out_evidence: written with FOLLOW_JUDGE (EVIDENCE_HTTP) and FOLLOW_BAD (EVIDENCE_BAD for a reason of
 *                http_head_resume(); http.malformed also for chunks, and for GET and HEAD with a body)
 *
 * What passes and what is judged does not depend on how the stream was cut: bytes in front of a wrong one pass first.
 * The caller asks until nothing can be done: FOLLOW_MORE, FOLLOW_HOLD, or FOLLOW_BAD. A head that is unfinished when
 * the guest has sent its last byte never goes up; a body is cut off where the guest cut it.
 * Up to EVIDENCE_HTTP_BYTES_MAX bytes are needed at once for a head; what is held beyond is for the caller to bound.
 */
enum follow_step http_follow_guest(struct http_follow *follow, const uint8_t *bytes, size_t len, size_t *out_len,
                                   struct evidence *out_evidence);

/** After FOLLOW_JUDGE, once: the head may go up, and its body. */
void http_follow_allow(struct http_follow *follow);

/**
 * Read the server's bytes: all of them, in order, each once, before they go down.
 *
 * Return: 0 they may go down; -EBADMSG unreadable, for good: reset the flow.
 */
int http_follow_server(struct http_follow *follow, const uint8_t *bytes, size_t len);

/**
 * Whether every request that was allowed went up whole and has its complete response: then, and only then, may a
 * response of the caller's own go down, in answer to the head that was refused.
 */
bool http_follow_all_answered(const struct http_follow *follow);

#endif
