#include "policy/http_follow.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"

enum { CHUNK_DIGITS_MAX = 15, LENGTH_DIGITS_MAX = 18, STATUS_SWITCHING = 101 };

void http_follow_init(struct http_follow *f)
{
    memset(f, 0, sizeof(*f));
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* ---- the guest ---- */

static enum follow_step bad(struct evidence *out_evidence)
{
    *out_evidence = (struct evidence){.kind = EVIDENCE_BAD, .bad = REASON_HTTP_MALFORMED};
    return FOLLOW_BAD;
}

static enum follow_step head_read(struct http_follow *f, const uint8_t *bytes, size_t len, size_t *out_len,
                                  struct evidence *out_evidence)
{
    int r;

    if (f->asked_count == HTTP_FOLLOW_PIPELINE_MAX || f->answer == HTTP_ANSWER_UNASKED)
        return FOLLOW_HOLD;
    r = http_request_read(bytes, len, out_evidence, &f->framing);
    if (r == 0)
        return FOLLOW_MORE;
    if (r < 0)
        return FOLLOW_BAD;
    f->request_left = (uint64_t)r;
    *out_len = (size_t)r;
    return FOLLOW_JUDGE;
}

void http_follow_allow(struct http_follow *f)
{
    unsigned at = (f->asked_first + f->asked_count++) % HTTP_FOLLOW_PIPELINE_MAX;

    CHECK(f->request == HTTP_REQUEST_HEAD && f->asked_count <= HTTP_FOLLOW_PIPELINE_MAX);
    f->asked[at] = (struct http_asked){.head = f->framing.head, .upgrade = f->framing.upgrade};
    f->request = HTTP_REQUEST_HEAD_PASSES;
}

/* The request is at its end. */
static enum http_request_state next_request(const struct http_follow *f)
{
    return f->framing.upgrade ? HTTP_REQUEST_UPGRADE : HTTP_REQUEST_HEAD;
}

/* What follows the bytes that have just passed. */
static void request_advance(struct http_follow *f)
{
    bool head = f->request == HTTP_REQUEST_HEAD_PASSES;

    if (f->request_left > 0)
        return;
    if (head && f->framing.chunked) {
        f->request = HTTP_REQUEST_CHUNK;
    } else if (head && f->framing.length > 0) {
        f->request = HTTP_REQUEST_BODY;
        f->request_left = f->framing.length;
    } else {
        f->request = f->request == HTTP_REQUEST_CHUNK_DATA ? HTTP_REQUEST_CHUNK_END : next_request(f);
    }
}

static enum follow_step pass(struct http_follow *f, size_t len, size_t *out_len)
{
    *out_len = f->request_left < len ? (size_t)f->request_left : len;
    f->request_left -= *out_len;
    request_advance(f);
    return FOLLOW_PASS;
}

/* RFC 9112 section 7.1, without extensions: digits and CR LF. */
static enum follow_step chunk_read(struct http_follow *f, const uint8_t *bytes, size_t len, size_t *out_len,
                                   struct evidence *out_evidence)
{
    uint64_t size = 0;
    size_t n = 0;

    for (; n < len && hex_digit(bytes[n]) >= 0; n++) {
        if (n == CHUNK_DIGITS_MAX)
            return bad(out_evidence);
        size = size << 4 | (unsigned)hex_digit(bytes[n]);
    }
    if (n == len)
        return FOLLOW_MORE;
    if (n == 0 || bytes[n] != '\r')
        return bad(out_evidence);
    if (n + 1 == len)
        return FOLLOW_MORE;
    if (bytes[n + 1] != '\n')
        return bad(out_evidence);
    *out_len = n + 2;
    f->request_left = size;
    f->request = size > 0 ? HTTP_REQUEST_CHUNK_DATA : HTTP_REQUEST_LAST;
    return FOLLOW_PASS;
}

static enum follow_step line_end_read(struct http_follow *f, const uint8_t *bytes, size_t len, size_t *out_len,
                                      struct evidence *out_evidence)
{
    if (bytes[0] != '\r' || (len > 1 && bytes[1] != '\n'))
        return bad(out_evidence);
    if (len == 1)
        return FOLLOW_MORE;
    *out_len = 2;
    f->request = f->request == HTTP_REQUEST_LAST ? next_request(f) : HTTP_REQUEST_CHUNK;
    return FOLLOW_PASS;
}

enum follow_step http_follow_guest(struct http_follow *f, const uint8_t *bytes, size_t len, size_t *out_len,
                                   struct evidence *out_evidence)
{
    if (f->opaque)
        return FOLLOW_OPAQUE;
    if (len == 0)
        return FOLLOW_MORE;
    switch (f->request) {
    case HTTP_REQUEST_HEAD:
        return head_read(f, bytes, len, out_len, out_evidence);
    case HTTP_REQUEST_HEAD_PASSES:
    case HTTP_REQUEST_BODY:
    case HTTP_REQUEST_CHUNK_DATA:
        return pass(f, len, out_len);
    case HTTP_REQUEST_CHUNK:
        return chunk_read(f, bytes, len, out_len, out_evidence);
    case HTTP_REQUEST_CHUNK_END:
    case HTTP_REQUEST_LAST:
        return line_end_read(f, bytes, len, out_len, out_evidence);
    case HTTP_REQUEST_UPGRADE:
        return FOLLOW_HOLD;
    }
    CHECK(!"a state of a request");
    return bad(out_evidence);
}

bool http_follow_all_answered(const struct http_follow *f)
{
    return f->request == HTTP_REQUEST_HEAD && f->asked_count == 0 && f->answer == HTTP_ANSWER_STATUS &&
           f->line_len == 0;
}

/* ---- the server ---- */

/* A line of the server's without its end, as far as it was kept. */
struct kept {
    const char *at;
    size_t len;
    bool cut; /* it went on */
};

static struct kept line_kept(const struct http_follow *f)
{
    struct kept k = {.at = f->line, .len = f->line_len, .cut = f->line_len > sizeof(f->line)};

    if (k.cut)
        k.len = sizeof(f->line);
    else if (k.len > 0 && k.at[k.len - 1] == '\r')
        k.len--;
    return k;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void trim(struct kept *k)
{
    for (; k->len > 0 && is_blank(k->at[0]); k->at++)
        k->len--;
    while (k->len > 0 && is_blank(k->at[k->len - 1]))
        k->len--;
}

/* "HTTP/1.x SP ddd", and then whatever the server likes. */
static int status_read(struct http_follow *f, const struct kept *k)
{
    static const char version[] = "HTTP/1.";

    if (k->len < 12 || memcmp(k->at, version, 7) != 0 || k->at[7] < '0' || k->at[7] > '9' || k->at[8] != ' ' ||
        (k->len > 12 && k->at[12] != ' '))
        return -EBADMSG;
    f->status = 0;
    for (int i = 9; i < 12; i++) {
        if (k->at[i] < '0' || k->at[i] > '9')
            return -EBADMSG;
        f->status = f->status * 10 + (unsigned)(k->at[i] - '0');
    }
    f->answer = HTTP_ANSWER_FIELDS;
    f->has_length = f->has_coding = f->chunked = f->framing_field = false;
    return f->status >= 100 && f->status <= 599 ? 0 : -EBADMSG;
}

static int length_read(struct http_follow *f, const struct kept *value)
{
    uint64_t length = 0;

    if (value->len == 0 || value->len > LENGTH_DIGITS_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < value->len; i++) {
        if (value->at[i] < '0' || value->at[i] > '9')
            return -EBADMSG;
        length = length * 10 + (unsigned)(value->at[i] - '0');
    }
    if (f->has_length && length != f->answer_left)
        return -EBADMSG;
    f->has_length = true;
    f->answer_left = length;
    return 0;
}

/* Chunked counts where it stands last; anything else there lasts until the end (RFC 9112 section 6.3). */
static int coding_read(struct http_follow *f, struct kept value)
{
    static const char chunked[] = "chunked";

    for (size_t i = value.len; i > 0; i--) {
        if (value.at[i - 1] != ',')
            continue;
        value.at += i;
        value.len -= i;
        break;
    }
    trim(&value);
    f->has_coding = true;
    f->chunked = value.len == strlen(chunked) && strncasecmp(value.at, chunked, value.len) == 0;
    return 0;
}

static int field_read(struct http_follow *f, const struct kept *k)
{
    const char *colon = memchr(k->at, ':', k->len);
    struct kept value = *k;
    bool length, coding;
    size_t name;

    if (is_blank(k->at[0])) /* obs-fold: harmless but where it would go on with what frames */
        return f->framing_field ? -EBADMSG : 0;
    f->framing_field = false;
    if (!colon)
        return k->cut ? 0 : -EBADMSG; /* no name is so long that means anything here */
    name = (size_t)(colon - k->at);
    length = name == 14 && strncasecmp(k->at, "Content-Length", name) == 0;
    coding = name == 17 && strncasecmp(k->at, "Transfer-Encoding", name) == 0;
    if (name > 0 && is_blank(k->at[name - 1])) /* some servers' clients read it as that name all the same */
        return -EBADMSG;
    if (!length && !coding)
        return 0;
    f->framing_field = true;
    if (k->cut)
        return -EBADMSG;
    value.at += name + 1;
    value.len -= name + 1;
    trim(&value);
    return length ? length_read(f, &value) : coding_read(f, value);
}

/* The empty line behind the fields. */
static int head_end(struct http_follow *f)
{
    struct http_asked asked = f->asked[f->asked_first];

    if (f->has_length && f->has_coding)
        return -EBADMSG;
    if (f->status < 200) {
        f->answer = HTTP_ANSWER_STATUS;
        f->opaque = f->status == STATUS_SWITCHING;
        if (f->opaque)
            return asked.upgrade ? 0 : -EBADMSG;
        return ++f->interim > HTTP_FOLLOW_INTERIM_MAX ? -EBADMSG : 0;
    }
    f->interim = 0;
    f->asked_first = (f->asked_first + 1) % HTTP_FOLLOW_PIPELINE_MAX;
    f->asked_count--;
    if (asked.upgrade && f->request == HTTP_REQUEST_UPGRADE)
        f->request = HTTP_REQUEST_HEAD;
    if (asked.upgrade)
        f->framing.upgrade = false; /* its body may still be on the way up */
    if (asked.head || f->status == 204 || f->status == 304 || (f->has_length && f->answer_left == 0))
        f->answer = HTTP_ANSWER_STATUS;
    else if (f->chunked)
        f->answer = HTTP_ANSWER_CHUNK;
    else
        f->answer = f->has_length ? HTTP_ANSWER_BODY : HTTP_ANSWER_ENDLESS;
    return 0;
}

/* The size in front; extensions behind it are the server's affair. */
static int answer_chunk_read(struct http_follow *f, const struct kept *k)
{
    uint64_t size = 0;
    size_t n = 0;

    for (; n < k->len && hex_digit((uint8_t)k->at[n]) >= 0; n++) {
        if (n == CHUNK_DIGITS_MAX)
            return -EBADMSG;
        size = size << 4 | (unsigned)hex_digit((uint8_t)k->at[n]);
    }
    if (n == 0 || (n < k->len && k->at[n] != ';' && !is_blank(k->at[n])))
        return -EBADMSG;
    f->answer_left = size;
    f->answer = size > 0 ? HTTP_ANSWER_CHUNK_DATA : HTTP_ANSWER_TRAILERS;
    return 0;
}

static int line_read(struct http_follow *f)
{
    struct kept k = line_kept(f);

    switch (f->answer) {
    case HTTP_ANSWER_STATUS:
        return status_read(f, &k);
    case HTTP_ANSWER_FIELDS:
        return k.len > 0 ? field_read(f, &k) : head_end(f);
    case HTTP_ANSWER_CHUNK:
        return answer_chunk_read(f, &k);
    case HTTP_ANSWER_CHUNK_END:
        f->answer = HTTP_ANSWER_CHUNK;
        return k.len == 0 ? 0 : -EBADMSG;
    case HTTP_ANSWER_TRAILERS:
        if (k.len == 0)
            f->answer = HTTP_ANSWER_STATUS;
        return 0;
    case HTTP_ANSWER_BODY:
    case HTTP_ANSWER_CHUNK_DATA:
    case HTTP_ANSWER_ENDLESS:
    case HTTP_ANSWER_UNASKED:
        break;
    }
    CHECK(!"a state with lines");
    return -EBADMSG;
}

static int line_add(struct http_follow *f, uint8_t byte)
{
    int err;

    if (++f->head_len > HTTP_FOLLOW_HEAD_BYTES_MAX)
        return -EBADMSG;
    if (byte != '\n') {
        if (f->line_len < sizeof(f->line))
            f->line[f->line_len] = (char)byte;
        f->line_len++;
        return 0;
    }
    err = line_read(f);
    f->line_len = 0;
    if (f->answer == HTTP_ANSWER_STATUS || f->answer == HTTP_ANSWER_BODY || f->answer == HTTP_ANSWER_CHUNK_DATA)
        f->head_len = 0;
    return err;
}

int http_follow_server(struct http_follow *f, const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at < len && !f->opaque;) {
        size_t left = len - at, n;

        switch (f->answer) {
        case HTTP_ANSWER_ENDLESS:
        case HTTP_ANSWER_UNASKED:
            return 0;
        case HTTP_ANSWER_BODY:
        case HTTP_ANSWER_CHUNK_DATA:
            n = f->answer_left < left ? (size_t)f->answer_left : left;
            f->answer_left -= n;
            at += n;
            if (f->answer_left == 0)
                f->answer = f->answer == HTTP_ANSWER_BODY ? HTTP_ANSWER_STATUS : HTTP_ANSWER_CHUNK_END;
            break;
        case HTTP_ANSWER_STATUS:
            if (f->asked_count == 0) {
                f->answer = HTTP_ANSWER_UNASKED;
                return 0;
            }
            /* fall through */
        case HTTP_ANSWER_FIELDS:
        case HTTP_ANSWER_CHUNK:
        case HTTP_ANSWER_CHUNK_END:
        case HTTP_ANSWER_TRAILERS:
            if (line_add(f, bytes[at++]) < 0)
                return -EBADMSG;
            break;
        }
    }
    return 0;
}
