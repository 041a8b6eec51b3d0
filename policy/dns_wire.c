#include "policy/dns_wire.h"

#include <errno.h>

#include "base/check.h"

enum {
    LABEL_KIND = 0xc0,    /* the two bits that tell a label's length from a pointer */
    LABEL_POINTER = 0xc0, /* 01 and 10 are no longer, or not yet, anything (RFC 6891 section 5) */
};

bool dns_header_read(struct cursor *c, struct dns_header *out_header)
{
    struct dns_header h;

    if (!cursor_u16(c, &h.id) || !cursor_u16(c, &h.flags) || !cursor_u16(c, &h.questions) ||
        !cursor_u16(c, &h.answers) || !cursor_u16(c, &h.authorities) || !cursor_u16(c, &h.additionals))
        return false;
    *out_header = h;
    return true;
}

/*
 * Append labels up to the root's, or up to a pointer.
 *
 * Return: 1 the name is complete; 0 a pointer, whose offset is in @out_offset; -EBADMSG.
 */
static int labels_read(struct cursor *c, struct dns_name *name, uint16_t *out_offset)
{
    uint8_t first, low;

    while (cursor_u8(c, &first)) {
        if ((first & LABEL_KIND) == LABEL_POINTER) {
            if (!cursor_u8(c, &low))
                return -EBADMSG;
            *out_offset = (uint16_t)((first & ~LABEL_KIND) << 8 | low);
            return 0;
        }
        if ((first & LABEL_KIND) != 0 || name->len + 1u + first > DNS_NAME_BYTES_MAX)
            return -EBADMSG;
        name->bytes[name->len++] = first;
        if (!cursor_bytes(c, name->bytes + name->len, first))
            return -EBADMSG;
        name->len = (uint8_t)(name->len + first);
        if (first == 0)
            return 1;
    }
    return -EBADMSG;
}

int dns_name_read_plain(struct cursor *c, struct dns_name *out_name)
{
    struct dns_name name = {.len = 0};
    uint16_t offset;

    if (labels_read(c, &name, &offset) != 1)
        return -EBADMSG;
    *out_name = name;
    return 0;
}

int dns_name_read(const uint8_t *message, struct cursor *c, struct dns_name *out_name)
{
    struct dns_name name = {.len = 0};
    struct cursor part = *c;
    const uint8_t *start = c->at;
    uint16_t offset;
    int r = labels_read(&part, &name, &offset);

    *c = part;
    for (unsigned hops = 0; r == 0; hops++) {
        if (hops == DNS_HOPS_MAX || offset < DNS_HEADER_BYTES || offset >= start - message)
            return -EBADMSG;
        part = (struct cursor){.at = message + offset, .end = start};
        start = part.at;
        r = labels_read(&part, &name, &offset);
    }
    if (r < 0)
        return r;
    *out_name = name;
    return 0;
}

int dns_record_read(const uint8_t *message, struct cursor *c, struct dns_record *out_record)
{
    uint16_t rdata_len;

    if (dns_name_read(message, c, &out_record->owner) < 0 || !cursor_u16(c, &out_record->type) ||
        !cursor_u16(c, &out_record->klass) || !cursor_u32(c, &out_record->ttl) ||
        !cursor_u16(c, &rdata_len) || !cursor_sub(c, rdata_len, &out_record->rdata))
        return -EBADMSG;
    return 0;
}

static uint8_t fold(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* Length bytes are below 'A', so folding leaves them alone. */
static bool bytes_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (fold(a[i]) != fold(b[i]))
            return false;
    return true;
}

bool dns_name_equal(const struct dns_name *a, const struct dns_name *b)
{
    return a->len == b->len && bytes_equal(a->bytes, b->bytes, a->len);
}

bool dns_name_within(const struct dns_name *name, const struct dns_name *ancestor)
{
    size_t at = 0;

    while (name->len - at > ancestor->len)
        at += 1u + name->bytes[at];
    return name->len - at == ancestor->len && bytes_equal(name->bytes + at, ancestor->bytes, ancestor->len);
}

void dns_name_from_text(const char *text, struct dns_name *out_name)
{
    size_t len = strlen(text), label = 0;

    /* A canonical name fits: one byte more for its first label, one for the root. */
    CHECK(len > 0 && len <= NAME_TEXT_MAX);
    for (size_t i = 0; i <= len; i++) {
        if (i < len && text[i] != '.') {
            out_name->bytes[i + 1] = (uint8_t)text[i];
            continue;
        }
        CHECK(i - label > 0 && i - label <= NAME_LABEL_MAX);
        out_name->bytes[label] = (uint8_t)(i - label);
        label = i + 1;
    }
    out_name->bytes[len + 1] = 0;
    out_name->len = (uint8_t)(len + 2);
}

int dns_name_to_text(const struct dns_name *name, char out_text[static NAME_TEXT_MAX + 1])
{
    uint8_t text[DNS_NAME_BYTES_MAX];
    size_t len = 0;

    for (size_t at = 0; name->bytes[at] != 0; at += 1u + name->bytes[at]) {
        const uint8_t *label = name->bytes + at + 1;

        if (memchr(label, '.', name->bytes[at]))
            return -EBADMSG;
        if (len > 0)
            text[len++] = '.';
        memcpy(text + len, label, name->bytes[at]);
        len += name->bytes[at];
    }
    return name_canonical(text, len, out_text);
}
