/*
 * The hello is first put together from its records, then read in one pass over the whole message.
 * Nothing is believed before all of it is there: a second name could stand in its last byte.
 */
#include "policy/tls.h"

#include <errno.h>
#include <string.h>

#include "base/cursor.h"

enum {
    RECORD_HANDSHAKE = 22,
    RECORD_HEAD_BYTES = 5,
    RECORD_BYTES_MAX = 1 << 14, /* RFC 8446 section 5.1: of plaintext */
    TLS_MAJOR = 3,

    HANDSHAKE_CLIENT_HELLO = 1,
    HANDSHAKE_HEAD_BYTES = 4,

    RANDOM_BYTES = 32,
    SESSION_ID_MAX = 32,

    EXT_SERVER_NAME = 0,
    EXT_ALPN = 16,
    EXT_ECH = 0xfe0d, /* RFC 9849 */
    SNI_HOST_NAME = 0,
};

static int refuse(struct evidence *out_evidence, enum reason bad)
{
    *out_evidence = (struct evidence){.kind = EVIDENCE_BAD, .bad = bad};
    return bad == REASON_TLS_TOO_BIG ? -E2BIG : -EBADMSG;
}

/* --- the message ----------------------------------------------------------------------------- */

/*
 * The server_name extension (RFC 6066 section 3). Exactly one entry, a host_name: the format has
 * room for more, servers differ in which one they take, and no client sends them.
 */
static int sni_read(struct cursor *ext, struct cursor *out_name)
{
    struct cursor list;
    uint16_t len;
    uint8_t type;

    if (!cursor_u16(ext, &len) || !cursor_sub(ext, len, &list) || cursor_left(ext) > 0)
        return -EBADMSG;
    if (!cursor_u8(&list, &type) || type != SNI_HOST_NAME)
        return -EBADMSG;
    if (!cursor_u16(&list, &len) || len == 0 || !cursor_sub(&list, len, out_name))
        return -EBADMSG;
    return cursor_left(&list) == 0 ? 0 : -EBADMSG;
}

/* Add a protocol to the list kept for the log; one that does not fit ends the list. */
static void alpn_add(char alpn[static EVIDENCE_ALPN_MAX], struct cursor protocol)
{
    size_t at = strlen(alpn), comma = at > 0;
    uint8_t c;

    if (at + comma + cursor_left(&protocol) >= EVIDENCE_ALPN_MAX)
        return;
    if (comma)
        alpn[at++] = ',';
    while (cursor_u8(&protocol, &c))
        alpn[at++] = c > ' ' && c < 0x7f && c != ',' ? (char)c : '?';
    alpn[at] = '\0';
}

/* RFC 7301 section 3.1. */
static int alpn_read(struct cursor *ext, char alpn[static EVIDENCE_ALPN_MAX])
{
    struct cursor list, protocol;
    uint16_t len;
    uint8_t protocol_len;

    if (!cursor_u16(ext, &len) || len == 0 || !cursor_sub(ext, len, &list) || cursor_left(ext) > 0)
        return -EBADMSG;
    while (cursor_left(&list) > 0) {
        if (!cursor_u8(&list, &protocol_len) || protocol_len == 0 ||
            !cursor_sub(&list, protocol_len, &protocol))
            return -EBADMSG;
        alpn_add(alpn, protocol);
    }
    return 0;
}

/* Everything before the extensions. Versions and ciphers do not matter to whom the guest talks. */
static int hello_head_read(struct cursor *hello)
{
    uint16_t version, ciphers_len;
    uint8_t session_len, compressions_len;

    if (!cursor_u16(hello, &version) || version >> 8 != TLS_MAJOR ||
        !cursor_skip(hello, RANDOM_BYTES))
        return -EBADMSG;
    if (!cursor_u8(hello, &session_len) || session_len > SESSION_ID_MAX ||
        !cursor_skip(hello, session_len))
        return -EBADMSG;
    if (!cursor_u16(hello, &ciphers_len) || ciphers_len == 0 || ciphers_len % 2 != 0 ||
        !cursor_skip(hello, ciphers_len))
        return -EBADMSG;
    if (!cursor_u8(hello, &compressions_len) || compressions_len == 0 ||
        !cursor_skip(hello, compressions_len))
        return -EBADMSG;
    return 0;
}

static int extensions_read(struct cursor *exts, struct cursor *out_name,
                           struct evidence *out_evidence)
{
    uint8_t seen[UINT16_MAX / 8 + 1] = {0};
    struct cursor ext;
    uint16_t type, len;

    while (cursor_left(exts) > 0) {
        if (!cursor_u16(exts, &type) || !cursor_u16(exts, &len) || !cursor_sub(exts, len, &ext))
            return -EBADMSG;
        /* RFC 8446 section 4.2: at most one of each type; servers differ in which they take. */
        if (seen[type / 8] & 1 << type % 8)
            return -EBADMSG;
        seen[type / 8] |= (uint8_t)(1 << type % 8);
        if (type == EXT_SERVER_NAME && sni_read(&ext, out_name) < 0)
            return -EBADMSG;
        if (type == EXT_ALPN && alpn_read(&ext, out_evidence->alpn) < 0)
            return -EBADMSG;
        if (type == EXT_ECH)
            out_evidence->ech = true;
    }
    return 0;
}

int tls_hello_body_read(const uint8_t *bytes, size_t len, struct evidence *out_evidence)
{
    struct evidence evidence = {.kind = EVIDENCE_TLS};
    struct cursor hello = cursor_of(bytes, len), name = {0};
    uint16_t exts_len;

    if (len > EVIDENCE_TLS_BYTES_MAX)
        return refuse(out_evidence, REASON_TLS_TOO_BIG);
    if (hello_head_read(&hello) < 0)
        return refuse(out_evidence, REASON_TLS_MALFORMED);
    /* Before TLS 1.3 the extensions may be missing altogether (RFC 5246 section 7.4.1.2). */
    if (cursor_left(&hello) > 0) {
        if (!cursor_u16(&hello, &exts_len) || exts_len != cursor_left(&hello))
            return refuse(out_evidence, REASON_TLS_MALFORMED);
        if (extensions_read(&hello, &name, &evidence) < 0)
            return refuse(out_evidence, REASON_TLS_MALFORMED);
    }
    if (name.at && name_canonical(name.at, cursor_left(&name), evidence.name) < 0)
        return refuse(out_evidence, REASON_NAME_INVALID);
    *out_evidence = evidence;
    return (int)len;
}

/* --- the records ----------------------------------------------------------------------------- */

struct message {
    uint8_t bytes[EVIDENCE_TLS_BYTES_MAX];
    size_t len;   /* bytes there */
    size_t total; /* with its head; 0 until that was read */
};

/*
 * Add what is there of a record's @record_len bytes. Looks at each byte once it is there, not when
 * the record is complete, so that every cut of the stream meets the same first error.
 */
static int message_add(struct message *m, const uint8_t *bytes, size_t len, size_t record_len,
                       enum reason *out_bad)
{
    size_t before = m->len;

    memcpy(m->bytes + m->len, bytes, len);
    m->len += len;
    *out_bad = REASON_TLS_MALFORMED;
    if (m->len > 0 && m->bytes[0] != HANDSHAKE_CLIENT_HELLO)
        return -EBADMSG;
    if (m->len >= HANDSHAKE_HEAD_BYTES && m->total == 0) {
        m->total = HANDSHAKE_HEAD_BYTES + ((size_t)m->bytes[1] << 16 | (size_t)m->bytes[2] << 8 |
                                           m->bytes[3]);
        if (m->total > EVIDENCE_TLS_BYTES_MAX) {
            *out_bad = REASON_TLS_TOO_BIG;
            return -E2BIG;
        }
    }
    /* The hello must end where a record ends: nothing else can follow it before the server spoke. */
    if (m->total > 0 && before + record_len > m->total)
        return -EBADMSG;
    return 0;
}

/*
 * Read a record's head as far as it is there.
 *
 * Return: 1 read; 0 need more; -EBADMSG or -E2BIG with @out_bad.
 */
static int record_head_read(struct cursor *stream, size_t room, bool first, uint16_t *out_len,
                            enum reason *out_bad)
{
    const uint8_t *head = stream->at;
    size_t left = cursor_left(stream);

    *out_bad = REASON_TLS_MALFORMED;
    if (left > 0 && head[0] != RECORD_HANDSHAKE)
        return -EBADMSG;
    if (left > 1 && head[1] != TLS_MAJOR) {
        *out_bad = first ? REASON_PROTO_UNKNOWN : REASON_TLS_MALFORMED;
        return -EBADMSG;
    }
    if (left < RECORD_HEAD_BYTES)
        return 0;
    cursor_skip(stream, 3);
    cursor_u16(stream, out_len);
    /* RFC 8446 section 5.1: no empty handshake records, however long one is ready to skip them. */
    if (*out_len == 0 || *out_len > RECORD_BYTES_MAX)
        return -EBADMSG;
    if ((size_t)*out_len + RECORD_HEAD_BYTES > room) {
        *out_bad = REASON_TLS_TOO_BIG;
        return -E2BIG;
    }
    return 1;
}

int tls_hello_read(const uint8_t *bytes, size_t len, struct evidence *out_evidence)
{
    struct cursor stream = cursor_of(bytes, len);
    struct message m;
    enum reason bad;

    m.len = m.total = 0;
    while (m.total == 0 || m.len < m.total) {
        size_t used = (size_t)(stream.at - bytes), there;
        uint16_t record_len = 0;
        int r = record_head_read(&stream, EVIDENCE_TLS_BYTES_MAX - used, used == 0, &record_len,
                                 &bad);

        if (r < 0)
            return refuse(out_evidence, bad);
        if (r == 0)
            return 0;
        there = cursor_left(&stream) < record_len ? cursor_left(&stream) : record_len;
        if (message_add(&m, stream.at, there, record_len, &bad) < 0)
            return refuse(out_evidence, bad);
        if (there < record_len)
            return 0;
        cursor_skip(&stream, record_len);
    }
    if (tls_hello_body_read(m.bytes + HANDSHAKE_HEAD_BYTES, m.total - HANDSHAKE_HEAD_BYTES,
                            out_evidence) < 0)
        return -EBADMSG;
    return (int)(stream.at - bytes);
}
