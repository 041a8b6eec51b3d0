#include "policy/dns_rdata.h"

#include <errno.h>

#include "base/check.h"
#include "policy/dns.h"
#include "policy/dns_wire.h"

/*
 * Formats, field by field:
 *
 *   n  a name that may be compressed     p  a name that may not (RFC 3597 section 4: in all newer types)
 *   w  16 bits                           s  a string: a length byte and so many bytes
 *   S  strings up to the end, at least one
 *   *  whatever is left
 */
static const struct {
    uint16_t type;
    const char *fields;
} formats[] = {
    {2, "n"},            /* NS */
    {3, "n"},            /* MD */
    {4, "n"},            /* MF */
    {5, "n"},            /* CNAME */
    {6, "nnwwwwwwwwww"}, /* SOA */
    {7, "n"},            /* MB */
    {8, "n"},            /* MG */
    {9, "n"},            /* MR */
    {12, "n"},           /* PTR */
    {13, "ss"},          /* HINFO */
    {14, "nn"},          /* MINFO */
    {15, "wn"},          /* MX */
    {16, "S"},           /* TXT */
    {17, "nn"},          /* RP */
    {18, "wn"},          /* AFSDB */
    {21, "wn"},          /* RT */
    {24, "wwwwwwwwwn*"}, /* SIG */
    {26, "wnn"},         /* PX */
    {30, "n*"},          /* NXT */
    {33, "wwwn"},        /* SRV */
    {35, "wwsssn"},      /* NAPTR */
    {36, "wn"},          /* KX */
    {39, "n"},           /* DNAME */
    {46, "wwwwwwwwwp*"}, /* RRSIG */
    {47, "p*"},          /* NSEC */
    {99, "S"},           /* SPF */
    {107, "wp"},         /* LP */
};

static const char *format_of(uint16_t type)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (formats[i].type == type)
            return formats[i].fields;
    return "*";
}

static bool rest_copy(struct cursor *c, struct writer *w)
{
    size_t len = cursor_left(c);

    writer_bytes(w, c->at, len);
    return cursor_skip(c, len);
}

static bool string_copy(struct cursor *c, struct writer *w)
{
    struct cursor string;
    uint8_t len;

    if (!cursor_u8(c, &len) || !cursor_sub(c, len, &string))
        return false;
    writer_u8(w, len);
    return rest_copy(&string, w);
}

static bool name_copy(const uint8_t *message, struct cursor *c, struct writer *w)
{
    struct dns_name name;

    /* Without a message to point into, a pointer is malformed. */
    if ((message ? dns_name_read(message, c, &name) : dns_name_read_plain(c, &name)) < 0)
        return false;
    writer_bytes(w, name.bytes, name.len);
    return true;
}

static bool field_copy(char field, const uint8_t *message, struct cursor *c, struct writer *w)
{
    uint16_t word;

    switch (field) {
    case 'n':
        return name_copy(message, c, w);
    case 'p':
        return name_copy(NULL, c, w);
    case 's':
        return string_copy(c, w);
    case 'w':
        if (!cursor_u16(c, &word))
            return false;
        writer_u16(w, word);
        return true;
    case 'S':
        do {
            if (!string_copy(c, w))
                return false;
        } while (cursor_left(c) > 0);
        return true;
    case '*':
        return rest_copy(c, w);
    }
    CHECK(!"a field of a format");
    return false;
}

int dns_rdata_copy(const uint8_t *message, struct cursor rdata, uint16_t type, struct writer *w)
{
    if (type == DNS_TYPE_SVCB || type == DNS_TYPE_HTTPS)
        return dns_svcb_copy(rdata, w);
    for (const char *field = format_of(type); *field != '\0'; field++)
        if (!field_copy(*field, message, &rdata, w))
            return -EBADMSG;
    return cursor_left(&rdata) == 0 ? DNS_RDATA_WHOLE : -EBADMSG;
}
