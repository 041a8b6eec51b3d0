/*
 * DNS messages put together byte by byte, not with the code under test. For test_dns.c and test_dns_answer.c.
 */
#ifndef WEIR_TESTS_DNS_MESSAGE_H
#define WEIR_TESTS_DNS_MESSAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RAW(text) (text), sizeof(text) - 1
#define QUESTION "\2ok\7example\0" "\0\1\0\1"
#define OPT_4096 "\0\0\x29\x10\0\0\0\0\0\0\0"

enum { ID = 0x1234, RD = 0x0100, ANSWER = 0x8180 };

struct message {
    uint8_t bytes[8192];
    size_t len;
};

static inline void put(struct message *m, const void *bytes, size_t len)
{
    assert_true(m->len + len <= sizeof(m->bytes));
    memcpy(m->bytes + m->len, bytes, len);
    m->len += len;
}

static inline void put_u16(struct message *m, unsigned v)
{
    put(m, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static inline void put_u32(struct message *m, uint32_t v)
{
    put_u16(m, v >> 16);
    put_u16(m, v & 0xffff);
}

/* Dotted text, "" for the root; "@N" is a pointer to offset N, and may end a name as well. */
static inline void put_name(struct message *m, const char *text)
{
    while (*text != '\0' && *text != '@') {
        size_t len = strcspn(text, ".");

        put(m, (uint8_t[]){(uint8_t)len}, 1);
        put(m, text, len);
        text += len + (text[len] == '.');
    }
    if (*text == '@')
        put_u16(m, 0xc000u | (unsigned)atoi(text + 1));
    else
        put(m, "", 1);
}

static inline void put_header(struct message *m, unsigned id, unsigned flags, const unsigned counts[static 4])
{
    put_u16(m, id);
    put_u16(m, flags);
    for (int i = 0; i < 4; i++)
        put_u16(m, counts[i]);
}

static inline void put_record(struct message *m, const char *owner, unsigned type, uint32_t ttl, const void *rdata, size_t len)
{
    put_name(m, owner);
    put_u16(m, type);
    put_u16(m, 1);
    put_u32(m, ttl);
    put_u16(m, (unsigned)len);
    put(m, rdata, len);
}

#endif
