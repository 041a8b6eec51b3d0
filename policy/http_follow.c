#include "policy/http_follow.h"

#include <errno.h>

#include "base/check.h"

enum {
    HTTP_SWITCHING_PROTOCOLS = 101,
    HTTP_FINAL_MIN = 200,
    HTTP_ERROR_MIN = 400,
    HTTP_ERROR_MAX = 599,
};

_Static_assert(HTTP_PIPELINE_MAX <= 32, "a bit each");

void http_follow_init(struct http_follow *follow)
{
    *follow = (struct http_follow){.up = HTTP_UP_HEAD, .down = HTTP_DOWN_READING};
    http_head_init(&follow->head);
    http_response_init(&follow->response);
}

/* ---- up ---- */

static enum follow_step refuse(struct http_follow *follow, enum reason bad, struct evidence *out_evidence)
{
    follow->refused = true;
    follow->bad = bad;
    *out_evidence = (struct evidence){.kind = EVIDENCE_BAD, .bad = bad};
    return FOLLOW_BAD;
}

static enum follow_step head_step(struct http_follow *follow, const uint8_t *bytes, size_t len, size_t *out_len,
                                struct evidence *out_evidence)
{
    const struct http_head *head = &follow->head;
    struct evidence evidence;
    int r;

    if (follow->upgrade || follow->unanswered == HTTP_PIPELINE_MAX)
        return FOLLOW_HOLD;
    r = http_head_resume(&follow->head, bytes, len, &evidence);
    if (r == 0)
        return FOLLOW_MORE;
    if (r < 0)
        return refuse(follow, evidence.bad, out_evidence);
    if (head->method != HTTP_METHOD_OTHER && (head->chunked || head->length > 0))
        return refuse(follow, REASON_HTTP_MALFORMED, out_evidence);
    if (head->upgrade && follow->unanswered > 0)
        return FOLLOW_HOLD;
    *out_len = (size_t)r;
    *out_evidence = evidence;
    return FOLLOW_JUDGE;
}

void http_follow_allow(struct http_follow *follow)
{
    CHECK(follow->up == HTTP_UP_HEAD && follow->head.result > 0 && !follow->refused);
    follow->up = HTTP_UP_ALLOWED;
}

/* The head goes up: from here on the server may answer it. */
static enum follow_step allowed_step(struct http_follow *follow, size_t len, size_t *out_len)
{
    const struct http_head *head = &follow->head;

    CHECK(len >= head->used && follow->unanswered < HTTP_PIPELINE_MAX);
    if (head->method == HTTP_METHOD_HEAD)
        follow->unanswered_head |= UINT32_C(1) << follow->unanswered;
    follow->unanswered++;
    follow->upgrade = head->upgrade;
    http_body_init(&follow->body, head->chunked ? HTTP_BODY_CHUNKED : HTTP_BODY_LENGTH, head->length, true);
    follow->up = head->chunked || head->length > 0 ? HTTP_UP_BODY : HTTP_UP_HEAD;
    *out_len = head->used;
    http_head_init(&follow->head);
    return FOLLOW_PASS;
}

static enum follow_step body_step(struct http_follow *follow, const uint8_t *bytes, size_t len, size_t *out_len,
                                struct evidence *out_evidence)
{
    size_t used;
    int r = http_body_take(&follow->body, bytes, len, &used);

    if (r < 0 && used == 0)
        return refuse(follow, REASON_HTTP_MALFORMED, out_evidence);
    if (used == 0)
        return FOLLOW_MORE;
    if (r > 0)
        follow->up = HTTP_UP_HEAD;
    *out_len = used;
    return FOLLOW_PASS;
}

enum follow_step http_follow_guest(struct http_follow *follow, const uint8_t *bytes, size_t len, size_t *out_len,
                                   struct evidence *out_evidence)
{
    if (follow->refused)
        return refuse(follow, follow->bad, out_evidence);
    if (follow->down == HTTP_DOWN_OPAQUE) {
        *out_len = len;
        return FOLLOW_OPAQUE;
    }
    if (follow->down != HTTP_DOWN_READING)
        return FOLLOW_HOLD;
    switch (follow->up) {
    case HTTP_UP_HEAD:
        return head_step(follow, bytes, len, out_len, out_evidence);
    case HTTP_UP_ALLOWED:
        return allowed_step(follow, len, out_len);
    case HTTP_UP_BODY:
        break;
    }
    return body_step(follow, bytes, len, out_len, out_evidence);
}

/* ---- down ---- */

static int unreadable(struct http_follow *follow)
{
    follow->down = HTTP_DOWN_UNREADABLE;
    return -EBADMSG;
}

static int interim(struct http_follow *follow)
{
    if (++follow->interims > HTTP_INTERIM_MAX)
        return -EBADMSG;
    http_response_interim(&follow->response);
    return 0;
}

/* The status and fields of a response are known. */
static int response_head(struct http_follow *follow)
{
    unsigned status = follow->response.status;

    if (follow->unanswered == 0) {
        follow->down = HTTP_DOWN_LAST;
        return status >= HTTP_ERROR_MIN && status <= HTTP_ERROR_MAX ? 0 : -EBADMSG;
    }
    if (status == HTTP_SWITCHING_PROTOCOLS) {
        follow->down = HTTP_DOWN_OPAQUE;
        return follow->upgrade ? 0 : -EBADMSG;
    }
    if (status < HTTP_FINAL_MIN)
        return interim(follow);
    http_response_body(&follow->response, follow->unanswered_head & 1);
    return 0;
}

static void response_end(struct http_follow *follow)
{
    follow->unanswered--;
    follow->unanswered_head >>= 1;
    follow->upgrade = false; /* it was the only one */
    follow->interims = 0;
}

int http_follow_server(struct http_follow *follow, const uint8_t *bytes, size_t len)
{
    size_t at = 0, used;
    int event = HTTP_RESPONSE_HEAD;

    while (event != HTTP_RESPONSE_MORE &&
           (follow->down == HTTP_DOWN_READING || follow->down == HTTP_DOWN_ADRIFT)) {
        event = http_response_read(&follow->response, bytes + at, len - at, &used);
        if (event < 0)
            return unreadable(follow);
        at += used;
        if (event == HTTP_RESPONSE_HEAD && response_head(follow) < 0)
            return unreadable(follow);
        if (event == HTTP_RESPONSE_END)
            response_end(follow);
    }
    if (follow->down == HTTP_DOWN_READING && follow->unanswered == 0 && !http_response_is_fresh(&follow->response))
        follow->down = HTTP_DOWN_ADRIFT;
    return follow->down == HTTP_DOWN_UNREADABLE ? -EBADMSG : 0;
}

bool http_follow_all_answered(const struct http_follow *follow)
{
    return follow->unanswered == 0 && follow->up == HTTP_UP_HEAD && follow->down == HTTP_DOWN_READING &&
           http_response_is_fresh(&follow->response) && !follow->response.cr;
}
