#include "policy/reason.h"

#include "base/check.h"

static const char *const texts[REASON_COUNT] = {
#define X(id, text) [REASON_##id] = text,
    REASONS(X)
#undef X
};

const char *reason_text(enum reason reason)
{
    CHECK((unsigned)reason < REASON_COUNT);
    return texts[reason];
}
