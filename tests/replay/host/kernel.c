#include "kernel.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/sockaddr.h"

struct event {
    uint64_t due_us, order;
    void (*fn)(void *ctx);
    void *ctx;
    bool owned; /* ctx */
};

/* One: system calls have no context to find another by. */
static struct {
    uint64_t now_us, seed, order;
    const struct world *world;
    struct event *heap; /* owned */
    size_t heap_len, heap_cap;
    struct sock **socks; /* owned array, by descriptor */
    unsigned fd_cap, fd_next, fds, fds_most, fds_max;
    struct list ready, all;
    uint64_t memory;
} k;

/* ---- memory ---- */

void *kernel_alloc(size_t bytes)
{
    void *p = calloc(1, bytes);

    CHECK(p);
    k.memory += malloc_usable_size(p);
    return p;
}

void kernel_free(void *p)
{
    if (!p)
        return;
    k.memory -= malloc_usable_size(p);
    free(p);
}

uint64_t kernel_memory(void)
{
    return k.memory;
}

static void *grow(void *old, size_t old_bytes, size_t bytes)
{
    void *p = kernel_alloc(bytes);

    if (old)
        memcpy(p, old, old_bytes);
    kernel_free(old);
    return p;
}

/* ---- clock, chance, events ---- */

void kernel_init(uint64_t seed, const struct world *world)
{
    memset(&k, 0, sizeof(k));
    k.now_us = KERNEL_START_US;
    k.seed = seed;
    k.world = world;
    k.fds_max = UINT32_MAX;
    list_init(&k.ready);
    list_init(&k.all);
}

void kernel_deinit(void)
{
    while (!list_empty(&k.all))
        sock_free(LIST_ENTRY(k.all.next, struct sock, all));
    for (size_t i = 0; i < k.heap_len; i++)
        if (k.heap[i].owned)
            kernel_free(k.heap[i].ctx);
    kernel_free(k.heap);
    kernel_free(k.socks);
    k.heap = NULL;
    k.socks = NULL;
    k.heap_len = k.heap_cap = 0;
    k.fd_cap = 0;
}

uint64_t kernel_now_us(void)
{
    return k.now_us;
}

/* SplitMix64 (Steele, Lea and Flood, 2014). */
uint64_t kernel_random(void)
{
    uint64_t x = k.seed += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static bool before(const struct event *a, const struct event *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

static void add_event(uint64_t due_us, void (*fn)(void *ctx), void *ctx, bool owned)
{
    struct event e = {.due_us = due_us > k.now_us ? due_us : k.now_us, .order = k.order++, .fn = fn, .ctx = ctx};
    size_t at;

    e.owned = owned;
    if (k.heap_len == k.heap_cap) {
        size_t cap = k.heap_cap ? 2 * k.heap_cap : 64;

        k.heap = grow(k.heap, k.heap_len * sizeof(e), cap * sizeof(e));
        k.heap_cap = cap;
    }
    for (at = k.heap_len++; at > 0 && before(&e, &k.heap[(at - 1) / 2]); at = (at - 1) / 2)
        k.heap[at] = k.heap[(at - 1) / 2];
    k.heap[at] = e;
}

void kernel_at(uint64_t due_us, void (*fn)(void *ctx), void *ctx)
{
    add_event(due_us, fn, ctx, false);
}

void kernel_at_owned(uint64_t due_us, void (*fn)(void *ctx), void *ctx)
{
    add_event(due_us, fn, ctx, true);
}

static struct event take_first(void)
{
    struct event first = k.heap[0], last = k.heap[--k.heap_len];
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= k.heap_len)
            break;
        if (child + 1 < k.heap_len && before(&k.heap[child + 1], &k.heap[child]))
            child++;
        if (before(&last, &k.heap[child]))
            break;
        k.heap[at] = k.heap[child];
        at = child;
    }
    k.heap[at] = last;
    return first;
}

uint64_t kernel_next_us(void)
{
    return k.heap_len > 0 ? k.heap[0].due_us : UINT64_MAX;
}

void kernel_advance(uint64_t now_us)
{
    while (kernel_next_us() <= now_us) {
        struct event e = take_first();

        k.now_us = e.due_us > k.now_us ? e.due_us : k.now_us;
        e.fn(e.ctx);
    }
    k.now_us = now_us > k.now_us ? now_us : k.now_us;
}

/* ---- who is ready ---- */

struct list *kernel_ready(void)
{
    return &k.ready;
}

static void look_at(struct sock *sock)
{
    if (sock->interest != 0 && !list_linked(&sock->ready))
        list_append(&k.ready, &sock->ready);
}

void sock_watch(struct sock *sock, unsigned interest)
{
    sock->interest = interest;
    if (interest != 0)
        look_at(sock);
    else
        list_unlink(&sock->ready);
}

unsigned sock_events(const struct sock *sock)
{
    bool dead = sock->state == SOCK_DEAD || sock->state == SOCK_FAILED;
    bool all_in = sock->in_fin || dead;
    unsigned now = 0;

    if (sock->interest == 0)
        return 0;
    if (sock->error != 0)
        now |= SOCK_ERR;
    if (!sock->stream)
        now |= (sock->datagram_count > 0 || sock->error != 0 ? SOCK_IN : 0) | SOCK_OUT;
    else if (sock->state != SOCK_NEW && sock->state != SOCK_CONNECTING)
        now |= (sock->in_bytes > 0 || all_in ? SOCK_IN : 0) |
               (sock->out_bytes < KERNEL_SNDBUF || dead || sock->out_fin ? SOCK_OUT : 0) |
               (dead || (sock->in_fin && sock->out_fin) ? SOCK_HUP : 0);
    return now & (sock->interest | SOCK_ERR | SOCK_HUP);
}

/* ---- the world's side ---- */

void sock_connected(struct sock *sock)
{
    if (sock->state != SOCK_CONNECTING)
        return;
    sock->state = SOCK_OPEN;
    look_at(sock);
}

void sock_connect_failed(struct sock *sock, int error)
{
    if (sock->state != SOCK_CONNECTING)
        return;
    sock->state = SOCK_FAILED;
    sock->error = error;
    look_at(sock);
}

void sock_arrived(struct sock *sock, uint64_t bytes)
{
    sock->in_bytes += bytes;
    look_at(sock);
}

void sock_peer_fin(struct sock *sock)
{
    sock->in_fin = true;
    look_at(sock);
}

/* RFC 9293 section 3.10.7.4: what was queued for the peer is gone, what has come from it can still be read. */
void sock_peer_rst(struct sock *sock)
{
    if (sock->state == SOCK_DEAD)
        return;
    sock->state = SOCK_DEAD;
    sock->error = sock->in_fin ? EPIPE : ECONNRESET;
    sock->out_bytes = 0;
    look_at(sock);
}

void sock_drained(struct sock *sock, uint64_t bytes)
{
    CHECK(bytes <= sock->out_bytes);
    sock->out_bytes -= bytes;
    look_at(sock);
}

void sock_datagram(struct sock *sock, const struct addr *from, uint16_t port, const void *bytes, size_t len)
{
    struct host_datagram *d;

    if (sock->datagram_count >= KERNEL_DATAGRAMS_MAX)
        return;
    d = kernel_alloc(sizeof(*d) + len);
    d->from = *from;
    d->port = port;
    d->len = len;
    memcpy(d->bytes, bytes, len);
    list_init(&d->node);
    list_append(&sock->datagrams, &d->node);
    sock->datagram_count++;
    look_at(sock);
}

void sock_error(struct sock *sock, int error)
{
    sock->error = error;
    look_at(sock);
}

/* ---- descriptors ---- */

void kernel_limit_fds(unsigned max)
{
    k.fds_max = max;
}

unsigned kernel_fds(void)
{
    return k.fds;
}

unsigned kernel_fds_most(void)
{
    return k.fds_most;
}

struct sock *sock_new(bool stream)
{
    struct sock *sock = kernel_alloc(sizeof(*sock));

    sock->fd = -1;
    sock->stream = stream;
    list_init(&sock->datagrams);
    list_init(&sock->ready);
    list_init(&sock->fed);
    list_init(&sock->all);
    list_append(&k.all, &sock->all);
    return sock;
}

int sock_open(struct sock *sock)
{
    unsigned at = k.fd_next;

    if (k.fds >= k.fds_max)
        return -EMFILE;
    if (k.fds == k.fd_cap) {
        unsigned cap = k.fd_cap ? 2 * k.fd_cap : 64;

        k.socks = grow(k.socks, k.fd_cap * sizeof(struct sock *), cap * sizeof(struct sock *));
        at = k.fd_cap;
        k.fd_cap = cap;
    }
    while (k.socks[at % k.fd_cap])
        at++;
    at %= k.fd_cap;
    k.fd_next = at + 1;
    k.socks[at] = sock;
    sock->fd = KERNEL_FD_BASE + (int)at;
    k.fds++;
    k.fds_most = k.fds > k.fds_most ? k.fds : k.fds_most;
    return 0;
}

struct sock *sock_of(int fd)
{
    unsigned at = (unsigned)(fd - KERNEL_FD_BASE);

    return fd >= KERNEL_FD_BASE && at < k.fd_cap ? k.socks[at] : NULL;
}

void sock_close(struct sock *sock)
{
    bool reset = sock->linger_zero || sock->in_bytes > 0; /* RFC 2525 section 2.17: unread bytes are told */

    if (sock->fd < 0)
        return;
    k.socks[sock->fd - KERNEL_FD_BASE] = NULL;
    k.fds--;
    sock->fd = -1;
    if (sock->stream && sock->peer && (sock->state == SOCK_OPEN || sock->state == SOCK_CONNECTING))
        k.world->gone(k.world->ctx, sock, reset);
    sock->peer = NULL;
    sock_watch(sock, 0);
    if (!sock->watcher)
        sock_free(sock);
}

void sock_free(struct sock *sock)
{
    while (!list_empty(&sock->datagrams))
        kernel_free(LIST_ENTRY(list_take_first(&sock->datagrams), struct host_datagram, node));
    list_unlink(&sock->ready);
    list_unlink(&sock->fed);
    list_unlink(&sock->all);
    kernel_free(sock);
}

/* ---- streams ---- */

static bool read_sockaddr(const struct sockaddr *sa, struct addr *out_addr, uint16_t *out_port)
{
    struct sockaddr_storage ss = {0};

    memcpy(&ss, sa, sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    return sockaddr_to(&ss, out_addr, out_port);
}

int sock_connect(struct sock *sock, const struct sockaddr *to)
{
    if (!sock->stream && to->sa_family == AF_UNSPEC) {
        sock->to.family = ADDR_NONE;
        sock->state = SOCK_NEW;
        return 0;
    }
    if (!read_sockaddr(to, &sock->to, &sock->to_port))
        return -EINVAL;
    if (!sock->stream) {
        sock->state = SOCK_OPEN;
        return 0;
    }
    sock->state = SOCK_CONNECTING;
    k.world->connect(k.world->ctx, sock);
    return sock->state == SOCK_FAILED ? -sock_take_error(sock) : -EINPROGRESS;
}

int sock_take_error(struct sock *sock)
{
    int error = sock->error;

    sock->error = 0;
    return error;
}

ssize_t sock_readv(struct sock *sock, const struct iovec *iov, int iovcnt)
{
    ssize_t total = 0;

    if (sock->state == SOCK_NEW || sock->state == SOCK_CONNECTING)
        return sock->state == SOCK_NEW ? -ENOTCONN : -EAGAIN;
    for (int i = 0; i < iovcnt && sock->in_bytes > 0; i++) {
        size_t n = iov[i].iov_len < sock->in_bytes ? iov[i].iov_len : (size_t)sock->in_bytes;

        sock->in_bytes -= n;
        k.world->make(k.world->ctx, sock, iov[i].iov_base, n);
        total += (ssize_t)n;
    }
    if (total > 0)
        return total;
    if (sock->error != 0)
        return -sock_take_error(sock);
    return sock->in_fin || sock->state == SOCK_DEAD || sock->state == SOCK_FAILED ? 0 : -EAGAIN;
}

ssize_t sock_writev(struct sock *sock, const struct iovec *iov, int iovcnt)
{
    ssize_t total = 0;

    if (sock->state == SOCK_CONNECTING)
        return -EAGAIN;
    if (sock->state != SOCK_OPEN || sock->out_fin)
        return sock->error != 0 ? -sock_take_error(sock) : -EPIPE;
    for (int i = 0; i < iovcnt && sock->state == SOCK_OPEN; i++) {
        size_t room = KERNEL_SNDBUF - (size_t)sock->out_bytes;
        size_t n = iov[i].iov_len < room ? iov[i].iov_len : room, taken;

        sock->out_bytes += n;
        taken = k.world->take(k.world->ctx, sock, iov[i].iov_base, n);
        if (sock->state == SOCK_OPEN) /* else the peer has just sent RST */
            sock->out_bytes -= taken;
        total += (ssize_t)n;
        if (n < iov[i].iov_len)
            break;
    }
    return total > 0 || iovcnt == 0 ? total : -EAGAIN;
}

void sock_shutdown(struct sock *sock)
{
    if (sock->state != SOCK_OPEN || sock->out_fin)
        return;
    sock->out_fin = true;
    look_at(sock);
    k.world->fin(k.world->ctx, sock);
}

int kernel_send_datagram(struct sock *sock, const struct addr *to, uint16_t port, const void *bytes, size_t len)
{
    return k.world->datagram(k.world->ctx, sock, to, port, bytes, len);
}
