/*
 * Reader of the names in QUIC (RFC 9000, 9001, 9369): fed with every datagram of one flow that the guest sends, it
 * opens all Initial packets, puts the ClientHello together, and says what may be done with the datagram. Pure: no
 * sockets, no clock; it keeps no datagram.
 *
 * An Initial is opened with the keys of the connection in hand (those of its first destination connection id, in the
 * packet's version: a server may move the connection to the other one, RFC 9368), and with those of its own id (another
 * connection: after a Retry or a Version Negotiation, or for the same socket's next try). Which of them the server will
 * use depends on what the server knows, and one packet can be made to open with both: such a one is refused.
 */
#ifndef WEIR_POLICY_QUIC_H
#define WEIR_POLICY_QUIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/evidence.h"
#include "policy/quic_frame.h"
#include "policy/quic_keys.h"
#include "policy/quic_packet.h"

enum {
    QUIC_DATAGRAM_BYTES_MIN = 1200, /* with an Initial in it (RFC 9000 section 14.1) */
    QUIC_FIRST_DCID_MIN = 8,        /* RFC 9000 section 7.2 */
    QUIC_DATAGRAMS_MAX = 8,         /* while a hello is incomplete: those held, and those dropped meanwhile */
};

/* What to do with the datagram just read. */
enum quic_take {
    QUIC_MORE,  /* hold it: the hello is not complete */
    QUIC_HELLO, /* judge the evidence; if it is allowed, send what is held, then this one */
    QUIC_PASS,  /* send it: nothing in it that was not judged */
    QUIC_DROP,  /* this one must not be sent; the flow stays as it is */
    QUIC_BAD,   /* refuse the flow for the evidence's reason */
};

/*
 *   FRESH ---- an Initial opened with the keys of its own id ----> GATHER
 *   GATHER --- the hello is complete: QUIC_HELLO ----------------> COMPLETE
 *   COMPLETE - a byte behind the hello (a second one), or an
 *              Initial of another connection --------------------> GATHER
 *   any ------ QUIC_BAD -----------------------------------------> REFUSED, for good
 *
 *   FRESH     no connection: no keys, the stream is empty
 *   GATHER    the stream holds part of a hello; what the caller holds belongs to this connection, so
 *             that no Initial of another one is taken before the hello is complete
 *   COMPLETE  every hello of the connection was reported, and nothing of another one is there
 */
enum quic_state { QUIC_FRESH, QUIC_GATHER, QUIC_COMPLETE, QUIC_REFUSED };

/*
 * Value type of a fixed size (19 KiB, most of it the stream's), no heap, no pointers. It lives as long as its flow: the
 * hello that comes again must be the one that was judged.
 */
struct quic_reader {
    enum quic_state state;
    enum reason bad;    /* QUIC_REFUSED */
    bool judged;        /* some hello was reported: other packets may pass */
    unsigned datagrams; /* since the last complete hello; <= QUIC_DATAGRAMS_MAX */

    /* The connection in hand; not in QUIC_FRESH. */
    uint8_t dcid[QUIC_CID_MAX];
    size_t dcid_len;
    bool derived[QUIC_VERSIONS];
    struct quic_keys keys[QUIC_VERSIONS];
    uint64_t pn_next;
    struct quic_stream stream;
};

void quic_reader_init(struct quic_reader *reader);

/**
 * Read one datagram: a UDP payload as the guest sent it (a row of datagrams is cut first), in the order of arrival.
 *
 * @out_evidence: written with QUIC_HELLO (EVIDENCE_TLS, of the hello that became complete last) and with QUIC_BAD
 *                (EVIDENCE_BAD)
 *
 * Before the first hello was reported, what breaks the rules is QUIC_BAD:
 *   quic.noinitial   the flow begins with a datagram without an Initial
 *   quic.version     a long header of another version than 1 and 2
 *   quic.malformed   lengths, ids, types that no client sends; an Initial in a datagram below QUIC_DATAGRAM_BYTES_MIN
 *   quic.incomplete  no complete hello in QUIC_DATAGRAMS_MAX datagrams
 * Afterwards these are QUIC_DROP but for quic.incomplete: a server drops them, too, and they say nothing of the hello.
 * Always QUIC_BAD: what opens and breaks the rules inside (quic.malformed; tls.malformed when a byte of the hello comes
 * again with another value; tls.too_big), whatever tls_hello_body_read() refuses, a packet that opens with two keys.
 * QUIC_DROP: an Initial that opens with neither key; one of another connection while a hello is incomplete; and before
 * the first hello was reported, packets that only a server's answer makes possible.
 *
 * 0-RTT packets are held like Initials (QUIC_MORE) while a hello is incomplete. How long to wait is the caller's.
 */
enum quic_take quic_read(struct quic_reader *reader, const uint8_t *datagram, size_t len,
                         struct evidence *out_evidence);

#endif
