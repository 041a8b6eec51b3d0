/*
 * CHECK: an assertion that stays on in release builds.
 *
 * For our own mistakes only: an aborted process is a closed network, a corrupted one is not.
 * Guest bytes, peers, files and kernel answers must never be able to reach one.
 */
#ifndef WEIR_BASE_CHECK_H
#define WEIR_BASE_CHECK_H

#include <stddef.h>

_Noreturn void check_failed(const char *expr, const char *file, int line);

#define CHECK(expr) ((expr) ? (void)0 : check_failed(#expr, __FILE__, __LINE__))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/** The object of @type whose @member is at @ptr. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
