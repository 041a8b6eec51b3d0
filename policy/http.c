/*
 * The head is read line by line, in order, each line once it is complete: the first line that is
 * wrong decides, wherever the stream was cut.
 */
#include "policy/http.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/cursor.h"
#include "policy/http_text.h"

enum { HTTP_PORT_DEFAULT = 80, HTTP_PORT_DIGITS_MAX = 5, HTTP_LENGTH_DIGITS_MAX = 18 };

/* RFC 9110 section 5.6.2. */
static bool is_tchar(uint8_t c)
{
    return http_text_is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

static bool is_control(uint8_t c)
{
    return c < ' ' || c == 0x7f;
}

/* --- does it begin a request? ---------------------------------------------------------------- */

/* Whether the last word of a line begins with "HTTP/", in any case and after any blank. */
static bool line_ends_in_version(const uint8_t *line, size_t len)
{
    struct cursor word = {0};
    size_t start;

    while (len > 0 && is_blank(line[len - 1]))
        len--;
    for (start = len; start > 0 && !is_blank(line[start - 1]); start--)
        ;
    word = cursor_of(line + start, len - start);
    return http_text_begins(&word, "HTTP/");
}

/* The part of http_begins() for a line that has a target, which starts at @line's first byte. */
static int target_begins(const uint8_t *line, size_t len, size_t room, bool eof)
{
    struct cursor target = cursor_of(line, len);
    size_t in_room = len < room ? len : room;

    if (line[0] == '/' || line[0] == '*' || http_text_begins(&target, "http"))
        return 1;
    for (size_t i = 0; i < in_room; i++) {
        if (line[i] == '\n')
            return line_ends_in_version(line, i) ? 1 : -EPROTO;
        if (is_control(line[i]) && !is_blank(line[i]))
            return -EPROTO;
    }
    if (len > room)
        return 1;
    if (eof)
        return line_ends_in_version(line, len) ? 1 : -EPROTO;
    return 0;
}

int http_begins(const uint8_t *bytes, size_t len, bool eof)
{
    int undecided = eof ? -EPROTO : 0;
    struct cursor method;
    size_t start = 0, at;

    while (start < len && (is_blank(bytes[start]) || bytes[start] == '\n'))
        start++;
    if (start > HTTP_BLANKS_MAX)
        return 1;
    for (at = start; at < len && is_tchar(bytes[at]); at++)
        ;
    if (at - start > HTTP_TOKEN_MAX)
        return -EPROTO;
    if (at == len)
        return undecided;
    if (at == start || !is_blank(bytes[at]))
        return -EPROTO;
    method = cursor_of(bytes + start, at - start);
    while (at < len && is_blank(bytes[at]))
        at++;
    if (at - start > HTTP_LINE_MAX)
        return 1;
    if (at == len)
        return undecided;
    if (bytes[at] == '\n')
        return -EPROTO;
    if (http_text_is(&method, "CONNECT"))
        return 1;
    return target_begins(bytes + at, len - at, HTTP_LINE_MAX - (at - start), eof);
}

/* --- the head -------------------------------------------------------------------------------- */

static int refuse(struct http_head *head, enum reason bad)
{
    head->bad = bad;
    return -EBADMSG;
}

/* What stands after the host: nothing, or ":" and a port. An empty port is refused. */
static int port_read(struct cursor *c, uint16_t *out_port)
{
    unsigned port = 0, digits = 0;
    uint8_t byte;

    *out_port = HTTP_PORT_DEFAULT;
    if (!cursor_u8(c, &byte))
        return 0;
    if (byte != ':')
        return -EBADMSG;
    for (; cursor_u8(c, &byte); digits++) {
        if (!http_text_is_digit(byte) || digits == HTTP_PORT_DIGITS_MAX)
            return -EBADMSG;
        port = port * 10 + (byte - '0');
    }
    if (port < 1 || port > UINT16_MAX)
        return -EBADMSG;
    *out_port = (uint16_t)port;
    return 0;
}

/* Whether @text is an address literal of that family; only then @out_literal is written. */
static bool literal_read(const struct cursor *text, enum addr_family family,
                         struct addr *out_literal)
{
    char copy[ADDR_TEXT_MAX];
    size_t len = cursor_left(text);
    struct addr literal;

    /* A NUL would end the copy early; the line it comes from has none, and this keeps it so. */
    if (len == 0 || len >= sizeof(copy) || memchr(text->at, '\0', len))
        return false;
    memcpy(copy, text->at, len);
    copy[len] = '\0';
    if (addr_parse(copy, &literal) < 0 || literal.family != family)
        return false;
    *out_literal = literal;
    return true;
}

/* uri-host [":" port] (RFC 9110 section 7.2), not empty. User information falls to name.invalid. */
static int authority_read(struct http_head *head, struct cursor text, struct http_authority *out_authority)
{
    struct http_authority a = {.name = ""};
    struct cursor host;

    if (cursor_left(&text) > 0 && text.at[0] == '[') {
        cursor_skip(&text, 1);
        host = http_text_until(&text, ']');
        if (!cursor_skip(&text, 1) || !literal_read(&host, ADDR_V6, &a.literal))
            return refuse(head, REASON_NAME_INVALID);
    } else {
        host = http_text_until(&text, ':');
        if (!literal_read(&host, ADDR_V4, &a.literal) &&
            name_canonical(host.at, cursor_left(&host), a.name) < 0)
            return refuse(head, REASON_NAME_INVALID);
    }
    if (port_read(&text, &a.port) < 0)
        return refuse(head, REASON_HTTP_MALFORMED);
    *out_authority = a;
    return 0;
}

static bool authority_equal(const struct http_authority *a, const struct http_authority *b)
{
    return strcmp(a->name, b->name) == 0 && addr_equal(&a->literal, &b->literal) &&
           a->port == b->port;
}

/*
 * Take the next line without its CR LF. Control bytes but HT have no place in any of them; a CR
 * elsewhere and an LF alone are line ends to some servers only.
 *
 * Return: 1; 0 need more; -EBADMSG.
 */
static int line_read(struct http_head *head, struct cursor *c, struct cursor *out_line)
{
    struct cursor rest = *c, line = http_text_until(&rest, '\n');

    if (!cursor_skip(&rest, 1))
        return 0;
    if (cursor_left(&line) == 0 || line.end[-1] != '\r')
        return refuse(head, REASON_HTTP_MALFORMED);
    line.end--;
    for (const uint8_t *p = line.at; p < line.end; p++)
        if (is_control(*p) && *p != '\t')
            return refuse(head, REASON_HTTP_MALFORMED);
    *c = rest;
    *out_line = line;
    return 1;
}

/* RFC 9112 section 3.2: origin-form, absolute-form, or asterisk-form with OPTIONS. */
static int target_read(struct http_head *head, const struct cursor *method, struct cursor target)
{
    static const char scheme[] = "http://";
    struct cursor authority;

    if (cursor_left(&target) > 0 && target.at[0] == '/')
        return 0;
    if (http_text_is(&target, "*") && http_text_is(method, "OPTIONS"))
        return 0;
    if (!http_text_begins(&target, scheme))
        return refuse(head, REASON_HTTP_MALFORMED);
    cursor_skip(&target, strlen(scheme));
    authority = http_text_until(&target, '/');
    authority = http_text_until(&authority, '?');
    authority = http_text_until(&authority, '#');
    head->absolute = true;
    head->disagrees = true; /* until a Host says the same */
    return authority_read(head, authority, &head->host);
}

static int request_line_read(struct http_head *head, struct cursor line)
{
    struct cursor method = http_text_until(&line, ' '), target;

    cursor_skip(&line, 1);
    target = http_text_until(&line, ' ');
    cursor_skip(&line, 1);
    if (cursor_left(&method) == 0 || cursor_left(&target) == 0)
        return refuse(head, REASON_HTTP_MALFORMED);
    for (const uint8_t *p = method.at; p < method.end; p++)
        if (!is_tchar(*p))
            return refuse(head, REASON_HTTP_MALFORMED);
    if (memchr(target.at, '\t', cursor_left(&target)))
        return refuse(head, REASON_HTTP_MALFORMED);
    if (http_text_is(&method, "PRI"))
        return refuse(head, REASON_PROTO_UNKNOWN);
    /* Compared without case: some servers do, and no one needs the others. */
    if (http_text_is(&method, "CONNECT") || http_text_is(&method, "TRACE"))
        return refuse(head, REASON_HTTP_MALFORMED);
    if (http_text_is(&method, "GET"))
        head->method = HTTP_METHOD_GET;
    if (http_text_is(&method, "HEAD"))
        head->method = HTTP_METHOD_HEAD;
    /* Whether `head` is answered without a body is each server's own idea. */
    if (head->method == HTTP_METHOD_HEAD && memcmp(method.at, "HEAD", 4) != 0)
        return refuse(head, REASON_HTTP_MALFORMED);
    if (cursor_left(&line) != 8 || memcmp(line.at, "HTTP/1.", 7) != 0 ||
        (line.at[7] != '0' && line.at[7] != '1'))
        return refuse(head, REASON_HTTP_MALFORMED);
    head->v1_0 = line.at[7] == '0';
    return target_read(head, &method, target);
}

/* Content-Length: digits only; a list is a second one in disguise (RFC 9112 section 6.3). */
static int length_read(struct http_head *head, const struct cursor *value)
{
    if (head->has_length || head->chunked || cursor_left(value) == 0 ||
        cursor_left(value) > HTTP_LENGTH_DIGITS_MAX)
        return refuse(head, REASON_HTTP_MALFORMED);
    for (const uint8_t *p = value->at; p < value->end; p++) {
        if (!http_text_is_digit(*p))
            return refuse(head, REASON_HTTP_MALFORMED);
        head->length = head->length * 10 + (*p - '0');
    }
    head->has_length = true;
    return 0;
}

/* Transfer-Encoding: HTTP/1.0 servers ignore it, and so frame otherwise (RFC 9112 section 6.1). */
static int coding_read(struct http_head *head, const struct cursor *value)
{
    static const char chunked[] = "chunked";

    if (head->chunked || head->has_length || head->v1_0 ||
        cursor_left(value) != strlen(chunked) ||
        memcmp(value->at, chunked, strlen(chunked)) != 0)
        return refuse(head, REASON_HTTP_MALFORMED);
    head->chunked = true;
    return 0;
}

/* After an upgrade to h2c every stream names a host of its own, unread. */
static int upgrade_read(struct http_head *head, struct cursor list)
{
    struct cursor protocol;

    while (http_text_item(&list, &protocol)) {
        if (http_text_begins(&protocol, "h2c"))
            return refuse(head, REASON_PROTO_UNKNOWN);
        head->upgrade = true;
    }
    return 0;
}

/* Fields named here are for the next hop only: some servers drop them before they pass the request on. */
static int connection_read(struct http_head *head, struct cursor list)
{
    struct cursor option;

    while (http_text_item(&list, &option))
        if (http_text_is(&option, "Host") || http_text_is(&option, "Content-Length") ||
            http_text_is(&option, "Transfer-Encoding"))
            return refuse(head, REASON_HTTP_MALFORMED);
    return 0;
}

/* Expect: whoever reads another one as 100-continue may take the body for a request. */
static int expect_read(struct http_head *head, const struct cursor *value)
{
    if (head->has_expect || !http_text_is(value, "100-continue"))
        return refuse(head, REASON_HTTP_MALFORMED);
    head->has_expect = true;
    return 0;
}

static int host_read(struct http_head *head, struct cursor value)
{
    struct http_authority target = head->host;

    if (head->has_host)
        return refuse(head, REASON_HTTP_MALFORMED);
    head->has_host = true;
    if (cursor_left(&value) == 0)
        return 0;
    if (authority_read(head, value, &head->host) < 0)
        return -EBADMSG;
    head->disagrees = head->absolute && !authority_equal(&target, &head->host);
    return 0;
}

static int field_read(struct http_head *head, struct cursor line)
{
    struct cursor name = http_text_until(&line, ':');

    /* An empty name, a blank before the colon and obs-fold all fail as bytes of a name. */
    if (cursor_left(&name) == 0 || !cursor_skip(&line, 1))
        return refuse(head, REASON_HTTP_MALFORMED);
    for (const uint8_t *p = name.at; p < name.end; p++)
        if (!is_tchar(*p))
            return refuse(head, REASON_HTTP_MALFORMED);
    http_text_trim(&line);
    if (http_text_is(&name, "Host"))
        return host_read(head, line);
    if (http_text_is(&name, "Content-Length"))
        return length_read(head, &line);
    if (http_text_is(&name, "Transfer-Encoding"))
        return coding_read(head, &line);
    if (http_text_is(&name, "Upgrade"))
        return upgrade_read(head, line);
    if (http_text_is(&name, "Connection"))
        return connection_read(head, line);
    if (http_text_is(&name, "Expect"))
        return expect_read(head, &line);
    if (http_text_is(&name, "HTTP2-Settings"))
        return refuse(head, REASON_PROTO_UNKNOWN);
    return 0;
}

/* The lines from @head->used up to and with the empty one. Return: 1; 0 need more; -EBADMSG. */
static int lines_read(struct http_head *head, const uint8_t *bytes, size_t len)
{
    struct cursor c = cursor_of(bytes, len), line;
    int r;

    /* Said at once: servers differ in whether and how much they skip here. */
    if (len > 0 && !is_tchar(bytes[0]))
        return refuse(head, REASON_HTTP_MALFORMED);
    CHECK(cursor_skip(&c, head->used));
    while ((r = line_read(head, &c, &line)) > 0) {
        bool is_first = head->used == 0;

        head->used = (size_t)(c.at - bytes);
        if (is_first)
            r = request_line_read(head, line);
        else if (cursor_left(&line) == 0)
            break;
        else
            r = field_read(head, line);
        if (r < 0)
            return r;
    }
    /* RFC 9112 section 3.2.2: the server obeys the target, whatever the Host says. */
    if (r > 0 && head->disagrees)
        return refuse(head, REASON_HOST_MISMATCH);
    return r;
}

void http_head_init(struct http_head *head)
{
    *head = (struct http_head){.result = 0};
}

int http_head_resume(struct http_head *head, const uint8_t *bytes, size_t len, struct evidence *out_evidence)
{
    size_t in_bounds = len < EVIDENCE_HTTP_BYTES_MAX ? len : EVIDENCE_HTTP_BYTES_MAX;

    if (head->result == 0) {
        head->result = lines_read(head, bytes, in_bounds);
        if (head->result > 0)
            head->result = (int)head->used;
        if (head->result == 0 && in_bounds == EVIDENCE_HTTP_BYTES_MAX) {
            head->bad = REASON_HTTP_TOO_BIG;
            head->result = -E2BIG;
        }
    }
    if (head->result < 0)
        *out_evidence = (struct evidence){.kind = EVIDENCE_BAD, .bad = head->bad};
    if (head->result > 0) {
        *out_evidence = (struct evidence){.kind = EVIDENCE_HTTP};
        memcpy(out_evidence->name, head->host.name, sizeof(head->host.name));
    }
    return head->result;
}

int http_head_read(const uint8_t *bytes, size_t len, struct evidence *out_evidence)
{
    struct http_head head;

    http_head_init(&head);
    return http_head_resume(&head, bytes, len, out_evidence);
}
