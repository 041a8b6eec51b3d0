#include "cmd/problem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/distance.h"

int problem_set(struct problem *p, const char *hint, const char *format, ...)
{
    va_list args;

    p->where[0] = '\0';
    p->column = 0;
    va_start(args, format);
    (void)vsnprintf(p->what, sizeof(p->what), format, args);
    va_end(args);
    (void)snprintf(p->hint, sizeof(p->hint), "%s", hint ? hint : "");
    return -EINVAL;
}

int problem_at(struct problem *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(p->where, sizeof(p->where), format, args);
    va_end(args);
    return -EINVAL;
}

void problem_print(const struct problem *p)
{
    char line[PROBLEM_WHERE_MAX + PROBLEM_WHAT_MAX + PROBLEM_HINT_MAX + 16];

    (void)snprintf(line, sizeof(line), "weir: %s%s%s%s%s", p->where, p->where[0] != '\0' ? ": " : "", p->what,
                   p->hint[0] != '\0' ? "; " : "", p->hint);
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
            *c = '?';
    (void)fprintf(stderr, "%s\n", line);
}

char *problem_did_you_mean(const char *word, const char *const *known, size_t count,
                           char out[static PROBLEM_HINT_MAX])
{
    const char *nearest = distance_nearest(word, strlen(word), known, count);

    out[0] = '\0';
    if (nearest)
        (void)snprintf(out, PROBLEM_HINT_MAX, "did you mean '%s'?", nearest);
    return out;
}
