/*
 * Which word was meant: for "did you mean" in the errors of rules and of the configuration.
 */
#ifndef WEIR_POLICY_DISTANCE_H
#define WEIR_POLICY_DISTANCE_H

#include <stddef.h>

enum {
    DISTANCE_WORD_MAX = 24, /* longer words are near to nothing */
    DISTANCE_NEAR_MAX = 2,  /* edits between a word and the one that was meant */
};

/**
 * Levenshtein distance: letters to insert, drop or change.
 *
 * @word:  its letters are compared without case
 * @known: in lower case
 *
 * Return: the distance; above DISTANCE_NEAR_MAX when one of them is longer than DISTANCE_WORD_MAX.
 */
unsigned distance(const char *word, size_t len, const char *known);

/**
 * The one of @count words that @word was probably meant to be.
 *
 * Return: one of @known, or NULL when none is near.
 */
const char *distance_nearest(const char *word, size_t len, const char *const *known, size_t count);

#endif
