/*
 * What the tests of first bytes share: ClientHellos put together byte by byte and cut into records, exact copies, and
 * evidence compared. For test_tls.c, test_http.c and test_evidence.c.
 */
#ifndef WEIR_TESTS_HELLO_H
#define WEIR_TESTS_HELLO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/evidence.h"

#define RAW(text) (text), sizeof(text) - 1
#define SNI_OK "\0\0\0\x0f\0\x0d\0\0\x0a" "ok.example"

struct bytes {
    uint8_t at[128 * 1024];
    size_t len;
};

static inline void put(struct bytes *b, const void *bytes, size_t len)
{
    assert_true(b->len + len <= sizeof(b->at));
    memcpy(b->at + b->len, bytes, len);
    b->len += len;
}

static inline void put_u16(struct bytes *b, size_t v)
{
    put(b, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

/* A ClientHello handshake message with these extensions, legacy version 3.3, one cipher. */
static inline void put_hello(struct bytes *b, const void *exts, size_t len)
{
    size_t body = 2 + 32 + 1 + 4 + 2 + 2 + len;

    put(b, (uint8_t[]){1, (uint8_t)(body >> 16), (uint8_t)(body >> 8), (uint8_t)body, 3, 3}, 6);
    put(b, "0123456789abcdef0123456789abcdef", 32);
    put(b, "\0" "\0\2\x13\1" "\1\0", 7);
    put_u16(b, len);
    put(b, exts, len);
}

static inline void put_record(struct bytes *b, const void *bytes, size_t len)
{
    put(b, "\x16\3\1", 3);
    put_u16(b, len);
    put(b, bytes, len);
}

/* @bytes cut into records of @size. */
static inline void put_records(struct bytes *b, const uint8_t *bytes, size_t len, size_t size)
{
    for (size_t at = 0; at < len; at += size)
        put_record(b, bytes + at, len - at < size ? len - at : size);
}

/* A copy in an allocation of exactly its size, so that the sanitizer sees a byte too far. */
static inline uint8_t *exact_copy(const void *bytes, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    return copy;
}

static inline bool evidence_same(const struct evidence *a, const struct evidence *b)
{
    return a->kind == b->kind && a->bad == b->bad && a->ech == b->ech && strcmp(a->name, b->name) == 0 &&
           strcmp(a->alpn, b->alpn) == 0;
}

#endif
