/*
 * The input is a flow: pieces of a kind, a length in two bytes, and bytes. Kind 0 is a datagram as it is; the others are
 * frames that are sealed into an Initial, so that what lies behind the tag is reached. Nothing passes before a hello; a
 * refused flow stays so; a hello that comes again is no new one; less than QUIC_DATAGRAMS_MAX are held.
 */
#include <string.h>

#include "base/check.h"
#include "policy/quic.h"
#include "tests/fixtures/quic_seal.h"

enum { KIND_RAW, KIND_SEALED, KINDS = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_check(struct quic_reader *reader, const uint8_t *datagram, size_t len, unsigned *held)
{
    bool judged = reader->judged, refused = reader->state == QUIC_REFUSED;
    struct evidence e = {.kind = EVIDENCE_UNKNOWN};
    char name[NAME_TEXT_MAX + 1];
    enum quic_take take = quic_read(reader, datagram, len, &e);

    CHECK(take != QUIC_PASS || judged);
    CHECK(!refused || take == QUIC_BAD);
    CHECK(e.kind == (take == QUIC_HELLO ? EVIDENCE_TLS : take == QUIC_BAD ? EVIDENCE_BAD : EVIDENCE_UNKNOWN));
    CHECK(e.name[0] == '\0' || name_canonical(e.name, strlen(e.name), name) == (int)strlen(e.name));
    *held = take == QUIC_MORE ? *held + 1 : take == QUIC_HELLO ? 0 : *held;
    CHECK(*held < QUIC_DATAGRAMS_MAX);
    CHECK(take != QUIC_HELLO || quic_read(reader, datagram, len, &e) == QUIC_PASS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct seal seals[KINDS] = {
        [KIND_SEALED] = {.dcid = "connect1", .pad_to = 1200}, /* version 1 */
        {.dcid = "connect1", .pad_to = 1200, .version = QUIC_V2},
        {.dcid = "connect2", .pad_to = 1200},
        {.dcid = "server-chosen", .keys_of = "connect1", .pad_to = 1200},
    };
    static struct quic_reader reader;
    static struct sealed datagram;
    struct cursor c = cursor_of(data, size), piece;
    uint8_t kind;
    uint16_t len;
    unsigned held = 0;

    quic_reader_init(&reader);
    while (cursor_u8(&c, &kind) && cursor_u16(&c, &len) && cursor_sub(&c, len, &piece)) {
        datagram.len = 0;
        if (kind % KINDS == KIND_RAW)
            take_check(&reader, piece.at, len, &held);
        else if (len < QUIC_INITIAL_BYTES_MAX - 100) /* fits with its header */
            seal_put(&datagram, &seals[kind % KINDS], piece.at, len);
        if (datagram.len > 0)
            take_check(&reader, datagram.at, datagram.len, &held);
    }
    return 0;
}
