/*
 * The server: one thread, level-triggered, whatever a connection's first byte asks for (bench.h). While it sends a UDP
 * train (train.h) it does nothing else.
 */
#include "tests/bench/train.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, ACCEPTS_A_TURN = 64 };

struct peer {
    struct up_order order; /* 'U' */
    size_t order_got;      /* bytes of it */
    struct up_answer up;   /* 'U': counts so far */
    unsigned unsent;       /* 'D': bytes left of the chunk that is being sent */
    char mode;             /* 0 until the first byte */
    bool last_chunk;       /* 'D': the client has asked for the end */
};

static struct peer *peers; /* owned; by descriptor */
static size_t peers_room;
static int epoll_fd;

static char chunk[BENCH_CHUNK_BYTES];
static char discarded[BENCH_DISCARD_BYTES]; /* never written: MSG_TRUNC */

static void watch(int op, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    if (epoll_ctl(epoll_fd, op, fd, &event) < 0)
        die("epoll_ctl");
}

static void accept_some(int listener)
{
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED))
            return;
        if (fd < 0 || (size_t)fd >= peers_room)
            die("accept");
        peers[fd] = (struct peer){0};
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

/* The functions below return false once the connection has ended. */

static bool again(ssize_t n)
{
    return n < 0 && errno == EAGAIN;
}

static bool count_up(int fd, struct peer *peer)
{
    bool ordered = peer->order_got == sizeof(peer->order);
    ssize_t n;

    if (ordered)
        n = recv(fd, discarded, sizeof(discarded), MSG_TRUNC);
    else
        n = recv(fd, (char *)&peer->order + peer->order_got, sizeof(peer->order) - peer->order_got, 0);
    if (n == 0) /* a few bytes into an empty buffer; if they get lost the client says so */
        (void)send(fd, &peer->up, sizeof(peer->up), 0);
    if (n <= 0)
        return again(n);
    if (!ordered) {
        peer->order_got += (size_t)n;
        return true;
    }
    peer->up.bytes += (uint64_t)n;
    if (now_ns() < peer->order.end_ns)
        peer->up.bytes_in_time += (uint64_t)n;
    return true;
}

static bool send_down(int fd, struct peer *peer, uint32_t events)
{
    char stop;
    ssize_t n;

    if ((events & EPOLLIN) && !peer->last_chunk) {
        if (recv(fd, &stop, 1, 0) != 1)
            return false;
        peer->last_chunk = true;
        watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
    }
    if (peer->unsent == 0 && !peer->last_chunk)
        peer->unsent = BENCH_CHUNK_BYTES;
    if (peer->unsent == 0)
        return false;
    n = send(fd, chunk, peer->unsent, 0);
    if (n > 0)
        peer->unsent -= (unsigned)n;
    return n > 0 || again(n);
}

static bool send_back(int fd)
{
    char bytes[256];
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

    if (n <= 0)
        return again(n);
    return send(fd, bytes, (size_t)n, 0) == n;
}

static bool first_byte(int fd, struct peer *peer)
{
    ssize_t n = recv(fd, &peer->mode, 1, 0);

    if (n <= 0)
        return again(n);
    switch (peer->mode) {
    case BENCH_UP:
        return true;
    case BENCH_DOWN:
        watch(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT);
        return true;
    case BENCH_RR:
        return send(fd, &peer->mode, 1, 0) == 1;
    case BENCH_CRR:
        (void)send(fd, &peer->mode, 1, 0); /* the client says so if it is missing */
        return false;
    default:
        return false;
    }
}

static bool serve_peer(int fd, uint32_t events)
{
    struct peer *peer = &peers[fd];

    switch (peer->mode) {
    case BENCH_UP:
        return count_up(fd, peer);
    case BENCH_DOWN:
        return send_down(fd, peer, events);
    case BENCH_RR:
        return send_back(fd);
    default:
        return first_byte(fd, peer);
    }
}

static int listen_at(const struct endpoint *addr)
{
    int one = 1;
    int fd = tcp_socket(addr->any.sa_family, SOCK_NONBLOCK); /* what is accepted inherits TCP_NODELAY */

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 || bind(fd, &addr->any, addr->len) < 0 ||
        listen(fd, BACKLOG) < 0)
        die("listen");
    return fd;
}

void cmd_serve(const struct endpoint *addr)
{
    struct epoll_event events[BENCH_EVENTS];
    struct rlimit files;
    int listener = listen_at(addr);
    int datagrams = udp_socket(addr->any.sa_family, 0);

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        die("getrlimit");
    peers_room = files.rlim_cur;
    peers = calloc(peers_room, sizeof(*peers));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!peers || epoll_fd < 0)
        die("no memory for %zu connections", peers_room);
    if (bind(datagrams, &addr->any, addr->len) < 0)
        die("bind");
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    watch(EPOLL_CTL_ADD, datagrams, EPOLLIN);
    if (puts("ready") < 0 || fflush(stdout) != 0)
        die("stdout");
    for (;;) {
        int n = epoll_wait(epoll_fd, events, BENCH_EVENTS, -1);

        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;

            if (fd == listener)
                accept_some(listener);
            else if (fd == datagrams)
                train_serve(datagrams);
            else if (!serve_peer(fd, events[i].events))
                (void)close(fd); /* nothing unread, so a FIN behind what is queued */
        }
    }
}
