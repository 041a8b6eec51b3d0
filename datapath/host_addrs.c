#include "datapath/host_addrs.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sockaddr.h"

enum { NOTICE_BYTES = 8192, NOTICES_MAX = 64 };

int host_addrs_add(struct host_addrs *h, const struct addr *a)
{
    static const struct group_table none;
    enum group group = group_of(&none, a, NULL);
    size_t at = 0;

    if (group == GROUP_LOOPBACK || group == GROUP_LINK_LOCAL)
        return 0;
    while (at < h->count && memcmp(&h->addrs[at], a, sizeof(*a)) < 0)
        at++;
    if (at < h->count && addr_equal(&h->addrs[at], a))
        return 0;
    if (h->count == GROUP_HOST_ADDRS_MAX)
        return -E2BIG;
    memmove(&h->addrs[at + 1], &h->addrs[at], (h->count - at) * sizeof(*a));
    h->addrs[at] = *a;
    h->count++;
    return 0;
}

/* Interfaces have addresses of other families, and none: those are not for us. */
static bool addr_of(const struct sockaddr *sa, struct addr *out_addr)
{
    struct sockaddr_storage whole = {0};
    uint16_t port;

    if (!sa || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
        return false;
    memcpy(&whole, sa, sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    return sockaddr_to(&whole, out_addr, &port);
}

int host_addrs_read(struct host_addrs *out_addrs)
{
    struct host_addrs found = {0};
    struct ifaddrs *list;
    struct addr a;
    int err = 0;

    if (getifaddrs(&list) < 0)
        return -errno;
    for (struct ifaddrs *i = list; i && err == 0; i = i->ifa_next)
        if (addr_of(i->ifa_addr, &a))
            err = host_addrs_add(&found, &a);
    freeifaddrs(list);
    if (err == 0)
        *out_addrs = found;
    return err;
}

/* ---- watching ---- */

static bool same(const struct host_addrs *a, const struct host_addrs *b)
{
    return a->count == b->count && memcmp(a->addrs, b->addrs, a->count * sizeof(a->addrs[0])) == 0;
}

/* What the notices say does not matter, only that there are some; when they overflow (ENOBUFS), likewise. */
static void on_notice(uv_poll_t *poll, int status, int events)
{
    struct host_watch *w = poll->data;
    bool known = w->known, watching;
    char bytes[NOTICE_BYTES];
    struct host_addrs now;
    int err;

    (void)events;
    /* After an overflow libuv says EBADF and stops watching; what was missed is read anew below. */
    watching = status == 0 || uv_poll_start(&w->poll, UV_READABLE, on_notice) == 0;
    for (unsigned i = 0; i < NOTICES_MAX; i++)
        if (recv(w->fd, bytes, sizeof(bytes), MSG_DONTWAIT) < 0 && errno != ENOBUFS)
            break;
    /* The guest may have used up the descriptors: the one kept for this makes room for getifaddrs()'s socket. */
    if (w->spare_fd >= 0)
        (void)close(w->spare_fd);
    err = watching ? host_addrs_read(&now) : -EIO; /* blind is not the same as unchanged */
    w->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    w->known = err == 0;
    if (known == w->known && (err < 0 || same(&now, &w->addrs)))
        return;
    if (err == 0)
        w->addrs = now;
    w->on_change(w->ctx, err);
}

int host_watch_init(struct host_watch *w)
{
    struct sockaddr_nl groups = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
    };
    int err;

    *w = (struct host_watch){
        .fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE),
        .spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
    };
    if (w->fd < 0)
        return -errno;
    /* Subscribe first: a change between reading and subscribing would be missed. */
    if (bind(w->fd, (const struct sockaddr *)&groups, sizeof(groups)) < 0)
        return -errno;
    err = host_addrs_read(&w->addrs);
    w->known = err == 0;
    return err;
}

void host_watch_deinit(struct host_watch *w)
{
    if (w->fd >= 0)
        (void)close(w->fd);
    if (w->spare_fd >= 0)
        (void)close(w->spare_fd);
    w->fd = w->spare_fd = -1;
}

int host_watch_start(struct host_watch *w, uv_loop_t *loop, void (*on_change)(void *ctx, int err), void *ctx)
{
    int err = uv_poll_init(loop, &w->poll, w->fd);

    if (err < 0)
        return err;
    w->poll.data = w;
    w->on_change = on_change;
    w->ctx = ctx;
    w->started = true;
    (void)uv_poll_start(&w->poll, UV_READABLE, on_notice); /* cannot fail: nobody else polls this descriptor */
    uv_unref((uv_handle_t *)&w->poll);
    return 0;
}

void host_watch_close(struct host_watch *w, uv_close_cb on_closed)
{
    if (!w->started)
        return;
    w->started = false;
    uv_close((uv_handle_t *)&w->poll, on_closed);
    host_watch_deinit(w);
}
