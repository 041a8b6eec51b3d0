/*
 * What QUIC Initial packets of a client carry: frames (RFC 9000 section 19), and in them, in pieces of any order, the
 * stream of its TLS messages (RFC 9001 section 4.1.3), which can only be ClientHellos.
 */
#ifndef WEIR_POLICY_QUIC_FRAME_H
#define WEIR_POLICY_QUIC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/evidence.h"

enum {
    QUIC_STREAM_BYTES_MAX = EVIDENCE_TLS_BYTES_MAX,
    QUIC_HELLOS_MAX = 2, /* a server may ask for a second one, once (RFC 8446 section 4.1.4) */
};

/* Value type, fixed size, no heap. Bytes once there are kept: those that come again must be the same. */
struct quic_stream {
    uint8_t bytes[QUIC_STREAM_BYTES_MAX];
    uint8_t there[QUIC_STREAM_BYTES_MAX / 8]; /* a bit for each byte */
    size_t filled;   /* bytes from the start without a gap */
    size_t end;      /* behind the last byte that is there */
    size_t done;     /* where the last complete hello ends */
    unsigned hellos; /* complete ones */
};

void quic_stream_init(struct quic_stream *stream);

/**
 * Read all frames of an Initial packet; add what its CRYPTO frames carry to the stream.
 *
 * On errors, some of them may have been added.
 *
 * Return: 0; -EBADMSG or -E2BIG with @out_bad: quic.malformed for frames that no client may send in an Initial, or that
 * are no frames; tls.malformed when a byte comes again with another value; tls.too_big.
 */
int quic_frames_read(struct quic_stream *stream, const uint8_t *bytes, size_t len, enum reason *out_bad);

/**
 * Look for the next hello in the stream.
 *
 * @out_evidence: written when the return value is not 0
 *
 * Return: 1 it is complete, and read; 0 not yet; -EBADMSG or -E2BIG with @out_evidence->bad: what tls_hello_body_read()
 * says, or tls.malformed for another message, for bytes behind the hello (nothing may follow it before the server
 * spoke), and for one beyond QUIC_HELLOS_MAX.
 */
int quic_stream_hello(struct quic_stream *stream, struct evidence *out_evidence);

/** Whether bytes are there that belong to no complete hello yet, or none at all. */
bool quic_stream_waits(const struct quic_stream *stream);

#endif
