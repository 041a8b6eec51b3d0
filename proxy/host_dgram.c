#include "proxy/host_dgram.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h> /* wants <time.h> */

#include "base/sockaddr.h"

/* Newer than some headers; the values are Linux's own (include/uapi/linux/udp.h, in.h, in6.h). */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { CONTROL_BYTES = 64, ERROR_CONTROL_BYTES = 512 };

struct host_dgram_batch {
    unsigned used; /* so many messages, from the first on, are to be set up anew */
    struct mmsghdr messages[HOST_DGRAM_BATCH];
    struct iovec iov[HOST_DGRAM_BATCH];
    struct sockaddr_storage from[HOST_DGRAM_BATCH];
    _Alignas(struct cmsghdr) uint8_t control[HOST_DGRAM_BATCH][CONTROL_BYTES];
    uint8_t bytes[HOST_DGRAM_BATCH][HOST_DGRAM_SLOT_BYTES];
};

struct host_dgram_batch *host_dgram_batch_new(void)
{
    void *p = mmap(NULL, sizeof(struct host_dgram_batch), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct host_dgram_batch *batch = p == MAP_FAILED ? NULL : p;

    if (batch)
        batch->used = HOST_DGRAM_BATCH;
    return batch;
}

void host_dgram_batch_free(struct host_dgram_batch *batch)
{
    if (batch)
        (void)munmap(batch, sizeof(*batch));
}

/* ---- sockets ---- */

static void set_option(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof(value)); /* an older kernel does without */
}

int host_dgram_open(enum host_dgram_kind kind, enum addr_family family)
{
    bool v6 = family == ADDR_V6;
    int proto = kind == HOST_DGRAM_UDP ? 0 : v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, proto);

    if (fd < 0)
        return -errno;
    set_option(fd, SOL_SOCKET, SO_RCVBUF, HOST_DGRAM_SOCKET_BUFFER);
    set_option(fd, SOL_SOCKET, SO_SNDBUF, HOST_DGRAM_SOCKET_BUFFER);
    if (v6)
        set_option(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
    else
        set_option(fd, IPPROTO_IP, IP_RECVERR, 1);
    if (kind == HOST_DGRAM_UDP)
        set_option(fd, IPPROTO_UDP, UDP_GRO, 1);
    return fd;
}

void host_dgram_set_df(int fd, enum addr_family family, bool df)
{
    if (family == ADDR_V6) {
        set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, df ? IPV6_PMTUDISC_DO : IPV6_PMTUDISC_WANT);
        set_option(fd, IPPROTO_IPV6, IPV6_DONTFRAG, df);
    } else {
        set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, df ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT);
    }
}

/* A port is shared between sockets of one user, from the moment on that both ask for it (socket(7), SO_REUSEPORT). */
static int share_port(int fd, int beside)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    struct addr local;
    uint16_t port;
    int err = 0;

    if (getsockname(beside, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    if (!sockaddr_to(&sa, &local, &port) || port == 0)
        return -EINVAL;
    set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    set_option(beside, SOL_SOCKET, SO_REUSEPORT, 1);
    if (bind(fd, (const struct sockaddr *)&sa, len) < 0)
        err = -errno;
    set_option(beside, SOL_SOCKET, SO_REUSEPORT, 0);
    return err;
}

static int connect_to(int fd, const struct addr *to, uint16_t port)
{
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_from(to, port, &sa);

    return connect(fd, (const struct sockaddr *)&sa, len) < 0 ? -errno : 0;
}

int host_dgram_open_beside(int fd, const struct addr *to, uint16_t port)
{
    int own = host_dgram_open(HOST_DGRAM_UDP, to->family), err;

    if (own < 0)
        return own;
    err = share_port(own, fd);
    if (err == 0)
        err = connect_to(own, to, port);
    if (err < 0) {
        (void)close(own);
        return err;
    }
    return own;
}

int host_dgram_reconnect(int fd, const struct addr *to, uint16_t port)
{
    struct sockaddr_storage none = {.ss_family = AF_UNSPEC};

    if (connect(fd, (const struct sockaddr *)&none, sizeof(none)) < 0) /* else the source address stays */
        return -errno;
    return connect_to(fd, to, port);
}

/* ---- in ---- */

static uint16_t segment_of(struct msghdr *message)
{
    int segment;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            memcpy(&segment, CMSG_DATA(c), sizeof(segment));
            return segment > 0 && segment <= UINT16_MAX ? (uint16_t)segment : 0;
        }
    return 0;
}

/* Those that were used are set up anew: the kernel writes lengths into what it is given. */
static void prepare(struct host_dgram_batch *b)
{
    for (unsigned i = 0; i < b->used; i++) {
        b->iov[i] = (struct iovec){.iov_base = b->bytes[i], .iov_len = sizeof(b->bytes[i])};
        b->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &b->from[i],
            .msg_namelen = sizeof(b->from[i]),
            .msg_iov = &b->iov[i],
            .msg_iovlen = 1,
            .msg_control = b->control[i],
            .msg_controllen = sizeof(b->control[i]),
        };
    }
    b->used = 0;
}

int host_dgram_receive(int fd, struct host_dgram_batch *batch, struct host_dgram_in out_in[static HOST_DGRAM_BATCH])
{
    int n, taken = 0;

    prepare(batch);
    n = recvmmsg(fd, batch->messages, HOST_DGRAM_BATCH, MSG_DONTWAIT, NULL);
    batch->used = n < 0 ? 1 : (unsigned)n;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        struct host_dgram_in *in = &out_in[taken];

        if (!sockaddr_to(&batch->from[i], &in->from, &in->port))
            continue;
        in->bytes = batch->bytes[i];
        in->len = batch->messages[i].msg_len;
        in->segment = segment_of(&batch->messages[i].msg_hdr);
        if (in->segment >= in->len)
            in->segment = 0;
        taken++;
    }
    return n > 0 && taken == 0 ? -EAGAIN : taken;
}

/* ---- errors ---- */

/* What a datagram of `len` sent to `to` met: from a router, the far host, or this one. */
static bool read_error(struct msghdr *message, struct host_dgram_error *out)
{
    struct sock_extended_err err;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
            !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
            continue;
        memcpy(&err, CMSG_DATA(c), sizeof(err));
        out->error = (int)err.ee_errno;
        out->mtu = err.ee_errno == EMSGSIZE ? err.ee_info : 0;
        return true;
    }
    return false;
}

bool host_dgram_next_error(int fd, struct host_dgram_error *out_error)
{
    _Alignas(struct cmsghdr) uint8_t control[ERROR_CONTROL_BYTES];
    struct sockaddr_storage to = {.ss_family = AF_UNSPEC};
    struct iovec iov = {.iov_base = out_error->bytes, .iov_len = sizeof(out_error->bytes)};
    struct msghdr message = {
        .msg_name = &to,
        .msg_namelen = sizeof(to),
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    ssize_t n;

    do {
        n = recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return false;
    out_error->len = (size_t)n;
    out_error->error = 0;
    out_error->mtu = 0;
    if (!sockaddr_to(&to, &out_error->to, &out_error->port))
        out_error->to = (struct addr){.family = ADDR_NONE};
    (void)read_error(&message, out_error);
    return true;
}

/* ---- out ---- */

int host_dgram_send(int fd, const struct addr *to, uint16_t port, const void *bytes, size_t len, uint16_t segment)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct sockaddr_storage sa;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    struct msghdr message = {
        .msg_name = to ? &sa : NULL,
        .msg_namelen = to ? sockaddr_from(to, port, &sa) : 0,
        .msg_iov = &iov,
        .msg_iovlen = 1,
    };

    if (segment > 0) {
        struct cmsghdr *c = (struct cmsghdr *)(void *)control;

        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof(segment));
        memcpy(CMSG_DATA(c), &segment, sizeof(segment));
    }
    while (sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

bool host_dgram_reaches(const struct addr *a)
{
    enum { ANY_PORT = 9 }; /* discard; connect() of a datagram socket only looks for a route */
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_from(a, ANY_PORT, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool reached;

    if (fd < 0)
        return errno != EAFNOSUPPORT; /* a lack of descriptors is no lack of routes */
    reached = connect(fd, (struct sockaddr *)&sa, len) == 0 ||
              (errno != ENETUNREACH && errno != EADDRNOTAVAIL && errno != EAFNOSUPPORT);
    (void)close(fd);
    return reached;
}
