/*
 * The keys of QUIC Initial packets from a client, of version 1 (RFC 9001 section 5) and 2 (RFC 9369 section 3.3).
 * They follow from a connection id in clear: anyone on the path can open these packets, and does so here.
 *
 * The only file that uses libcrypto. Its contexts belong to the process: made at the first use, used by every flow in
 * turn, never given back. Single thread.
 */
#ifndef WEIR_POLICY_QUIC_KEYS_H
#define WEIR_POLICY_QUIC_KEYS_H

#include <stddef.h>
#include <stdint.h>

enum {
    QUIC_KEY_BYTES = 16, /* AES-128 */
    QUIC_IV_BYTES = 12,
    QUIC_TAG_BYTES = 16,
    QUIC_SAMPLE_BYTES = 16,
    QUIC_MASK_BYTES = 5,
};

enum quic_version { QUIC_V1, QUIC_V2, QUIC_VERSIONS };

/* Value type. */
struct quic_keys {
    uint8_t key[QUIC_KEY_BYTES];
    uint8_t iv[QUIC_IV_BYTES];
    uint8_t hp[QUIC_KEY_BYTES]; /* header protection */
};

/* What the tag covers beside the payload: the header without its protection, in its three pieces. */
struct quic_header {
    uint8_t first;         /* byte */
    const uint8_t *middle; /* borrowed: from the second byte to the packet number */
    size_t middle_len;
    const uint8_t *pn;     /* borrowed */
    size_t pn_len;
};

/**
 * Derive the client's keys from a destination connection id, which may be empty.
 *
 * Return: 0, or -EIO when libcrypto fails (out of memory, an algorithm switched off on this machine).
 */
int quic_keys_derive(enum quic_version version, const uint8_t *dcid, size_t dcid_len, struct quic_keys *out_keys);

/**
 * The mask over a packet's first byte and packet number (RFC 9001 section 5.4.3).
 *
 * Return: 0, or -EIO.
 */
int quic_keys_mask(const struct quic_keys *keys, const uint8_t sample[static QUIC_SAMPLE_BYTES],
                   uint8_t out_mask[static QUIC_MASK_BYTES]);

/**
 * Open a payload (RFC 9001 section 5.3).
 *
 * @sealed:    the payload with its tag, @len >= QUIC_TAG_BYTES in all
 * @out_plain: room for @len - QUIC_TAG_BYTES; holds nothing to be believed unless the return value is 0
 *
 * Return: 0; -EBADMSG when the tag does not fit; -EIO.
 */
int quic_keys_open(const struct quic_keys *keys, uint64_t pn, const struct quic_header *header, const uint8_t *sealed,
                   size_t len, uint8_t *out_plain);

#endif
