#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "weir: internal error: %s:%d: %s does not hold; stopping, so that nothing passes "
                    "unjudged\n", file, line, expr);
    abort();
}
