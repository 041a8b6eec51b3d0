/*
 * A TLS connection behind its first ClientHello, up to the server's first message: when that is a HelloRetryRequest
 * (RFC 8446 section 4.1.4), the guest's second hello is to be judged like the first. Until the server has spoken, a
 * client has nothing else to say but early data: only handshake records wait, for a server takes no hello from others.
 * Pure; value type.
 */
#ifndef WEIR_POLICY_TLS_FOLLOW_H
#define WEIR_POLICY_TLS_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/evidence.h"
#include "policy/follow.h"

enum {
    TLS_FOLLOW_RECORD_HEAD = 5,
    TLS_FOLLOW_HELLO_HEAD = 38, /* of a ServerHello: type, length, version, random */
};

enum tls_server { TLS_SERVER_SILENT, TLS_SERVER_RETRIES, TLS_SERVER_OTHER };

struct tls_follow {
    enum tls_server server;
    size_t pass;                          /* bytes of the guest's record in hand that still may go up */
    uint8_t head[TLS_FOLLOW_RECORD_HEAD]; /* of the server's record in hand */
    uint8_t head_len;
    uint16_t record_left;
    uint8_t hello[TLS_FOLLOW_HELLO_HEAD]; /* the beginning of the server's first message, out of its records */
    uint8_t hello_len;
};

/** @hello_bytes: of the stream, up to the end of the record that completes the judged hello. */
void tls_follow_init(struct tls_follow *f, size_t hello_bytes);

/**
 * The guest's bytes from the first one that did not pass yet.
 *
 * @out_len:      with FOLLOW_PASS and FOLLOW_JUDGE: of how many bytes that is said; those of FOLLOW_PASS count as
 *                passed
 * @out_evidence: with FOLLOW_JUDGE and FOLLOW_BAD; once it is allowed the rest is opaque: tls_follow_allow()
 */
enum follow_step tls_follow_guest(struct tls_follow *f, const uint8_t *bytes, size_t len, size_t *out_len,
                                  struct evidence *out_evidence);

/** The second hello may go up. */
void tls_follow_allow(struct tls_follow *f);

/** The server's bytes, in order, each once. */
void tls_follow_server(struct tls_follow *f, const uint8_t *bytes, size_t len);

/** The server will send no more. */
void tls_follow_server_end(struct tls_follow *f);

#endif
