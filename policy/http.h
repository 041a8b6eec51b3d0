/*
 * Reader of an HTTP/1 request head (RFC 9112), strict: what two servers could frame differently is
 * refused.
 */
#ifndef WEIR_POLICY_HTTP_H
#define WEIR_POLICY_HTTP_H

#include "base/addr.h"
#include "policy/evidence.h"

enum {
    HTTP_BLANKS_MAX = 64,  /* skipped before a request line */
    HTTP_TOKEN_MAX = 24,   /* a longer first word is no method of any server */
    HTTP_LINE_MAX = 4096,  /* of a first line whose beginning does not tell */
};

/**
 * Whether the first bytes could still begin a request ("token SP target..."), after CR, LF and
 * blanks that lenient servers skip. A blank is SP, HT, VT, FF or CR (RFC 9112 section 3).
 *
 * @eof: nothing more will come: an unfinished line counts as a whole one
 *
 * Return: 1 it is an HTTP request line; 0 need more bytes to tell (never with @eof); -EPROTO it
 * cannot be one.
 *
 * A line `token SP` whose target starts with '/', '*' or "http" is HTTP; so is CONNECT, and any line
 * whose last word begins with "HTTP/". So, too, is what stays undecided beyond HTTP_BLANKS_MAX or HTTP_LINE_MAX:
 * http_head_read() refuses it. A first word above HTTP_TOKEN_MAX and a line with control bytes
 * cannot be HTTP. "PRI * HTTP/2.0" (h2c with prior knowledge) is reported by http_head_read() as
 * proto.unknown.
 */
int http_begins(const uint8_t *bytes, size_t len, bool eof);

enum http_method { HTTP_METHOD_OTHER, HTTP_METHOD_GET, HTTP_METHOD_HEAD };

/* What a Host field or an absolute-form target names; name and literal empty when it names none. */
struct http_authority {
    char name[NAME_TEXT_MAX + 1];
    struct addr literal;
    uint16_t port;
};

/*
 * A request head while it is read, line by line. Value type, some 350 bytes, no pointers. What is said to be of the
 * head is certain once `result` > 0.
 */
struct http_head {
    int result;  /* 0 while lines are missing, then what http_head_resume() returns, again and again */
    size_t used; /* bytes of the lines that were read */
    enum reason bad;

    struct http_authority host; /* of the target until a Host is read */
    bool v1_0, absolute, disagrees;
    bool has_host, has_length, has_expect;

    enum http_method method; /* of the head */
    uint64_t length;         /* of the head: its body's, unless `chunked` */
    bool chunked;
    bool upgrade; /* of the head: another protocol was asked for */
};

void http_head_init(struct http_head *head);

/**
 * Read on in a request head.
 *
 * @bytes:        from the head's first byte, whatever was read before: the caller keeps them
 * @out_evidence: written when the return value is not 0: EVIDENCE_HTTP with the Host (port cut off, absolute-form
 *                authority must agree: host.mismatch), or EVIDENCE_BAD
 *
 * Lines that were read are not read again: the cost of a head does not grow with the pieces it comes in.
 *
 * http.malformed: bare CR or LF line ends, obs-fold, space before the colon, control bytes, more than one Host,
 * Content-Length together with Transfer-Encoding, more than one Content-Length or Transfer-Encoding other than
 * exactly "chunked", an Expect other than 100-continue, a Connection that takes away Host or framing, a missing or
 * unknown version, CONNECT and TRACE, HEAD in other letters, skipped bytes before the request line, an absolute-form
 * target that is not http.
 * proto.unknown: HTTP/2 in clear, by prior knowledge or by `Upgrade: h2c`.
 * name.invalid: a Host or authority that is neither a canonical name nor an IP literal.
 * A Host that is an IP literal, or no Host: name is empty. http.too_big above EVIDENCE_HTTP_BYTES_MAX.
 *
 * Return: > 0 bytes of the head with its empty line; 0 need more; -EBADMSG or -E2BIG with @out_evidence->bad
 * set.
 */
int http_head_resume(struct http_head *head, const uint8_t *bytes, size_t len, struct evidence *out_evidence);

/** http_head_resume() of a fresh head. */
int http_head_read(const uint8_t *bytes, size_t len, struct evidence *out_evidence);

#endif
