/*
 * The one canonical form of a host name. Every name is brought into it before any comparison;
 * what would need repair is refused instead (reason name.invalid).
 */
#ifndef WEIR_POLICY_NAME_H
#define WEIR_POLICY_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum { NAME_TEXT_MAX = 253, NAME_LABEL_MAX = 63 };

/**
 * Canonical form of @bytes: A-Z folded, exactly one trailing dot removed.
 *
 * @bytes:    borrowed, @len bytes, need not be terminated
 * @out_name: filled only on success, NUL-terminated
 *
 * Refused: bytes other than a-z 0-9 - _ . (so NUL, UTF-8, '*', ':' too), empty labels, labels above 63
 * bytes, names above 253, labels that start or end with '-', and names whose last label is a number
 * (all digits, or 0x and hex digits: what inet_aton() would take for an address).
 *
 * Return: length (> 0), or -EBADMSG.
 */
int name_canonical(const void *bytes, size_t len, char out_name[static NAME_TEXT_MAX + 1]);

/** Whether canonical @name equals canonical @suffix or ends in "." + @suffix. */
bool name_below(const char *name, const char *suffix);

/** Number of labels of a canonical name. */
unsigned name_labels(const char *name);

/**
 * The registrable domain (public suffix plus one label) of a canonical name; borrowed from @name.
 * NULL when @name is itself a public suffix.
 */
const char *name_registrable(const char *name);

#endif
