/*
 * The input is a connection: a byte of habits, then pieces: a side, a length in two bytes, and bytes. Cutting the pieces
 * changes nothing; http_caller.h checks each answer; and a server with those habits, reading what went up in its own
 * way, meets the requests that were allowed and no other.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cursor.h"
#include "tests/fixtures/http_caller.h"

enum { SIDE_GUEST, SIDES = 2, HOSTS_MAX = 2048 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- a lenient server ---- */

enum habit {
    HABIT_LF = 1,           /* a bare LF is a line end */
    HABIT_SKIP = 2,         /* empty lines and blanks in front of a request are skipped */
    HABIT_LAST = 4,         /* of two fields the last counts, else the first */
    HABIT_LENGTH = 8,       /* the length counts where a coding stands, too; else the coding */
    HABIT_CODING = 16,      /* any coding with `chunked` in it will do */
    HABIT_NUMBERS = 32,     /* a number ends where its digits end, whatever follows in the line; else it is an error */
    HABIT_NO_GET_BODY = 64, /* GET and HEAD have no body */
    HABIT_BLANKS = 128,     /* blanks and control bytes around a field's name are cut off */
};

struct server {
    unsigned habits;
    const char *at, *end;
    unsigned requests;
};

/* The next line, without its end, as a string; false: it is not there. */
static bool line_next(struct server *server, char *out_line, size_t room)
{
    for (const char *p = server->at; p < server->end; p++) {
        size_t len = (size_t)(p - server->at);

        if (*p != '\n' || (!(server->habits & HABIT_LF) && (len == 0 || p[-1] != '\r')))
            continue;
        if (len > 0 && p[-1] == '\r')
            len--;
        if (len >= room)
            return false;
        memcpy(out_line, server->at, len);
        out_line[len] = '\0';
        server->at = p + 1;
        return true;
    }
    return false;
}

static const char *field_value(unsigned habits, char *line, const char *name)
{
    char *colon = strchr(line, ':');
    size_t len = strlen(name);
    const char *start = line;

    if (!colon)
        return NULL;
    while (habits & HABIT_BLANKS && start < colon && *start > 0 && *start <= ' ')
        start++;
    if ((size_t)(colon - start) < len || strncasecmp(start, name, len) != 0)
        return NULL;
    for (const char *p = start + len; p < colon; p++)
        if (!(habits & HABIT_BLANKS) || *p > ' ')
            return NULL;
    for (char *end = colon + strlen(colon); end > colon + 1 && (end[-1] == ' ' || end[-1] == '\t'); end--)
        end[-1] = '\0';
    for (colon++; *colon == ' ' || *colon == '\t'; colon++)
        ;
    return colon;
}

static bool number(const struct server *server, const char *text, int base, size_t *out_value)
{
    char *end;

    *out_value = strtoul(text, &end, base);
    return end != text && (*end == '\0' || server->habits & HABIT_NUMBERS);
}

static bool skip(struct server *server, size_t n)
{
    bool all = n <= (size_t)(server->end - server->at);

    server->at = all ? server->at + n : server->end;
    return all;
}

static bool chunks_skip(struct server *server)
{
    char line[EVIDENCE_HTTP_BYTES_MAX];
    size_t size;

    do {
        if (!line_next(server, line, sizeof(line)) || !number(server, line, 16, &size) || !skip(server, size))
            return false;
        if (size > 0 && !line_next(server, line, sizeof(line)))
            return false;
    } while (size > 0);
    while (line_next(server, line, sizeof(line)))
        if (line[0] == '\0')
            return true;
    return false;
}

/* What one head says, to this server. */
struct meant {
    char host[NAME_TEXT_MAX + 32];
    size_t length;
    bool has_length, chunked;
};

static bool field_meant(const struct server *server, char *line, struct meant *meant)
{
    bool last = server->habits & HABIT_LAST;
    const char *value;

    if ((value = field_value(server->habits, line, "Host")) && (last || meant->host[0] == '\0'))
        (void)snprintf(meant->host, sizeof(meant->host), "%s", value);
    if ((value = field_value(server->habits, line, "Content-Length")) && (last || !meant->has_length)) {
        if (!number(server, value, 10, &meant->length))
            return false;
        meant->has_length = true;
    }
    if ((value = field_value(server->habits, line, "Transfer-Encoding")))
        meant->chunked = meant->chunked || (server->habits & HABIT_CODING ? strcasestr(value, "chunked") != NULL
                                                                          : strcasecmp(value, "chunked") == 0);
    return true;
}

/* Take a request. False: no whole head is there, or the server closes for an error. Then nothing more is served. */
static bool request_next(struct server *server, char out_host[NAME_TEXT_MAX + 1])
{
    char line[EVIDENCE_HTTP_BYTES_MAX];
    struct meant meant = {.length = 0};
    bool bodiless, whole = true;
    size_t len;

    while (server->habits & HABIT_SKIP && server->at < server->end && *server->at > 0 && *server->at <= ' ')
        server->at++;
    if (!line_next(server, line, sizeof(line)))
        return false;
    bodiless = server->habits & HABIT_NO_GET_BODY && (!strncasecmp(line, "GET ", 4) || !strncasecmp(line, "HEAD ", 5));
    do {
        if (!line_next(server, line, sizeof(line)) || !field_meant(server, line, &meant))
            return false;
    } while (line[0] != '\0');
    if (meant.chunked && !bodiless && !(server->habits & HABIT_LENGTH && meant.has_length))
        whole = chunks_skip(server);
    else if (!bodiless)
        whole = skip(server, meant.length);
    if (!whole)
        server->at = server->end;
    len = strcspn(meant.host, ": \t");
    if (name_canonical((const uint8_t *)meant.host, len, out_host) < 0)
        out_host[0] = '\0';
    return true;
}

/* ---- the connection ---- */

static char hosts[HOSTS_MAX][NAME_TEXT_MAX + 1]; /* of heads that were judged */
static unsigned judged;

static void on_judge(struct http_caller *caller)
{
    CHECK(judged < HOSTS_MAX);
    memcpy(hosts[judged++], caller->judged.name, sizeof(hosts[0]));
}

static void server_check(const struct http_caller *caller, unsigned habits)
{
    const char *sent = (const char *)caller->sent;
    struct server server = {.habits = habits, .at = sent, .end = sent + caller->clear};
    char host[NAME_TEXT_MAX + 1];

    while (request_next(&server, host)) {
        CHECK(server.requests < caller->allowed);
        CHECK(strcmp(host, hosts[server.requests]) == 0);
        server.requests++;
    }
    CHECK(server.requests == caller->allowed);
}

static void piece_run(struct http_caller *caller, uint8_t side, const struct cursor *piece, size_t cut)
{
    if (side % SIDES == SIDE_GUEST)
        http_caller_guest(caller, piece->at, cursor_left(piece), cut);
    else
        http_caller_server(caller, piece->at, cursor_left(piece), cut);
}

static void same_check(const struct http_caller *whole, const struct http_caller *cut)
{
    CHECK(whole->unreadable == cut->unreadable && whole->denied == cut->denied);
    CHECK(whole->allowed == cut->allowed && whole->passed == cut->passed && whole->clear == cut->clear);
    CHECK(whole->last == cut->last && whole->bad == cut->bad);
    CHECK(strcmp(whole->judged.name, cut->judged.name) == 0);
    CHECK(http_follow_all_answered(&whole->follow) == http_follow_all_answered(&cut->follow) || whole->unreadable);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_caller whole, cut;
    struct cursor c = cursor_of(data, size < HTTP_CALLER_BYTES_MAX ? size : HTTP_CALLER_BYTES_MAX), piece;
    uint8_t habits, side;
    uint16_t len;

    if (!cursor_u8(&c, &habits))
        return 0;
    judged = 0;
    http_caller_init(&whole);
    http_caller_init(&cut);
    whole.on_judge = on_judge;
    while (cursor_u8(&c, &side) && cursor_u16(&c, &len)) {
        if (!cursor_sub(&c, len, &piece))
            (void)cursor_sub(&c, cursor_left(&c), &piece); /* all that is left */
        piece_run(&whole, side, &piece, SIZE_MAX);
        piece_run(&cut, side, &piece, 1 + size / 1024);
        same_check(&whole, &cut);
    }
    server_check(&whole, habits);
    return 0;
}
