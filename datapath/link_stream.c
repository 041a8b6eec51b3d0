/*
 * The stream link: QEMU's `-netdev stream` framing over a unix socket, a 32-bit big-endian length before each
 * frame.
 *
 *   LISTENING → UP → LISTENING …      one monitor at a time; the next one waits in the backlog
 *   CONNECTING → UP → CONNECTING …    (`connect`) tried again every STREAM_RETRY_MS
 *
 * A length no frame can have ends the connection, never the link: behind it no frame boundary can be trusted.
 */
#include "datapath/link_backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "datapath/instance.h"

enum {
    LENGTH_BYTES = 4,
    STREAM_RETRY_MS = 200,
    STREAM_SNDBUF_BYTES = 4 * 1024 * 1024,
    STREAM_READ_BYTES = 256 * 1024,
    /* Frames without payload (ACKs, RSTs, ARP) that a full socket did not take: copied, up to this. */
    STREAM_REST_BYTES = LENGTH_BYTES + FRAME_BYTES_MAX + 64 * 1024,
};

struct stream_link {
    struct link link;
    int listen_fd, fd;          /* owned, -1: none */
    uv_poll_t listen_poll, poll;
    uv_timer_t retry;
    bool listen_live, poll_live, retry_live;
    unsigned handles;           /* not yet closed */
    bool waiting;
    uint8_t *in;                /* owned: STREAM_READ_BYTES, while up */
    size_t in_len;
    uint8_t *rest;              /* owned: STREAM_REST_BYTES, while up; bytes the socket did not take */
    size_t rest_len;
};

static void on_poll(uv_poll_t *poll, int status, int events);
static void on_retry(uv_timer_t *timer);
static void wait_for_monitor(struct stream_link *s);

static struct stream_link *of(struct link *link)
{
    return CONTAINER_OF(link, struct stream_link, link);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct stream_link *s = handle->data;

    s->handles--;
    if (s->link.closing) {
        if (s->handles == 0)
            link_closed(&s->link);
        return;
    }
    if (handle == (uv_handle_t *)&s->poll)
        wait_for_monitor(s); /* only now may the poll handle's storage be used again */
}

static void drop_monitor(struct stream_link *s)
{
    if (!s->poll_live)
        return;
    s->poll_live = false;
    uv_close((uv_handle_t *)&s->poll, on_handle_closed);
    (void)close(s->fd);
    s->fd = -1;
    free(s->in);
    free(s->rest);
    s->in = s->rest = NULL;
    s->in_len = s->rest_len = 0;
    s->waiting = false;
    link_went_down(&s->link);
}

static void want_events(struct stream_link *s)
{
    (void)uv_poll_start(&s->poll, UV_READABLE | (s->waiting ? UV_WRITABLE : 0), on_poll);
}

/* ---- out ---- */

static void wait_writable(struct stream_link *s)
{
    if (s->waiting)
        return;
    s->waiting = true;
    want_events(s);
}

/* Copy what remains of a frame from @skip on. */
static void keep_rest(struct stream_link *s, const struct iovec *iov, int iovcnt, size_t skip)
{
    for (int i = 0; i < iovcnt; i++) {
        size_t cut = skip < iov[i].iov_len ? skip : iov[i].iov_len;

        skip -= cut;
        memcpy(s->rest + s->rest_len, (const uint8_t *)iov[i].iov_base + cut, iov[i].iov_len - cut);
        s->rest_len += iov[i].iov_len - cut;
    }
}

static int stream_send(struct link *link, const struct wire_frame *frame)
{
    struct stream_link *s = of(link);
    struct iovec iov[WIRE_IOV_MAX + 1];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)frame->iovcnt + 1};
    uint8_t length[LENGTH_BYTES];
    size_t total = 0;
    ssize_t n = -1;

    if (s->fd < 0)
        return -ENETDOWN;
    for (int i = 0; i < frame->iovcnt; i++)
        total += frame->iov[i].iov_len;
    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (uint8_t)(total >> (24 - 8 * i));
    iov[0] = (struct iovec){.iov_base = length, .iov_len = sizeof(length)};
    memcpy(iov + 1, frame->iov, (size_t)frame->iovcnt * sizeof(*iov));
    total += LENGTH_BYTES;

    if (s->rest_len == 0) {
        n = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n == (ssize_t)total)
            return 0;
        if (n < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
            return -errno; /* the reader sees the end and drops the monitor */
    }
    wait_writable(s);
    if (n < 0 && (frame->keep || STREAM_REST_BYTES - s->rest_len < total))
        return -EAGAIN;
    keep_rest(s, iov, frame->iovcnt + 1, n > 0 ? (size_t)n : 0);
    return 0;
}

static void send_rest(struct stream_link *s)
{
    ssize_t n = send(s->fd, s->rest, s->rest_len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n > 0) {
        memmove(s->rest, s->rest + n, s->rest_len - (size_t)n);
        s->rest_len -= (size_t)n;
    }
    if (s->rest_len > 0)
        return;
    s->waiting = false;
    want_events(s);
    link_writable(&s->link);
}

/* ---- in ---- */

static void one_frame(struct stream_link *s, const uint8_t *bytes, size_t len)
{
    struct instance *in = s->link.instance;
    /* libkrun negotiates offloads and drops their header: its checksums may be partial and must be trusted. */
    struct frame_offload offload = {.csum_trusted = s->link.spec.as.stream.super_segments};
    struct buf *buf = pool_get_wire(&in->pool, len);

    if (!buf)
        return; /* the pool counts it; the guest sends again what matters */
    memcpy(buf->data, bytes, len);
    buf->len = (uint32_t)len;
    (void)link_input(&s->link, buf, &offload); /* we come from the loop */
}

static void take_frames(struct stream_link *s)
{
    size_t at = 0;

    while (s->poll_live && s->in_len - at >= LENGTH_BYTES) {
        const uint8_t *p = s->in + at;
        uint32_t len = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];

        if (len < FRAME_ETH_BYTES || len > FRAME_BYTES_MAX) {
            instance_count(s->link.instance, COUNTER_LINK_BAD_LENGTH);
            drop_monitor(s);
            return;
        }
        if (s->in_len - at - LENGTH_BYTES < len)
            break;
        one_frame(s, p + LENGTH_BYTES, len);
        at += LENGTH_BYTES + len;
    }
    if (!s->poll_live)
        return; /* dropped from inside a frame */
    memmove(s->in, s->in + at, s->in_len - at);
    s->in_len -= at;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct stream_link *s = poll->data;
    ssize_t n;

    if (status < 0) {
        drop_monitor(s);
        return;
    }
    if (events & UV_WRITABLE && s->waiting)
        send_rest(s);
    if (!(events & UV_READABLE) || !s->poll_live)
        return;
    n = recv(s->fd, s->in + s->in_len, STREAM_READ_BYTES - s->in_len, MSG_DONTWAIT);
    if (n > 0) {
        s->in_len += (size_t)n;
        take_frames(s);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        drop_monitor(s);
    }
}

/* ---- coming and going ---- */

static void adopt(struct stream_link *s, int fd)
{
    struct link_caps caps = {0}; /* no header that could tell */
    int bytes = STREAM_SNDBUF_BYTES;

    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)); /* smaller is only slower */
    s->in = malloc(STREAM_READ_BYTES);
    s->rest = malloc(STREAM_REST_BYTES);
    if (!s->in || !s->rest || uv_poll_init(s->link.instance->loop, &s->poll, fd) < 0) {
        free(s->in);
        free(s->rest);
        s->in = s->rest = NULL;
        (void)close(fd);
        instance_count(s->link.instance, COUNTER_HOST_FD);
        return;
    }
    s->fd = fd;
    s->poll.data = s;
    s->poll_live = true;
    s->handles++;
    if (s->listen_live)
        (void)uv_poll_stop(&s->listen_poll); /* the next monitor waits in the backlog until this one is gone */
    want_events(s);
    link_came_up(&s->link, &caps);
}

static void on_listen(uv_poll_t *poll, int status, int events)
{
    struct stream_link *s = poll->data;
    int fd;

    (void)events;
    if (status < 0)
        return;
    fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            /* EMFILE and its like: look again later instead of spinning on a readable listener */
            instance_count(s->link.instance, COUNTER_HOST_FD);
            (void)uv_poll_stop(&s->listen_poll);
            (void)uv_timer_start(&s->retry, on_retry, STREAM_RETRY_MS, 0);
        }
        return;
    }
    adopt(s, fd);
}

static int unix_socket(const char *path, struct sockaddr_un *out_addr)
{
    *out_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    strcpy(out_addr->sun_path, path); /* parse_option() bounds it */
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static bool try_connect(struct stream_link *s)
{
    struct sockaddr_un addr;
    int fd = unix_socket(s->link.spec.as.stream.path, &addr);

    if (fd < 0)
        return false;
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        (void)close(fd);
        return false;
    }
    adopt(s, fd);
    return s->poll_live;
}

static void on_retry(uv_timer_t *timer)
{
    struct stream_link *s = timer->data;

    if (s->link.spec.as.stream.connect) {
        if (try_connect(s))
            (void)uv_timer_stop(timer);
    } else {
        (void)uv_timer_stop(timer);
        (void)uv_poll_start(&s->listen_poll, UV_READABLE, on_listen);
    }
}

static void wait_for_monitor(struct stream_link *s)
{
    if (s->link.spec.as.stream.connect) {
        (void)uv_timer_start(&s->retry, on_retry, STREAM_RETRY_MS, STREAM_RETRY_MS);
        return;
    }
    (void)uv_poll_start(&s->listen_poll, UV_READABLE, on_listen);
}

static int fail(char error[static LINK_ERROR_MAX], const char *what, const char *path, int err)
{
    (void)snprintf(error, LINK_ERROR_MAX, "%s '%s': %s", what, path, strerror(err));
    return -err;
}

static int start_listening(struct stream_link *s, char error[static LINK_ERROR_MAX])
{
    const char *path = s->link.spec.as.stream.path;
    struct sockaddr_un addr;
    struct stat st;
    int probe;

    /* A socket file nobody listens on is a leftover; one that answers is another weir's. */
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode))
            return fail(error, "the link's path is not a socket:", path, EEXIST);
        probe = unix_socket(path, &addr);
        if (probe >= 0 && connect(probe, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
            (void)close(probe);
            return fail(error, "someone already listens at", path, EADDRINUSE);
        }
        if (probe >= 0)
            (void)close(probe);
        (void)unlink(path);
    }
    s->listen_fd = unix_socket(path, &addr);
    if (s->listen_fd < 0)
        return fail(error, "no socket for", path, errno);
    if (bind(s->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(s->listen_fd, 4) < 0)
        return fail(error, "cannot listen at", path, errno);
    if (uv_poll_init(s->link.instance->loop, &s->listen_poll, s->listen_fd) < 0)
        return fail(error, "cannot watch", path, EIO);
    s->listen_poll.data = s;
    s->listen_live = true;
    s->handles++;
    return 0;
}

static int stream_start(struct link *link, char error[static LINK_ERROR_MAX])
{
    struct stream_link *s = of(link);
    int err;

    (void)uv_timer_init(link->instance->loop, &s->retry); /* cannot fail */
    s->retry.data = s;
    s->retry_live = true;
    s->handles++;
    if (link->spec.as.stream.connect) {
        if (!try_connect(s))
            wait_for_monitor(s);
        return 0;
    }
    err = start_listening(s, error);
    if (err == 0)
        wait_for_monitor(s);
    return err;
}

static void stream_close(struct link *link)
{
    struct stream_link *s = of(link);

    drop_monitor(s);
    if (s->listen_live)
        uv_close((uv_handle_t *)&s->listen_poll, on_handle_closed);
    if (s->listen_fd >= 0) {
        (void)close(s->listen_fd);
        (void)unlink(link->spec.as.stream.path);
    }
    s->listen_fd = -1;
    s->listen_live = false;
    if (s->retry_live)
        uv_close((uv_handle_t *)&s->retry, on_handle_closed);
    s->retry_live = false;
    if (s->handles == 0)
        link_closed(link);
}

static const struct link_ops stream_ops = {
    .start = stream_start,
    .send = stream_send,
    .close = stream_close,
};

/* ---- specs ---- */

static int parse_option(struct link_spec *spec, const char *key, const char *value,
                        char error[static LINK_ERROR_MAX])
{
    struct link_stream_options *o = &spec->as.stream;

    if (strcmp(key, "path") == 0)
        return link_option_text(key, value, o->path, sizeof(o->path), error);
    if (strcmp(key, "connect") == 0)
        return link_option_flag(key, value, &o->connect, error);
    if (strcmp(key, "offload") == 0)
        return link_option_offload(key, value, &o->super_segments, error);
    return -ENOENT;
}

static int check(const struct link_spec *spec, char error[static LINK_ERROR_MAX])
{
    return spec->as.stream.path[0] == '\0' ? link_option_missing(&link_kind_stream, "path", error) : 0;
}

static struct link *stream_new(const struct link_spec *spec)
{
    struct stream_link *s = calloc(1, sizeof(*s));

    (void)spec; /* it carries no descriptor */
    if (!s)
        return NULL;
    s->listen_fd = s->fd = -1;
    s->link.ops = &stream_ops;
    return &s->link;
}

const struct link_kind link_kind_stream = {
    .word = "stream",
    .options = "path=SOCKET[,connect][,name=NAME][,offload=compat]",
    .parse_option = parse_option,
    .check = check,
    .new = stream_new,
};
