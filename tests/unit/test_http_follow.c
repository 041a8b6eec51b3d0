#include "policy/http_follow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fixtures/http_caller.h"
#include "tests/unit/hello.h"

#define GET "GET / HTTP/1.1\r\nHost: ok.example\r\n\r\n"
#define HEAD "HEAD / HTTP/1.1\r\nHost: ok.example\r\n\r\n"
#define EVIL "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: ok.example\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"
#define SOCKET "GET /s HTTP/1.1\r\nHost: ok.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\n"
#define EMPTY OK "Content-Length: 0\r\n\r\n"
#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

enum side { GUEST = 1, SERVER };

/*
 * One side sends; then `want` is true: the names judged meanwhile, what the follower said last, the bytes that may not go
 * up yet, and whether a response of our own may go down (`free`) or not (`owed`); or "unreadable".
 */
struct turn {
    enum side side;
    const char *bytes;
    size_t len;
    const char *want;
};

enum { TURNS_MAX = 8 };

struct script {
    const char *why;
    struct turn turns[TURNS_MAX];
};

#define G(bytes, want) { GUEST, bytes, sizeof(bytes) - 1, want }
#define S(bytes, want) { SERVER, bytes, sizeof(bytes) - 1, want }

static const struct script request_scripts[] = {
    { "T65 C17 requests of one connection are judged one by one",
      { G(GET, "ok.example more 0 owed"), S(EMPTY, "more 0 free"), G(EVIL, "evil.example denied 38 free") } },
    { "T65 C17 pipelined: the one behind is judged, and refused while the first is owed its response",
      { G(GET EVIL, "ok.example evil.example denied 38 owed"), S(EMPTY, "denied 38 free") } },
    { "T65 a denied one hides what is behind it", { G(EVIL GET, "evil.example denied 74 free") } },
    { "T61 the Host alone counts", { G("GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                                       "evil.example denied 57 free") } },
    { "T64 no Host: nobody is named, the caller judges that", { G("GET / HTTP/1.0\r\n\r\n", "- more 0 owed") } },
    { "half a head", { G("GET / HTTP/1.1\r\nHost: ok.ex", "more 27 free"), G("ample\r\n\r\nGE", "ok.example more 2 owed") } },
    { "a body by length, then a request", { G(POST "Content-Length: 5\r\n\r\nabcdeGET", "ok.example more 3 owed") } },
    { "T65 T66 what is in a body is no request, what is behind it is",
      { G(POST "Content-Length: 38\r\n\r\n" EVIL EVIL, "ok.example evil.example denied 38 owed") } },
    { "a body in parts", { G(POST "Content-Length: 5\r\n\r\nab", "ok.example more 0 owed"), G("cd", "more 0 owed"),
                           G("eEV", "more 2 owed") } },
    { "GET with a length of 0", { G("GET / HTTP/1.1\r\nHost: ok.example\r\nContent-Length: 0\r\n\r\n" EVIL,
                                    "ok.example evil.example denied 38 owed") } },
    { "T66 a body on GET", { G("GET / HTTP/1.1\r\nHost: ok.example\r\nContent-Length: 38\r\n\r\n" EVIL,
                               "bad http.malformed 94 free") } },
    { "T66 a body on get", { G("get / HTTP/1.1\r\nHost: ok.example\r\nContent-Length: 38\r\n\r\n" EVIL,
                               "bad http.malformed 94 free") } },
    { "T66 a body on HEAD", { G("HEAD / HTTP/1.1\r\nHost: ok.example\r\n" CHUNKED, "bad http.malformed 65 free") } },
    { "T66 HEAD in other letters: answered with a body or without", { G("head / HTTP/1.1\r\nHost: ok.example\r\n\r\n",
                                                                        "bad http.malformed 37 free") } },
    { "T66 both framings", { G(POST "Content-Length: 6\r\n" CHUNKED "0\r\n\r\nGET", "bad http.malformed 92 free") } },
    { "T66 two lengths on the second request",
      { G(GET POST "Content-Length: 0\r\nContent-Length: 38\r\n\r\n" EVIL, "ok.example bad http.malformed 114 owed"),
        S(EMPTY, "bad http.malformed 114 free") } },
    { "T66 an odd coding", { G(POST "Transfer-Encoding: xchunked\r\n\r\n", "bad http.malformed 66 free") } },
    { "T66 an empty line between requests", { G(GET "\r\n" GET, "ok.example bad http.malformed 38 owed") } },
    { "T67 h2c asked for by the second", { G(GET "GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n",
                                             "ok.example bad proto.unknown 32 owed") } },
    { "T67 HTTP/2 behind a request", { G(GET "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                         "ok.example bad proto.unknown 24 owed") } },
    { "T62 the target of the second differs", { G(GET "GET http://evil.example/ HTTP/1.1\r\nHost: ok.example\r\n\r\n",
                                                  "ok.example bad host.mismatch 55 owed") } },
    { "T66 TLS behind a request", { G(GET "\x16\3\1", "ok.example bad http.malformed 3 owed") } },
};

static const struct script chunk_scripts[] = {
    { "chunks", { G(POST CHUNKED "5\r\nabcde\r\n1f\r\n0123456789abcdef0123456789abcde\r\n0\r\n\r\n" EVIL,
                    "ok.example evil.example denied 38 owed") } },
    { "capitals, zeros in front", { G(POST CHUNKED "0000000A\r\n0123456789\r\n000\r\n\r\nGET", "ok.example more 3 owed") } },
    { "the last chunk only", { G(POST CHUNKED "0\r\n\r", "ok.example more 0 owed"), G("\n", "more 0 owed"),
                               S(EMPTY, "more 0 free") } },
    { "in the middle of one", { G(POST CHUNKED "ff\r\nabc", "ok.example more 0 owed"), S(EMPTY, "more 0 owed") } },
    { "T66 an extension", { G(POST CHUNKED "5;a=b\r\nabcde\r\n0\r\n\r\n", "ok.example bad http.malformed 18 owed") } },
    { "T66 an extension of nothing", { G(POST CHUNKED "5;\r\n", "ok.example bad http.malformed 3 owed") } },
    { "T66 a blank behind the size", { G(POST CHUNKED "5 \r\n", "ok.example bad http.malformed 3 owed") } },
    { "T66 a blank in front", { G(POST CHUNKED " 5\r\n", "ok.example bad http.malformed 4 owed") } },
    { "T66 a sign", { G(POST CHUNKED "+5\r\n", "ok.example bad http.malformed 4 owed") } },
    { "T66 a minus", { G(POST CHUNKED "-1\r\n", "ok.example bad http.malformed 4 owed") } },
    { "T66 0x", { G(POST CHUNKED "0x5\r\n", "ok.example bad http.malformed 4 owed") } },
    { "T66 no size", { G(POST CHUNKED "\r\n", "ok.example bad http.malformed 2 owed") } },
    { "T66 nine digits", { G(POST CHUNKED "000000005\r\n", "ok.example bad http.malformed 3 owed") } },
    { "T66 the sign bit of 32", { G(POST CHUNKED "80000000\r\n", "ok.example bad http.malformed 3 owed") } },
    { "the largest size", { G(POST CHUNKED "7fffffff\r\n", "ok.example more 0 owed") } },
    { "T66 LF behind the size", { G(POST CHUNKED "5\nabcde\r\n", "ok.example bad http.malformed 8 owed") } },
    { "T66 CR alone", { G(POST CHUNKED "5\rabcde\r\n", "ok.example bad http.malformed 7 owed") } },
    { "T66 CR twice", { G(POST CHUNKED "5\r\r\nabcde\r\n", "ok.example bad http.malformed 9 owed") } },
    { "T66 LF behind the data", { G(POST CHUNKED "5\r\nabcde\n0\r\n\r\n", "ok.example bad http.malformed 6 owed") } },
    { "T66 no line end behind the data", { G(POST CHUNKED "5\r\nabcde0\r\n\r\n", "ok.example bad http.malformed 5 owed") } },
    { "T66 more data than said", { G(POST CHUNKED "5\r\nabcdef\r\n", "ok.example bad http.malformed 3 owed") } },
    { "T66 a trailer", { G(POST CHUNKED "0\r\nHost: evil.example\r\n\r\n", "ok.example bad http.malformed 22 owed") } },
    { "T66 LF at the end", { G(POST CHUNKED "0\r\n\n", "ok.example bad http.malformed 1 owed") } },
    { "a malformed body is no head that could be answered, though the server has answered",
      { G(POST CHUNKED "5\r\n", "ok.example more 0 owed"), S(EMPTY, "more 0 owed"),
        G("abcde!", "bad http.malformed 1 owed") } },
};

static const struct script upgrade_scripts[] = {
    { "T68 101: opaque from here on",
      { G(SOCKET, "ok.example hold 0 owed"), S(SWITCH "\x81\x05hello", "opaque 0 owed"), G("\x81\x85", "opaque 0 owed"),
        S("\x81\x05hello", "opaque 0 owed"), G(EVIL, "opaque 0 owed") } },
    { "T68 held until then", { G(SOCKET EVIL, "ok.example hold 38 owed"), S("HTTP/1.1 101 Switching\r\n", "hold 38 owed"),
                               S("\r\n", "opaque 0 owed") } },
    { "T68 C17 refused: parsing goes on", { G(SOCKET EVIL, "ok.example hold 38 owed"), S("HTTP/1.1 403 No\r\n", "hold 38 owed"),
                                            S("Content-Length: 2\r\n\r\na", "hold 38 owed"),
                                            S("b", "evil.example denied 38 free") } },
    { "T68 an interim response decides nothing",
      { G(SOCKET EVIL, "ok.example hold 38 owed"), S("HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", "hold 38 owed"),
        S(SWITCH, "opaque 0 owed") } },
    { "T68 a request with Upgrade waits for those before it",
      { G(GET SOCKET GET, "ok.example hold 114 owed"), S(EMPTY, "ok.example hold 36 owed"),
        S(SWITCH, "opaque 0 owed") } },
    { "T68 the 101 of an earlier request is not its own", { G(GET SOCKET, "ok.example hold 78 owed"), S(SWITCH, "unreadable") } },
    { "T68 101 in a response that was split counts for nothing",
      { G(GET SOCKET, "ok.example hold 78 owed"), S(EMPTY SWITCH, "unreadable") } },
    { "T68 101 that nobody asked for", { G(GET, "ok.example more 0 owed"), S(SWITCH, "unreadable") } },
    { "T68 an empty Upgrade asks for nothing",
      { G("GET / HTTP/1.1\r\nHost: ok.example\r\nUpgrade: ,\r\n\r\n" GET, "ok.example ok.example more 0 owed"),
        S(SWITCH, "unreadable") } },
    { "T68 with a body: held behind it",
      { G(POST "Upgrade: tcp\r\nContent-Length: 2\r\n\r\nabGET", "ok.example hold 3 owed"), S(SWITCH, "opaque 0 owed") } },
    { "T68 with a chunked body, refused before its end",
      { G(POST "Upgrade: tcp\r\n" CHUNKED "2\r\nab", "ok.example more 0 owed"), S(EMPTY, "more 0 owed"),
        G("\r\n0\r\n\r\n" EVIL, "evil.example denied 38 free") } },
    { "T68 the server leaves HTTP before the body's end",
      { G(POST "Upgrade: tcp\r\nContent-Length: 9\r\n\r\na", "ok.example more 0 owed"), S(SWITCH, "opaque 0 owed"),
        G("bcdefghijkl", "opaque 0 owed") } },
    { "T68 refused without an end: held until the server closes",
      { G(SOCKET GET, "ok.example hold 36 owed"), S(OK "\r\n" SWITCH SWITCH, "hold 36 owed") } },
    { "T68 a second attempt", { G(SOCKET SOCKET, "ok.example hold 78 owed"), S(EMPTY, "ok.example hold 0 owed"),
                                S(SWITCH, "opaque 0 owed") } },
    { "T68 a request between both", { G(SOCKET, "ok.example hold 0 owed"), S(EMPTY, "more 0 free"),
                                      G(GET, "ok.example more 0 owed"), S(SWITCH, "unreadable") } },
};

static const struct script response_scripts[] = {
    { "a response by length", { G(GET, "ok.example more 0 owed"), S(OK "Content-Length: 3\r\n\r\nab", "more 0 owed"),
                                S("c", "more 0 free") } },
    { "bare LF, odd fields, a list of one length",
      { G(GET, "ok.example more 0 owed"), S("HTTP/1.0 200\nX\n: y\nA: b\n  folded\nCONTENT-LENGTH:\t3 , 3\ncontent-length: 3\n\nabc",
                                            "more 0 free") } },
    { "T65 two pipelined, in order", { G(GET GET, "ok.example ok.example more 0 owed"), S(EMPTY, "more 0 owed"),
                                       S(EMPTY, "more 0 free") } },
    { "HEAD has no body, whatever its fields say; GET behind it has",
      { G(HEAD GET, "ok.example ok.example more 0 owed"), S(OK "Content-Length: 300\r\n\r\n", "more 0 owed"),
        S(OK "Content-Length: 3\r\n\r\n", "more 0 owed"), S("abc", "more 0 free") } },
    { "GET, then HEAD", { G(GET HEAD, "ok.example ok.example more 0 owed"), S(OK "Content-Length: 1\r\n\r\na", "more 0 owed"),
                          S(OK "Content-Length: 1\r\n\r\n", "more 0 free") } },
    { "204 and 304 have none", { G(GET GET, "ok.example ok.example more 0 owed"), S("HTTP/1.1 204 No\r\n\r\n", "more 0 owed"),
                                 S("HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n", "more 0 free") } },
    { "100, then the response", { G(POST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", "ok.example more 0 owed"),
                                  S("HTTP/1.1 100 Continue\r\n\r\n", "more 0 owed"), G("a", "more 0 owed"),
                                  S(EMPTY, "more 0 free") } },
    { "chunks with blanks, extensions, bare LF and trailers",
      { G(GET, "ok.example more 0 owed"), S(OK CHUNKED "3  \r\nabc\r\nA;x=\"y\"\n0123456789\n", "more 0 owed"),
        S("000\r\nX: y\r\nZ\r\n", "more 0 owed"), S("\r\n", "more 0 free") } },
    { "coded, and then chunked", { G(GET, "ok.example more 0 owed"),
                                   S(OK "Transfer-Encoding: gzip, , Chunked\r\n\r\n0\r\n\r\n", "more 0 free") } },
    { "in two fields", { G(GET, "ok.example more 0 owed"),
                         S(OK "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "more 0 free") } },
    { "without length or coding: until the server closes",
      { G(GET, "ok.example more 0 owed"), S(OK "\r\nabc", "more 0 owed"), S(EMPTY, "more 0 owed"),
        G(GET EVIL, "ok.example evil.example denied 38 owed") } },
    { "chunked, then another coding: until the server closes",
      { G(GET, "ok.example more 0 owed"), S(OK "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "more 0 owed") } },
    { "T66 xchunked: until the server closes",
      { G(GET, "ok.example more 0 owed"), S(OK "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "more 0 owed") } },
    { "a coding in HTTP/1.0: until the server closes",
      { G(GET, "ok.example more 0 owed"), S("HTTP/1.0 200 OK\r\n" CHUNKED "0\r\n\r\n", "more 0 owed") } },
    { "an early response: the body goes on", { G(POST "Content-Length: 3\r\n\r\na", "ok.example more 0 owed"),
                                               S("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n", "more 0 owed"),
                                               G("bc", "more 0 free"), G(GET, "ok.example more 0 owed") } },
    { "empty lines between responses", { G(GET GET, "ok.example ok.example more 0 owed"), S(EMPTY "\r\n\n", "more 0 owed"),
                                         S(EMPTY "\r\n", "more 0 free"), G(GET, "ok.example more 0 owed") } },
    { "no response of ours behind half an empty line", { G(GET, "ok.example more 0 owed"), S(EMPTY "\r", "more 0 owed"),
                                                         S("\n", "more 0 free") } },
    { "408 to nobody: it is passed down, and what follows; nothing goes up any more",
      { G(GET, "ok.example more 0 owed"), S(EMPTY, "more 0 free"), S("HTTP/1.1 408 Request Time-out\r\n", "hold 0 owed"),
        S("Connection: close\r\n\r\n<html>", "hold 0 owed"), G(GET, "hold 36 owed"), S(EMPTY, "hold 36 owed") } },
    { "408 in the middle of a head", { G("GET /", "more 5 free"), S("HTTP/1.0 408 Late\r\n\r\n", "hold 5 owed"),
                                       G(" HTTP/1.1\r\n", "hold 16 owed") } },
    { "a request sent meanwhile does not get it", { S("HT", "hold 0 owed"), G(GET, "hold 36 owed"),
                                                    S("TP/1.1 503 No\r\n\r\n", "hold 36 owed") } },
};

static const struct script unreadable_scripts[] = {
    { "200 to nobody", { S(EMPTY, "unreadable") } },
    { "T66 a response too many", { G(GET, "ok.example more 0 owed"), S(EMPTY EMPTY, "unreadable") } },
    { "a body behind 204", { G(GET, "ok.example more 0 owed"), S("HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nab\n", "unreadable") } },
    { "T66 length and coding", { G(GET, "ok.example more 0 owed"), S(OK "Content-Length: 3\r\n" CHUNKED, "unreadable") } },
    { "T66 coding and length, for HEAD too",
      { G(HEAD, "ok.example more 0 owed"), S(OK "Transfer-Encoding: x\r\nContent-Length: 3\r\n\r\n", "unreadable") } },
    { "T66 two lengths", { G(GET, "ok.example more 0 owed"), S(OK "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", "unreadable") } },
    { "T66 a list of two", { G(GET, "ok.example more 0 owed"), S(OK "Content-Length: 3, 4\r\n", "unreadable") } },
    { "T66 a signed length", { G(GET, "ok.example more 0 owed"), S(OK "Content-Length: +3\r\n", "unreadable") } },
    { "T66 no length", { G(GET, "ok.example more 0 owed"), S(OK "Content-Length:\r\n", "unreadable") } },
    { "a length beyond 64 bits", { G(GET, "ok.example more 0 owed"), S(OK "Content-Length: 18446744073709551617\r\n", "unreadable") } },
    { "T66 a blank before the colon", { G(GET, "ok.example more 0 owed"), S(OK "Content-Length : 3\r\n", "unreadable") } },
    { "T66 a folded length", { G(GET, "ok.example more 0 owed"), S(OK "Content-Length: 3\r\n 4\r\n", "unreadable") } },
    { "T66 a folded coding", { G(GET, "ok.example more 0 owed"), S(OK "Transfer-Encoding:\r\n chunked\r\n", "unreadable") } },
    { "T66 a length in a fold", { G(GET, "ok.example more 0 owed"), S(OK "A: b\r\n\tContent-Length: 3\r\n", "unreadable") } },
    { "T66 a fold in front of the first field", { G(GET, "ok.example more 0 owed"), S(OK " a\r\n", "unreadable") } },
    { "T66 a line of blanks", { G(GET, "ok.example more 0 owed"), S(OK "A: b\r\n \r\n", "unreadable") } },
    { "T66 chunked twice", { G(GET, "ok.example more 0 owed"), S(OK "Transfer-Encoding: chunked, chunked\r\n", "unreadable") } },
    { "a chunk without a size", { G(GET, "ok.example more 0 owed"), S(OK CHUNKED "x\r\n", "unreadable") } },
    { "a chunk of a size beyond all", { G(GET, "ok.example more 0 owed"), S(OK CHUNKED "1000000000000000\r\n", "unreadable") } },
    { "a size in two words", { G(GET, "ok.example more 0 owed"), S(OK CHUNKED "3 3\r\n", "unreadable") } },
    { "a CR in front of a trailer", { G(GET, "ok.example more 0 owed"), S(OK CHUNKED "0\r\n\rX: y\r\n", "unreadable") } },
    { "a CR in an extension", { G(GET, "ok.example more 0 owed"), S(OK CHUNKED "3;\rabc\r\n", "unreadable") } },
    { "a chunk that is too long", { G(GET, "ok.example more 0 owed"), S(OK CHUNKED "3\r\nabcd\r\n", "unreadable") } },
    { "HTTP/0.9", { G(GET, "ok.example more 0 owed"), S("<html>\n", "unreadable") } },
    { "HTTP/2", { G(GET, "ok.example more 0 owed"), S("HTTP/2.0 200 OK\r\n", "unreadable") } },
    { "a status of four digits", { G(GET, "ok.example more 0 owed"), S("HTTP/1.1 2000\r\n", "unreadable") } },
    { "a status below 100", { G(GET, "ok.example more 0 owed"), S("HTTP/1.1 099 No\r\n", "unreadable") } },
    { "no status", { G(GET, "ok.example more 0 owed"), S("HTTP/1.1  200\r\n", "unreadable") } },
    { "for good", { S(EMPTY, "unreadable"), S("HTTP/1.1 408 Late\r\n\r\n", "unreadable") } },
};

/* --- running them ------------------------------------------------------------------------------ */

static char names[256]; /* judged in this turn */

static void on_judge(struct http_caller *caller)
{
    size_t len = strlen(names);

    (void)snprintf(names + len, sizeof(names) - len, "%s ", caller->judged.name[0] ? caller->judged.name : "-");
}

static const char *outcome(const struct http_caller *caller)
{
    static const char *const steps[] = { "pass", "judge", "more", "hold", "opaque", "bad" };
    static char text[512];

    if (caller->unreadable)
        return "unreadable";
    (void)snprintf(text, sizeof(text), "%s%s%s%s %zu %s", names, caller->denied ? "denied" : steps[caller->last],
                   caller->last == FOLLOW_BAD ? " " : "", caller->last == FOLLOW_BAD ? reason_text(caller->bad) : "",
                   caller->sent_len - caller->passed, http_follow_all_answered(&caller->follow) ? "free" : "owed");
    return text;
}

/* The two pieces of a turn, cut at @cut; each byte by byte with @piece 1. */
static void turn_run(struct http_caller *caller, const struct turn *turn, size_t cut, size_t piece)
{
    const uint8_t *bytes = (const uint8_t *)turn->bytes;

    names[0] = '\0';
    if (turn->side == GUEST) {
        http_caller_guest(caller, bytes, cut, piece);
        http_caller_guest(caller, bytes + cut, turn->len - cut, piece);
    } else if (cut > 0) {
        caller->unreadable = caller->unreadable || http_follow_server(&caller->follow, bytes, cut) < 0;
        http_caller_server(caller, bytes + cut, turn->len - cut, piece);
    } else {
        http_caller_server(caller, bytes, turn->len, piece);
    }
}

static void script_run(const struct script *script, size_t cut_turn, size_t cut, size_t piece)
{
    static struct http_caller caller;

    http_caller_init(&caller);
    caller.on_judge = on_judge;
    for (size_t i = 0; i < TURNS_MAX && script->turns[i].side; i++) {
        turn_run(&caller, &script->turns[i], i == cut_turn ? cut : 0, piece);
        if (strcmp(outcome(&caller), script->turns[i].want) != 0)
            fail_msg("%s: turn %zu, cut in turn %zu at %zu, pieces of %zu: %s", script->why, i, cut_turn, cut, piece,
                     outcome(&caller));
    }
}

static void scripts_run(const struct script *scripts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        script_run(&scripts[i], 0, 0, SIZE_MAX);
        script_run(&scripts[i], 0, 0, 1);
        for (size_t turn = 0; turn < TURNS_MAX && scripts[i].turns[turn].side; turn++)
            for (size_t cut = 1; cut < scripts[i].turns[turn].len; cut++)
                script_run(&scripts[i], turn, cut, SIZE_MAX);
    }
}

static void test_c17_t61_t64_t65_t66_t67_requests(void **state)
{
    (void)state;
    scripts_run(request_scripts, ARRAY_SIZE(request_scripts));
}

static void test_c17_t66_chunks_of_requests(void **state)
{
    (void)state;
    scripts_run(chunk_scripts, ARRAY_SIZE(chunk_scripts));
}

static void test_c17_t68_upgrades(void **state)
{
    (void)state;
    scripts_run(upgrade_scripts, ARRAY_SIZE(upgrade_scripts));
}

static void test_c17_t65_responses(void **state)
{
    (void)state;
    scripts_run(response_scripts, ARRAY_SIZE(response_scripts));
}

static void test_c17_t66_unreadable_responses(void **state)
{
    (void)state;
    scripts_run(unreadable_scripts, ARRAY_SIZE(unreadable_scripts));
}

/* --- bounds ------------------------------------------------------------------------------------ */

static struct http_caller caller;

static void guest(const char *text)
{
    names[0] = '\0';
    http_caller_guest(&caller, (const uint8_t *)text, strlen(text), SIZE_MAX);
}

static void server(const char *text)
{
    names[0] = '\0';
    http_caller_server(&caller, (const uint8_t *)text, strlen(text), SIZE_MAX);
}

/* @count times the byte @fill. */
static void server_fill(char fill, size_t count)
{
    static char text[1024 + 1];

    for (; count > 0; count -= strlen(text)) {
        size_t n = count < 1024 ? count : 1024;

        memset(text, fill, n);
        text[n] = '\0';
        server(text);
    }
}

static void start(void)
{
    http_caller_init(&caller);
    caller.on_judge = on_judge;
}

static void test_c17_unanswered_requests_are_bounded(void **state)
{
    (void)state;
    start();
    for (unsigned i = 0; i < HTTP_PIPELINE_MAX; i++)
        guest(i % 2 ? GET : HEAD);
    assert_string_equal(outcome(&caller), "ok.example hold 0 owed");
    guest(HEAD GET);
    assert_string_equal(outcome(&caller), "hold 73 owed");
    /* Each is answered as what it is: half of the lengths are of no body. */
    for (unsigned i = 0; i < HTTP_PIPELINE_MAX + 2; i++)
        server(i % 2 ? OK "Content-Length: 1\r\n\r\na" : OK "Content-Length: 1\r\n\r\n");
    assert_string_equal(outcome(&caller), "more 0 free");
    assert_int_equal(caller.allowed, HTTP_PIPELINE_MAX + 2);
}

static void test_c17_interim_responses_are_bounded(void **state)
{
    (void)state;
    start();
    for (unsigned requests = 0; requests < 2; requests++) {
        guest(GET);
        for (unsigned i = 0; i < HTTP_INTERIM_MAX; i++)
            server("HTTP/1.1 102 Processing\r\n\r\n");
        server(EMPTY);
        assert_string_equal(outcome(&caller), "more 0 free");
    }
    guest(GET);
    for (unsigned i = 0; i < HTTP_INTERIM_MAX; i++)
        server("HTTP/1.1 102 Processing\r\n\r\n");
    assert_string_equal(outcome(&caller), "more 0 owed");
    server("HTTP/1.1 102 Processing\r\n\r\n");
    assert_string_equal(outcome(&caller), "unreadable");
}

static void test_c17_heads_of_responses_are_bounded(void **state)
{
    const size_t rest = HTTP_RESPONSE_HEAD_BYTES_MAX - strlen(OK "A: \r\n\r\n");

    (void)state;
    for (unsigned beyond = 0; beyond < 2; beyond++) {
        start();
        guest(GET);
        server(OK "A: ");
        server_fill('a', rest + beyond);
        server("\r\n\r\n");
        assert_string_equal(outcome(&caller), beyond ? "unreadable" : "more 0 owed");
    }
    start();
    server_fill('\n', HTTP_RESPONSE_HEAD_BYTES_MAX);
    assert_string_equal(outcome(&caller), "more 0 free");
    server("\n");
    assert_string_equal(outcome(&caller), "unreadable");
}

static void test_c17_t66_a_framing_field_that_is_not_kept_whole(void **state)
{
    const size_t blanks = HTTP_RESPONSE_LINE_KEPT - strlen("Content-Length:3");

    (void)state;
    for (unsigned beyond = 0; beyond < 2; beyond++) {
        start();
        guest(GET);
        server(OK "Content-Length:");
        server_fill(' ', blanks + beyond);
        server("3\r\n\r\nabc");
        assert_string_equal(outcome(&caller), beyond ? "unreadable" : "more 0 free");
    }
    start();
    guest(GET);
    server(OK "Content-Length:3");
    server_fill(' ', blanks);
    server(", 4\r\n\r\nabc");
    assert_string_equal(outcome(&caller), "unreadable");
}

static void test_c17_framing_of_chunks_is_bounded(void **state)
{
    (void)state;
    for (unsigned beyond = 0; beyond < 2; beyond++) {
        start();
        guest(GET);
        server(OK CHUNKED "1;");
        server_fill('a', HTTP_FRAMING_BYTES_MAX - 4 + beyond);
        server("\r\na");
        assert_string_equal(outcome(&caller), beyond ? "unreadable" : "more 0 owed");
    }
    start();
    guest(GET);
    server(OK CHUNKED "0\r\n");
    server("\n");
    assert_string_equal(outcome(&caller), "more 0 free");
    guest(GET);
    server(OK CHUNKED);
    for (unsigned i = 0; i < HTTP_FRAMING_BYTES_MAX / 4; i++) /* each by itself is little */
        server("1\r\na\r\n");
    server("0\r\n\r\n");
    assert_string_equal(outcome(&caller), "more 0 free");
    guest(GET);
    server(OK CHUNKED "0\r\nA: ");
    server_fill('a', HTTP_FRAMING_BYTES_MAX);
    assert_string_equal(outcome(&caller), "unreadable");
}

static void test_c17_a_head_without_end(void **state)
{
    (void)state;
    start();
    guest(GET "GET / HTTP/1.1\r\n");
    while (caller.sent_len - caller.passed < EVIDENCE_HTTP_BYTES_MAX - 1)
        guest("a");
    assert_string_equal(outcome(&caller), "more 16383 owed");
    guest("a");
    assert_string_equal(outcome(&caller), "bad http.too_big 16384 owed");
}

static void test_c17_large_bodies_cost_nothing(void **state)
{
    static uint8_t data[60 * 1024];
    static struct http_follow follow;
    size_t len;
    struct evidence e;
    const uint64_t total = 999999999999999999; /* 18 digits */

    (void)state;
    start();
    guest(POST "Content-Length: 999999999999999999\r\n\r\n");
    server(OK "Content-Length: 999999999999999999\r\n\r\n");
    follow = caller.follow;
    assert_int_equal(http_follow_guest(&follow, data, sizeof(data), &len, &e), FOLLOW_PASS);
    assert_int_equal(len, sizeof(data));
    assert_int_equal(http_follow_server(&follow, data, sizeof(data)), 0);
    assert_true(follow.body.left == total - sizeof(data) && follow.response.body.left == total - sizeof(data));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c17_t61_t64_t65_t66_t67_requests),
        cmocka_unit_test(test_c17_t66_chunks_of_requests),
        cmocka_unit_test(test_c17_t68_upgrades),
        cmocka_unit_test(test_c17_t65_responses),
        cmocka_unit_test(test_c17_t66_unreadable_responses),
        cmocka_unit_test(test_c17_unanswered_requests_are_bounded),
        cmocka_unit_test(test_c17_interim_responses_are_bounded),
        cmocka_unit_test(test_c17_heads_of_responses_are_bounded),
        cmocka_unit_test(test_c17_t66_a_framing_field_that_is_not_kept_whole),
        cmocka_unit_test(test_c17_framing_of_chunks_is_bounded),
        cmocka_unit_test(test_c17_a_head_without_end),
        cmocka_unit_test(test_c17_large_bodies_cost_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
