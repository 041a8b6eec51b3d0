/*
 * `weir exec`, its parts. Internal to cmd/.
 *
 *   weir ── clone(user, mount, pid, ipc) ──► init (process 1 of the guest) ── fork ──► CMD
 *
 * init, in order: maps its ids; hides the host's service sockets and sets up names (exec_mount.c); enters a second user
 * namespace with a mount and a network namespace of its own, so that CMD, even as root, cannot take the mounts off
 * again; makes the network (exec_net.c); sends the TAP to weir and waits until it is served; gives up descriptors and
 * system calls (exec_seccomp.c); starts CMD, passes signals on, and ends with its status, which ends everything else in
 * the guest.
 */
#ifndef WEIR_CMD_EXEC_H
#define WEIR_CMD_EXEC_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "cmd/args.h"
#include "cmd/config.h"
#include "datapath/link.h"

#define EXEC_DEVICE "eth0"

enum { EXEC_SOCKETS_MAX = 4096 }; /* the host's sockets outside the hidden folders that are masked one by one */

/* What init needs. Everything is borrowed and stays. */
struct exec_guest {
    const struct args *args;
    const struct config *config;
    int channel;         /* to weir */
    sigset_t signals;    /* blocked in weir and init ... */
    sigset_t mask;       /* ... and what was before, for CMD */
    uid_t outer_uid, uid; /* as the host sees CMD, and as CMD sees itself */
    gid_t outer_gid, gid;
};

/* What init tells weir: an error, or that the guest is ready; then its TAP follows (tap_pass()). */
struct exec_report {
    int result;
    char error[LINK_ERROR_MAX];
};

/** Process 1 of the guest. */
_Noreturn void exec_guest_main(const struct exec_guest *guest);

/* The stages. Each returns 0, or -errno with @error filled. */

/** Private mounts: empty /run, the host's sockets out of reach, own resolv.conf, nsswitch.conf and /proc. */
int exec_mounts(const struct exec_guest *guest, char error[static LINK_ERROR_MAX]);

/** The TAP, addresses and routes, in the network namespace of the caller. @out_tap: its descriptor is the caller's. */
int exec_net(const struct exec_guest *guest, struct tap_device *out_tap, char error[static LINK_ERROR_MAX]);

/** No new privileges; only sockets that the namespaces confine. For good. */
int exec_seccomp(char error[static LINK_ERROR_MAX]);

/** Fill @error with "WHAT: strerror(errno)", or just "WHAT" when errno is 0. Return: -errno, or -EINVAL. */
__attribute__((format(printf, 2, 3))) int exec_fail(char error[static LINK_ERROR_MAX], const char *format, ...);

#endif
