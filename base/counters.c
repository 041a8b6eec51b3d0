#include "base/counters.h"

#include "base/check.h"

static const char *const names[] = {
#define X(id, name) [COUNTER_##id] = name,
    COUNTERS(X)
#undef X
};

_Static_assert(ARRAY_SIZE(names) == COUNTER_COUNT, "a name for each counter");

const char *counter_name(enum counter c)
{
    CHECK(c < COUNTER_COUNT);
    return names[c];
}
