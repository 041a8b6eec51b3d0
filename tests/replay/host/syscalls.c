/*
 * System calls of weir's on host sockets, by the linker's --wrap: a simulated descriptor goes to the simulated kernel, a real one
 * (the flow log, files) to the real one. The wall clock and random bytes are the simulation's.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "base/check.h"
#include "base/sockaddr.h"
#include "kernel.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* newer than some headers */
#endif

ssize_t __real_readv(int fd, const struct iovec *iov, int iovcnt);
int __real_close(int fd);

int __wrap_socket(int family, int type, int protocol);
int __wrap_bind(int fd, const struct sockaddr *local, socklen_t len);
int __wrap_getsockname(int fd, struct sockaddr *out_local, socklen_t *len);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t len);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout);
ssize_t __wrap_recv(int fd, void *out, size_t len, int flags);
ssize_t __wrap___recv_chk(int fd, void *out, size_t len, size_t room, int flags);
ssize_t __wrap_sendto(int fd, const void *bytes, size_t len, int flags, const struct sockaddr *to, socklen_t to_len);
ssize_t __wrap_recvfrom(int fd, void *out, size_t len, int flags, struct sockaddr *from, socklen_t *from_len);
ssize_t __wrap___recvfrom_chk(int fd, void *out, size_t len, size_t room, int flags, struct sockaddr *from,
                              socklen_t *from_len);
ssize_t __wrap_readv(int fd, const struct iovec *iov, int iovcnt);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_close(int fd);
ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags);
time_t __wrap_time(time_t *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);

static ssize_t answer(ssize_t result)
{
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

int __wrap_socket(int family, int type, int protocol)
{
    struct sock *sock;
    int err;

    (void)protocol;
    CHECK(family == AF_INET || family == AF_INET6);
    sock = sock_new((type & SOCK_STREAM) == SOCK_STREAM);
    err = sock_open(sock);
    if (err < 0) {
        sock_free(sock);
        return (int)answer(err);
    }
    return sock->fd;
}

/* Every port is free, and which one it is does not matter. */
int __wrap_bind(int fd, const struct sockaddr *local, socklen_t len)
{
    (void)local;
    (void)len;
    return (int)answer(sock_of(fd) ? 0 : -EBADF);
}

int __wrap_getsockname(int fd, struct sockaddr *out_local, socklen_t *len)
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = 1};

    if (!sock_of(fd) || *len < sizeof(local))
        return (int)answer(-EBADF);
    memcpy(out_local, &local, sizeof(local));
    *len = sizeof(local);
    return 0;
}

int __wrap_connect(int fd, const struct sockaddr *to, socklen_t len)
{
    struct sock *sock = sock_of(fd);

    (void)len;
    return (int)answer(sock ? sock_connect(sock, to) : -EBADF);
}

static ssize_t send_datagram(struct sock *sock, const struct addr *to, uint16_t port, const void *bytes, size_t len)
{
    int err = sock->error != 0 ? -sock_take_error(sock) : kernel_send_datagram(sock, to, port, bytes, len);

    return err < 0 ? err : (ssize_t)len;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
    struct sock *sock = sock_of(fd);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};

    (void)flags;
    if (!sock)
        return answer(-EBADF);
    return answer(sock->stream ? sock_writev(sock, &iov, 1)
                               : send_datagram(sock, &sock->to, sock->to_port, bytes, len));
}

ssize_t __wrap_sendto(int fd, const void *bytes, size_t len, int flags, const struct sockaddr *to, socklen_t to_len)
{
    struct sockaddr_storage ss = {0};
    struct sock *sock = sock_of(fd);
    struct addr addr;
    uint16_t port;

    (void)flags;
    if (!sock || to_len > sizeof(ss))
        return answer(-EBADF);
    if (!to)
        return answer(send_datagram(sock, &sock->to, sock->to_port, bytes, len));
    memcpy(&ss, to, to_len);
    if (!sockaddr_to(&ss, &addr, &port))
        return answer(-EAFNOSUPPORT);
    return answer(send_datagram(sock, &addr, port, bytes, len));
}

/* With MSG_TRUNC the true length is told. */
static ssize_t take_datagram(struct sock *sock, void *out, size_t len, int flags, struct sockaddr *from,
                             socklen_t *from_len)
{
    struct sockaddr_storage ss;
    struct host_datagram *d;
    ssize_t n;

    if (sock->error != 0)
        return -sock_take_error(sock);
    if (list_empty(&sock->datagrams))
        return -EAGAIN;
    d = LIST_ENTRY(list_take_first(&sock->datagrams), struct host_datagram, node);
    sock->datagram_count--;
    n = (ssize_t)(d->len < len ? d->len : len);
    memcpy(out, d->bytes, (size_t)n);
    if (from) {
        *from_len = sockaddr_from(&d->from, d->port, &ss);
        memcpy(from, &ss, *from_len);
    }
    if (flags & MSG_TRUNC)
        n = (ssize_t)d->len;
    kernel_free(d);
    return n;
}

ssize_t __wrap_recvfrom(int fd, void *out, size_t len, int flags, struct sockaddr *from, socklen_t *from_len)
{
    struct sock *sock = sock_of(fd);
    struct iovec iov = {.iov_base = out, .iov_len = len};

    if (!sock)
        return answer(-EBADF);
    return answer(sock->stream ? sock_readv(sock, &iov, 1) : take_datagram(sock, out, len, flags, from, from_len));
}

/* Rows of datagrams (UDP_SEGMENT) leave one by one. */
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(message);
    const uint8_t *bytes = message->msg_iov->iov_base;
    size_t len = message->msg_iov->iov_len;
    uint16_t segment = 0;

    CHECK(message->msg_iovlen == 1);
    if (c && c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT)
        memcpy(&segment, CMSG_DATA(c), sizeof(segment));
    for (size_t at = 0; segment > 0 && len - at > segment; at += segment, bytes += segment)
        if (__wrap_sendto(fd, bytes, segment, flags, message->msg_name, message->msg_namelen) < 0)
            return -1;
    if (segment > 0)
        len = (len - 1) % segment + 1;
    return __wrap_sendto(fd, bytes, len, flags, message->msg_name, message->msg_namelen) < 0
               ? -1
               : (ssize_t)message->msg_iov->iov_len;
}

/* An error is told by the call that meets it: the error queue is empty. */
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    (void)message;
    CHECK(flags & MSG_ERRQUEUE);
    return answer(sock_of(fd) ? -EAGAIN : -EBADF);
}

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    unsigned n = 0;

    (void)timeout;
    for (; n < count; n++) {
        struct msghdr *m = &messages[n].msg_hdr;
        ssize_t len = __wrap_recvfrom(fd, m->msg_iov->iov_base, m->msg_iov->iov_len, flags, m->msg_name,
                                      &m->msg_namelen);

        if (len < 0)
            break;
        messages[n].msg_len = (unsigned)len;
        m->msg_controllen = 0;
    }
    return n > 0 ? (int)n : -1;
}

ssize_t __wrap_recv(int fd, void *out, size_t len, int flags)
{
    return __wrap_recvfrom(fd, out, len, flags, NULL, NULL);
}

/* What a compiler makes of them with _FORTIFY_SOURCE. */
ssize_t __wrap___recv_chk(int fd, void *out, size_t len, size_t room, int flags)
{
    CHECK(len <= room);
    return __wrap_recv(fd, out, len, flags);
}

ssize_t __wrap___recvfrom_chk(int fd, void *out, size_t len, size_t room, int flags, struct sockaddr *from,
                              socklen_t *from_len)
{
    CHECK(len <= room);
    return __wrap_recvfrom(fd, out, len, flags, from, from_len);
}

ssize_t __wrap_readv(int fd, const struct iovec *iov, int iovcnt)
{
    struct sock *sock = sock_of(fd);

    return sock ? answer(sock_readv(sock, iov, iovcnt)) : __real_readv(fd, iov, iovcnt);
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    struct sock *sock = sock_of(fd);
    int number = 0;

    if (!sock)
        return (int)answer(-EBADF);
    if (level == SOL_SOCKET && name == SO_LINGER && len == sizeof(struct linger)) {
        struct linger linger;

        memcpy(&linger, value, sizeof(linger));
        sock->linger_zero = linger.l_onoff && linger.l_linger == 0;
        return 0;
    }
    memcpy(&number, value, len < sizeof(number) ? len : sizeof(number));
    if (level == SOL_SOCKET && name == SO_KEEPALIVE)
        sock->keepalive = number != 0;
    else if (level == IPPROTO_TCP && name == TCP_KEEPIDLE)
        sock->keep_idle_s = number;
    else if (level == IPPROTO_TCP && name == TCP_KEEPINTVL)
        sock->keep_interval_s = number;
    else if (level == IPPROTO_TCP && name == TCP_KEEPCNT)
        sock->keep_count = number;
    return 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    struct sock *sock = sock_of(fd);
    int error;

    if (!sock)
        return (int)answer(-EBADF);
    if (level != SOL_SOCKET || name != SO_ERROR || *len < sizeof(error))
        return (int)answer(-ENOPROTOOPT);
    error = sock_take_error(sock);
    memcpy(value, &error, sizeof(error));
    return 0;
}

int __wrap_close(int fd)
{
    struct sock *sock = sock_of(fd);

    if (!sock)
        return __real_close(fd);
    sock_close(sock);
    return 0;
}

ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags)
{
    uint8_t *p = out;

    (void)flags;
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(kernel_random() >> 32);
    return (ssize_t)len;
}

static uint64_t wall_us(void)
{
    return (uint64_t)KERNEL_WALL_S * 1000000 + kernel_now_us() - KERNEL_START_US;
}

time_t __wrap_time(time_t *out)
{
    time_t now = (time_t)(wall_us() / 1000000);

    if (out)
        *out = now;
    return now;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    uint64_t us = clock == CLOCK_REALTIME ? wall_us() : kernel_now_us();

    out->tv_sec = (time_t)(us / 1000000);
    out->tv_nsec = (long)(us % 1000000) * 1000;
    return 0;
}
