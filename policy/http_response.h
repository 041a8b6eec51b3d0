/*
 * Reader of HTTP/1 responses (RFC 9112), for their status and for where they end, and for nothing else. Lenient where
 * that cannot move an end, strict where it could.
 */
#ifndef WEIR_POLICY_HTTP_RESPONSE_H
#define WEIR_POLICY_HTTP_RESPONSE_H

#include "policy/http_body.h"

enum {
    HTTP_RESPONSE_HEAD_BYTES_MAX = 64 * 1024, /* with the empty lines in front of it */
    HTTP_RESPONSE_LINE_KEPT = 128,            /* of a line; a longer one must not be about framing */
};

/*
 *   STATUS -- status line --> FIELDS -- empty line: HTTP_RESPONSE_HEAD --> HEAD_DONE
 *   HEAD_DONE -- http_response_body() --> BODY -- its end: HTTP_RESPONSE_END --> STATUS
 *             \- http_response_interim() --> STATUS
 */
enum http_response_state {
    HTTP_RESPONSE_STATUS,
    HTTP_RESPONSE_FIELDS,
    HTTP_RESPONSE_HEAD_DONE,
    HTTP_RESPONSE_BODY,
};

/* Value type. */
struct http_response {
    enum http_response_state state;
    uint16_t status;  /* from HEAD_DONE on */
    bool v1_0, has_length;
    bool has_coding, has_chunked, ends_chunked; /* Transfer-Encoding; `chunked` in it; as the last one */
    bool may_fold, framing_field;               /* a field stands before this line; it was about framing */
    bool cr;                                    /* the last byte was a CR, perhaps of a line end */
    uint32_t line_len;                          /* of the line as it is, not as it is kept */
    uint32_t head_len;
    uint64_t length;
    struct http_body body;
    uint8_t line[HTTP_RESPONSE_LINE_KEPT];
};

enum http_response_event {
    HTTP_RESPONSE_MORE, /* all was taken */
    HTTP_RESPONSE_HEAD, /* taken up to the head's empty line: http_response_body() or http_response_interim() is next */
    HTTP_RESPONSE_END,  /* taken up to the response's last byte; the next response may follow */
};

void http_response_init(struct http_response *response);

/** Whether nothing of a response is there yet; ends of empty lines may be. */
bool http_response_is_fresh(const struct http_response *response);

/**
 * Read on, up to the next event.
 *
 * @out_used: bytes taken; written unless unreadable
 *
 * Empty lines in front of a response are skipped, a bare LF is a line end, fields that say nothing about framing may be
 * of any form. Unreadable: a status line other than `HTTP/1.0` or `1.1`, a blank, three digits; a line of blanks; a
 * folded line in front of the first field; a Content-Length that is no number (a list of one and the same is one), or
 * not the same number each time; one together with Transfer-Encoding; `chunked` twice; a framing field that is folded
 * or in a fold, has a blank before its colon, or is beyond HTTP_RESPONSE_LINE_KEPT; a head beyond
 * HTTP_RESPONSE_HEAD_BYTES_MAX; chunks as http_body_take() says.
 *
 * Return: an enum http_response_event, or -EBADMSG.
 */
int http_response_read(struct http_response *response, const uint8_t *bytes, size_t len, size_t *out_used);

/** After HTTP_RESPONSE_HEAD: the response was an interim one (1xx), and is over. */
void http_response_interim(struct http_response *response);

/**
 * After HTTP_RESPONSE_HEAD: a body follows as RFC 9112 section 6.3 says. It goes on until the server closes without
 * either field, with a coding that does not end in `chunked`, and with any coding in HTTP/1.0, where framing is faulty
 * (section 6.1): then no response that follows is believed.
 *
 * @to_head: the request was HEAD
 */
void http_response_body(struct http_response *response, bool to_head);

#endif
