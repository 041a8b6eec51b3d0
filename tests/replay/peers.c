#include "peers.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"

static void run(struct peer *peer);

/* ---- services ---- */

struct service *peers_service(struct peers *peers, enum service_kind kind, const struct addr *addr, uint16_t port)
{
    LIST_FOR_EACH(node, &peers->services) {
        struct service *s = LIST_ENTRY(node, struct service, node);

        if ((s->kind == kind || s->kind == SERVICE_DNS) && (s->addr.family == ADDR_NONE || addr_equal(&s->addr, addr)) &&
            (s->port == 0 || s->port == port))
            return s;
    }
    return NULL;
}

struct peer *peers_nth(const struct service *service, unsigned n)
{
    LIST_FOR_EACH(node, &service->peers)
        if (--n == 0)
            return LIST_ENTRY(node, struct peer, node);
    return NULL;
}

static void read_answer(const struct line *line, struct service *s)
{
    static const struct {
        const char *word;
        int error;
    } errors[] = {{"unreachable", EHOSTUNREACH}, {"net-unreachable", ENETUNREACH}, {"prohibited", EACCES}, {"timeout", ETIMEDOUT},
                  {"reset", ECONNRESET}};
    const char *word = line->count > 2 ? line->words[2] : "accept";
    const char *after = line_get(line, 2, "after");

    s->after_us = after ? word_time_us(line, after) : 0;
    if (strcmp(word, "accept") == 0 || strchr(word, '='))
        s->answer = ANSWER_ACCEPT;
    else if (strcmp(word, "refuse") == 0)
        s->answer = ANSWER_REFUSE;
    else if (strcmp(word, "blackhole") == 0 || strcmp(word, "silent") == 0)
        s->answer = ANSWER_BLACKHOLE;
    else if (strcmp(word, "echo") == 0)
        s->answer = ANSWER_ECHO;
    else
        s->answer = ANSWER_UNREACHABLE;
    s->error = s->answer == ANSWER_REFUSE ? ECONNREFUSED : 0;
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
        if (strcmp(word, errors[i].word) == 0)
            s->error = errors[i].error;
    if (s->answer == ANSWER_UNREACHABLE && s->error == 0)
        line_fail(line, "'%s' is nothing a server does with a connect", word);
}

static struct service *read_service(struct peers *peers, const struct line *line)
{
    struct service *s = kernel_alloc(sizeof(*s));
    const char *place = line_word(line, 1);

    list_init(&s->node);
    list_init(&s->peers);
    s->kind = line_is(line, 0, "tcp") ? SERVICE_TCP : line_is(line, 0, "udp") ? SERVICE_UDP : SERVICE_DNS;
    if (strcmp(place, "*") != 0)
        word_endpoint(line, place, NULL, &s->addr, &s->port);
    read_answer(line, s);
    s->lines = line + 1;
    list_append(&peers->services, &s->node);
    return s;
}

void peers_load(struct peers *peers, const char *dir)
{
    struct service *last = NULL;

    memset(peers, 0, sizeof(*peers));
    list_init(&peers->services);
    if (!script_read(&peers->script, dir, "host.txt"))
        return;
    for (unsigned i = 0; i < peers->script.count; i++) {
        const struct line *line = &peers->script.lines[i];

        if (line->indented && last) {
            last->line_count++;
        } else if (line_is(line, 0, "tcp") || line_is(line, 0, "udp") || line_is(line, 0, "dns")) {
            last = read_service(peers, line);
        } else if (line_is(line, 0, "fds")) {
            kernel_limit_fds((unsigned)word_number(line, line_word(line, 1)));
        } else if (line_is(line, 0, "address") && peers->host_addr_count < ARRAY_SIZE(peers->host_addrs)) {
            word_addr(line, line_word(line, 1), &peers->host_addrs[peers->host_addr_count++]);
        } else {
            line_fail(line, "'%s' is none of tcp, udp, dns, fds, address", line->words[0]);
        }
    }
}

static void peer_free(struct peer *peer)
{
    while (!list_empty(&peer->pieces))
        kernel_free(LIST_ENTRY(list_take_first(&peer->pieces), struct peer_piece, node));
    kernel_free(peer->held);
    kernel_free(peer);
}

void peers_deinit(struct peers *peers)
{
    while (!list_empty(&peers->services)) {
        struct service *s = LIST_ENTRY(list_take_first(&peers->services), struct service, node);

        while (!list_empty(&s->peers))
            peer_free(LIST_ENTRY(list_take_first(&s->peers), struct peer, node));
        kernel_free(s);
    }
    script_free(&peers->script);
}

/* ---- sending ---- */

/* What fits weir's receive buffer arrives; its end behind it. */
static void top_up(struct peer *peer)
{
    struct sock *sock = peer->sock;
    uint64_t room, n;

    if (!sock)
        return;
    room = sock->in_bytes < KERNEL_RCVBUF ? KERNEL_RCVBUF - sock->in_bytes : 0;
    n = peer->pending < room ? peer->pending : room;
    peer->pending -= n;
    if (n > 0)
        sock_arrived(sock, n);
    if (peer->shut && peer->pending == 0 && !sock->in_fin)
        sock_peer_fin(sock);
}

static void send_piece(struct peer *peer, const void *literal, uint64_t len)
{
    struct peer_piece *piece = kernel_alloc(sizeof(*piece) + (literal ? len : 0));

    list_init(&piece->node);
    piece->pattern = !literal;
    piece->left = len;
    piece->at = literal ? 0 : peer->sent;
    if (literal)
        memcpy(piece->literal, literal, len);
    list_append(&peer->pieces, &piece->node);
    peer->sent += len;
    peer->pending += len;
    top_up(peer);
}

static void make(void *ctx, struct sock *sock, void *out, size_t len)
{
    struct peer *peer = sock->peer;
    uint8_t *p = out;

    (void)ctx;
    while (len > 0) {
        struct peer_piece *piece = LIST_ENTRY(peer->pieces.next, struct peer_piece, node);
        size_t n = piece->left < len ? (size_t)piece->left : len;

        if (piece->pattern)
            pattern_fill(p, n, piece->at);
        else
            memcpy(p, piece->literal + piece->at, n);
        piece->at += n;
        piece->left -= n;
        p += n;
        len -= n;
        if (piece->left == 0) {
            list_unlink(&piece->node);
            kernel_free(piece);
        }
    }
    top_up(peer);
    run(peer);
}

/* ---- receiving ---- */

static void answer_dns(struct peer *peer);

static void got(struct peer *peer, const uint8_t *bytes, size_t len)
{
    if (!pattern_holds(bytes, len, peer->got))
        peer->pattern_bad = true;
    if (peer->got < PEER_TEXT_MAX)
        memcpy(peer->text + peer->got, bytes, len < PEER_TEXT_MAX - peer->got ? len : (size_t)(PEER_TEXT_MAX - peer->got));
    peer->got += len;
    if (peer->echo)
        send_piece(peer, bytes, len);
    if (peer->service->kind == SERVICE_DNS)
        answer_dns(peer);
}

static size_t take(void *ctx, struct sock *sock, const void *bytes, size_t len)
{
    struct peer *peer = sock->peer;

    (void)ctx;
    if (!peer || len == 0)
        return len;
    if (peer->paused) {
        if (!peer->held)
            peer->held = kernel_alloc(PEER_HELD_MAX);
        CHECK(peer->held_bytes + len <= PEER_HELD_MAX);
        memcpy(peer->held + peer->held_bytes, bytes, len);
        peer->held_bytes += len;
        return 0;
    }
    if (peer->closed) { /* nobody reads any more: RFC 9293 section 3.10.7.1 */
        peer->sock = NULL;
        sock_peer_rst(sock);
        return 0;
    }
    got(peer, bytes, len);
    run(peer);
    return len;
}

static void resume(struct peer *peer)
{
    size_t n = peer->held_bytes;

    peer->paused = false;
    peer->held_bytes = 0;
    if (n == 0)
        return;
    got(peer, peer->held, n);
    if (peer->sock)
        sock_drained(peer->sock, n);
}

/* ---- programs ---- */

static void on_waited(void *ctx)
{
    struct peer *peer = ctx;

    peer->waiting = false;
    peer->waited = true;
    run(peer);
}

/* Return: whether the wait is over. */
static bool wait_for(struct peer *peer, uint64_t us)
{
    if (peer->waited) {
        peer->waited = false;
        return true;
    }
    if (!peer->waiting)
        kernel_at(kernel_now_us() + us, on_waited, peer);
    peer->waiting = true;
    return false;
}

static bool has_text(const struct peer *peer, const struct line *line)
{
    size_t n = peer->got < PEER_TEXT_MAX ? (size_t)peer->got : PEER_TEXT_MAX;

    return memmem(peer->text, n, line->words[1], line->lens[1]) != NULL;
}

static void shut(struct peer *peer)
{
    peer->shut = true;
    top_up(peer);
}

static void send_by(struct peer *peer, const struct line *line)
{
    if (line_is(line, 1, "pattern")) {
        send_piece(peer, NULL, word_number(line, line_word(line, 2)));
    } else if (line_is(line, 1, "hex")) {
        uint8_t bytes[8192];

        send_piece(peer, bytes, word_hex(line, line_word(line, 2), bytes, sizeof(bytes)));
    } else {
        send_piece(peer, line_word(line, 1), line->lens[1]);
    }
}

static void reset(struct peer *peer)
{
    struct sock *sock = peer->sock;

    peer->sock = NULL;
    if (sock)
        sock_peer_rst(sock);
}

/* One line. Return: whether the next one may follow at once. */
static bool step(struct peer *peer, const struct line *line)
{
    if (line_is(line, 0, "send")) {
        send_by(peer, line);
    } else if (line_is(line, 0, "recv")) {
        return line->quoted[1] ? has_text(peer, line) : peer->got >= word_number(line, line_word(line, 1));
    } else if (line_is(line, 0, "eof")) {
        return peer->eof;
    } else if (line_is(line, 0, "wait")) {
        return wait_for(peer, word_time_us(line, line_word(line, 1)));
    } else if (line_is(line, 0, "drained")) {
        return !peer->sock || (peer->pending == 0 && peer->sock->in_bytes == 0);
    } else if (line_is(line, 0, "shut")) {
        shut(peer);
    } else if (line_is(line, 0, "close")) {
        peer->closed = true;
        shut(peer);
    } else if (line_is(line, 0, "rst")) {
        reset(peer);
    } else if (line_is(line, 0, "pause")) {
        peer->paused = true;
    } else if (line_is(line, 0, "resume")) {
        resume(peer);
    } else if (line_is(line, 0, "echo")) {
        peer->echo = true;
    } else if (line_is(line, 0, "stay")) {
        peer->stay = true;
    } else {
        line_fail(line, "'%s' is nothing a server does", line->words[0]);
    }
    return true;
}

static void run(struct peer *peer)
{
    while (peer->pc < peer->service->line_count && peer->service->kind == SERVICE_TCP) {
        unsigned at = peer->pc++;

        if (!step(peer, &peer->service->lines[at])) {
            peer->pc = at;
            return;
        }
    }
    if (peer->eof && !peer->stay && !peer->shut) { /* the end of a program without one: close behind the client */
        peer->closed = true;
        shut(peer);
    }
}

static void answer_dns(struct peer *peer)
{
    uint8_t out[2 + 1024];
    size_t len = (size_t)(peer->text[0] << 8 | peer->text[1]), n;
    uint64_t after_us;

    if (peer->got < 2 + len)
        return;
    n = zone_answer(peer->service, peer->text + 2, len, true, out + 2, sizeof(out) - 2, &after_us);
    out[0] = (uint8_t)(n >> 8);
    out[1] = (uint8_t)n;
    if (n > 0)
        send_piece(peer, out, 2 + n);
}

/* ---- the world of the kernel ---- */

struct attempt {
    struct peers *peers;
    struct service *service;
    int fd; /* whether it is still the same socket */
    struct sock *sock;
};

static void accept_sock(struct peers *peers, struct service *service, struct sock *sock)
{
    struct peer *peer = kernel_alloc(sizeof(*peer));

    list_init(&peer->node);
    list_init(&peer->pieces);
    peer->peers = peers;
    peer->service = service;
    peer->sock = sock;
    peer->accepted_us = kernel_now_us() - KERNEL_START_US;
    peer->echo = service->answer == ANSWER_ECHO;
    list_append(&service->peers, &peer->node);
    sock->peer = peer;
    sock_connected(sock);
    run(peer);
}

static void decide(struct peers *peers, struct service *service, struct sock *sock)
{
    if (service->answer == ANSWER_ACCEPT || service->answer == ANSWER_ECHO)
        accept_sock(peers, service, sock);
    else if (service->answer != ANSWER_BLACKHOLE)
        sock_connect_failed(sock, service->error);
}

static void on_attempt(void *ctx)
{
    struct attempt *a = ctx;

    if (sock_of(a->fd) == a->sock && a->sock->state == SOCK_CONNECTING)
        decide(a->peers, a->service, a->sock);
    kernel_free(a);
}

static void on_connect(void *ctx, struct sock *sock)
{
    struct peers *peers = ctx;
    struct service *service = peers_service(peers, SERVICE_TCP, &sock->to, sock->to_port);
    struct attempt *a;

    if (!service) {
        peers->unknown++;
        sock_connect_failed(sock, ECONNREFUSED);
        return;
    }
    service->connects++;
    a = kernel_alloc(sizeof(*a));
    *a = (struct attempt){.peers = peers, .service = service, .fd = sock->fd, .sock = sock};
    kernel_at_owned(kernel_now_us() + service->after_us, on_attempt, a);
}

static void on_fin(void *ctx, struct sock *sock)
{
    struct peer *peer = sock->peer;

    (void)ctx;
    if (!peer || peer->eof)
        return;
    peer->eof = true;
    peer->end = PEER_FIN;
    peer->end_us = kernel_now_us() - KERNEL_START_US;
    if (peer->echo)
        shut(peer);
    run(peer);
}

static void on_gone(void *ctx, struct sock *sock, bool was_reset)
{
    struct peer *peer = sock->peer;

    (void)ctx;
    if (!peer)
        return;
    peer->sock = NULL;
    if (was_reset) {
        peer->end = PEER_RST;
        peer->end_us = kernel_now_us() - KERNEL_START_US;
    } else {
        on_fin(ctx, sock);
    }
}

/* ---- datagrams ---- */

struct reply {
    struct sock *sock;
    int fd;
    struct addr from;
    uint16_t port;
    size_t len;
    uint8_t bytes[];
};

static void on_reply(void *ctx)
{
    struct reply *r = ctx;

    if (sock_of(r->fd) == r->sock)
        sock_datagram(r->sock, &r->from, r->port, r->bytes, r->len);
    kernel_free(r);
}

static void reply_later(struct sock *sock, const struct addr *from, uint16_t port, const void *bytes, size_t len, uint64_t after_us)
{
    struct reply *r = kernel_alloc(sizeof(*r) + len);

    *r = (struct reply){.sock = sock, .fd = sock->fd, .from = *from, .port = port, .len = len};
    memcpy(r->bytes, bytes, len);
    kernel_at_owned(kernel_now_us() + after_us, on_reply, r);
}

static void run_udp(struct service *s, struct sock *sock, const struct addr *to, uint16_t port)
{
    uint64_t at_us = s->after_us;

    for (unsigned i = 0; i < s->line_count; i++) {
        const struct line *line = &s->lines[i];
        struct addr from = *to;
        uint16_t from_port = port;

        if (line_is(line, 0, "wait")) {
            at_us += word_time_us(line, line_word(line, 1));
        } else if (line_is(line, 0, "send")) {
            if (line_get(line, 1, "from"))
                word_endpoint(line, line_get(line, 1, "from"), NULL, &from, &from_port);
            reply_later(sock, &from, from_port, line_word(line, 1), line->lens[1], at_us);
        } else {
            line_fail(line, "'%s' is nothing a datagram server does", line->words[0]);
        }
    }
}

static int on_datagram(void *ctx, struct sock *sock, const struct addr *to, uint16_t port, const void *bytes, size_t len)
{
    struct peers *peers = ctx;
    struct service *s = peers_service(peers, SERVICE_UDP, to, port);
    uint8_t answer[1024];
    uint64_t after_us = 0;
    size_t n;

    if (!s) {
        peers->unknown++;
        return 0;
    }
    s->datagrams++;
    s->datagram_bytes += len;
    s->socks += s->last_sock != sock;
    s->last_sock = sock;
    if (s->answer == ANSWER_REFUSE && sock->to.family != ADDR_NONE)
        sock_error(sock, ECONNREFUSED);
    else if (s->answer == ANSWER_UNREACHABLE)
        return -s->error;
    else if (s->answer == ANSWER_ECHO)
        reply_later(sock, to, port, bytes, len, s->after_us);
    else if (s->kind == SERVICE_DNS && (n = zone_answer(s, bytes, len, false, answer, sizeof(answer), &after_us)) > 0)
        reply_later(sock, to, port, answer, n, s->after_us + after_us);
    else if (s->kind == SERVICE_UDP && s->answer == ANSWER_ACCEPT)
        run_udp(s, sock, to, port);
    return 0;
}

struct world peers_world(struct peers *peers)
{
    return (struct world){
        .ctx = peers,
        .connect = on_connect,
        .take = take,
        .make = make,
        .fin = on_fin,
        .gone = on_gone,
        .datagram = on_datagram,
    };
}
