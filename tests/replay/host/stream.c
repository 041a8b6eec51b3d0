/*
 * TCP handles of the stand-in for libuv (loop.h). A handle's sock is in u.reserved[0] from uv_tcp_init() on.
 */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "kernel.h"

enum {
    READS_AN_EVENT = 32,
    READ_SUGGESTED = 64 * 1024,
    /* flags of a handle; loop.c has 1 and 2 */
    STREAM_READING = 4,
    STREAM_READ_EOF = 8,
    STREAM_READ_PARTIAL = 16,
    STREAM_WRITABLE = 32,
    STREAM_SHUTTING = 64,
    STREAM_CLOSING = 2,
};

static struct list fed;
static bool fed_made;

static struct sock *sock_of_stream(const uv_stream_t *stream)
{
    return stream->u.reserved[0];
}

/* ---- callbacks that are due without an event ---- */

static struct list *fed_list(void)
{
    if (!fed_made)
        list_init(&fed);
    fed_made = true;
    return &fed;
}

static void feed(uv_stream_t *stream)
{
    struct sock *sock = sock_of_stream(stream);

    if (!list_linked(&sock->fed))
        list_append(fed_list(), &sock->fed);
}

bool stream_any_fed(void)
{
    return !list_empty(fed_list());
}

/* ---- watching ---- */

static void watch(uv_stream_t *stream)
{
    struct sock *sock = sock_of_stream(stream);
    bool out = stream->connect_req || stream->write_queue[0] || stream->shutdown_req;

    sock_watch(sock, (stream->flags & STREAM_READING ? SOCK_IN : 0u) | (out ? SOCK_OUT : 0u));
}

/* ---- reading ---- */

static void read_is_over(uv_stream_t *stream)
{
    stream->flags &= ~(unsigned)STREAM_READING;
    watch(stream);
}

static void read_eof(uv_stream_t *stream, const uv_buf_t *buf)
{
    stream->flags |= STREAM_READ_EOF;
    read_is_over(stream);
    stream->read_cb(stream, UV_EOF, buf);
}

static void read_all(uv_stream_t *stream)
{
    stream->flags &= ~(unsigned)STREAM_READ_PARTIAL;
    for (int count = READS_AN_EVENT; count > 0 && stream->flags & STREAM_READING; count--) {
        uv_buf_t buf = uv_buf_init(NULL, 0);
        struct iovec iov;
        ssize_t n;

        stream->alloc_cb((uv_handle_t *)stream, READ_SUGGESTED, &buf);
        if (!buf.base || buf.len == 0) {
            stream->read_cb(stream, UV_ENOBUFS, &buf);
            return;
        }
        iov = (struct iovec){.iov_base = buf.base, .iov_len = buf.len};
        n = sock_readv(sock_of_stream(stream), &iov, 1);
        if (n == -EAGAIN) {
            stream->read_cb(stream, 0, &buf);
            return;
        }
        if (n <= 0) {
            if (n == 0) {
                read_eof(stream, &buf);
                return;
            }
            stream->flags &= ~(unsigned)STREAM_WRITABLE;
            read_is_over(stream);
            stream->read_cb(stream, n, &buf);
            return;
        }
        stream->read_cb(stream, n, &buf);
        if ((size_t)n < buf.len) {
            stream->flags |= STREAM_READ_PARTIAL;
            return;
        }
    }
}

int uv_read_start(uv_stream_t *stream, uv_alloc_cb alloc_cb, uv_read_cb read_cb)
{
    if (stream->flags & STREAM_CLOSING || sock_of_stream(stream)->fd < 0)
        return stream->flags & STREAM_CLOSING ? UV_EINVAL : UV_ENOTCONN;
    if (stream->flags & STREAM_READING)
        return UV_EALREADY;
    stream->flags |= STREAM_READING;
    stream->alloc_cb = alloc_cb;
    stream->read_cb = read_cb;
    watch(stream);
    return 0;
}

int uv_read_stop(uv_stream_t *stream)
{
    if (stream->flags & STREAM_READING)
        read_is_over(stream);
    return 0;
}

/* ---- writing ---- */

static void take_request(void *queue[2], uv_write_t *req)
{
    req->queue[0] = NULL;
    if (queue[1])
        ((uv_write_t *)queue[1])->queue[0] = req;
    else
        queue[0] = req;
    queue[1] = req;
}

static uv_write_t *first_request(void *queue[2])
{
    uv_write_t *req = queue[0];

    if (!req)
        return NULL;
    queue[0] = req->queue[0];
    if (!queue[0])
        queue[1] = NULL;
    return req;
}

static void request_is_over(uv_stream_t *stream, uv_write_t *req, int status)
{
    (void)first_request(stream->write_queue);
    req->error = status;
    take_request(stream->write_completed_queue, req);
    feed(stream);
}

static ssize_t write_bufs(uv_stream_t *stream, const uv_buf_t *bufs, unsigned count)
{
    struct iovec iov[1024];

    CHECK(count <= 1024);
    for (unsigned i = 0; i < count; i++)
        iov[i] = (struct iovec){.iov_base = bufs[i].base, .iov_len = bufs[i].len};
    return sock_writev(sock_of_stream(stream), iov, (int)count);
}

static void advance(uv_stream_t *stream, uv_write_t *req, size_t n)
{
    stream->write_queue_size -= n;
    while (n > 0) {
        uv_buf_t *buf = &req->bufs[req->write_index];
        size_t part = n < buf->len ? n : buf->len;

        buf->base += part;
        buf->len -= part;
        n -= part;
        if (buf->len == 0)
            req->write_index++;
    }
}

static void write_queued(uv_stream_t *stream)
{
    uv_write_t *req;

    while ((req = stream->write_queue[0])) {
        ssize_t n = write_bufs(stream, req->bufs + req->write_index, req->nbufs - req->write_index);

        if (n == -EAGAIN)
            break;
        if (n < 0) {
            request_is_over(stream, req, (int)n);
            break;
        }
        advance(stream, req, (size_t)n);
        if (req->write_index < req->nbufs)
            break;
        request_is_over(stream, req, 0);
    }
    watch(stream);
}

static void forget_request(uv_stream_t *stream, uv_write_t *req)
{
    for (unsigned i = req->write_index; i < req->nbufs; i++)
        stream->write_queue_size -= req->bufs[i].len;
    kernel_free(req->bufs);
    req->bufs = NULL;
}

static void run_completed(uv_stream_t *stream)
{
    void *queue[2] = {stream->write_completed_queue[0], stream->write_completed_queue[1]};
    uv_write_t *req;

    stream->write_completed_queue[0] = stream->write_completed_queue[1] = NULL;
    while ((req = first_request(queue))) {
        forget_request(stream, req);
        if (req->cb)
            req->cb(req, req->error);
    }
}

int uv_write(uv_write_t *req, uv_stream_t *stream, const uv_buf_t bufs[], unsigned count, uv_write_cb cb)
{
    bool first = !stream->write_queue[0];

    CHECK(count > 0 && !(stream->flags & STREAM_CLOSING));
    if (sock_of_stream(stream)->fd < 0)
        return UV_EBADF;
    if (!(stream->flags & STREAM_WRITABLE))
        return UV_EPIPE;
    req->cb = cb;
    req->handle = stream;
    req->error = 0;
    req->write_index = 0;
    req->nbufs = count;
    req->bufs = kernel_alloc(count * sizeof(*bufs));
    memcpy(req->bufs, bufs, count * sizeof(*bufs));
    for (unsigned i = 0; i < count; i++)
        stream->write_queue_size += bufs[i].len;
    take_request(stream->write_queue, req);
    if (!stream->connect_req && first)
        write_queued(stream);
    return 0;
}

int uv_try_write(uv_stream_t *stream, const uv_buf_t bufs[], unsigned count)
{
    if (stream->connect_req || stream->write_queue_size != 0)
        return UV_EAGAIN;
    if (sock_of_stream(stream)->fd < 0)
        return UV_EBADF;
    if (!(stream->flags & STREAM_WRITABLE))
        return UV_EPIPE;
    return (int)write_bufs(stream, bufs, count);
}

/* ---- the end of writing ---- */

int uv_shutdown(uv_shutdown_t *req, uv_stream_t *stream, uv_shutdown_cb cb)
{
    if (!(stream->flags & STREAM_WRITABLE) || stream->flags & (STREAM_SHUTTING | STREAM_CLOSING))
        return UV_ENOTCONN;
    req->handle = stream;
    req->cb = cb;
    stream->shutdown_req = req;
    stream->flags |= STREAM_SHUTTING;
    stream->flags &= ~(unsigned)STREAM_WRITABLE;
    watch(stream);
    return 0;
}

static void shut_when_drained(uv_stream_t *stream)
{
    uv_shutdown_t *req = stream->shutdown_req;
    struct sock *sock = sock_of_stream(stream);
    int status = 0;

    if (!req || stream->write_queue[0])
        return;
    stream->shutdown_req = NULL;
    stream->flags &= ~(unsigned)STREAM_SHUTTING;
    if (sock->state == SOCK_OPEN)
        sock_shutdown(sock);
    else
        status = UV_ENOTCONN; /* shutdown(2) on a connection that was reset */
    watch(stream);
    if (req->cb)
        req->cb(req, status);
}

/* ---- connecting ---- */

static void connect_is_over(uv_stream_t *stream)
{
    uv_connect_t *req = stream->connect_req;
    struct sock *sock = sock_of_stream(stream);
    int error = stream->delayed_error ? stream->delayed_error : -sock_take_error(sock);

    if (error == 0 && sock->state == SOCK_CONNECTING)
        return;
    stream->delayed_error = 0;
    stream->connect_req = NULL;
    if (error == 0)
        stream->flags |= STREAM_WRITABLE;
    watch(stream);
    req->cb(req, error);
}

static void on_stream_io(struct sock *sock, unsigned events)
{
    uv_stream_t *stream = sock->watcher;

    if (stream->connect_req) {
        connect_is_over(stream);
        return;
    }
    if (events & (SOCK_IN | SOCK_ERR | SOCK_HUP) && stream->flags & STREAM_READING)
        read_all(stream);
    if (stream->flags & STREAM_CLOSING)
        return;
    if (events & SOCK_HUP && stream->flags & STREAM_READING && stream->flags & STREAM_READ_PARTIAL &&
        !(stream->flags & STREAM_READ_EOF)) {
        uv_buf_t none = uv_buf_init(NULL, 0);

        read_eof(stream, &none);
    }
    if (stream->flags & STREAM_CLOSING || !(events & (SOCK_OUT | SOCK_ERR | SOCK_HUP)))
        return;
    write_queued(stream);
    run_completed(stream);
    if (!(stream->flags & STREAM_CLOSING))
        shut_when_drained(stream);
}

void stream_run_fed(void)
{
    struct list now;
    struct list *node;

    list_init(&now);
    list_splice(&now, fed_list());
    while ((node = list_take_first(&now))) {
        uv_stream_t *stream = LIST_ENTRY(node, struct sock, fed)->watcher;

        if (stream->connect_req)
            connect_is_over(stream);
        else
            run_completed(stream);
    }
}

int uv_tcp_init(uv_loop_t *loop, uv_tcp_t *tcp)
{
    void *data = tcp->data;
    struct sock *sock = sock_new(true);

    memset(tcp, 0, sizeof(*tcp));
    tcp->data = data;
    tcp->loop = loop;
    tcp->type = UV_TCP;
    tcp->u.reserved[0] = sock;
    sock->watcher = tcp;
    sock->on_io = on_stream_io;
    return 0;
}

int uv_tcp_connect(uv_connect_t *req, uv_tcp_t *tcp, const struct sockaddr *to, uv_connect_cb cb)
{
    uv_stream_t *stream = (uv_stream_t *)tcp;
    struct sock *sock = sock_of_stream(stream);
    int err;

    if (stream->connect_req)
        return UV_EALREADY;
    err = sock->fd < 0 ? sock_open(sock) : 0;
    if (err < 0)
        return err;
    err = sock_connect(sock, to);
    if (err < 0 && err != -EINPROGRESS && err != -ECONNREFUSED)
        return err;
    req->cb = cb;
    req->handle = stream;
    stream->connect_req = req;
    if (err == -ECONNREFUSED) {
        stream->delayed_error = err;
        feed(stream);
    }
    watch(stream);
    return 0;
}

int uv_tcp_nodelay(uv_tcp_t *tcp, int enable)
{
    sock_of_stream((uv_stream_t *)tcp)->nodelay = enable != 0;
    return 0;
}

int uv_fileno(const uv_handle_t *handle, uv_os_fd_t *out_fd)
{
    const struct sock *sock = handle->u.reserved[0];

    if (handle->flags & STREAM_CLOSING || sock->fd < 0)
        return UV_EBADF;
    *out_fd = sock->fd;
    return 0;
}

/* ---- closing ---- */

void stream_close(uv_stream_t *stream)
{
    struct sock *sock = sock_of_stream(stream);

    stream->flags &= ~(unsigned)STREAM_READING;
    list_unlink(&sock->fed);
    sock_watch(sock, 0);
    sock_close(sock);
}

void stream_finish(uv_stream_t *stream)
{
    struct sock *sock = sock_of_stream(stream);
    uv_write_t *req;

    if (stream->connect_req)
        stream->connect_req->cb(stream->connect_req, UV_ECANCELED);
    stream->connect_req = NULL;
    while ((req = stream->write_queue[0]))
        request_is_over(stream, req, UV_ECANCELED);
    list_unlink(&sock->fed);
    run_completed(stream);
    if (stream->shutdown_req && stream->shutdown_req->cb)
        stream->shutdown_req->cb(stream->shutdown_req, UV_ECANCELED);
    stream->shutdown_req = NULL;
    sock->watcher = NULL;
    sock_free(sock);
}
