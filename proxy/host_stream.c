#include "proxy/host_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* Return: -1 when the handle is closed. */
static int fd_of(const uv_stream_t *stream)
{
    uv_os_fd_t fd;

    return uv_fileno((const uv_handle_t *)stream, &fd) == 0 ? fd : -1;
}

ssize_t host_stream_readv(const uv_stream_t *stream, const struct iovec *iov, int iovcnt)
{
    int fd = fd_of(stream);
    ssize_t n;

    if (fd < 0)
        return -EBADF;
    do
        n = readv(fd, iov, iovcnt);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int host_stream_end(const uv_stream_t *stream)
{
    int fd = fd_of(stream), err = 0;
    socklen_t len = sizeof(err);

    if (fd >= 0)
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len); /* cannot fail on a socket */
    return err > 0 ? -err : UV_EOF;
}

void host_stream_keepalive(const uv_stream_t *stream, uint32_t idle_ms)
{
    enum { PROBES = 8 };
    int fd = fd_of(stream), on = 1, probes = PROBES, idle_s = (int)(idle_ms / 1000), interval_s = idle_s / PROBES;

    if (idle_s < 1 || fd < 0)
        return;
    if (interval_s < 1)
        interval_s = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

void host_stream_reset_on_close(const uv_stream_t *stream)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    int fd = fd_of(stream);

    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)); /* else it ends with FIN */
}
