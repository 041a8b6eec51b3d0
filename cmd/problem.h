/*
 * Problems with what a user wrote: one line that says where, what, and what to write instead.
 */
#ifndef WEIR_CMD_PROBLEM_H
#define WEIR_CMD_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>

enum { PROBLEM_WHERE_MAX = 512, PROBLEM_WHAT_MAX = 384, PROBLEM_HINT_MAX = 384 };

/* Filled on failure only. `where` is set by whoever knows the place: the file's reader or the arguments'. */
struct problem {
    char where[PROBLEM_WHERE_MAX]; /* "vm.yaml:3:7", "--rule #2, column 7", "exec"; "" not said yet */
    unsigned column;               /* 1-based, within the text that was read; 0: all of it */
    char what[PROBLEM_WHAT_MAX];
    char hint[PROBLEM_HINT_MAX];   /* may be empty */
};

/**
 * Say what is wrong; `where` is emptied.
 *
 * @hint: may be NULL
 *
 * Return: -EINVAL, always.
 */
__attribute__((format(printf, 3, 4))) int problem_set(struct problem *p, const char *hint, const char *format, ...);

/** Say where. Return: -EINVAL, always. */
__attribute__((format(printf, 2, 3))) int problem_at(struct problem *p, const char *format, ...);

/** Print "weir: WHERE: WHAT; HINT" on stderr, with whatever a terminal might obey replaced by '?'. */
void problem_print(const struct problem *p);

/** "did you mean 'X'?" into @out, X one of @count @known words, or "" when none is near. Return: @out. */
char *problem_did_you_mean(const char *word, const char *const *known, size_t count,
                           char out[static PROBLEM_HINT_MAX]);

#endif
