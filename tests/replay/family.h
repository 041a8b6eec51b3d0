/*
 * The family a case runs on. A case is written once, with IPv4's addresses and numbers; for IPv6 each of its files is put into
 * IPv6's words as it is read. family.c has the tables, README.md says what they mean.
 */
#ifndef WEIR_TESTS_REPLAY_FAMILY_H
#define WEIR_TESTS_REPLAY_FAMILY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

/** Before a case is read; without it, IPv4. One a process, like the instance. */
void family_set(enum addr_family family);
enum addr_family family_now(void);

/** @text in the family's words. Return: a new text, owned by the caller, or NULL: it has an address that is in no table. */
char *family_text(const char *text);

/** "v4" or "v6", which makes a line the one family's. */
bool family_is_word(const char *word);
bool family_is_now(const char *word);

#endif
