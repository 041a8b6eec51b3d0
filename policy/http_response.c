#include "policy/http_response.h"

#include <errno.h>

#include "base/check.h"
#include "policy/http_text.h"

enum { HTTP_LENGTH_DIGITS_MAX = 18, HTTP_STATUS_MIN = 100 };

void http_response_init(struct http_response *response)
{
    *response = (struct http_response){.state = HTTP_RESPONSE_STATUS};
}

bool http_response_is_fresh(const struct http_response *response)
{
    return response->state == HTTP_RESPONSE_STATUS && response->line_len == 0;
}

/* ---- lines ---- */

static void line_put(struct http_response *response, uint8_t byte)
{
    if (response->line_len < sizeof(response->line))
        response->line[response->line_len] = byte;
    response->line_len++;
}

/* Take bytes up to and with the next line end. Return: 1 the line is whole; 0 need more; -EBADMSG. */
static int line_take(struct http_response *response, struct cursor *c)
{
    uint8_t byte;

    while (cursor_u8(c, &byte)) {
        if (++response->head_len > HTTP_RESPONSE_HEAD_BYTES_MAX)
            return -EBADMSG;
        if (byte == '\n') {
            response->cr = false;
            return 1;
        }
        if (response->cr)
            line_put(response, '\r');
        response->cr = byte == '\r';
        if (!response->cr)
            line_put(response, byte);
    }
    return 0;
}

/* "HTTP/1.1 200", then nothing or a blank and any text. */
static int status_line_read(struct http_response *response, struct cursor line)
{
    uint8_t version[8], blank, digit;
    unsigned status = 0;

    if (!cursor_bytes(&line, version, sizeof(version)) || !cursor_u8(&line, &blank) || blank != ' ')
        return -EBADMSG;
    if (memcmp(version, "HTTP/1.0", sizeof(version)) != 0 && memcmp(version, "HTTP/1.1", sizeof(version)) != 0)
        return -EBADMSG;
    for (unsigned i = 0; i < 3; i++) {
        if (!cursor_u8(&line, &digit) || !http_text_is_digit(digit))
            return -EBADMSG;
        status = status * 10 + (digit - '0');
    }
    if (status < HTTP_STATUS_MIN || (cursor_u8(&line, &blank) && blank != ' '))
        return -EBADMSG;
    response->v1_0 = version[7] == '0';
    response->status = (uint16_t)status;
    return 0;
}

/* ---- fields ---- */

static int length_read(struct http_response *response, struct cursor list)
{
    struct cursor item;
    bool has_item = false;

    while (http_text_item(&list, &item)) {
        uint64_t length = 0;

        if (cursor_left(&item) > HTTP_LENGTH_DIGITS_MAX)
            return -EBADMSG;
        for (const uint8_t *p = item.at; p < item.end; p++) {
            if (!http_text_is_digit(*p))
                return -EBADMSG;
            length = length * 10 + (*p - '0');
        }
        if (response->has_length && length != response->length)
            return -EBADMSG;
        response->has_length = true;
        response->length = length;
        has_item = true;
    }
    return has_item ? 0 : -EBADMSG;
}

/* Only the last coding of all fields tells where the body ends (RFC 9112 section 6.3). */
static int coding_read(struct http_response *response, struct cursor list)
{
    struct cursor item;

    response->has_coding = true;
    while (http_text_item(&list, &item)) {
        response->ends_chunked = http_text_is(&item, "chunked");
        if (response->ends_chunked && response->has_chunked)
            return -EBADMSG;
        response->has_chunked = response->has_chunked || response->ends_chunked;
    }
    return 0;
}

static int field_read(struct http_response *response, struct cursor line)
{
    bool folded = line.at[0] == ' ' || line.at[0] == '\t', is_length, is_coding, blank;
    struct cursor name;

    if (folded && (!response->may_fold || response->framing_field))
        return -EBADMSG;
    if (folded)
        http_text_trim(&line);
    if (cursor_left(&line) == 0) /* the empty line, to some */
        return -EBADMSG;
    name = http_text_until(&line, ':');
    blank = cursor_left(&name) > 0 && (name.end[-1] == ' ' || name.end[-1] == '\t');
    http_text_trim(&name);
    is_length = http_text_is(&name, "Content-Length");
    is_coding = http_text_is(&name, "Transfer-Encoding");
    response->may_fold = true;
    response->framing_field = is_length || is_coding;
    if (!response->framing_field)
        return 0;
    /* Some read it and some do not; or its end was not kept. */
    if (folded || blank || response->line_len > sizeof(response->line) || !cursor_skip(&line, 1))
        return -EBADMSG;
    return is_length ? length_read(response, line) : coding_read(response, line);
}

/* A whole line of the head. Return: 1 it was the empty one at its end; 0; -EBADMSG. */
static int head_line_read(struct http_response *response)
{
    size_t kept = response->line_len < sizeof(response->line) ? response->line_len : sizeof(response->line);
    struct cursor line = cursor_of(response->line, kept);
    int r;

    if (response->state == HTTP_RESPONSE_FIELDS && kept == 0)
        return response->has_length && response->has_coding ? -EBADMSG : 1;
    if (response->state == HTTP_RESPONSE_FIELDS)
        return field_read(response, line);
    if (kept == 0)
        return 0;
    r = status_line_read(response, line);
    if (r == 0)
        response->state = HTTP_RESPONSE_FIELDS;
    return r;
}

static int head_take(struct http_response *response, struct cursor *c)
{
    int r;

    while ((r = line_take(response, c)) > 0) {
        r = head_line_read(response);
        if (r != 0)
            break;
        response->line_len = 0;
    }
    if (r > 0)
        response->state = HTTP_RESPONSE_HEAD_DONE;
    return r;
}

/* ---- the response ---- */

int http_response_read(struct http_response *response, const uint8_t *bytes, size_t len, size_t *out_used)
{
    struct cursor c = cursor_of(bytes, len);
    int r;

    CHECK(response->state != HTTP_RESPONSE_HEAD_DONE);
    if (response->state == HTTP_RESPONSE_BODY) {
        r = http_body_take(&response->body, bytes, len, out_used);
        if (r > 0)
            http_response_init(response);
        return r > 0 ? HTTP_RESPONSE_END : r < 0 ? r : HTTP_RESPONSE_MORE;
    }
    r = head_take(response, &c);
    *out_used = (size_t)(c.at - bytes);
    return r > 0 ? HTTP_RESPONSE_HEAD : r < 0 ? r : HTTP_RESPONSE_MORE;
}

void http_response_interim(struct http_response *response)
{
    CHECK(response->state == HTTP_RESPONSE_HEAD_DONE);
    http_response_init(response);
}

void http_response_body(struct http_response *response, bool to_head)
{
    bool none = to_head || response->status == 204 || response->status == 304;

    CHECK(response->state == HTTP_RESPONSE_HEAD_DONE);
    if (none || (response->has_length && !response->has_coding))
        http_body_init(&response->body, HTTP_BODY_LENGTH, none ? 0 : response->length, false);
    else if (response->ends_chunked && !response->v1_0)
        http_body_init(&response->body, HTTP_BODY_CHUNKED, 0, false);
    else
        http_body_init(&response->body, HTTP_BODY_UNTIL_CLOSE, 0, false);
    response->state = HTTP_RESPONSE_BODY;
}
