#include "words.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "family.h"

enum { SCRIPT_BYTES_MAX = 1 << 20, STATUS_USAGE = 2 };

void line_fail(const struct line *line, const char *format, ...)
{
    va_list args;

    (void)fprintf(stderr, "%s:%u: ", line->file, line->number);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, "\n    %s\n", line->text);
    exit(STATUS_USAGE);
}

/* ---- reading ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *read_quoted(struct line *line, char *p, size_t *out_len)
{
    char *to = p;

    for (; *p && *p != '"'; p++) {
        if (*p != '\\') {
            *to++ = *p;
            continue;
        }
        p++;
        if (*p == 'x' && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) {
            *to++ = (char)(hex_digit(p[1]) << 4 | hex_digit(p[2]));
            p += 2;
        } else if (strchr("rnt0\\\"", *p) && *p) {
            *to++ = *p == 'r' ? '\r' : *p == 'n' ? '\n' : *p == 't' ? '\t' : *p == '0' ? '\0' : *p;
        } else {
            line_fail(line, "an escape that is none of \\r \\n \\t \\0 \\\\ \\\" \\xNN");
        }
    }
    if (*p != '"')
        line_fail(line, "a quote is not closed");
    *out_len = (size_t)(to - line->words[line->count]);
    return p;
}

static void read_words(struct line *line, char *p)
{
    for (;;) {
        char *end;

        while (*p == ' ' || *p == '\t')
            p++;
        if (*p == '\0' || *p == '#')
            return;
        if (line->count == WORDS_MAX)
            line_fail(line, "more than %d words", WORDS_MAX);
        line->quoted[line->count] = *p == '"';
        if (*p == '"') {
            line->words[line->count] = ++p;
            end = read_quoted(line, p, &line->lens[line->count]);
        } else {
            line->words[line->count] = p;
            end = p + strcspn(p, " \t");
            line->lens[line->count] = (size_t)(end - p);
        }
        p = *end ? end + 1 : end;
        line->words[line->count][line->lens[line->count]] = '\0';
        line->count++;
    }
}

static bool is_time(const char *word)
{
    word += *word == '+';
    return isdigit((unsigned char)*word) && strspn(word, "0123456789.") == strlen(word) && strchr(word, '.');
}

static void drop_word(struct line *line)
{
    line->count--;
    memmove(line->words, line->words + 1, line->count * sizeof(line->words[0]));
    memmove(line->lens, line->lens + 1, line->count * sizeof(line->lens[0]));
    memmove(line->quoted, line->quoted + 1, line->count * sizeof(line->quoted[0]));
}

static void read_time(struct line *line, uint64_t *at_us)
{
    const char *word = line->words[0];

    if (line->count == 0 || line->quoted[0] || !is_time(word))
        return;
    line->timed = true;
    if (*word == '+')
        *at_us += (uint64_t)(strtod(word + 1, NULL) * 1e6 + 0.5);
    else
        *at_us = (uint64_t)(strtod(word, NULL) * 1e6 + 0.5);
    line->at_us = *at_us;
    drop_word(line);
}

/* "v4 ..." and "v6 ...": a line of one family's. Return: whether it is one for this run. */
static bool read_family(struct line *line)
{
    bool mine = true;

    if (line->count > 0 && !line->quoted[0] && family_is_word(line->words[0])) {
        mine = family_is_now(line->words[0]);
        drop_word(line);
    }
    return mine;
}

static void split(struct script *s)
{
    char *p = s->bytes;
    uint64_t at_us = 0;
    unsigned number = 0;

    while (*p) {
        char *end = p + strcspn(p, "\n"), *next = *end ? end + 1 : end;
        struct line *line = &s->lines[s->count];

        *end = '\0';
        s->copy[end - s->bytes] = '\0';
        *line = (struct line){.file = s->path, .number = ++number, .indented = *p == ' ' || *p == '\t', .at_us = at_us};
        line->text = s->copy + (p - s->bytes);
        read_words(line, p);
        read_time(line, &at_us);
        s->count += read_family(line) && line->count > 0;
        p = next;
    }
}

bool script_read(struct script *s, const char *dir, const char *name)
{
    FILE *f;
    char *bytes;
    size_t len;
    unsigned lines = 2;

    memset(s, 0, sizeof(*s));
    CHECK(asprintf(&s->path, "%s/%s", dir, name) > 0);
    f = fopen(s->path, "re");
    if (!f) {
        script_free(s);
        return false;
    }
    bytes = malloc(SCRIPT_BYTES_MAX + 1);
    CHECK(bytes);
    len = fread(bytes, 1, SCRIPT_BYTES_MAX, f);
    (void)fclose(f);
    bytes[len] = '\0';
    s->bytes = family_text(bytes);
    free(bytes);
    if (!s->bytes) {
        (void)fprintf(stderr, "%s: an address that has no counterpart in IPv6 (family.c)\n", s->path);
        exit(STATUS_USAGE);
    }
    len = strlen(s->bytes);
    for (size_t i = 0; i < len; i++)
        lines += s->bytes[i] == '\n';
    s->copy = malloc(len + 1);
    s->lines = calloc(lines, sizeof(*s->lines));
    CHECK(s->copy && s->lines);
    memcpy(s->copy, s->bytes, len + 1);
    split(s);
    return true;
}

void script_free(struct script *s)
{
    free(s->path);
    free(s->bytes);
    free(s->copy);
    free(s->lines);
    memset(s, 0, sizeof(*s));
}

/* ---- words ---- */

bool line_is(const struct line *line, unsigned n, const char *word)
{
    return n < line->count && !line->quoted[n] && strcmp(line->words[n], word) == 0;
}

const char *line_word(const struct line *line, unsigned n)
{
    if (n >= line->count)
        line_fail(line, "a word is missing");
    return line->words[n];
}

const char *line_get(const struct line *line, unsigned from, const char *key)
{
    size_t len = strlen(key);

    for (unsigned i = from; i < line->count; i++)
        if (!line->quoted[i] && strncmp(line->words[i], key, len) == 0 && line->words[i][len] == '=')
            return line->words[i] + len + 1;
    return NULL;
}

bool line_has(const struct line *line, unsigned from, const char *word)
{
    for (unsigned i = from; i < line->count; i++)
        if (line_is(line, i, word))
            return true;
    return false;
}

uint64_t word_number(const struct line *line, const char *word)
{
    char *end;
    uint64_t n = strtoull(word, &end, 0);

    if (strcmp(end, "KiB") == 0)
        return n << 10;
    if (strcmp(end, "MiB") == 0)
        return n << 20;
    if (end == word || *end)
        line_fail(line, "'%s' is no number", word);
    return n;
}

uint64_t word_time_us(const struct line *line, const char *word)
{
    static const struct {
        const char *unit;
        double us;
    } units[] = {{"us", 1}, {"ms", 1e3}, {"s", 1e6}, {"", 1e6}, {"m", 6e7}, {"h", 36e8}};
    char *end;
    double n = strtod(word, &end);

    for (size_t i = 0; end != word && i < ARRAY_SIZE(units); i++)
        if (strcmp(end, units[i].unit) == 0)
            return (uint64_t)(n * units[i].us + 0.5);
    line_fail(line, "'%s' is no time", word);
}

void word_addr(const struct line *line, const char *word, struct addr *out)
{
    if (addr_parse(word, out) < 0)
        line_fail(line, "'%s' is no address", word);
}

void word_endpoint(const struct line *line, const char *word, const struct addr *own, struct addr *out_addr,
                   uint16_t *out_port)
{
    const char *colon = strrchr(word, ':');
    char host[ADDR_TEXT_MAX];
    size_t n;

    if (!colon && own) {
        *out_addr = *own;
        *out_port = (uint16_t)word_number(line, word);
        return;
    }
    n = colon ? (size_t)(colon - word) : 0;
    *out_port = colon ? (uint16_t)word_number(line, colon + 1) : 0;
    if (n > 2 && word[0] == '[' && word[n - 1] == ']') {
        word++;
        n -= 2;
    }
    if (!colon || n >= sizeof(host))
        line_fail(line, "'%s' is no ADDR:PORT", word);
    memcpy(host, word, n);
    host[n] = '\0';
    word_addr(line, host, out_addr);
}

size_t word_hex(const struct line *line, const char *word, uint8_t *out, size_t max)
{
    size_t n = strlen(word) / 2;

    if (strlen(word) % 2 || n > max)
        line_fail(line, "hex of an odd or too great length");
    for (size_t i = 0; i < n; i++) {
        int a = hex_digit(word[2 * i]), b = hex_digit(word[2 * i + 1]);

        if (a < 0 || b < 0)
            line_fail(line, "'%s' is no hex", word);
        out[i] = (uint8_t)(a << 4 | b);
    }
    return n;
}

/* ---- pattern ---- */

const uint8_t *pattern_at(uint64_t at)
{
    static uint8_t table[2 * PATTERN_BYTES];
    static bool made;
    uint32_t x = 1;

    for (size_t i = 0; !made && i < PATTERN_BYTES; i++) {
        x = x * 1664525 + 1013904223;
        table[i] = table[i + PATTERN_BYTES] = (uint8_t)(x >> 24);
    }
    made = true;
    return table + at % PATTERN_BYTES;
}

void pattern_fill(void *out, size_t len, uint64_t at)
{
    uint8_t *p = out;

    while (len > 0) {
        size_t part = len < PATTERN_BYTES ? len : PATTERN_BYTES;

        memcpy(p, pattern_at(at), part);
        p += part;
        at += part;
        len -= part;
    }
}

bool pattern_holds(const void *bytes, size_t len, uint64_t at)
{
    const uint8_t *p = bytes;

    while (len > 0) {
        size_t part = len < PATTERN_BYTES ? len : PATTERN_BYTES;

        if (memcmp(p, pattern_at(at), part) != 0)
            return false;
        p += part;
        at += part;
        len -= part;
    }
    return true;
}
