#include "policy/distance.h"

#include <string.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Row by row: row[j] is the distance from the first i letters of @word to the first j of @known. */
unsigned distance(const char *word, size_t len, const char *known)
{
    unsigned row[DISTANCE_WORD_MAX + 1];
    size_t known_len = strlen(known);

    if (len > DISTANCE_WORD_MAX || known_len > DISTANCE_WORD_MAX)
        return DISTANCE_NEAR_MAX + 1;
    for (size_t j = 0; j <= known_len; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= len; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= known_len; j++) {
            unsigned best = diagonal + (lower(word[i - 1]) != known[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[known_len];
}

const char *distance_nearest(const char *word, size_t len, const char *const *known, size_t count)
{
    unsigned nearest = DISTANCE_NEAR_MAX + 1;
    const char *found = NULL;

    for (size_t i = 0; i < count; i++) {
        unsigned d = distance(word, len, known[i]);

        /* A word of two letters is near to everything. */
        if (d < nearest && d < strlen(known[i])) {
            nearest = d;
            found = known[i];
        }
    }
    return found;
}
