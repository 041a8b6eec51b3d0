/*
 * A simulated host kernel: one clock that jumps from event to event, random bytes from a seed, and sockets whose buffers
 * are finite. Nothing here waits, and nothing reaches the machine's own network.
 *
 * Three sides meet in a `struct sock`: weir through libuv (loop.c, stream.c stand in for it) and through system calls
 * (syscalls.c, by the linker's --wrap), and the world: whoever plays the servers (struct world). A connection has no
 * bytes of its own on the way down: the world says how many are there, and makes them when weir reads.
 *
 *   NEW → CONNECTING → OPEN → DEAD     DEAD: reset by the peer; what had arrived before can still be read
 *         CONNECTING → FAILED          `error` says why
 */
#ifndef WEIR_TESTS_REPLAY_KERNEL_H
#define WEIR_TESTS_REPLAY_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/addr.h"
#include "base/list.h"

enum {
    KERNEL_FD_BASE = 1 << 20,           /* descriptors from here on are simulated; real ones are below */
    KERNEL_RCVBUF = 256 * 1024,         /* what a peer may have sent ahead of weir */
    KERNEL_SNDBUF = 256 * 1024,         /* what weir may have written ahead of its peer */
    KERNEL_DATAGRAMS_MAX = 256,         /* in one socket's queue */
};

#define KERNEL_START_US UINT64_C(1000000000)      /* the clock's first value; times of cases count from here */
#define KERNEL_WALL_S INT64_C(1767225600)         /* 2026-01-01T00:00:00Z at that moment */

enum sock_state { SOCK_NEW, SOCK_CONNECTING, SOCK_OPEN, SOCK_FAILED, SOCK_DEAD };
enum sock_io { SOCK_IN = 1, SOCK_OUT = 2, SOCK_ERR = 4, SOCK_HUP = 8 };

struct host_datagram {
    struct list node;
    struct addr from;
    uint16_t port;
    size_t len;
    uint8_t bytes[];
};

struct sock {
    int fd;                  /* -1: none yet */
    bool stream, linger_zero, nodelay, keepalive;
    int keep_idle_s, keep_interval_s, keep_count;
    enum sock_state state;
    int error;               /* SO_ERROR, a positive errno; 0: none */
    struct addr to;          /* of connect(); ADDR_NONE: unconnected */
    uint16_t to_port;
    void *peer;              /* the world's; NULL: none */
    uint64_t in_bytes;       /* arrived and not read by weir */
    bool in_fin;             /* behind them comes the peer's FIN */
    uint64_t out_bytes;      /* written by weir and not read by the peer */
    bool out_fin;            /* weir has shut its side down */
    struct list datagrams;   /* owned */
    unsigned datagram_count;
    unsigned interest;       /* enum sock_io that the watcher waits for; 0: it is not told anything */
    void (*on_io)(struct sock *sock, unsigned events);
    void *watcher;           /* borrowed: the uv handle */
    struct list ready;       /* to be looked at in the next poll */
    struct list fed;         /* for stream.c: has callbacks due that no event brings */
    struct list all;
};

/* Who plays the rest of the world. Every function may call those of "the world's side" below. */
struct world {
    void *ctx;
    void (*connect)(void *ctx, struct sock *sock);
    /** Bytes from weir; return how many the peer's buffers took. */
    size_t (*take)(void *ctx, struct sock *sock, const void *bytes, size_t len);
    /** Make the next @len bytes of what the peer sent (len <= in_bytes), and send more if there is more. */
    void (*make)(void *ctx, struct sock *sock, void *out, size_t len);
    void (*fin)(void *ctx, struct sock *sock);
    /** weir's side is gone; @reset by RST. */
    void (*gone)(void *ctx, struct sock *sock, bool reset);
    /** Return: 0, or -errno of the sendto(). */
    int (*datagram)(void *ctx, struct sock *sock, const struct addr *to, uint16_t port, const void *bytes, size_t len);
};

void kernel_init(uint64_t seed, const struct world *world);
void kernel_deinit(void); /* what is still open is freed */

uint64_t kernel_now_us(void);
uint64_t kernel_random(void);

/** Call @fn at @due_us, in the order of their times, then of these calls. @ctx must live until then. */
void kernel_at(uint64_t due_us, void (*fn)(void *ctx), void *ctx);

/** The same; @ctx is from kernel_alloc(), is freed by @fn, or by kernel_deinit() when that comes first. */
void kernel_at_owned(uint64_t due_us, void (*fn)(void *ctx), void *ctx);

/** Move the clock to @now_us and run every event due by then. */
void kernel_advance(uint64_t now_us);

/** When the next event is due; UINT64_MAX: there is none. */
uint64_t kernel_next_us(void);

/* ---- the world's side ---- */

void sock_connected(struct sock *sock);
void sock_connect_failed(struct sock *sock, int error);
void sock_arrived(struct sock *sock, uint64_t bytes); /* bytes the world will make */
void sock_peer_fin(struct sock *sock);
void sock_peer_rst(struct sock *sock);
void sock_drained(struct sock *sock, uint64_t bytes); /* the peer has read them */
void sock_datagram(struct sock *sock, const struct addr *from, uint16_t port, const void *bytes, size_t len);
void sock_error(struct sock *sock, int error); /* an ICMP error for a connected datagram socket */

/* ---- weir's side, for the stand-ins of libuv and the system calls ---- */

struct sock *sock_new(bool stream); /* without a descriptor */
int sock_open(struct sock *sock);   /* give it one; return: 0, or -EMFILE */
void sock_close(struct sock *sock); /* closes and forgets it; the memory stays valid until the watcher lets go */
void sock_free(struct sock *sock);
struct sock *sock_of(int fd);       /* NULL: not a simulated one */

int sock_connect(struct sock *sock, const struct sockaddr *to);
ssize_t sock_readv(struct sock *sock, const struct iovec *iov, int iovcnt);
ssize_t sock_writev(struct sock *sock, const struct iovec *iov, int iovcnt);
void sock_shutdown(struct sock *sock);
int sock_take_error(struct sock *sock);
int kernel_send_datagram(struct sock *sock, const struct addr *to, uint16_t port, const void *bytes, size_t len);

void sock_watch(struct sock *sock, unsigned interest);
unsigned sock_events(const struct sock *sock); /* enum sock_io that hold now, and are waited for */

/** The sockets to look at, in order. */
struct list *kernel_ready(void);

/* ---- accounts ---- */

void kernel_limit_fds(unsigned max);
unsigned kernel_fds(void);
unsigned kernel_fds_most(void);
uint64_t kernel_memory(void); /* bytes that the simulation itself has allocated */
void *kernel_alloc(size_t bytes);
void kernel_free(void *p);

#endif
