/*
 * The system calls that CMD does not get, because they lead around its network namespace:
 *
 *   socket(), socketpair() of other families  AF_VSOCK, for one, belongs to no network namespace
 *   io_uring_setup()                          its ring makes sockets without calling socket()
 *   ioctl(TIOCSTI), ioctl(TIOCLINUX)          they type into the terminal that CMD shares with the host's shell
 *
 * Calls of another architecture (32-bit programs) end the process: their socketcall() hides its arguments from a
 * filter.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/check.h"
#include "cmd/exec.h"

static bool is_confined(int family)
{
    return family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK || family == AF_PACKET;
}

static int refuse_families(scmp_filter_ctx filter, int call)
{
    int err = 0;

    for (int family = 0; family < AF_MAX && err == 0; family++)
        if (!is_confined(family))
            err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), call, 1,
                                   SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family));
    /* Also numbers whose upper half the kernel cuts off. */
    if (err == 0)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), call, 1, SCMP_A0(SCMP_CMP_GE, AF_MAX));
    return err;
}

static int refuse_typing(scmp_filter_ctx filter)
{
    static const unsigned requests[] = {TIOCSTI, TIOCLINUX};
    int err = 0;

    for (size_t i = 0; i < ARRAY_SIZE(requests) && err == 0; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                               SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, requests[i]));
    return err;
}

int exec_seccomp(char error[static LINK_ERROR_MAX])
{
    scmp_filter_ctx filter;
    int err;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return exec_fail(error, "cannot give up new privileges");
    filter = seccomp_init(SCMP_ACT_ALLOW);
    err = filter ? seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) : -ENOMEM;
    if (err == 0)
        err = refuse_families(filter, SCMP_SYS(socket));
    if (err == 0)
        err = refuse_families(filter, SCMP_SYS(socketpair));
    if (err == 0)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0);
    if (err == 0)
        err = refuse_typing(filter);
    if (err == 0)
        err = seccomp_load(filter);
    if (filter)
        seccomp_release(filter);
    if (err < 0) {
        errno = -err;
        return exec_fail(error, "cannot filter system calls");
    }
    return 0;
}
