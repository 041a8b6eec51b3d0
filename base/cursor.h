/*
 * Bounded reader and writer over bytes: the only way a parser touches input.
 *
 * A read past the end fails and moves nothing. Lengths nest: cursor_sub() gives an inner cursor
 * that cannot see past its own end. All integers are network order unless the name says le.
 */
#ifndef WEIR_BASE_CURSOR_H
#define WEIR_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cursor {
    const uint8_t *at;  /* borrowed */
    const uint8_t *end;
};

static inline struct cursor cursor_of(const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    return (struct cursor){.at = p, .end = len > 0 ? p + len : p};
}

static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

static inline bool cursor_skip(struct cursor *c, size_t n)
{
    if (cursor_left(c) < n)
        return false;
    c->at += n;
    return true;
}

static inline bool cursor_u8(struct cursor *c, uint8_t *out_v)
{
    if (cursor_left(c) < 1)
        return false;
    *out_v = *c->at++;
    return true;
}

static inline bool cursor_u16(struct cursor *c, uint16_t *out_v)
{
    if (cursor_left(c) < 2)
        return false;
    *out_v = (uint16_t)(c->at[0] << 8 | c->at[1]);
    c->at += 2;
    return true;
}

static inline bool cursor_u24(struct cursor *c, uint32_t *out_v)
{
    if (cursor_left(c) < 3)
        return false;
    *out_v = (uint32_t)c->at[0] << 16 | (uint32_t)c->at[1] << 8 | c->at[2];
    c->at += 3;
    return true;
}

static inline bool cursor_u32(struct cursor *c, uint32_t *out_v)
{
    if (cursor_left(c) < 4)
        return false;
    *out_v = (uint32_t)c->at[0] << 24 | (uint32_t)c->at[1] << 16 | (uint32_t)c->at[2] << 8 |
             c->at[3];
    c->at += 4;
    return true;
}

static inline bool cursor_bytes(struct cursor *c, void *out_bytes, size_t n)
{
    if (cursor_left(c) < n)
        return false;
    if (n > 0)
        memcpy(out_bytes, c->at, n);
    c->at += n;
    return true;
}

/** Give the next @n bytes as a cursor of their own and step over them. */
static inline bool cursor_sub(struct cursor *c, size_t n, struct cursor *out_sub)
{
    if (cursor_left(c) < n)
        return false;
    *out_sub = (struct cursor){.at = c->at, .end = c->at + n};
    c->at += n;
    return true;
}

/*
 * Writer: once something did not fit, `overflow` stays set, nothing more is written, and
 * writer_done() reports it; so a message is built in a straight line and checked once.
 */
struct writer {
    uint8_t *start; /* borrowed */
    size_t len, cap;
    bool overflow;
};

static inline struct writer writer_of(void *bytes, size_t cap)
{
    return (struct writer){.start = bytes, .cap = cap};
}

/** Room for @n bytes to be filled by the caller, or NULL. */
static inline uint8_t *writer_room(struct writer *w, size_t n)
{
    uint8_t *p = w->start + w->len;

    if (w->overflow || w->cap - w->len < n) {
        w->overflow = true;
        return NULL;
    }
    w->len += n;
    return p;
}

static inline void writer_bytes(struct writer *w, const void *bytes, size_t n)
{
    uint8_t *p = writer_room(w, n);

    if (p && n > 0)
        memcpy(p, bytes, n);
}

static inline void writer_u8(struct writer *w, uint8_t v)
{
    writer_bytes(w, &v, 1);
}

static inline void writer_u16(struct writer *w, uint16_t v)
{
    uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};

    writer_bytes(w, b, sizeof(b));
}

static inline void writer_u32(struct writer *w, uint32_t v)
{
    uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    writer_bytes(w, b, sizeof(b));
}

/** Overwrite two bytes written earlier at @offset. */
static inline void writer_patch_u16(struct writer *w, size_t offset, uint16_t v)
{
    if (w->overflow || offset + 2 > w->len)
        return;
    w->start[offset] = (uint8_t)(v >> 8);
    w->start[offset + 1] = (uint8_t)v;
}

/** Return: bytes written (>= 0), or -1 when something did not fit. */
static inline long writer_done(const struct writer *w)
{
    return w->overflow ? -1 : (long)w->len;
}

#endif
