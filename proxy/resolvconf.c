#include "proxy/resolvconf.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool take_line(const char *line, size_t len, struct addr *out_addr)
{
    static const char word[] = "nameserver";
    char text[ADDR_TEXT_MAX];
    size_t at = sizeof(word) - 1, from;

    if (len <= at || strncmp(line, word, at) != 0 || !isblank((unsigned char)line[at]))
        return false;
    while (at < len && isblank((unsigned char)line[at]))
        at++;
    from = at;
    while (at < len && !isspace((unsigned char)line[at]) && line[at] != '#' && line[at] != ';')
        at++;
    if (at - from >= sizeof(text))
        return false;
    memcpy(text, line + from, at - from);
    text[at - from] = '\0';
    return addr_parse(text, out_addr) == 0;
}

size_t resolvconf_parse(const char *text, size_t len,
                        struct addr out_servers[static RESOLVCONF_SERVERS_MAX])
{
    size_t count = 0;

    for (size_t at = 0; at < len && count < RESOLVCONF_SERVERS_MAX;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t line = end ? (size_t)(end - (text + at)) : len - at;

        if (take_line(text + at, line, &out_servers[count]))
            count++;
        at += line + 1;
    }
    return count;
}

int resolvconf_read(const char *path, struct addr out_servers[static RESOLVCONF_SERVERS_MAX])
{
    FILE *file = fopen(path, "re");
    char *text;
    size_t len;
    int count;

    if (!file)
        return -errno;
    text = malloc(RESOLVCONF_BYTES_MAX);
    if (!text) {
        (void)fclose(file);
        return -ENOMEM;
    }
    len = fread(text, 1, RESOLVCONF_BYTES_MAX, file);
    count = ferror(file) ? -EIO : (int)resolvconf_parse(text, len, out_servers);
    free(text);
    (void)fclose(file);
    return count;
}
