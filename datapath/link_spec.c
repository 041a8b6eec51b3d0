/*
 * Link specs: the words that all kinds share, and the table of kinds.
 */
#include "datapath/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mac.h"
#include "datapath/link_backend.h"

enum { SPEC_BYTES_MAX = 1023, SPEC_OPTIONS_MAX = 16 };

/* Those that a text can mean. */
static const struct link_kind *const kinds[] = {&link_kind_tap, &link_kind_stream};

static int fail(char error[static LINK_ERROR_MAX], const char *what, const char *word, const char *hint)
{
    (void)snprintf(error, LINK_ERROR_MAX, "%s '%s'%s%s", what, word, hint ? ": " : "", hint ? hint : "");
    return -EINVAL;
}

/* ---- values ---- */

int link_option_text(const char *key, const char *value, char *out, size_t cap,
                     char error[static LINK_ERROR_MAX])
{
    if (!value || !*value)
        return fail(error, "link option without a value", key, NULL);
    if (strlen(value) >= cap)
        return fail(error, "link option too long", key, NULL);
    strcpy(out, value);
    return 0;
}

int link_option_flag(const char *key, const char *value, bool *out, char error[static LINK_ERROR_MAX])
{
    if (value)
        return fail(error, "link option with a value where none belongs", key, NULL);
    *out = true;
    return 0;
}

int link_option_offload(const char *key, const char *value, bool *out_super_segments,
                        char error[static LINK_ERROR_MAX])
{
    (void)key;
    if (!value || strcmp(value, "compat") != 0)
        return fail(error, "unknown offload mode", value ? value : "", "the only one is offload=compat");
    *out_super_segments = true;
    return 0;
}

int link_option_guest(const char *key, const char *value, struct link_spec *spec,
                      char error[static LINK_ERROR_MAX])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    if (value && value[strspn(value, letters)] != '\0')
        return fail(error, "not a guest's name", value, "use letters, digits, '-', '_' and '.'");
    return link_option_text(key, value, spec->guest, sizeof(spec->guest), error);
}

int link_option_missing(const struct link_kind *kind, const char *key, char error[static LINK_ERROR_MAX])
{
    (void)snprintf(error, LINK_ERROR_MAX, "missing link option '%s': write %s,%s", key, kind->word,
                   kind->options);
    return -EINVAL;
}

/* ---- options ---- */

static int take_mac(struct link_spec *spec, const char *value, char error[static LINK_ERROR_MAX])
{
    spec->mac_pinned = true;
    if (!value || mac_parse(value, spec->mac) < 0 || mac_is_group(spec->mac))
        return fail(error, "not a guest's MAC address", value ? value : "",
                    "six pairs of hex digits joined by ':', not a group address");
    return 0;
}

static int take_ip(struct link_spec *spec, const char *value, char error[static LINK_ERROR_MAX])
{
    if (!value || addr_parse(value, &spec->ip) < 0)
        return fail(error, "not an address", value ? value : "", "write it like 192.168.127.2 or fd77:6569:72::2");
    return 0;
}

static int take_option(struct link_spec *spec, const char *key, const char *value,
                       char error[static LINK_ERROR_MAX])
{
    int err = spec->kind->parse_option(spec, key, value, error);

    if (err != -ENOENT)
        return err;
    if (strcmp(key, "name") == 0)
        return link_option_guest(key, value, spec, error);
    if (strcmp(key, "mac") == 0)
        return take_mac(spec, value, error);
    if (strcmp(key, "ip") == 0)
        return take_ip(spec, value, error);
    (void)snprintf(error, LINK_ERROR_MAX, "unknown link option '%s': write %s,%s[,mac=MAC][,ip=ADDR]", key,
                   spec->kind->word, spec->kind->options);
    return -EINVAL;
}

static const struct link_kind *kind_of(const char *word, char error[static LINK_ERROR_MAX])
{
    char list[256] = "this version has";
    size_t len = strlen(list);

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (strcmp(word, kinds[i]->word) == 0)
            return kinds[i];
        len += (size_t)snprintf(list + len, sizeof(list) - len, "%s %s", i == 0 ? "" : ",", kinds[i]->word);
        CHECK(len < sizeof(list)); /* the table's words are ours */
    }
    (void)fail(error, "unknown link type", word, list);
    return NULL;
}

int link_spec_parse(const char *text, struct link_spec *out_spec, char error[static LINK_ERROR_MAX])
{
    struct link_spec spec = {.kind = NULL};
    char copy[SPEC_BYTES_MAX + 1], *rest = copy;
    const char *keys[SPEC_OPTIONS_MAX];
    size_t count = 0;
    int err;

    if (strlen(text) > SPEC_BYTES_MAX)
        return fail(error, "link spec too long", "...", NULL);
    strcpy(copy, text);
    spec.kind = kind_of(strsep(&rest, ","), error);
    if (!spec.kind)
        return -EINVAL;
    while (rest) {
        char *value = strsep(&rest, ","), *key = strsep(&value, "=");

        if (*key == '\0')
            return fail(error, "empty link option in", text, "options are joined by single commas");
        for (size_t i = 0; i < count; i++)
            if (strcmp(keys[i], key) == 0)
                return fail(error, "repeated link option", key, NULL);
        if (count == SPEC_OPTIONS_MAX)
            return fail(error, "one link option too many:", key, NULL);
        keys[count++] = key;
        err = take_option(&spec, key, value, error);
        if (err < 0)
            return err;
    }
    err = spec.kind->check(&spec, error);
    if (err == 0)
        *out_spec = spec;
    return err;
}
