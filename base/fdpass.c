#include "base/fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Room for one descriptor. Alignment may leave place for a second one; further ones the kernel closes. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int fdpass_send(int s, const void *message, size_t len, int fd)
{
    union control control = {.bytes = {0}};
    struct iovec iov = {.iov_base = (void *)message, .iov_len = len}; /* sendmsg() only reads it */
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (fd >= 0) {
        struct cmsghdr *c;

        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof(control.bytes);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    do
        n = sendmsg(s, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t)n == len ? 0 : -EMSGSIZE;
}

/* Keep the first descriptor that came, close the others. Return: how many came. */
static size_t take_descriptors(struct msghdr *msg, int *out_fd)
{
    size_t count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (count++ == 0)
                *out_fd = fd;
            else
                (void)close(fd);
        }
    }
    return count;
}

int fdpass_receive(int s, void *out_message, size_t len, int *out_fd)
{
    union control control;
    struct iovec iov = {.iov_base = out_message, .iov_len = len};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    size_t count;
    int fd = -1;
    ssize_t n;

    do
        n = recvmsg(s, &msg, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    count = take_descriptors(&msg, &fd);
    if ((size_t)n == len && count <= 1 && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        *out_fd = fd;
        return 0;
    }
    if (fd >= 0)
        (void)close(fd);
    return n == 0 && count == 0 ? -EPIPE : -EBADMSG;
}
