/*
 * QUIC packets of a client (RFC 9000 section 17), of version 1 and 2: where they lie in a datagram, and what an Initial
 * hides. No state: what a packet means for its flow is quic.c's.
 */
#ifndef WEIR_POLICY_QUIC_PACKET_H
#define WEIR_POLICY_QUIC_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"
#include "policy/quic_keys.h"

enum {
    QUIC_CID_MAX = 20,
    QUIC_INITIAL_BYTES_MAX = 16 * 1024, /* of an Initial packet: no path carries longer ones */
};

enum quic_packet_kind {
    QUIC_PACKET_INITIAL,
    QUIC_PACKET_ZERO_RTT,
    QUIC_PACKET_HANDSHAKE,
    QUIC_PACKET_SHORT, /* 1-RTT, or bytes that a server takes for one: all that is left of the datagram */
};

struct quic_packet {
    enum quic_packet_kind kind;
    enum quic_version version;  /* not of QUIC_PACKET_SHORT, and so is all below */
    const uint8_t *bytes;       /* borrowed from the datagram */
    size_t len;
    size_t pn_at;               /* offset of the packet number */
    const uint8_t *dcid;        /* borrowed from the datagram */
    size_t dcid_len;            /* <= QUIC_CID_MAX */
};

/** Read a variable-length integer (RFC 9000 section 16). Like cursor_u8() in all else. */
bool quic_varint(struct cursor *c, uint64_t *out_v);

/**
 * Read the next packet of a datagram (RFC 9000 section 12.2) as far as it lies in clear.
 *
 * @datagram: not empty; moved behind the packet on success
 *
 * The fixed bit is not looked at: a server may take packets without it (RFC 9287).
 *
 * Return: its length (> 0); -EPROTONOSUPPORT a long header of neither version; -EBADMSG malformed, or a packet that no
 * client sends (Retry, Version Negotiation).
 */
int quic_packet_read(struct cursor *datagram, struct quic_packet *out_packet);

/**
 * Take the protection off an Initial (RFC 9001 section 5.4) and open it.
 *
 * @pn_next:   the packet number expected next (RFC 9000 appendix A.3)
 * @out_plain: its frames; may be written to on errors as well
 *
 * Return: bytes of frames (>= 0); -EACCES it does not open with these keys; -EBADMSG it opens, but its reserved bits
 * are set; -EIO libcrypto failed.
 */
int quic_packet_open(const struct quic_packet *packet, const struct quic_keys *keys, uint64_t pn_next,
                     uint8_t out_plain[static QUIC_INITIAL_BYTES_MAX], uint64_t *out_pn);

#endif
