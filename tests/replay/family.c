#include "family.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { GROWTH = 6 }; /* no word grows more: "0.0.0.0" is the shortest of an address, ADDR_ENDPOINT_TEXT_MAX bounds the longest */

static enum addr_family family = ADDR_V4;

/* Networks of a case. `from` is a /24 whose last number goes behind `to`, as it is written. */
static const struct {
    const char *from, *to;
    unsigned bits; /* of the prefix that stands for the /24 */
} nets[] = {
    {"192.168.127.", "fd77:6569:72::", 64},  /* the guest's network, unless weir.yaml has another */
    {"192.0.2.", "2001:db8:2::", 48},        /* RFC 5737's three networks for examples, in RFC 3849's one */
    {"198.51.100.", "2001:db8:100::", 48},
    {"203.0.113.", "2001:db8:113::", 48},
    {"100.64.0.", "fec0::", 64},             /* neither public nor private: RFC 6598, RFC 3879 */
    {"10.0.0.", "fd00:10::", 64},            /* private: RFC 1918, RFC 4193 */
};

/* Single ones, which come first. */
static const struct {
    const char *from, *to;
} addrs[] = {
    {"192.168.127.254", "fd77:6569:72:0:ffff:ffff:ffff:fffe"}, /* the host alias */
    {"169.254.169.254", "fd00:ec2::254"},                      /* a cloud's metadata */
    {"198.19.78.17", "fd77:6569:7265:6661::1:4e11"},           /* what dns mode fake-ip has here for ok.example, ... */
    {"198.19.191.114", "fd77:6569:7265:6661::1:bf72"},         /* other.example, ... */
    {"198.18.0.9", "fd77:6569:7265:6661::9"},                  /* and nobody */
    {"127.0.0.1", "127.0.0.1"},                                /* which of its loopbacks the host uses is weir's choice, and the same */
};

/* Words of the language. */
static const struct {
    const char *from, *to;
} words[] = {
    {"mss=1460", "mss=1440"},               /* of an MTU of 1500, less a header of 40 bytes (RFC 6691, RFC 8200) */
    {"type=3 code=0", "type=1 code=0"},     /* destination unreachable: RFC 792 and RFC 1812, RFC 4443 section 3.1 */
    {"type=3 code=1", "type=1 code=3"},
    {"type=3 code=3", "type=1 code=4"},
    {"type=3 code=13", "type=1 code=1"},
    {"type=3 code=4", "type=2 code=0"},     /* packet too big */
    {"type=8", "type=128"},                 /* echo */
    {"type=0", "type=129"},
};

void family_set(enum addr_family now)
{
    family = now;
}

enum addr_family family_now(void)
{
    return family;
}

bool family_is_word(const char *word)
{
    return strcmp(word, "v4") == 0 || strcmp(word, "v6") == 0;
}

bool family_is_now(const char *word)
{
    return word[1] - '0' == (int)family;
}

static bool is_end(char c)
{
    return c == '\0' || strchr(" \t\r\n", c);
}

/* Return: bytes of @at that are a word of the table, whose other form is appended at @to. */
static size_t put_word(const char *at, char **to)
{
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        size_t n = strlen(words[i].from);

        if (strncmp(at, words[i].from, n) != 0 || !is_end(at[n]))
            continue;
        *to = stpcpy(*to, words[i].to);
        return n;
    }
    return 0;
}

/* The address of @n bytes at @at in IPv6's text. Return: bits of the prefix a /24 becomes, or -1: it is in no table. */
static int translate(const char *at, size_t n, char out[static ADDR_TEXT_MAX])
{
    for (size_t i = 0; i < ARRAY_SIZE(addrs); i++)
        if (strlen(addrs[i].from) == n && memcmp(at, addrs[i].from, n) == 0) {
            (void)strcpy(out, addrs[i].to);
            return 128;
        }
    for (size_t i = 0; i < ARRAY_SIZE(nets); i++) {
        size_t net = strlen(nets[i].from);

        if (net >= n || memcmp(at, nets[i].from, net) != 0)
            continue;
        (void)snprintf(out, ADDR_TEXT_MAX, "%s%.*s", nets[i].to, (int)(n - net), at + net);
        return (int)nets[i].bits;
    }
    return -1;
}

/* Four numbers with points between them. Return: their bytes, 0: it is none. */
static size_t literal_bytes(const char *at)
{
    size_t n = strspn(at, "0123456789.");
    unsigned points = 0;

    while (n > 0 && at[n - 1] == '.')
        n--;
    for (size_t i = 0; i < n; i++)
        points += at[i] == '.';
    return points == 3 ? n : 0;
}

/* Return: bytes that are done with at @at; 0: no address is there; -1: an unknown one. */
static int put_address(const char *at, char **to)
{
    char text[ADDR_TEXT_MAX];
    size_t n = literal_bytes(at);
    bool port;
    int bits;

    if (n == 0)
        return 0;
    bits = translate(at, n, text);
    if (bits < 0)
        return -1;
    if (strncmp(at + n, "/24", 3) == 0) {
        text[strlen(text) - 1] = '\0'; /* the 0 of the network */
        *to += sprintf(*to, "%s/%d", text, bits);
        return (int)n + 3;
    }
    port = at[n] == ':' && (isdigit((unsigned char)at[n + 1]) || at[n + 1] == '*');
    *to += sprintf(*to, port ? "[%s]" : "%s", text);
    return (int)n;
}

/* Bytes at @at that stay as they are: a comment is everybody's, a line of one family's is in its own words. */
static int verbatim(const char *at, char before)
{
    const char *word = at;

    if (*at == '#')
        return (int)strcspn(at, "\n");
    if (before != '\n')
        return 0;
    word += strspn(word, "+0123456789.");
    word += strspn(word, " \t");
    return word[0] == 'v' && (word[1] == '4' || word[1] == '6') && (word[2] == ' ' || word[2] == '\t') ? (int)strcspn(at, "\n") : 0;
}

static bool translate_text(const char *at, char *to)
{
    char before = '\n';
    bool quoted = false;

    while (*at) {
        int n = quoted ? 0 : verbatim(at, before);

        if (n > 0) {
            to = mempcpy(to, at, (size_t)n);
        } else if (!isalnum((unsigned char)before) && before != '.' && before != ':') {
            n = is_end(before) ? (int)put_word(at, &to) : 0;
            n = n > 0 ? n : put_address(at, &to);
        }
        if (n < 0)
            return false;
        if (n == 0) {
            quoted = *at == '\n' ? false : quoted != (*at == '"' && before != '\\');
            *to++ = *at;
            n = 1;
        }
        at += n;
        before = at[-1];
    }
    *to = '\0';
    return true;
}

char *family_text(const char *text)
{
    char *out = malloc(GROWTH * strlen(text) + 1);

    CHECK(out);
    if (family == ADDR_V4)
        return strcpy(out, text);
    if (translate_text(text, out))
        return out;
    free(out);
    return NULL;
}
