/* The first final answer for a prefix is the answer for all; a name is canonical; never more is used than there is. */
#include <string.h>

#include "base/check.h"
#include "policy/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct evidence all = {.kind = EVIDENCE_UNKNOWN}, part = all;
    char name[NAME_TEXT_MAX + 1];
    int used = tls_hello_read(data, size, &all);

    CHECK(used <= (int)size && (used == 0) == (all.kind == EVIDENCE_UNKNOWN));
    CHECK((used > 0) == (all.kind == EVIDENCE_TLS) && (used < 0) == (all.kind == EVIDENCE_BAD));
    for (size_t cut = 0; cut < size; cut += 1 + size / 64)
        if (tls_hello_read(data, cut, &part) != 0)
            CHECK(part.kind == all.kind && part.bad == all.bad && strcmp(part.name, all.name) == 0);
    CHECK(all.name[0] == '\0' || name_canonical(all.name, strlen(all.name), name) == (int)strlen(all.name));
    (void)tls_hello_body_read(data, size, &part);
    return 0;
}
