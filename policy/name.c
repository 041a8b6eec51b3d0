#include "policy/name.h"

#include <errno.h>
#include <libpsl.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

/*
 * Whether a folded label is a number to inet_aton() and its like, for which "0x" alone is zero.
 * Only the last label matters: with a number there, the whole name is read as an IPv4 address.
 */
static bool label_is_number(const char *label, size_t len)
{
    bool hex = len >= 2 && label[0] == '0' && label[1] == 'x';

    for (size_t i = hex ? 2 : 0; i < len; i++)
        if (hex ? !is_hex((uint8_t)label[i]) : !is_digit((uint8_t)label[i]))
            return false;
    return true;
}

static bool label_is_valid(const char *label, size_t len)
{
    return len > 0 && len <= NAME_LABEL_MAX && label[0] != '-' && label[len - 1] != '-';
}

/* The byte folded, or 0 when no name may hold it. */
static char fold(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_' || c == '.')
        return (char)c;
    return 0;
}

int name_canonical(const void *bytes, size_t len, char out_name[static NAME_TEXT_MAX + 1])
{
    const uint8_t *in = bytes;
    char name[NAME_TEXT_MAX + 1];
    size_t label = 0;

    if (len > 0 && in[len - 1] == '.')
        len--;
    if (len == 0 || len > NAME_TEXT_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < len; i++) {
        name[i] = fold(in[i]);
        if (name[i] == 0)
            return -EBADMSG;
        if (name[i] != '.')
            continue;
        if (!label_is_valid(name + label, i - label))
            return -EBADMSG;
        label = i + 1;
    }
    if (!label_is_valid(name + label, len - label) || label_is_number(name + label, len - label))
        return -EBADMSG;
    name[len] = '\0';
    memcpy(out_name, name, len + 1);
    return (int)len;
}

bool name_below(const char *name, const char *suffix)
{
    size_t name_len = strlen(name), suffix_len = strlen(suffix);

    /* An empty suffix is no name: it must not turn into "every name". */
    if (suffix_len == 0 || suffix_len > name_len)
        return false;
    if (strcmp(name + name_len - suffix_len, suffix) != 0)
        return false;
    return name_len == suffix_len || name[name_len - suffix_len - 1] == '.';
}

unsigned name_labels(const char *name)
{
    unsigned labels = 1;

    for (const char *p = name; *p != '\0'; p++)
        if (*p == '.')
            labels++;
    return labels;
}

const char *name_registrable(const char *name)
{
    const psl_ctx_t *list = psl_builtin();

    /* Without the list every suffix would look narrow enough. */
    CHECK(list);
    return psl_registrable_domain(list, name);
}
