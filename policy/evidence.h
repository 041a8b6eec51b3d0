/*
 * What a flow's first bytes say about the name it wants: TLS ClientHello, HTTP/1 request head, or
 * neither. Pure and incremental: called again with more bytes of the same stream until it is certain.
 */
#ifndef WEIR_POLICY_EVIDENCE_H
#define WEIR_POLICY_EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/name.h"
#include "policy/reason.h"

enum {
    EVIDENCE_TLS_BYTES_MAX = 16 * 1024,  /* of handshake message and of stream prefix read for it */
    EVIDENCE_HTTP_BYTES_MAX = 16 * 1024,
    EVIDENCE_ALPN_MAX = 64,
};

enum evidence_kind {
    EVIDENCE_UNKNOWN,  /* nothing read yet: more bytes needed */
    EVIDENCE_OPAQUE,   /* neither TLS nor HTTP nor anything that could become it */
    EVIDENCE_TLS,      /* a complete ClientHello; name may be empty (no SNI) */
    EVIDENCE_HTTP,     /* a complete request head; name may be empty (no Host) */
    EVIDENCE_BAD,      /* unreadable or ambiguous: `bad` says why */
};

/* Value type: holds no pointers. */
struct evidence {
    enum evidence_kind kind;
    enum reason bad;                /* EVIDENCE_BAD: tls.*, http.*, name.invalid, host.mismatch, proto.unknown */
    char name[NAME_TEXT_MAX + 1];   /* canonical; "" when none was given */
    char alpn[EVIDENCE_ALPN_MAX];   /* protocols joined by ',', printable bytes only; "" when none */
    bool ech;                       /* an encrypted_client_hello extension is present (RFC 9849) */
};

/**
 * Classify the first @len bytes of a stream, all of them, from the first byte the guest sent.
 *
 * @eof: the guest will send nothing more
 *
 * The answer for a prefix is EVIDENCE_UNKNOWN until no further byte could change it; a final answer is
 * the same for every way the stream is cut. With @eof it is never EVIDENCE_UNKNOWN: half a ClientHello or half
 * a request head is EVIDENCE_BAD.
 */
void evidence_read(const uint8_t *bytes, size_t len, bool eof, struct evidence *out_evidence);

#endif
