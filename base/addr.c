#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct addr addr_v4(uint32_t v)
{
    uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    return addr_from_v4(b);
}

struct addr addr_from_v4(const uint8_t bytes[static 4])
{
    struct addr a = {.family = ADDR_V4};

    memcpy(a.bytes, bytes, 4);
    return a;
}

struct addr addr_from_v6(const uint8_t bytes[static 16])
{
    struct addr a = {.family = ADDR_V6};

    memcpy(a.bytes, bytes, 16);
    return a;
}

uint32_t addr_to_v4(const struct addr *a)
{
    CHECK(a->family == ADDR_V4);
    return (uint32_t)a->bytes[0] << 24 | (uint32_t)a->bytes[1] << 16 | (uint32_t)a->bytes[2] << 8 |
           a->bytes[3];
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

unsigned addr_size(const struct addr *a)
{
    return a->family == ADDR_V4 ? 4 : a->family == ADDR_V6 ? 16 : 0;
}

int addr_parse(const char *text, struct addr *out_addr)
{
    struct addr a = {0};

    if (inet_pton(AF_INET, text, a.bytes) == 1)
        a.family = ADDR_V4;
    else if (inet_pton(AF_INET6, text, a.bytes) == 1)
        a.family = ADDR_V6;
    else
        return -EINVAL;
    *out_addr = a;
    return 0;
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

int addr_prefix_parse(const char *text, struct addr_prefix *out_prefix)
{
    char addr[ADDR_TEXT_MAX];
    struct addr_prefix p;
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    unsigned max;

    if (len >= sizeof(addr))
        return -EINVAL;
    memcpy(addr, text, len);
    addr[len] = '\0';
    if (addr_parse(addr, &p.base) < 0)
        return -EINVAL;
    max = addr_size(&p.base) * 8;
    p.bits = (uint8_t)max;
    if (slash) {
        const char *digits = slash + 1;
        unsigned long bits;

        if (strlen(digits) < 1 || strlen(digits) > 3 || strspn(digits, "0123456789") != strlen(digits))
            return -EINVAL;
        if (digits[0] == '0' && digits[1] != '\0')
            return -EINVAL;
        bits = strtoul(digits, NULL, 10);
        if (bits > max)
            return -EINVAL;
        p.bits = (uint8_t)bits;
    }
    for (unsigned bit = p.bits; bit < max; bit++)
        if (p.base.bytes[bit / 8] & 0x80 >> bit % 8)
            return -ERANGE;
    *out_prefix = p;
    return 0;
}

bool addr_prefix_contains(const struct addr_prefix *p, const struct addr *a)
{
    return p->base.family == a->family && bits_equal(p->base.bytes, a->bytes, p->bits);
}

bool addr_prefix_covers(const struct addr_prefix *outer, const struct addr_prefix *inner)
{
    return outer->bits <= inner->bits && addr_prefix_contains(outer, &inner->base);
}

struct addr addr_prefix_nth(const struct addr_prefix *p, uint32_t offset)
{
    struct addr a = p->base;
    uint8_t *last = a.bytes + addr_size(&a) - 4;
    uint32_t v = (uint32_t)last[0] << 24 | (uint32_t)last[1] << 16 | (uint32_t)last[2] << 8 | last[3];

    v += offset;
    last[0] = (uint8_t)(v >> 24);
    last[1] = (uint8_t)(v >> 16);
    last[2] = (uint8_t)(v >> 8);
    last[3] = (uint8_t)v;
    return a;
}

char *addr_format(const struct addr *a, char out[static ADDR_TEXT_MAX])
{
    int af = a->family == ADDR_V4 ? AF_INET : AF_INET6;

    if (a->family == ADDR_NONE || !inet_ntop(af, a->bytes, out, ADDR_TEXT_MAX))
        strcpy(out, "-");
    return out;
}

char *addr_prefix_format(const struct addr_prefix *p, char out[static ADDR_PREFIX_TEXT_MAX])
{
    char text[ADDR_TEXT_MAX];

    snprintf(out, ADDR_PREFIX_TEXT_MAX, "%s/%u", addr_format(&p->base, text), p->bits);
    return out;
}

char *addr_endpoint_format(const struct addr *a, uint16_t port, char out[static ADDR_ENDPOINT_TEXT_MAX])
{
    char text[ADDR_TEXT_MAX];

    snprintf(out, ADDR_ENDPOINT_TEXT_MAX, a->family == ADDR_V6 ? "[%s]:%u" : "%s:%u",
             addr_format(a, text), port);
    return out;
}
