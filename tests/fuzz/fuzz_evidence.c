/* Whatever the bytes: a final answer for a prefix is the answer for all, and at the end of a stream there is one. */
#include <string.h>

#include "base/check.h"
#include "policy/evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct evidence *a, const struct evidence *b)
{
    CHECK(a->kind == b->kind && a->bad == b->bad && a->ech == b->ech);
    CHECK(strcmp(a->name, b->name) == 0 && strcmp(a->alpn, b->alpn) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct evidence all, part;

    evidence_read(data, size, false, &all);
    CHECK(all.kind != EVIDENCE_UNKNOWN || size < EVIDENCE_TLS_BYTES_MAX);
    for (size_t cut = 0; cut <= size; cut += 1 + size / 64) {
        evidence_read(data, cut, false, &part);
        if (part.kind != EVIDENCE_UNKNOWN)
            check_same(&part, &all);
        evidence_read(data, cut, true, &part);
        CHECK(part.kind != EVIDENCE_UNKNOWN);
    }
    return 0;
}
