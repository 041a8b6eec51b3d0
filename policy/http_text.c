#include "policy/http_text.h"

#include <string.h>
#include <strings.h>

bool http_text_begins(const struct cursor *c, const char *text)
{
    size_t len = strlen(text);

    return cursor_left(c) >= len && strncasecmp((const char *)c->at, text, len) == 0;
}

bool http_text_is(const struct cursor *c, const char *text)
{
    return cursor_left(c) == strlen(text) && http_text_begins(c, text);
}

struct cursor http_text_until(struct cursor *c, uint8_t stop)
{
    size_t left = cursor_left(c);
    const uint8_t *at = left > 0 ? memchr(c->at, stop, left) : NULL;
    struct cursor text = {.at = c->at, .end = at ? at : c->end};

    c->at = text.end;
    return text;
}

void http_text_trim(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t'))
        c->at++;
    while (c->at < c->end && (c->end[-1] == ' ' || c->end[-1] == '\t'))
        c->end--;
}

bool http_text_item(struct cursor *list, struct cursor *out_item)
{
    while (cursor_left(list) > 0) {
        struct cursor item = http_text_until(list, ',');

        cursor_skip(list, 1);
        http_text_trim(&item);
        if (cursor_left(&item) == 0)
            continue;
        *out_item = item;
        return true;
    }
    return false;
}

bool http_text_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}
