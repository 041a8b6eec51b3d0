#include "cmd/problem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NEAR_WORD_MAX = 24, NEAR_DISTANCE_MAX = 2 };

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

/* Edits (insert, drop, change a letter) from one word to another; beyond NEAR_DISTANCE_MAX for long words. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[NEAR_WORD_MAX + 1];
    size_t a_len = strlen(a), b_len = strlen(b);

    if (a_len > NEAR_WORD_MAX || b_len > NEAR_WORD_MAX)
        return NEAR_DISTANCE_MAX + 1;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b_len];
}

const char *problem_nearest(const char *word, const char *const *known, size_t count)
{
    unsigned nearest = NEAR_DISTANCE_MAX + 1;
    const char *found = NULL;

    for (size_t i = 0; i < count; i++) {
        unsigned d = distance(word, known[i]);

        /* A word of two letters is near to everything. */
        if (d < nearest && d < strlen(known[i])) {
            nearest = d;
            found = known[i];
        }
    }
    return found;
}

char *problem_did_you_mean(const char *word, const char *const *known, size_t count,
                           char out[static PROBLEM_HINT_MAX])
{
    const char *nearest = problem_nearest(word, known, count);

    out[0] = '\0';
    if (nearest)
        (void)snprintf(out, PROBLEM_HINT_MAX, "did you mean '%s'?", nearest);
    return out;
}
