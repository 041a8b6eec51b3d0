/*
 * The scripts of a case, as lines of words: blanks separate, "quotes" hold bytes (\r \n \t \\ \" \xNN), # begins a comment. A line's
 * first word may be a time in seconds: 0.250 from the case's beginning, +0.010 after the time of the line before. Behind it, v4 or v6
 * makes it a line of that family's runs alone. What is read is in the words of the run's family already (family.h).
 */
#ifndef WEIR_TESTS_REPLAY_WORDS_H
#define WEIR_TESTS_REPLAY_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum { WORDS_MAX = 24 };

struct line {
    const char *file;         /* borrowed from the script */
    unsigned number;
    bool indented, timed;
    uint64_t at_us;           /* if timed */
    unsigned count;
    char *words[WORDS_MAX];   /* owned by the script; NUL-terminated */
    size_t lens[WORDS_MAX];
    bool quoted[WORDS_MAX];
    const char *text;         /* the line as it was written */
};

struct script {
    char *path;
    char *bytes, *copy;       /* owned */
    struct line *lines;       /* owned */
    unsigned count;
};

/** Return: false when there is no such file. Mistakes end the program with their place. */
bool script_read(struct script *script, const char *dir, const char *name);
void script_free(struct script *script);

/** Say what is wrong with a line, and end the program with status 2. */
__attribute__((format(printf, 2, 3), noreturn)) void line_fail(const struct line *line, const char *format, ...);

bool line_is(const struct line *line, unsigned n, const char *word); /* false when there are fewer words */
const char *line_word(const struct line *line, unsigned n);          /* fails when there are fewer */

/** The value of KEY=VALUE among the words from @from on, or NULL. */
const char *line_get(const struct line *line, unsigned from, const char *key);
bool line_has(const struct line *line, unsigned from, const char *word);

uint64_t word_number(const struct line *line, const char *word); /* decimal or 0x, with KiB or MiB */
uint64_t word_time_us(const struct line *line, const char *word); /* 5ms, 2s, 1m, 100us, or seconds 0.25 */

/** ADDR:PORT or [ADDR]:PORT; PORT alone is @own's. */
void word_endpoint(const struct line *line, const char *word, const struct addr *own, struct addr *out_addr,
                   uint16_t *out_port);
void word_addr(const struct line *line, const char *word, struct addr *out);

/** Hex digits to bytes. Return: how many. */
size_t word_hex(const struct line *line, const char *word, uint8_t *out, size_t max);

/* A long stream of bytes in which every misplaced piece shows: its period is a prime. */
enum { PATTERN_BYTES = 65521 };
const uint8_t *pattern_at(uint64_t at); /* PATTERN_BYTES of them can be read */
void pattern_fill(void *out, size_t len, uint64_t at);
bool pattern_holds(const void *bytes, size_t len, uint64_t at);

#endif
