/*
 * Questions to the host's resolvers: bytes out, bytes in, over UDP and, when told so, TCP.
 *
 * Knows the DNS transport (RFC 1035 section 4.2: a 16-bit id first, a 16-bit length before it on TCP) and nothing of
 * its content: the owner says of each datagram whether it is the answer. Every attempt has its own connected socket,
 * hence a random source port, and a random id (RFC 5452).
 */
#ifndef WEIR_PROXY_UPSTREAM_H
#define WEIR_PROXY_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/addr.h"
#include "base/list.h"
#include "proxy/resolvconf.h"

enum {
    UPSTREAM_QUERY_BYTES_MAX = 512,
    UPSTREAM_ATTEMPT_MS = 800,  /* then the next server */
    UPSTREAM_ROUND_MS = 400,    /* before which no server that refused is asked again: it may just be restarting */
    UPSTREAM_TOTAL_MS = 2500,   /* then the query has failed */
    UPSTREAM_QUERIES_MAX = 256, /* in flight, each with one descriptor */
    UPSTREAM_RECHECK_MS = 1000, /* resolv.conf is looked at when a query comes this long after the last look */
};

struct upstream_server {
    struct addr addr;
    uint16_t port;
};

struct upstream {
    uv_loop_t *loop;              /* borrowed */
    struct upstream_server servers[RESOLVCONF_SERVERS_MAX];
    unsigned server_count;
    const char *resolvconf_path;  /* borrowed; NULL: a fixed list */
    uint64_t checked_ms;
    unsigned generation;          /* counts changes of the servers */
    struct resolvconf_mark { /* what the file was when it was read last */
        int64_t mtime_ns;
        uint64_t device, inode, size;
    } resolvconf;
    struct list queries;
    unsigned in_flight;
    void (*on_idle)(struct upstream *upstream); /* set by upstream_close() */
};

enum upstream_take {
    UPSTREAM_DONE,      /* that was the answer, the query is over */
    UPSTREAM_IGNORE,    /* not an answer to this query: keep waiting */
    UPSTREAM_USE_TCP,   /* truncated: ask the same server over TCP */
    UPSTREAM_NEXT,      /* unusable (SERVFAIL, malformed): ask the next server */
};

struct upstream_query;

struct upstream_owner {
    /** A message with our id from the server we asked. Borrowed. */
    enum upstream_take (*on_message)(void *ctx, const uint8_t *bytes, size_t len, uint16_t id);
    /** Nobody gave an answer in time; the query is over. @answered: somebody did, but UPSTREAM_NEXT was said of it. */
    void (*on_failure)(void *ctx, bool answered);
};

/**
 * @servers: fixed list (copied), or none and @resolvconf_path is followed instead
 */
void upstream_init(struct upstream *u, uv_loop_t *loop, const struct upstream_server *servers,
                   unsigned count, const char *resolvconf_path);

/** Look whether resolv.conf has changed. Return: how often it has: answers of another number are others' answers. */
unsigned upstream_generation(struct upstream *u);

/**
 * Ask.
 *
 * @message: copied; its first two bytes are overwritten with a random id per attempt
 * @owner:   borrowed until the query is over; called only from the loop
 *
 * Return: 0; -EBUSY UPSTREAM_QUERIES_MAX are in flight; -ENOENT no server is known; -ENOMEM.
 */
int upstream_ask(struct upstream *u, const uint8_t *message, size_t len,
                 const struct upstream_owner *owner, void *ctx);

/** End all queries without calling their owners; @on_idle when the last handle is closed (perhaps at once). */
void upstream_close(struct upstream *u, void (*on_idle)(struct upstream *upstream));

#endif
