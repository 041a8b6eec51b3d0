/*
 * An HTTP/1 connection behind its first bytes, request by request (http=every): where each head begins is followed
 * along the framing of both directions (RFC 9112), and every head is to be judged like the first. Pure; value type.
 *
 * Of the guest's side everything is read strictly, as by http_request_read(): chunked bodies have no extensions and no
 * trailers. Of the server's, what frames its answers, and no more; what frames them doubtfully is unreadable. After
 * a request with Upgrade the guest's bytes wait for its answer: 101 ends the reading, any other goes on with it.
 */
#ifndef WEIR_POLICY_HTTP_FOLLOW_H
#define WEIR_POLICY_HTTP_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/evidence.h"
#include "policy/follow.h"
#include "policy/http.h"

enum {
    HTTP_FOLLOW_PIPELINE_MAX = 32,          /* requests without an answer: more wait */
    HTTP_FOLLOW_INTERIM_MAX = 16,           /* 1xx answers to one request */
    HTTP_FOLLOW_LINE_MAX = 120,             /* kept of a line of the server's */
    HTTP_FOLLOW_HEAD_BYTES_MAX = 64 * 1024, /* of an answer's head, or of its trailers */
};

enum http_request_state {
    HTTP_REQUEST_HEAD,
    HTTP_REQUEST_HEAD_PASSES, /* it is judged: `request_left` bytes of it */
    HTTP_REQUEST_BODY,        /* `request_left` bytes */
    HTTP_REQUEST_CHUNK,       /* the line with its size */
    HTTP_REQUEST_CHUNK_DATA,  /* `request_left` bytes */
    HTTP_REQUEST_CHUNK_END,   /* CR LF */
    HTTP_REQUEST_LAST,        /* CR LF behind the last chunk */
    HTTP_REQUEST_UPGRADE,     /* waits for the answer */
};

enum http_answer_state {
    HTTP_ANSWER_STATUS,
    HTTP_ANSWER_FIELDS,
    HTTP_ANSWER_BODY,       /* `answer_left` bytes */
    HTTP_ANSWER_CHUNK,
    HTTP_ANSWER_CHUNK_DATA, /* `answer_left` bytes */
    HTTP_ANSWER_CHUNK_END,
    HTTP_ANSWER_TRAILERS,
    HTTP_ANSWER_ENDLESS,    /* up to the server's end */
    HTTP_ANSWER_UNASKED,    /* what a server says of itself before it closes (408): no request goes up any more */
};

/* A request without an answer. */
struct http_asked {
    bool head, upgrade;
};

struct http_follow {
    bool opaque; /* 101 */

    enum http_request_state request;
    uint64_t request_left;
    struct http_framing framing; /* of the request in hand */
    struct http_asked asked[HTTP_FOLLOW_PIPELINE_MAX];
    unsigned asked_first, asked_count;

    enum http_answer_state answer;
    uint64_t answer_left;
    char line[HTTP_FOLLOW_LINE_MAX]; /* its beginning */
    size_t line_len;                 /* of all of it */
    size_t head_len;                 /* bytes of lines in a row */
    unsigned status, interim;
    bool has_length, has_coding, chunked;
    bool framing_field;              /* the last field line was one of those */
};

void http_follow_init(struct http_follow *f);

/**
 * The guest's bytes from the first one that did not pass yet.
 *
 * @out_len:      with FOLLOW_PASS and FOLLOW_JUDGE: of how many bytes that is said; those of FOLLOW_PASS count as
 *                passed
 * @out_evidence: with FOLLOW_JUDGE (a complete head) and FOLLOW_BAD; once a head is allowed: http_follow_allow()
 */
enum follow_step http_follow_guest(struct http_follow *f, const uint8_t *bytes, size_t len, size_t *out_len,
                                   struct evidence *out_evidence);

/** The head last reported may go up. */
void http_follow_allow(struct http_follow *f);

/** The server's bytes, in order, each once. Return: 0; -EBADMSG: unreadable, and so for good. */
int http_follow_server(struct http_follow *f, const uint8_t *bytes, size_t len);

/** Whether every request that passed has its whole answer, and none has begun. */
bool http_follow_all_answered(const struct http_follow *f);

#endif
