#include "policy/tls_follow.h"

#include <string.h>

#include "policy/tls.h"

enum {
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    HANDSHAKE_SERVER_HELLO = 2,
    RANDOM_AT = 6, /* in a ServerHello, behind its head and version */
};

void tls_follow_init(struct tls_follow *f, size_t hello_bytes)
{
    *f = (struct tls_follow){.server = TLS_SERVER_SILENT, .pass = hello_bytes};
}

void tls_follow_allow(struct tls_follow *f)
{
    f->server = TLS_SERVER_OTHER;
}

/* ---- the guest ---- */

static enum follow_step second_hello(const uint8_t *bytes, size_t len, size_t *out_len, struct evidence *out_evidence)
{
    int r = tls_hello_read(bytes, len, out_evidence);

    if (r == 0)
        return FOLLOW_MORE;
    if (r < 0)
        return FOLLOW_BAD;
    *out_len = (size_t)r;
    return FOLLOW_JUDGE;
}

enum follow_step tls_follow_guest(struct tls_follow *f, const uint8_t *bytes, size_t len, size_t *out_len,
                                  struct evidence *out_evidence)
{
    if (f->server == TLS_SERVER_OTHER)
        return FOLLOW_OPAQUE;
    if (len == 0)
        return FOLLOW_MORE;
    if (f->pass == 0) {
        if (bytes[0] == RECORD_HANDSHAKE)
            return f->server == TLS_SERVER_RETRIES ? second_hello(bytes, len, out_len, out_evidence) : FOLLOW_HOLD;
        if (len < TLS_FOLLOW_RECORD_HEAD)
            return FOLLOW_MORE;
        f->pass = TLS_FOLLOW_RECORD_HEAD + ((size_t)bytes[3] << 8 | bytes[4]);
    }
    *out_len = f->pass < len ? f->pass : len;
    f->pass -= *out_len;
    return FOLLOW_PASS;
}

/* ---- the server ---- */

/* RFC 8446 section 4.1.3: the random of a ServerHello that is a HelloRetryRequest, SHA-256 of that word. */
static const uint8_t retry_random[32] = {
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

/* Add a byte of the server's first message; a HelloRetryRequest shows in its head. */
static void hello_add(struct tls_follow *f, uint8_t byte)
{
    size_t at = f->hello_len;

    f->hello[f->hello_len++] = byte;
    if ((at == 0 && byte != HANDSHAKE_SERVER_HELLO) || (at >= RANDOM_AT && byte != retry_random[at - RANDOM_AT]))
        f->server = TLS_SERVER_OTHER;
    else if (f->hello_len == TLS_FOLLOW_HELLO_HEAD)
        f->server = TLS_SERVER_RETRIES;
}

static void head_add(struct tls_follow *f, uint8_t byte)
{
    f->head[f->head_len++] = byte;
    if (f->head[0] != RECORD_HANDSHAKE && f->head[0] != RECORD_ALERT) {
        f->server = TLS_SERVER_OTHER;
        return;
    }
    if (f->head_len < TLS_FOLLOW_RECORD_HEAD)
        return;
    f->head_len = 0;
    f->record_left = (uint16_t)(f->head[3] << 8 | f->head[4]);
    if (f->record_left == 0) /* RFC 8446 section 5.1: there is no such record, so no client goes on */
        f->server = TLS_SERVER_OTHER;
}

void tls_follow_server(struct tls_follow *f, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len && f->server == TLS_SERVER_SILENT; i++) {
        if (f->record_left == 0) {
            head_add(f, bytes[i]);
        } else {
            f->record_left--;
            if (f->head[0] == RECORD_HANDSHAKE) /* an alert may be a warning: what counts is still to come */
                hello_add(f, bytes[i]);
        }
    }
}

void tls_follow_server_end(struct tls_follow *f)
{
    if (f->server == TLS_SERVER_SILENT)
        f->server = TLS_SERVER_OTHER;
}
