#include "policy/quic_packet.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"

enum {
    LONG_HEADER = 0x80,
    LONG_TYPE_SHIFT = 4,
    LONG_TYPE_MASK = 3,
    LONG_HIDDEN = 0x0f, /* what the mask covers of the first byte */
    LONG_RESERVED = 0x0c,
    PN_LEN_MASK = 3,
    PN_BYTES_MAX = 4,
};

static const uint32_t version_numbers[QUIC_VERSIONS] = {
    [QUIC_V1] = 1,
    [QUIC_V2] = 0x6b3343cf, /* RFC 9369 section 3.1 */
};

/* By the type bits (RFC 9000 section 17.2, RFC 9369 section 3.2); -1: Retry, which only servers send. */
static const int kinds[QUIC_VERSIONS][LONG_TYPE_MASK + 1] = {
    [QUIC_V1] = {QUIC_PACKET_INITIAL, QUIC_PACKET_ZERO_RTT, QUIC_PACKET_HANDSHAKE, -1},
    [QUIC_V2] = {-1, QUIC_PACKET_INITIAL, QUIC_PACKET_ZERO_RTT, QUIC_PACKET_HANDSHAKE},
};

bool quic_varint(struct cursor *c, uint64_t *out_v)
{
    size_t len;
    uint64_t v;

    if (cursor_left(c) < 1)
        return false;
    len = (size_t)1 << (c->at[0] >> 6);
    if (cursor_left(c) < len)
        return false;
    v = c->at[0] & 0x3f;
    for (size_t i = 1; i < len; i++)
        v = v << 8 | c->at[i];
    c->at += len;
    *out_v = v;
    return true;
}

/* Step over a connection id with its length. */
static bool cid_read(struct cursor *c, struct cursor *out_cid)
{
    uint8_t len;

    return cursor_u8(c, &len) && len <= QUIC_CID_MAX && cursor_sub(c, len, out_cid);
}

/*
 * A long header behind its first byte. The invariants of all versions (RFC 8999 section 5.1) come first: an unknown
 * version is told even where the rest could not be one of ours.
 */
static int long_read(struct cursor *c, uint8_t first, struct quic_packet *packet)
{
    struct cursor dcid, scid;
    uint32_t number;
    uint64_t len;
    int kind;

    if (!cursor_u32(c, &number) || number == 0) /* 0: Version Negotiation */
        return -EBADMSG;
    if (number == version_numbers[QUIC_V1])
        packet->version = QUIC_V1;
    else if (number == version_numbers[QUIC_V2])
        packet->version = QUIC_V2;
    else
        return -EPROTONOSUPPORT;
    kind = kinds[packet->version][first >> LONG_TYPE_SHIFT & LONG_TYPE_MASK];
    if (kind < 0 || !cid_read(c, &dcid) || !cid_read(c, &scid))
        return -EBADMSG;
    packet->kind = (enum quic_packet_kind)kind;
    packet->dcid = dcid.at;
    packet->dcid_len = cursor_left(&dcid);
    if (kind == QUIC_PACKET_INITIAL && (!quic_varint(c, &len) || len > cursor_left(c) || !cursor_skip(c, (size_t)len)))
        return -EBADMSG; /* the token */
    if (!quic_varint(c, &len) || len > cursor_left(c))
        return -EBADMSG;
    packet->pn_at = (size_t)(c->at - packet->bytes);
    /* Less holds no sample, and its packet number's length would decide where it ends (RFC 9001 section 5.4.2). */
    if (len < PN_BYTES_MAX + QUIC_SAMPLE_BYTES || !cursor_skip(c, (size_t)len))
        return -EBADMSG;
    packet->len = packet->pn_at + (size_t)len;
    return kind == QUIC_PACKET_INITIAL && packet->len > QUIC_INITIAL_BYTES_MAX ? -EBADMSG : (int)packet->len;
}

int quic_packet_read(struct cursor *datagram, struct quic_packet *out_packet)
{
    struct cursor c = *datagram;
    struct quic_packet packet = {.kind = QUIC_PACKET_SHORT, .bytes = c.at, .len = cursor_left(&c)};
    int r = (int)packet.len;
    uint8_t first = 0;

    CHECK(cursor_u8(&c, &first));
    if (first & LONG_HEADER)
        r = long_read(&c, first, &packet);
    if (r < 0)
        return r;
    cursor_skip(datagram, packet.len);
    *out_packet = packet;
    return r;
}

/* RFC 9000 appendix A.3, with its window of half the numbers that @len bytes can tell. */
static uint64_t pn_decode(uint64_t next, const uint8_t *bytes, size_t len)
{
    uint64_t window = (uint64_t)1 << 8 * len, truncated = 0, pn;

    for (size_t i = 0; i < len; i++)
        truncated = truncated << 8 | bytes[i];
    pn = (next & ~(window - 1)) | truncated;
    if (pn + window / 2 <= next && pn < ((uint64_t)1 << 62) - window)
        return pn + window;
    if (pn > next + window / 2 && pn >= window)
        return pn - window;
    return pn;
}

int quic_packet_open(const struct quic_packet *packet, const struct quic_keys *keys, uint64_t pn_next,
                     uint8_t out_plain[static QUIC_INITIAL_BYTES_MAX], uint64_t *out_pn)
{
    const uint8_t *hidden = packet->bytes + packet->pn_at;
    uint8_t mask[QUIC_MASK_BYTES], number[PN_BYTES_MAX];
    struct quic_header header = {.middle = packet->bytes + 1, .middle_len = packet->pn_at - 1, .pn = number};
    size_t sealed_len;
    uint64_t pn;
    int r;

    CHECK(packet->kind == QUIC_PACKET_INITIAL && packet->len <= QUIC_INITIAL_BYTES_MAX);
    if (quic_keys_mask(keys, hidden + PN_BYTES_MAX, mask) < 0)
        return -EIO;
    header.first = packet->bytes[0] ^ (mask[0] & LONG_HIDDEN);
    header.pn_len = (size_t)(header.first & PN_LEN_MASK) + 1;
    for (size_t i = 0; i < header.pn_len; i++)
        number[i] = hidden[i] ^ mask[1 + i];
    pn = pn_decode(pn_next, number, header.pn_len);
    sealed_len = packet->len - packet->pn_at - header.pn_len;
    r = quic_keys_open(keys, pn, &header, hidden + header.pn_len, sealed_len, out_plain);
    if (r < 0)
        return r == -EBADMSG ? -EACCES : -EIO;
    if (header.first & LONG_RESERVED)
        return -EBADMSG;
    *out_pn = pn;
    return (int)(sealed_len - QUIC_TAG_BYTES);
}
