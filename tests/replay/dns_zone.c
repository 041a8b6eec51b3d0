/*
 * A name server's answers, from lines such as
 *
 *     ok.example A 203.0.113.10 203.0.113.11 ttl=300 after=20ms
 *     gone.example nxdomain
 *
 * in the wire form of RFC 1035 section 4.1.
 */
#include "peers.h"

#include <string.h>
#include <strings.h>

enum { HEAD = 12, FLAG_QR_RD_RA = 0x8180, FLAG_TC = 0x0200, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3, TYPE_A = 1, TYPE_AAAA = 28 };

static size_t put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return 2;
}

/* The question's name as text. Return: bytes of the question, 0: it is none. */
static size_t read_name(const uint8_t *q, size_t len, char out[static 256])
{
    size_t at = HEAD, n = 0;

    while (at < len && q[at] != 0) {
        size_t label = q[at++];

        if (label > 63 || at + label >= len || n + label + 1 > 255)
            return 0;
        if (n > 0)
            out[n++] = '.';
        memcpy(out + n, q + at, label);
        n += label;
        at += label;
    }
    out[n] = '\0';
    return at + 5 <= len ? at + 5 : 0;
}

static const struct line *line_of(const struct service *s, const char *name)
{
    for (unsigned i = 0; i < s->line_count; i++)
        if (strcasecmp(s->lines[i].words[0], name) == 0 || line_is(&s->lines[i], 0, "*"))
            return &s->lines[i];
    return NULL;
}

static size_t put_addr(uint8_t *out, const struct addr *a, uint32_t ttl_s)
{
    size_t n = put16(out, 0xc000 | HEAD), bytes = a->family == ADDR_V4 ? 4 : 16;

    n += put16(out + n, a->family == ADDR_V4 ? TYPE_A : TYPE_AAAA);
    n += put16(out + n, 1);
    n += put16(out + n, ttl_s >> 16);
    n += put16(out + n, ttl_s & 0xffff);
    n += put16(out + n, (unsigned)bytes);
    memcpy(out + n, a->bytes, bytes);
    return n + bytes;
}

size_t zone_answer(const struct service *service, const uint8_t *question, size_t len, bool tcp, uint8_t *out, size_t max,
                   uint64_t *out_after_us)
{
    char name[256];
    size_t n = len >= HEAD ? read_name(question, len, name) : 0;
    const struct line *line = n > 0 ? line_of(service, name) : NULL;
    unsigned flags = FLAG_QR_RD_RA, count = 0, type;
    const char *word;

    if (n == 0 || n + 512 > max || service->answer == ANSWER_BLACKHOLE || (line && line_is(line, 1, "silent")))
        return 0;
    type = (unsigned)(question[n - 4] << 8 | question[n - 3]);
    memcpy(out, question, n);
    word = line ? line_get(line, 1, "after") : NULL;
    *out_after_us = word ? word_time_us(line, word) : 0;
    word = line ? line_get(line, 1, "ttl") : NULL;
    if (!line || line_is(line, 1, "nxdomain"))
        flags |= RCODE_NXDOMAIN;
    else if (line_is(line, 1, "servfail"))
        flags |= RCODE_SERVFAIL;
    else if (line_has(line, 1, "truncate") && !tcp)
        flags |= FLAG_TC;
    else
        for (unsigned i = 1; i < line->count; i++) {
            struct addr a;

            if (addr_parse(line->words[i], &a) < 0 || (a.family == ADDR_V4 ? TYPE_A : TYPE_AAAA) != type)
                continue;
            n += put_addr(out + n, &a, word ? (uint32_t)word_number(line, word) : 300);
            count++;
        }
    if (line && line_has(line, 1, "badid"))
        out[0] ^= 0xff;
    (void)put16(out + 2, flags);
    (void)put16(out + 6, count);
    (void)put16(out + 8, 0);
    (void)put16(out + 10, 0);
    return n;
}
