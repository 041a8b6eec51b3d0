/*
 * The addresses of the host's own interfaces: they are in group `host`, closed unless a rule names them one by one. One
 * that is missed would be open to guests; so they are watched, and when they cannot be told, that is an error and never
 * a shorter list.
 */
#ifndef WEIR_DATAPATH_HOST_ADDRS_H
#define WEIR_DATAPATH_HOST_ADDRS_H

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
 * Return: 0; -E2BIG when there are more than GROUP_HOST_ADDRS_MAX; -errno.
 */
int host_addrs_read(struct host_addrs *out_addrs);

/**
 * Take one address up.
 *
 * Return: 0; -E2BIG.
 */
int host_addrs_add(struct host_addrs *h, const struct addr *a);

/* Follows them (rtnetlink). */
struct host_watch {
    struct host_addrs addrs; /* as last read */
    bool known;              /* the last reading went well */
    uv_poll_t poll;
    int fd;                  /* owned; -1: none */
    int spare_fd;            /* owned; -1: none. Makes room for a look when the process is out of descriptors */
    bool started;
    void (*on_change)(void *ctx, int err);
    void *ctx;               /* borrowed */
};

/**
 * Subscribe to changes in the network namespace of this process, then read what is there.
 *
 * Return: 0; -E2BIG or -errno, also as host_addrs_read(). host_watch_deinit() in either case.
 */
int host_watch_init(struct host_watch *w);

/** For a watch that was not started, or a zeroed one with fd -1. */
void host_watch_deinit(struct host_watch *w);

/**
 * Tell of changes from now on; does not keep the loop alive.
 *
 * @on_change: from the loop; err 0: w->addrs are others than before. Negative: they could not be read (as
 *             host_addrs_read()), w->addrs are the last known ones; told once, and again with 0 when they can
 *
 * Return: 0, or -errno with nothing started.
 */
int host_watch_start(struct host_watch *w, uv_loop_t *loop, void (*on_change)(void *ctx, int err), void *ctx);

/** Stop a started watch; its memory must stay until @on_closed (as uv_close()). */
void host_watch_close(struct host_watch *w, uv_close_cb on_closed);

#endif
