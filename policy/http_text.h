/*
 * Pieces of text in HTTP/1 heads: words, blanks and lists.
 */
#ifndef WEIR_POLICY_HTTP_TEXT_H
#define WEIR_POLICY_HTTP_TEXT_H

#include "base/cursor.h"

/** Whether what is left begins with @text, whatever the case. */
bool http_text_begins(const struct cursor *c, const char *text);

/** Whether what is left is @text, whatever the case. */
bool http_text_is(const struct cursor *c, const char *text);

/** Take the bytes before the first @stop, or all; @stop itself stays. */
struct cursor http_text_until(struct cursor *c, uint8_t stop);

/** Cut SP and HT off both ends. */
void http_text_trim(struct cursor *c);

/** Take the next item of a list that is not empty, without the blanks around it (RFC 9110 section 5.6.1). */
bool http_text_item(struct cursor *list, struct cursor *out_item);

bool http_text_is_digit(uint8_t c);

#endif
