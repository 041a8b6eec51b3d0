/*
 * Reader of an HTTP/1 request head (RFC 9112), strict: what two servers could frame differently is
 * refused.
 */
#ifndef WEIR_POLICY_HTTP_H
#define WEIR_POLICY_HTTP_H

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

/* What follows a request's head. */
struct http_framing {
    bool chunked;    /* else `length` bytes */
    uint64_t length;
    bool head;       /* its answer has no body */
    bool upgrade;    /* it asks for another protocol */
};

/**
 * Read a whole request head.
 *
 * @out_framing:  written when the return value is > 0
 * @out_evidence: written when the return value is not 0: EVIDENCE_HTTP with the Host (port cut off, absolute-form
 *                authority must agree: host.mismatch), or EVIDENCE_BAD
 *
 * http.malformed: bare CR or LF line ends, obs-fold, space before the colon, control bytes, more than one Host,
 * Content-Length together with Transfer-Encoding, more than one Content-Length or Transfer-Encoding other than
 * exactly "chunked", a missing or unknown version, CONNECT and TRACE, skipped bytes before the request line,
 * an absolute-form target that is not http.
 * proto.unknown: HTTP/2 in clear, by prior knowledge or by `Upgrade: h2c`.
 * name.invalid: a Host or authority that is neither a canonical name nor an IP literal.
 * A Host that is an IP literal, or no Host: name is empty. http.too_big above EVIDENCE_HTTP_BYTES_MAX.
 *
 * Return: > 0 bytes of the head with its empty line; 0 need more; -EBADMSG or -E2BIG with @out_evidence->bad
 * set.
 */
int http_request_read(const uint8_t *bytes, size_t len, struct evidence *out_evidence,
                      struct http_framing *out_framing);

/** The same for whoever does not want to know what follows. */
int http_head_read(const uint8_t *bytes, size_t len, struct evidence *out_evidence);

#endif
