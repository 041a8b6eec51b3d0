/*
 * A wrong byte changes nothing: what came before it is the same however the stream was cut.
 */
#include "policy/http_body.h"

#include <errno.h>

enum {
    HTTP_CHUNK_DIGITS_MAX = 8,          /* strict; zeros in front count */
    HTTP_CHUNK_DIGITS_LENIENT_MAX = 15, /* 60 bits */
};

void http_body_init(struct http_body *body, enum http_body_kind kind, uint64_t length, bool strict)
{
    *body = (struct http_body){.kind = kind, .strict = strict};
    if (kind == HTTP_BODY_LENGTH)
        body->left = length;
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

/* The line of the chunk's size is over. */
static void size_end(struct http_body *body)
{
    body->cr = false;
    body->digits = 0;
    body->blanks = 0;
    body->state = body->left > 0 ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER_START;
}

/*
 * A byte where a line may end. Return: 1 it does; 0 its CR was taken; -EBADMSG not with this byte.
 */
static int end_take(struct http_body *body, uint8_t byte)
{
    if (byte == '\n' && (body->cr || !body->strict)) {
        body->cr = false;
        return 1;
    }
    if (byte == '\r' && !body->cr) {
        body->cr = true;
        return 0;
    }
    return -EBADMSG;
}

static int size_take(struct http_body *body, uint8_t byte)
{
    int digit = body->cr || body->blanks > 0 ? -1 : hex_digit(byte), r;
    unsigned digits_max = body->strict ? HTTP_CHUNK_DIGITS_MAX : HTTP_CHUNK_DIGITS_LENIENT_MAX;

    if (digit >= 0) {
        uint64_t size = body->left << 4 | (unsigned)digit;

        if (body->digits == digits_max || (body->strict && size > INT32_MAX))
            return -EBADMSG;
        body->digits++;
        body->left = size;
        return 0;
    }
    if (body->digits == 0)
        return -EBADMSG;
    if (!body->strict && !body->cr && (byte == ' ' || byte == '\t')) {
        body->blanks = 1;
        return 0;
    }
    if (!body->strict && !body->cr && byte == ';') {
        body->state = HTTP_CHUNK_EXTENSION;
        return 0;
    }
    r = end_take(body, byte);
    if (r > 0)
        size_end(body);
    return r < 0 ? r : 0;
}

/* Lenient only. A CR in the middle is a line end to some: wrong. */
static int extension_take(struct http_body *body, uint8_t byte)
{
    int r;

    if (!body->cr && byte != '\r' && byte != '\n')
        return 0;
    r = end_take(body, byte);
    if (r > 0)
        size_end(body);
    return r < 0 ? r : 0;
}

static int data_end_take(struct http_body *body, uint8_t byte)
{
    int r = end_take(body, byte);

    if (r > 0)
        body->state = HTTP_CHUNK_SIZE;
    return r < 0 ? r : 0;
}

static int trailer_start_take(struct http_body *body, uint8_t byte)
{
    int r = end_take(body, byte);

    if (r > 0)
        body->state = HTTP_CHUNK_END;
    if (r >= 0)
        return 0;
    if (body->strict || body->cr)
        return r;
    body->state = HTTP_CHUNK_TRAILER;
    return 0;
}

/* One byte of framing. Return: 0, or -EBADMSG with nothing changed. */
static int framing_take(struct http_body *body, uint8_t byte)
{
    switch (body->state) {
    case HTTP_CHUNK_SIZE:
        return size_take(body, byte);
    case HTTP_CHUNK_EXTENSION:
        return extension_take(body, byte);
    case HTTP_CHUNK_DATA_END:
        return data_end_take(body, byte);
    case HTTP_CHUNK_TRAILER_START:
        return trailer_start_take(body, byte);
    case HTTP_CHUNK_TRAILER:
        if (byte == '\n')
            body->state = HTTP_CHUNK_TRAILER_START;
        return 0;
    case HTTP_CHUNK_DATA:
    case HTTP_CHUNK_END:
        break;
    }
    return -EBADMSG;
}

/* As much of @left as is there. */
static size_t data_take(struct http_body *body, size_t len)
{
    size_t n = body->left < len ? (size_t)body->left : len;

    body->left -= n;
    return n;
}

static int chunks_take(struct http_body *body, const uint8_t *bytes, size_t len, size_t *out_used)
{
    size_t at = 0;
    int r = 0;

    while (at < len && body->state != HTTP_CHUNK_END) {
        if (body->state == HTTP_CHUNK_DATA) {
            at += data_take(body, len - at);
            body->framing = 0;
            if (body->left == 0)
                body->state = HTTP_CHUNK_DATA_END;
            continue;
        }
        r = body->framing < HTTP_FRAMING_BYTES_MAX ? framing_take(body, bytes[at]) : -EBADMSG;
        if (r < 0)
            break;
        body->framing++;
        at++;
    }
    *out_used = at;
    return r < 0 ? r : body->state == HTTP_CHUNK_END;
}

int http_body_take(struct http_body *body, const uint8_t *bytes, size_t len, size_t *out_used)
{
    switch (body->kind) {
    case HTTP_BODY_LENGTH:
        *out_used = data_take(body, len);
        return body->left == 0;
    case HTTP_BODY_CHUNKED:
        return chunks_take(body, bytes, len, out_used);
    case HTTP_BODY_UNTIL_CLOSE:
        break;
    }
    *out_used = len;
    return 0;
}
