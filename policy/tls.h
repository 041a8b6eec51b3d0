/*
 * Reader of a TLS ClientHello at the start of a stream (RFC 8446 section 4.1.2 and 5.1, RFC 6066
 * section 3, RFC 7301), across TCP segments and TLS records.
 */
#ifndef WEIR_POLICY_TLS_H
#define WEIR_POLICY_TLS_H

#include "policy/evidence.h"

/**
 * Read a ClientHello from the first @len bytes of a stream whose first byte is 0x16.
 *
 * @out_evidence: written when the return value is not 0: EVIDENCE_TLS, or EVIDENCE_BAD with the reason
 *
 * Every length must end exactly where its outer one does; a second server_name extension, a second
 * entry, trailing bytes, empty records, a record that is no handshake record before the hello is
 * complete, and anything two servers could read differently are tls.malformed. Above
 * EVIDENCE_TLS_BYTES_MAX: tls.too_big, as soon as a length says so. The version's minor byte is ignored.
 *
 * Return: > 0 bytes of the stream up to the end of the record that completes the hello; 0 need more; -EBADMSG or
 * -E2BIG with @out_evidence->bad set.
 */
int tls_hello_read(const uint8_t *bytes, size_t len, struct evidence *out_evidence);

/**
 * Read the body of a ClientHello handshake message (after its 4-byte header), all of it.
 * For streams that carry the handshake elsewhere (QUIC CRYPTO frames).
 */
int tls_hello_body_read(const uint8_t *bytes, size_t len, struct evidence *out_evidence);

#endif
