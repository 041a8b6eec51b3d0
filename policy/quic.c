#include "policy/quic.h"

#include <errno.h>
#include <string.h>

void quic_reader_init(struct quic_reader *reader)
{
    reader->state = QUIC_FRESH;
    reader->bad = REASON_QUIC_INCOMPLETE;
    reader->judged = false;
    reader->datagrams = 0;
    quic_stream_init(&reader->stream);
}

static enum quic_take refuse(struct quic_reader *reader, enum reason bad)
{
    reader->state = QUIC_REFUSED;
    reader->bad = bad;
    return QUIC_BAD;
}

/* What a server throws away unread. */
static enum quic_take discard(struct quic_reader *reader, enum reason bad)
{
    return reader->judged ? QUIC_DROP : refuse(reader, bad);
}

/* ---- one Initial ---- */

/* An Initial as it opens with some keys. */
struct opened {
    int len; /* of its frames, or what quic_packet_open() said */
    uint64_t pn;
    uint8_t plain[QUIC_INITIAL_BYTES_MAX];
};

/* With the keys of the connection in hand. */
static void open_known(struct quic_reader *reader, const struct quic_packet *packet, struct opened *out)
{
    enum quic_version version = packet->version;

    out->len = -EIO;
    if (!reader->derived[version] &&
        quic_keys_derive(version, reader->dcid, reader->dcid_len, &reader->keys[version]) < 0)
        return;
    reader->derived[version] = true;
    out->len = quic_packet_open(packet, &reader->keys[version], reader->pn_next, out->plain, &out->pn);
}

/* As the first of another connection. */
static void open_own(const struct quic_packet *packet, struct quic_keys *out_keys, struct opened *out)
{
    out->len = -EIO;
    if (quic_keys_derive(packet->version, packet->dcid, packet->dcid_len, out_keys) == 0)
        out->len = quic_packet_open(packet, out_keys, 0, out->plain, &out->pn);
}

/* Nothing is held of the connection before: its hello was complete. */
static void connection_begin(struct quic_reader *reader, const struct quic_packet *packet,
                             const struct quic_keys *keys)
{
    reader->state = QUIC_GATHER;
    memcpy(reader->dcid, packet->dcid, packet->dcid_len);
    reader->dcid_len = packet->dcid_len;
    memset(reader->derived, 0, sizeof(reader->derived));
    reader->derived[packet->version] = true;
    reader->keys[packet->version] = *keys;
    reader->pn_next = 0;
    quic_stream_init(&reader->stream);
}

/* Return: QUIC_PASS (taken), QUIC_DROP or QUIC_BAD. */
static enum quic_take frames_take(struct quic_reader *reader, const struct opened *opened)
{
    enum reason bad;

    if (opened->len < 0)
        return refuse(reader, REASON_QUIC_MALFORMED);
    if (opened->pn >= reader->pn_next)
        reader->pn_next = opened->pn + 1;
    if (quic_frames_read(&reader->stream, opened->plain, (size_t)opened->len, &bad) < 0)
        return refuse(reader, bad);
    return QUIC_PASS;
}

/* Return: like frames_take(). */
static enum quic_take initial_take(struct quic_reader *reader, const struct quic_packet *packet)
{
    bool known = reader->state != QUIC_FRESH;
    bool same = known && packet->dcid_len == reader->dcid_len &&
                memcmp(packet->dcid, reader->dcid, packet->dcid_len) == 0;
    struct opened by_known, by_own;
    struct quic_keys keys;

    by_known.len = by_own.len = -EACCES;
    if (!known && packet->dcid_len < QUIC_FIRST_DCID_MIN)
        return refuse(reader, REASON_QUIC_MALFORMED);
    if (known)
        open_known(reader, packet, &by_known);
    if (!same)
        open_own(packet, &keys, &by_own);
    if (by_known.len == -EIO || by_own.len == -EIO) /* what was not tried might have opened it */
        return QUIC_DROP;
    if (by_known.len != -EACCES && by_own.len != -EACCES)
        return refuse(reader, REASON_QUIC_MALFORMED);
    if (by_known.len != -EACCES)
        return frames_take(reader, &by_known);
    if (by_own.len == -EACCES || (known && quic_stream_waits(&reader->stream)))
        return QUIC_DROP;
    connection_begin(reader, packet, &keys);
    return frames_take(reader, &by_own);
}

/* ---- a datagram ---- */

/* What its packets are. */
struct contents {
    bool initial;
    bool early;  /* 0-RTT */
    bool closed; /* some Initial does not open */
};

/* A client puts no packets of two connections in one datagram (RFC 9000 section 12.2). */
static bool same_dcid(const struct quic_packet *first, const struct quic_packet *packet)
{
    return first->dcid_len == packet->dcid_len && memcmp(first->dcid, packet->dcid, packet->dcid_len) == 0;
}

/* Return: QUIC_PASS with @out_contents, QUIC_DROP or QUIC_BAD. */
static enum quic_take packets_read(struct quic_reader *reader, const uint8_t *datagram, size_t len,
                                   struct contents *out_contents)
{
    struct cursor c = cursor_of(datagram, len);
    struct quic_packet first, packet;

    *out_contents = (struct contents){.initial = false};
    for (bool is_first = true; cursor_left(&c) > 0; is_first = false) {
        int r = quic_packet_read(&c, &packet);

        if (r < 0)
            return discard(reader, r == -EPROTONOSUPPORT ? REASON_QUIC_VERSION : REASON_QUIC_MALFORMED);
        if (packet.kind == QUIC_PACKET_SHORT)
            break;
        if (is_first)
            first = packet;
        else if (!same_dcid(&first, &packet))
            return discard(reader, REASON_QUIC_MALFORMED);
        out_contents->early |= packet.kind == QUIC_PACKET_ZERO_RTT;
        if (packet.kind != QUIC_PACKET_INITIAL)
            continue;
        if (len < QUIC_DATAGRAM_BYTES_MIN)
            return discard(reader, REASON_QUIC_MALFORMED);
        out_contents->initial = true;
        switch (initial_take(reader, &packet)) {
        case QUIC_BAD:
            return QUIC_BAD;
        case QUIC_DROP:
            out_contents->closed = true;
            break;
        case QUIC_PASS:
        case QUIC_MORE:
        case QUIC_HELLO:
            break;
        }
    }
    return QUIC_PASS;
}

/* Once its packets are read: what the datagram is for the connection. */
static enum quic_take settle(struct quic_reader *reader, const struct contents *contents, struct evidence *out_evidence)
{
    int r;

    if (contents->closed)
        return QUIC_DROP;
    if (reader->state == QUIC_FRESH)
        return refuse(reader, REASON_QUIC_NOINITIAL);
    r = quic_stream_hello(&reader->stream, out_evidence);
    if (r < 0)
        return refuse(reader, out_evidence->bad);
    if (r > 0) {
        reader->state = QUIC_COMPLETE;
        reader->judged = true;
        reader->datagrams = 0;
        return QUIC_HELLO;
    }
    if (!quic_stream_waits(&reader->stream))
        return QUIC_PASS;
    reader->state = QUIC_GATHER;
    if (contents->initial || contents->early)
        return QUIC_MORE;
    return reader->judged ? QUIC_PASS : QUIC_DROP;
}

enum quic_take quic_read(struct quic_reader *reader, const uint8_t *datagram, size_t len,
                         struct evidence *out_evidence)
{
    enum quic_take take = QUIC_BAD;
    struct contents contents;

    if (reader->state != QUIC_REFUSED) {
        take = packets_read(reader, datagram, len, &contents);
        if (take == QUIC_PASS)
            take = settle(reader, &contents, out_evidence);
    }
    /* The hello must be complete with the last of them: one more to hold is one too many. */
    if ((take == QUIC_MORE || take == QUIC_DROP) && reader->state != QUIC_COMPLETE &&
        ++reader->datagrams == QUIC_DATAGRAMS_MAX)
        take = refuse(reader, REASON_QUIC_INCOMPLETE);
    if (take == QUIC_BAD)
        *out_evidence = (struct evidence){.kind = EVIDENCE_BAD, .bad = reader->bad};
    return take;
}
