#include "datapath/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(char error[static LINK_ERROR_MAX], const char *what, const char *word, const char *hint)
{
    (void)snprintf(error, LINK_ERROR_MAX, "%s '%s'%s%s", what, word, hint ? ": " : "", hint ? hint : "");
    return -EINVAL;
}

static int take_text(const char *value, char *out, size_t cap, const char *key,
                     char error[static LINK_ERROR_MAX])
{
    if (!value || !*value)
        return fail(error, "link option without a value", key, NULL);
    if (strlen(value) >= cap)
        return fail(error, "link option too long", key, NULL);
    strcpy(out, value);
    return 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int parse_mac(const char *text, uint8_t out_mac[static FRAME_MAC_BYTES])
{
    if (strlen(text) != 3 * FRAME_MAC_BYTES - 1)
        return -EINVAL;
    for (int i = 0; i < FRAME_MAC_BYTES; i++) {
        int high = hex_digit(text[3 * i]), low = hex_digit(text[3 * i + 1]);

        if (high < 0 || low < 0 || (i < FRAME_MAC_BYTES - 1 && text[3 * i + 2] != ':'))
            return -EINVAL;
        out_mac[i] = (uint8_t)(high << 4 | low);
    }
    return out_mac[0] & 1 ? -EINVAL : 0;
}

static int take_option(struct link_spec *spec, const char *key, const char *value,
                       char error[static LINK_ERROR_MAX])
{
    bool tap = spec->kind == LINK_TAP;

    if (tap && strcmp(key, "name") == 0 && spec->device[0] == '\0')
        return take_text(value, spec->device, sizeof(spec->device), key, error);
    if (tap && strcmp(key, "netns") == 0)
        return take_text(value, spec->netns, sizeof(spec->netns), key, error);
    if (tap && strcmp(key, "guest") == 0)
        return take_text(value, spec->guest, sizeof(spec->guest), key, error);
    if (!tap && strcmp(key, "name") == 0)
        return take_text(value, spec->guest, sizeof(spec->guest), key, error);
    if (!tap && strcmp(key, "path") == 0)
        return take_text(value, spec->path, sizeof(spec->path), key, error);
    if (!tap && strcmp(key, "connect") == 0 && !value) {
        spec->connect = true;
        return 0;
    }
    if (!tap && strcmp(key, "offload") == 0) {
        if (!value || strcmp(value, "compat") != 0)
            return fail(error, "unknown offload mode", value ? value : "", "the only one is offload=compat");
        spec->super_segments = true;
        return 0;
    }
    if (strcmp(key, "mac") == 0) {
        spec->mac_pinned = true;
        if (!value || parse_mac(value, spec->mac) < 0)
            return fail(error, "not a guest's MAC address", value ? value : "",
                        "six pairs of hex digits joined by ':', not a group address");
        return 0;
    }
    if (strcmp(key, "ip") == 0) {
        if (!value || addr_parse(value, &spec->ip) < 0)
            return fail(error, "not an address", value ? value : "", NULL);
        return 0;
    }
    return fail(error, "unknown or repeated link option", key,
                tap ? "a tap takes name=, netns=, guest=, mac=, ip="
                    : "a stream takes path=, connect, name=, mac=, ip=, offload=compat");
}

int link_spec_parse(const char *text, struct link_spec *out_spec, char error[static LINK_ERROR_MAX])
{
    struct link_spec spec = {.fd = -1};
    char copy[1024], *save = NULL, *word;
    int err;

    if (strlen(text) >= sizeof(copy))
        return fail(error, "link spec too long", "...", NULL);
    strcpy(copy, text);
    word = strtok_r(copy, ",", &save);
    if (word && strcmp(word, "tap") == 0)
        spec.kind = LINK_TAP;
    else if (word && strcmp(word, "stream") == 0)
        spec.kind = LINK_STREAM;
    else
        return fail(error, "unknown link type", word ? word : "", "this version has tap and stream");
    while ((word = strtok_r(NULL, ",", &save))) {
        char *value = strchr(word, '=');

        if (value)
            *value++ = '\0';
        err = take_option(&spec, word, value, error);
        if (err < 0)
            return err;
    }
    if (spec.kind == LINK_TAP && spec.device[0] == '\0')
        return fail(error, "missing link option", "name", "tap,name=DEVICE[,netns=PATH|PID]");
    if (spec.kind == LINK_STREAM && spec.path[0] == '\0')
        return fail(error, "missing link option", "path", "stream,path=SOCKET[,connect]");
    *out_spec = spec;
    return 0;
}
