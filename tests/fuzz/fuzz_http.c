/* The first final answer for a prefix is the answer for all; a name is canonical; a head ends in an empty line. */
#include <string.h>

#include "base/check.h"
#include "policy/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct evidence all = {.kind = EVIDENCE_UNKNOWN}, part = all;
    char name[NAME_TEXT_MAX + 1];
    int used = http_head_read(data, size, &all), begins = http_begins(data, size, false);

    CHECK(used <= (int)size && (used > 0) == (all.kind == EVIDENCE_HTTP) && (used < 0) == (all.kind == EVIDENCE_BAD));
    CHECK(used <= 0 || memcmp(data + used - 4, "\r\n\r\n", 4) == 0);
    for (size_t cut = 0; cut < size; cut += 1 + size / 64) {
        int early = http_begins(data, cut, false);

        CHECK((early == 0 || early == begins) && http_begins(data, cut, true) != 0);
        if (http_head_read(data, cut, &part) != 0)
            CHECK(part.kind == all.kind && part.bad == all.bad && strcmp(part.name, all.name) == 0);
    }
    CHECK(all.name[0] == '\0' || name_canonical(all.name, strlen(all.name), name) == (int)strlen(all.name));
    return 0;
}
