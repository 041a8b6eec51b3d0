#include "policy/quic_frame.h"

#include <errno.h>
#include <string.h>

#include "policy/quic_packet.h"
#include "policy/tls.h"

enum {
    /* All that an Initial may carry (RFC 9000 section 12.4, table 3). */
    FRAME_PADDING = 0x00,
    FRAME_PING = 0x01,
    FRAME_ACK = 0x02,
    FRAME_ACK_ECN = 0x03,
    FRAME_CRYPTO = 0x06,
    FRAME_CLOSE = 0x1c, /* CONNECTION_CLOSE of the transport */

    ECN_COUNTS = 3,

    HANDSHAKE_CLIENT_HELLO = 1,
    HANDSHAKE_HEAD_BYTES = 4,
};

/* ---- the stream ---- */

void quic_stream_init(struct quic_stream *stream)
{
    memset(stream->there, 0, sizeof(stream->there));
    stream->filled = stream->end = stream->done = 0;
    stream->hellos = 0;
}

static bool is_there(const struct quic_stream *stream, size_t at)
{
    return stream->there[at / 8] & 1 << at % 8;
}

static int stream_add(struct quic_stream *stream, uint64_t offset, struct cursor piece, enum reason *out_bad)
{
    size_t len = cursor_left(&piece), at;

    if (offset > QUIC_STREAM_BYTES_MAX || len > QUIC_STREAM_BYTES_MAX - offset) {
        *out_bad = REASON_TLS_TOO_BIG;
        return -E2BIG;
    }
    for (size_t i = 0; i < len; i++) {
        at = (size_t)offset + i;
        if (is_there(stream, at) && stream->bytes[at] != piece.at[i]) {
            *out_bad = REASON_TLS_MALFORMED; /* servers differ in which they keep */
            return -EBADMSG;
        }
        stream->bytes[at] = piece.at[i];
        stream->there[at / 8] |= (uint8_t)(1 << at % 8);
    }
    if (len > 0 && offset + len > stream->end)
        stream->end = (size_t)offset + len;
    while (stream->filled < stream->end && is_there(stream, stream->filled))
        stream->filled++;
    return 0;
}

static int refuse(struct evidence *out_evidence, enum reason bad)
{
    *out_evidence = (struct evidence){.kind = EVIDENCE_BAD, .bad = bad};
    return bad == REASON_TLS_TOO_BIG ? -E2BIG : -EBADMSG;
}

int quic_stream_hello(struct quic_stream *stream, struct evidence *out_evidence)
{
    const uint8_t *message = stream->bytes + stream->done;
    size_t there = stream->filled - stream->done, total;

    if (stream->end == stream->done)
        return 0;
    if (stream->hellos == QUIC_HELLOS_MAX || (there > 0 && message[0] != HANDSHAKE_CLIENT_HELLO))
        return refuse(out_evidence, REASON_TLS_MALFORMED);
    if (there < HANDSHAKE_HEAD_BYTES)
        return 0;
    total = HANDSHAKE_HEAD_BYTES + ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
    if (total > QUIC_STREAM_BYTES_MAX - stream->done)
        return refuse(out_evidence, REASON_TLS_TOO_BIG);
    if (stream->end > stream->done + total)
        return refuse(out_evidence, REASON_TLS_MALFORMED);
    if (there < total)
        return 0;
    if (tls_hello_body_read(message + HANDSHAKE_HEAD_BYTES, total - HANDSHAKE_HEAD_BYTES, out_evidence) < 0)
        return -EBADMSG;
    stream->done += total;
    stream->hellos++;
    return 1;
}

bool quic_stream_waits(const struct quic_stream *stream)
{
    return stream->hellos == 0 || stream->end > stream->done;
}

/* ---- frames ---- */

/* RFC 9000 section 19.3. What it acknowledges does not matter, only that everybody sees its end in the same place. */
static bool ack_read(struct cursor *c, bool ecn)
{
    uint64_t smallest, delay, ranges, gap, len, count;

    if (!quic_varint(c, &smallest) || !quic_varint(c, &delay) || !quic_varint(c, &ranges) || !quic_varint(c, &len) ||
        len > smallest)
        return false;
    smallest -= len;
    for (; ranges > 0; ranges--) { /* each takes two bytes at least */
        if (!quic_varint(c, &gap) || !quic_varint(c, &len) || gap + 2 + len > smallest)
            return false;
        smallest -= gap + 2 + len;
    }
    for (unsigned i = 0; ecn && i < ECN_COUNTS; i++)
        if (!quic_varint(c, &count))
            return false;
    return true;
}

/* RFC 9000 section 19.19. */
static bool close_read(struct cursor *c)
{
    uint64_t code, frame, len;

    return quic_varint(c, &code) && quic_varint(c, &frame) && quic_varint(c, &len) && len <= cursor_left(c) &&
           cursor_skip(c, (size_t)len);
}

/* RFC 9000 section 19.6. */
static int crypto_read(struct quic_stream *stream, struct cursor *c, enum reason *out_bad)
{
    struct cursor piece;
    uint64_t offset, len;

    if (!quic_varint(c, &offset) || !quic_varint(c, &len) || len > cursor_left(c) ||
        !cursor_sub(c, (size_t)len, &piece))
        return -EBADMSG;
    return stream_add(stream, offset, piece, out_bad);
}

int quic_frames_read(struct quic_stream *stream, const uint8_t *bytes, size_t len, enum reason *out_bad)
{
    struct cursor c = cursor_of(bytes, len);
    uint8_t type;
    int r;

    *out_bad = REASON_QUIC_MALFORMED;
    if (len == 0) /* RFC 9000 section 12.4: at least one frame */
        return -EBADMSG;
    while (cursor_u8(&c, &type)) { /* types above 63, and longer ways to write these, are refused with the unknown */
        switch (type) {
        case FRAME_PADDING:
        case FRAME_PING:
            r = 0;
            break;
        case FRAME_ACK:
        case FRAME_ACK_ECN:
            r = ack_read(&c, type == FRAME_ACK_ECN) ? 0 : -EBADMSG;
            break;
        case FRAME_CRYPTO:
            r = crypto_read(stream, &c, out_bad);
            break;
        case FRAME_CLOSE:
            r = close_read(&c) ? 0 : -EBADMSG;
            break;
        default:
            r = -EBADMSG;
            break;
        }
        if (r < 0)
            return r;
    }
    return 0;
}
