/*
 * Datagram sockets outwards: UDP, and the kernel's unprivileged ping sockets. System calls in batches, and what the
 * network said about a datagram (the error queue); knows no guests and no rules.
 *
 * Every call is non-blocking. Errors are counted and told by the caller.
 */
#ifndef WEIR_PROXY_HOST_DGRAM_H
#define WEIR_PROXY_HOST_DGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum {
    HOST_DGRAM_BYTES_MAX = 65535,
    HOST_DGRAM_SLOT_BYTES = 64 * 1024,
    HOST_DGRAM_BATCH = 32,             /* taken by one system call */
    HOST_DGRAM_SEGMENTS_MAX = 64,      /* sent by one (Linux: UDP_MAX_SEGMENTS) */
    HOST_DGRAM_SOCKET_BUFFER = 4 << 20, /* asked for; a host that gives less (net.core.rmem_max) only drops earlier */
    HOST_DGRAM_QUOTE_MAX = 128,        /* bytes kept of a datagram that an error is about */
};

enum host_dgram_kind { HOST_DGRAM_UDP, HOST_DGRAM_PING };

/* What came: borrowed until the next host_dgram_receive() of the same batch. */
struct host_dgram_in {
    struct addr from;
    uint16_t port;    /* UDP */
    uint16_t segment; /* > 0: several datagrams of this size in a row (UDP_GRO), the last one may be shorter */
    uint8_t *bytes;
    size_t len;
};

struct host_dgram_batch;

/* What went wrong with a datagram that was sent. */
struct host_dgram_error {
    struct addr to;   /* where it went; family ADDR_NONE: not told */
    uint16_t port;
    int error;        /* errno */
    uint32_t mtu;     /* with EMSGSIZE: of the way; 0: unknown */
    uint8_t bytes[HOST_DGRAM_QUOTE_MAX]; /* how its payload began (of a ping: its ICMP header on) */
    size_t len;
};

/** Room for one batch, mapped and untouched until used. NULL: no memory. */
struct host_dgram_batch *host_dgram_batch_new(void);
void host_dgram_batch_free(struct host_dgram_batch *batch); /* NULL is fine */

/** Return: a descriptor, the caller's; or -errno (-EACCES, -EPERM of a ping socket: the host forbids them). */
int host_dgram_open(enum host_dgram_kind kind, enum addr_family family);

/**
 * Take up to HOST_DGRAM_BATCH datagrams.
 *
 * Return: how many are in @out_in; 0: none is there; -errno: a pending error, which is read away by
 * host_dgram_next_error().
 */
int host_dgram_receive(int fd, struct host_dgram_batch *batch, struct host_dgram_in out_in[static HOST_DGRAM_BATCH]);

/** The next error of the queue. Return: false when it is empty. */
bool host_dgram_next_error(int fd, struct host_dgram_error *out_error);

/** Let no router (and not this host) fragment what is sent from now on, or allow it. */
void host_dgram_set_df(int fd, enum addr_family family, bool df);

/**
 * Open another UDP socket on the local port of @fd, which has sent something, and connect it: the kernel gives it what
 * comes from @to, and leaves everything else to @fd. It looks for a source address and a route now, and not with every
 * datagram.
 *
 * Return: a descriptor, the caller's; or -errno.
 */
int host_dgram_open_beside(int fd, const struct addr *to, uint16_t port);

/** Connect such a socket anew, for the source address and the route of now. Return: 0; -errno: it is not connected. */
int host_dgram_reconnect(int fd, const struct addr *to, uint16_t port);

/**
 * Send.
 *
 * @to:      NULL: where the socket is connected to
 * @segment: > 0: @bytes are datagrams of this size in a row (UDP_SEGMENT), at most HOST_DGRAM_SEGMENTS_MAX
 *
 * Return: 0, or -errno. -EMSGSIZE: larger than the way takes; its MTU is in the error queue.
 */
int host_dgram_send(int fd, const struct addr *to, uint16_t port, const void *bytes, size_t len, uint16_t segment);

/** Whether the host has a route to @a now. Sends nothing. */
bool host_dgram_reaches(const struct addr *a);

#endif
