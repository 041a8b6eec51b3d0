#include "proxy/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/sockaddr.h"

/*
 *   UDP     sent, waiting for a datagram
 *   WRITE   TCP: connecting or sending
 *   READ    TCP: collecting 2 bytes of length and the message
 */
enum query_state { QUERY_UDP, QUERY_WRITE, QUERY_READ };

struct upstream_query {
    struct upstream *upstream; /* borrowed */
    struct list node;          /* on upstream->queries */
    const struct upstream_owner *owner;
    void *ctx;
    enum query_state state;
    uv_poll_t poll;
    uv_timer_t timer;          /* of the attempt; the total is checked when it fires */
    int fd;                    /* owned; -1 between attempts */
    unsigned attempt, handles; /* handles: uv handles not yet closed */
    bool poll_live, next_tcp, over;
    bool answered;             /* by somebody, with nothing of use */
    bool resting;              /* the timer is that of a pause between rounds */
    uint64_t round_ms, deadline_ms; /* round_ms: when the second round may begin */
    uint8_t out[2 + UPSTREAM_QUERY_BYTES_MAX]; /* TCP length and message */
    size_t out_len, out_at;
    uint8_t *in;               /* owned: TCP answer */
    size_t in_len;
};

static void start_attempt(struct upstream_query *q);

static void release_handle(struct upstream_query *q)
{
    struct upstream *u = q->upstream;

    if (--q->handles > 0)
        return;
    CHECK(q->over);
    free(q->in);
    free(q);
    u->in_flight--;
    if (u->in_flight == 0 && u->on_idle)
        u->on_idle(u);
}

static void on_timer_closed(uv_handle_t *handle)
{
    release_handle(handle->data);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct upstream_query *q = handle->data;
    bool again = !q->over;

    release_handle(q);
    if (again) /* then the timer's handle still holds the query */
        start_attempt(q);
}

static void close_attempt(struct upstream_query *q)
{
    (void)uv_timer_stop(&q->timer);
    if (q->poll_live) {
        q->poll_live = false;
        uv_close((uv_handle_t *)&q->poll, on_poll_closed);
        /* uv_close() stopped the watcher, so the descriptor may go now. */
        (void)close(q->fd);
        q->fd = -1;
    }
}

static void finish(struct upstream_query *q)
{
    if (q->over)
        return;
    q->over = true;
    list_unlink(&q->node);
    close_attempt(q);
    uv_close((uv_handle_t *)&q->timer, on_timer_closed);
}

static void fail(struct upstream_query *q)
{
    const struct upstream_owner *owner = q->owner;
    bool answered = q->answered;
    void *ctx = q->ctx;

    finish(q);
    owner->on_failure(ctx, answered);
}

/* The next attempt starts when the old socket's handle is closed: on_poll_closed(). */
static void retry(struct upstream_query *q, bool tcp)
{
    q->next_tcp = tcp;
    if (!tcp)
        q->attempt++;
    if (q->poll_live)
        close_attempt(q);
    else
        start_attempt(q);
}

static void take(struct upstream_query *q, const uint8_t *bytes, size_t len)
{
    uint16_t id = (uint16_t)(q->out[2] << 8 | q->out[3]);

    if (len < 2 || bytes[0] != q->out[2] || bytes[1] != q->out[3])
        return;
    switch (q->owner->on_message(q->ctx, bytes, len, id)) {
    case UPSTREAM_DONE:
        finish(q);
        break;
    case UPSTREAM_IGNORE:
        break;
    case UPSTREAM_USE_TCP:
        retry(q, q->state == QUERY_UDP);
        break;
    case UPSTREAM_NEXT:
        q->answered = true;
        retry(q, false);
        break;
    }
}

static void read_udp(struct upstream_query *q)
{
    uint8_t bytes[4096];
    enum { DATAGRAMS_A_TURN = 8 };

    for (int i = 0; i < DATAGRAMS_A_TURN && !q->over && q->state == QUERY_UDP && q->poll_live; i++) {
        ssize_t n = recv(q->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);

        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                retry(q, false); /* refused: the next server */
            return;
        }
        if ((size_t)n <= sizeof(bytes))
            take(q, bytes, (size_t)n);
    }
}

static void write_tcp(struct upstream_query *q)
{
    ssize_t n = send(q->fd, q->out + q->out_at, q->out_len - q->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            retry(q, false);
        return;
    }
    q->out_at += (size_t)n;
    if (q->out_at < q->out_len)
        return;
    q->state = QUERY_READ;
    q->in_len = 0;
}

static void read_tcp(struct upstream_query *q)
{
    enum { IN_BYTES = 2 + 65535 };
    size_t want;
    ssize_t n;

    if (!q->in && !(q->in = malloc(IN_BYTES))) {
        fail(q);
        return;
    }
    want = q->in_len < 2 ? 2 : 2 + (size_t)(q->in[0] << 8 | q->in[1]);
    n = recv(q->fd, q->in + q->in_len, want - q->in_len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        retry(q, false);
        return;
    }
    q->in_len += (size_t)n;
    if (q->in_len < 2)
        return;
    want = 2 + (size_t)(q->in[0] << 8 | q->in[1]);
    if (q->in_len == want && want > 2) {
        q->in_len = 0;
        take(q, q->in + 2, want - 2);
    } else if (want == 2) {
        retry(q, false);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct upstream_query *q = poll->data;
    int wanted;

    (void)events;
    if (status < 0) { /* POLLERR: the send or connect was refused */
        retry(q, false);
        return;
    }
    if (q->state == QUERY_UDP)
        read_udp(q);
    else if (q->state == QUERY_WRITE)
        write_tcp(q);
    else
        read_tcp(q);
    wanted = q->state == QUERY_WRITE ? UV_WRITABLE : UV_READABLE;
    if (!q->over && q->poll_live && uv_poll_start(&q->poll, wanted, on_poll) < 0)
        retry(q, false);
}

static void on_attempt_timeout(uv_timer_t *timer)
{
    struct upstream_query *q = timer->data;

    if (q->resting)
        start_attempt(q);
    else
        retry(q, false);
}

/* Return: whether the second round has to wait; the timer runs then. */
static bool rest(struct upstream_query *q, uint64_t now_ms)
{
    q->resting = q->attempt == q->upstream->server_count && !q->next_tcp && !q->answered && now_ms < q->round_ms;
    if (q->resting)
        (void)uv_timer_start(&q->timer, on_attempt_timeout, q->round_ms - now_ms, 0);
    return q->resting;
}

static int open_socket(struct upstream_query *q, const struct upstream_server *server)
{
    struct sockaddr_storage to;
    socklen_t to_len = sockaddr_from(&server->addr, server->port, &to);
    int type = (q->next_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;

    q->fd = socket(to.ss_family, type, 0);
    if (q->fd < 0)
        return -errno;
    if (connect(q->fd, (struct sockaddr *)&to, to_len) < 0 && errno != EINPROGRESS) {
        int err = -errno;

        (void)close(q->fd);
        q->fd = -1;
        return err;
    }
    return 0;
}

static int try_server(struct upstream_query *q, const struct upstream_server *server)
{
    int err = open_socket(q, server);

    if (err < 0)
        return err;
    if (getrandom(q->out + 2, 2, 0) != 2 || uv_poll_init(q->upstream->loop, &q->poll, q->fd) < 0) {
        (void)close(q->fd);
        q->fd = -1;
        return -EIO;
    }
    q->poll.data = q;
    q->poll_live = true;
    q->handles++;
    q->state = q->next_tcp ? QUERY_WRITE : QUERY_UDP;
    q->out_at = 0;
    if (q->state == QUERY_UDP &&
        send(q->fd, q->out + 2, q->out_len - 2, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        (void)0; /* lost or refused: the attempt's timeout or POLLERR moves on */
    return uv_poll_start(&q->poll, q->next_tcp ? UV_WRITABLE : UV_READABLE, on_poll);
}

static void start_attempt(struct upstream_query *q)
{
    struct upstream *u = q->upstream;
    uint64_t now_ms = uv_now(u->loop);

    while (now_ms < q->deadline_ms && q->attempt < 2 * u->server_count) {
        uint64_t left_ms = q->deadline_ms - now_ms;
        int err;

        if (rest(q, now_ms))
            return;
        err = try_server(q, &u->servers[q->attempt % u->server_count]);
        if (err == 0) {
            (void)uv_timer_start(&q->timer, on_attempt_timeout,
                                 left_ms < UPSTREAM_ATTEMPT_MS ? left_ms : UPSTREAM_ATTEMPT_MS, 0);
            return;
        }
        if (q->poll_live) {
            retry(q, false);
            return;
        }
        q->next_tcp = false;
        q->attempt++;
    }
    fail(q);
}

static struct resolvconf_mark mark_of(const struct stat *st)
{
    return (struct resolvconf_mark){
        .mtime_ns = st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec,
        .device = st->st_dev,
        .inode = st->st_ino,
        .size = (uint64_t)st->st_size,
    };
}

static bool mark_equal(const struct resolvconf_mark *a, const struct resolvconf_mark *b)
{
    return a->mtime_ns == b->mtime_ns && a->device == b->device && a->inode == b->inode && a->size == b->size;
}

static void follow_resolvconf(struct upstream *u)
{
    struct addr servers[RESOLVCONF_SERVERS_MAX];
    uint64_t now_ms = uv_now(u->loop);
    struct resolvconf_mark mark;
    struct stat st;
    int count;

    if (!u->resolvconf_path || (u->checked_ms && now_ms - u->checked_ms < UPSTREAM_RECHECK_MS))
        return;
    u->checked_ms = now_ms + 1;
    if (stat(u->resolvconf_path, &st) < 0)
        return; /* being replaced: what was read last stays */
    mark = mark_of(&st);
    if (mark_equal(&mark, &u->resolvconf))
        return;
    count = resolvconf_read(u->resolvconf_path, servers);
    if (count <= 0)
        return;
    u->resolvconf = mark;
    u->generation++;
    u->server_count = (unsigned)count;
    for (int i = 0; i < count; i++)
        u->servers[i] = (struct upstream_server){.addr = servers[i], .port = 53};
}

unsigned upstream_generation(struct upstream *u)
{
    follow_resolvconf(u);
    return u->generation;
}

void upstream_init(struct upstream *u, uv_loop_t *loop, const struct upstream_server *servers,
                   unsigned count, const char *resolvconf_path)
{
    memset(u, 0, sizeof(*u));
    CHECK(count <= RESOLVCONF_SERVERS_MAX);
    u->loop = loop;
    if (count > 0)
        memcpy(u->servers, servers, count * sizeof(*servers));
    u->server_count = count;
    u->resolvconf_path = count > 0 ? NULL : resolvconf_path;
    list_init(&u->queries);
}

int upstream_ask(struct upstream *u, const uint8_t *message, size_t len,
                 const struct upstream_owner *owner, void *ctx)
{
    struct upstream_query *q;

    CHECK(len >= 12 && len <= UPSTREAM_QUERY_BYTES_MAX);
    follow_resolvconf(u);
    if (u->server_count == 0)
        return -ENOENT;
    if (u->in_flight >= UPSTREAM_QUERIES_MAX)
        return -EBUSY;
    q = calloc(1, sizeof(*q));
    if (!q)
        return -ENOMEM;
    q->upstream = u;
    q->owner = owner;
    q->ctx = ctx;
    q->fd = -1;
    q->out[0] = (uint8_t)(len >> 8);
    q->out[1] = (uint8_t)len;
    memcpy(q->out + 2, message, len);
    q->out_len = 2 + len;
    q->round_ms = uv_now(u->loop) + UPSTREAM_ROUND_MS;
    q->deadline_ms = uv_now(u->loop) + UPSTREAM_TOTAL_MS;
    (void)uv_timer_init(u->loop, &q->timer); /* cannot fail */
    q->timer.data = q;
    q->handles = 1;
    list_init(&q->node);
    list_append(&u->queries, &q->node);
    u->in_flight++;
    /* The first attempt starts from the loop, so that an owner never hears of a failure inside this call. */
    (void)uv_timer_start(&q->timer, on_attempt_timeout, 0, 0);
    q->attempt = UINT32_MAX; /* the timeout's increment makes it 0 */
    return 0;
}

void upstream_close(struct upstream *u, void (*on_idle)(struct upstream *upstream))
{
    u->on_idle = on_idle;
    LIST_FOR_EACH(node, &u->queries)
        finish(LIST_ENTRY(node, struct upstream_query, node));
    if (u->in_flight == 0)
        on_idle(u);
}
