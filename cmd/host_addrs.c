#include "cmd/host_addrs.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NOTICE_BYTES = 8192, NOTICES_MAX = 64 };

static bool addr_of(const struct sockaddr *sa, struct addr *out)
{
    if (sa && sa->sa_family == AF_INET)
        *out = addr_from_v4((const uint8_t *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr);
    else if (sa && sa->sa_family == AF_INET6)
        *out = addr_from_v6((const uint8_t *)&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
    else
        return false;
    return true;
}

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

int host_addrs_read(struct host_addrs *out)
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
        *out = found;
    return err;
}

/* What the notices say does not matter, only that there are some; when they overflow (ENOBUFS), likewise. */
static void on_notice(uv_poll_t *poll, int status, int events)
{
    struct host_watch *w = poll->data;
    char bytes[NOTICE_BYTES];

    (void)status; /* an error pending on the socket is taken by recv() */
    (void)events;
    for (unsigned i = 0; i < NOTICES_MAX; i++)
        if (recv(w->fd, bytes, sizeof(bytes), MSG_DONTWAIT) < 0 && errno != ENOBUFS)
            break;
    w->on_change(w->ctx);
}

int host_watch_open(struct host_watch *w, uv_loop_t *loop, void (*on_change)(void *ctx), void *ctx)
{
    struct sockaddr_nl groups = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
    };
    int err;

    *w = (struct host_watch){.on_change = on_change, .ctx = ctx};
    w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (w->fd < 0)
        return -errno;
    if (bind(w->fd, (const struct sockaddr *)&groups, sizeof(groups)) < 0)
        err = -errno;
    else
        err = uv_poll_init(loop, &w->poll, w->fd);
    if (err < 0) {
        (void)close(w->fd);
        return err;
    }
    w->poll.data = w;
    w->open = true;
    err = uv_poll_start(&w->poll, UV_READABLE, on_notice);
    if (err < 0)
        host_watch_close(w);
    return err;
}

void host_watch_close(struct host_watch *w)
{
    if (!w->open)
        return;
    w->open = false;
    uv_close((uv_handle_t *)&w->poll, NULL);
    (void)close(w->fd);
}
