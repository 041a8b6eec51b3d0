/*
 * The addresses of the host's own interfaces: they are in group `host`, closed unless a rule names them one by one.
 */
#ifndef WEIR_CMD_HOST_ADDRS_H
#define WEIR_CMD_HOST_ADDRS_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/addr.h"
#include "policy/group.h"

/* Sorted, each once; without loopback and link-local ones, which are closed anyway. */
struct host_addrs {
    struct addr addrs[GROUP_HOST_ADDRS_MAX];
    size_t count;
};

/**
 * Read them from this process's network namespace.
 *
 * Return: 0; -E2BIG when there are more than GROUP_HOST_ADDRS_MAX (one left out would be open to the guest); -errno.
 */
int host_addrs_read(struct host_addrs *out);

/**
 * Take one address up.
 *
 * Return: 0; -E2BIG.
 */
int host_addrs_add(struct host_addrs *h, const struct addr *a);

/* Watches for changes (rtnetlink). */
struct host_watch {
    uv_poll_t poll;
    int fd;             /* owned */
    bool open;
    void (*on_change)(void *ctx); /* addresses may have changed */
    void *ctx;
};

/** Start telling @on_change of the network namespace of this process. Return: 0, or -errno. */
int host_watch_open(struct host_watch *w, uv_loop_t *loop, void (*on_change)(void *ctx), void *ctx);

/** Idempotent; fine for a zeroed watch. The memory must stay until the loop has run once more. */
void host_watch_close(struct host_watch *w);

#endif
