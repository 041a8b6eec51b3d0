/*
 * Which reader the first bytes belong to.
 *
 *   0x16             TLS handshake record: tls_hello_read()
 *   0x14-0x18, 0x03  another TLS record: some servers skip alerts before a hello, so it is tls.malformed
 *   0x80-0xff        an SSLv2 hello if type and version say so, else opaque: told within 5 bytes
 *   anything else    PROXY header (both versions), HTTP by http_begins(), else opaque
 *
 * Each branch looks at bytes in stream order and settles on the first that decides, so that a prefix
 * is either undecided or has the verdict of the whole. What is held undecided is bounded by
 * EVIDENCE_TLS_BYTES_MAX, EVIDENCE_HTTP_BYTES_MAX and the HTTP_*_MAX bounds of http.h.
 */
#include "policy/evidence.h"

#include <string.h>

#include "policy/http.h"
#include "policy/tls.h"

enum {
    RECORD_TYPE_FIRST = 0x14, /* change_cipher_spec */
    RECORD_TYPE_HANDSHAKE = 0x16,
    RECORD_TYPE_LAST = 0x18, /* heartbeat */
    TLS_MAJOR = 3,

    SSLV2_HEAD_BYTES = 5, /* length (2, top bit set), type (1), version (2) */
    SSLV2_CLIENT_HELLO = 1,
    SSLV2_VERSION = 2,
};

static const char proxy_v1[] = "PROXY ";
static const uint8_t proxy_v2[] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

static void refuse(struct evidence *out_evidence, enum reason bad)
{
    *out_evidence = (struct evidence){.kind = EVIDENCE_BAD, .bad = bad};
}

/* Undecided bytes that end here are nothing anyone could act on. */
static void undecided(struct evidence *out_evidence, bool eof)
{
    out_evidence->kind = eof ? EVIDENCE_OPAQUE : EVIDENCE_UNKNOWN;
}

static void record_read(const uint8_t *bytes, size_t len, bool eof, struct evidence *out_evidence)
{
    if (bytes[0] == RECORD_TYPE_HANDSHAKE) {
        if (tls_hello_read(bytes, len, out_evidence) == 0 && eof)
            refuse(out_evidence, REASON_TLS_MALFORMED);
    } else if (len < 2) {
        undecided(out_evidence, eof);
    } else if (bytes[1] == TLS_MAJOR) {
        refuse(out_evidence, REASON_TLS_MALFORMED);
    } else {
        out_evidence->kind = EVIDENCE_OPAQUE;
    }
}

/* RFC 5246 appendix E.2. A server that still reads these finds no name in them. */
static void sslv2_read(const uint8_t *bytes, size_t len, bool eof, struct evidence *out_evidence)
{
    bool type_fits = len < 3 || bytes[2] == SSLV2_CLIENT_HELLO;
    bool major_fits = len < 4 || bytes[3] == 0 || bytes[3] == TLS_MAJOR;
    bool minor_fits = len < SSLV2_HEAD_BYTES || bytes[3] != 0 || bytes[4] == SSLV2_VERSION;

    if (!type_fits || !major_fits || !minor_fits)
        out_evidence->kind = EVIDENCE_OPAQUE;
    else if (len < SSLV2_HEAD_BYTES)
        undecided(out_evidence, eof);
    else
        refuse(out_evidence, REASON_TLS_SSLV2);
}

/* A PROXY header makes the server believe another client: no guest has a right to that. */
static bool is_proxy_v1(const uint8_t *bytes, size_t len)
{
    size_t blanks = 0;

    while (blanks < len && blanks < HTTP_BLANKS_MAX && strchr("\r\n ", bytes[blanks]) &&
           bytes[blanks] != '\0')
        blanks++;
    return len - blanks >= strlen(proxy_v1) &&
           memcmp(bytes + blanks, proxy_v1, strlen(proxy_v1)) == 0;
}

static void text_read(const uint8_t *bytes, size_t len, bool eof, struct evidence *out_evidence)
{
    size_t same = len < sizeof(proxy_v2) ? len : sizeof(proxy_v2);
    int begins;

    if (memcmp(bytes, proxy_v2, same) == 0) {
        if (same == sizeof(proxy_v2))
            refuse(out_evidence, REASON_PROTO_UNKNOWN);
        else
            undecided(out_evidence, eof);
        return;
    }
    if (is_proxy_v1(bytes, len)) {
        refuse(out_evidence, REASON_PROTO_UNKNOWN);
        return;
    }
    begins = http_begins(bytes, len, eof);
    if (begins < 0)
        out_evidence->kind = EVIDENCE_OPAQUE;
    else if (begins > 0 && http_head_read(bytes, len, out_evidence) == 0 && eof)
        refuse(out_evidence, REASON_HTTP_MALFORMED);
}

void evidence_read(const uint8_t *bytes, size_t len, bool eof, struct evidence *out_evidence)
{
    *out_evidence = (struct evidence){.kind = EVIDENCE_UNKNOWN};
    if (len == 0)
        undecided(out_evidence, eof);
    else if (bytes[0] >= RECORD_TYPE_FIRST && bytes[0] <= RECORD_TYPE_LAST)
        record_read(bytes, len, eof, out_evidence);
    else if (bytes[0] & 0x80)
        sslv2_read(bytes, len, eof, out_evidence);
    else
        text_read(bytes, len, eof, out_evidence);
}
