/*
 * The word quic=NAME: a client's Initial packet, protected as RFC 9001 section 5 has it.
 */
#include <string.h>

#include "policy/quic.h"
#include "tests/fixtures/quic_seal.h"
#include "vm.h"

size_t vm_put_initial(const struct line *line, unsigned at, const char *name, uint8_t *out)
{
    const char *from = line_get(line, at, "from"), *to = line_get(line, at, "to"), *pn = line_get(line, at, "pn");
    const char *id = line_get(line, at, "id"), *version = line_get(line, at, "version");
    struct seal seal = {.dcid = id ? id : "connect1", .pn = pn ? word_number(line, pn) : 0, .pad_to = QUIC_DATAGRAM_BYTES_MIN};
    uint8_t hello[VM_HELLO_MAX], frames[8 + VM_HELLO_MAX];
    size_t end = vm_put_hello(name, hello) - VM_RECORD_HEADER, first = from ? word_number(line, from) : 0;
    struct writer w = writer_of(frames, sizeof(frames));
    struct sealed datagram = {.len = 0};

    if (to && word_number(line, to) < end)
        end = word_number(line, to);
    if (first > end || strlen(seal.dcid) > QUIC_CID_MAX)
        line_fail(line, "from= is behind to=, or id= has more than %d bytes", QUIC_CID_MAX);
    seal.version = version && word_number(line, version) == 2 ? QUIC_V2 : QUIC_V1;
    writer_u8(&w, 6); /* CRYPTO (RFC 9000 section 19.6) */
    seal_varint2(&w, first);
    seal_varint2(&w, end - first);
    writer_bytes(&w, hello + VM_RECORD_HEADER + first, end - first);
    seal_put(&datagram, &seal, frames, w.len);
    memcpy(out, datagram.at, datagram.len);
    return datagram.len;
}
