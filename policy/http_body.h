/*
 * Where the body of an HTTP/1 message ends (RFC 9112 section 6.3): counts and chunk sizes are read, data is skipped.
 */
#ifndef WEIR_POLICY_HTTP_BODY_H
#define WEIR_POLICY_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_FRAMING_BYTES_MAX = 64 * 1024 }; /* of a chunk's line; of the trailers */

enum http_body_kind {
    HTTP_BODY_LENGTH, /* `left` bytes */
    HTTP_BODY_CHUNKED,
    HTTP_BODY_UNTIL_CLOSE, /* never complete */
};

/*
 *   SIZE -- ';' --> EXTENSION          a size was read: its data, or the trailers behind size 0
 *     \-- CR, LF ------\---- CR, LF --> DATA --> DATA_END -- CR, LF --> SIZE
 *                                       TRAILER_START -- CR, LF --> END
 *                                                     \--> TRAILER -- LF --> TRAILER_START
 *
 * Where a CR stands, the state stays and `cr` is set: nothing but LF may follow.
 */
enum http_chunk_state {
    HTTP_CHUNK_SIZE,
    HTTP_CHUNK_EXTENSION,
    HTTP_CHUNK_DATA,
    HTTP_CHUNK_DATA_END,
    HTTP_CHUNK_TRAILER_START,
    HTTP_CHUNK_TRAILER,
    HTTP_CHUNK_END,
};

/* Value type. */
struct http_body {
    enum http_body_kind kind;
    bool strict; /* a request's: see http_body_take() */
    enum http_chunk_state state;
    bool cr;
    uint8_t digits, blanks; /* of the chunk size; `blanks` is 1 once one stands behind the digits */
    uint32_t framing;       /* bytes since the last data */
    uint64_t left;          /* bytes of data: of the body, or of the chunk */
};

/** @length: of HTTP_BODY_LENGTH; the others do not look at it */
void http_body_init(struct http_body *body, enum http_body_kind kind, uint64_t length, bool strict);

/**
 * Take what belongs to the body from the next bytes of the stream. The cost is that of the framing: data is skipped.
 *
 * @out_used: always written: bytes that belong to the body; on error those in front of the first wrong one
 *
 * Strict: a chunk's line is hex digits (at most 8, and a size of 31 bits) and CR LF, data ends in CR LF, and there are
 * no extensions and no trailers: what two servers could read differently is wrong. Otherwise a bare LF is a line end,
 * blanks may stand behind a size, and extensions and trailers are skipped, up to HTTP_FRAMING_BYTES_MAX.
 *
 * Return: 1 the body is complete, nothing behind it was taken; 0 need more (@out_used is @len); -EBADMSG, for good.
 */
int http_body_take(struct http_body *body, const uint8_t *bytes, size_t len, size_t *out_used);

#endif
