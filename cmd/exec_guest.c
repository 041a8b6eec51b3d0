/*
 * Process 1 of the guest: the stages in order, then init's work. Runs in a copy of weir's memory and never returns.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fdpass.h"
#include "cmd/commands.h"
#include "cmd/exec.h"

int exec_fail(char error[static LINK_ERROR_MAX], const char *format, ...)
{
    int err = errno, n;
    va_list args;

    va_start(args, format);
    n = vsnprintf(error, LINK_ERROR_MAX, format, args);
    va_end(args);
    if (err != 0 && n >= 0 && n < LINK_ERROR_MAX)
        (void)snprintf(error + n, (size_t)(LINK_ERROR_MAX - n), ": %s", strerror(err));
    return err != 0 ? -err : -EINVAL;
}

/* ---- namespaces ---- */

static int write_proc(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    size_t len = strlen(text);
    bool written = fd >= 0 && write(fd, text, len) == (ssize_t)len;

    if (fd >= 0)
        (void)close(fd);
    return written ? 0 : -errno;
}

/* user_namespaces(7): one id each, which anybody may map to his own, without setgroups(). */
static int map_ids(uid_t uid, uid_t outer_uid, gid_t gid, gid_t outer_gid, char error[static LINK_ERROR_MAX])
{
    char users[64], groups[64];

    (void)snprintf(users, sizeof(users), "%u %u 1\n", (unsigned)uid, (unsigned)outer_uid);
    (void)snprintf(groups, sizeof(groups), "%u %u 1\n", (unsigned)gid, (unsigned)outer_gid);
    if (write_proc("/proc/self/setgroups", "deny") < 0 || write_proc("/proc/self/uid_map", users) < 0 ||
        write_proc("/proc/self/gid_map", groups) < 0)
        return exec_fail(error, "cannot map ids into a user namespace (are they restricted on this host? see weir(1))");
    return 0;
}

static int enter_inner(const struct exec_guest *g, char error[static LINK_ERROR_MAX])
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) < 0)
        return exec_fail(error, "cannot make the guest's network namespace");
    return map_ids(g->uid, g->uid, g->gid, g->gid, error);
}

/* ---- talking to weir ---- */

static bool wait_for_go(int channel)
{
    char go;
    ssize_t n;

    do
        n = recv(channel, &go, 1, 0);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

/* ---- init ---- */

_Noreturn static void become_cmd(const struct exec_guest *g)
{
    char **argv = g->args->rest;
    int err;

    (void)sigprocmask(SIG_SETMASK, &g->mask, NULL);
    (void)execvp(argv[0], argv);
    err = errno;
    (void)dprintf(STDERR_FILENO, "weir: exec: %s: %s\n", argv[0], strerror(err));
    _exit(err == ENOENT ? EXIT_EXEC_MISSING : EXIT_EXEC_CANNOT);
}

static int exit_status(int status)
{
    return WIFSIGNALED(status) ? EXIT_EXEC_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Return: CMD's exit status once it has ended; orphans of the guest are reaped on the way. */
static int mind(const struct exec_guest *g, pid_t cmd)
{
    for (;;) {
        siginfo_t info;
        int number = sigwaitinfo(&g->signals, &info), status;
        pid_t pid;

        if (number == SIGCHLD) {
            while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                if (pid == cmd)
                    return exit_status(status);
        } else if (number > 0 && info.si_code != SI_KERNEL) {
            (void)kill(cmd, number); /* what the terminal sends reaches CMD by itself */
        }
    }
}

static int set_up(const struct exec_guest *g, struct tap_device *out_tap, char error[static LINK_ERROR_MAX])
{
    int err = map_ids(g->uid, g->outer_uid, g->gid, g->outer_gid, error);

    if (err == 0)
        err = exec_mounts(g, error);
    if (err == 0)
        err = enter_inner(g, error);
    /* When weir dies, the guest does: a network that nobody serves is no use to it. */
    if (err == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        err = exec_fail(error, "cannot tie the guest to weir");
    if (err == 0)
        err = exec_net(g, out_tap, error);
    return err;
}

_Noreturn void exec_guest_main(const struct exec_guest *g)
{
    struct exec_report report = {.result = 0};
    struct tap_device tap;
    pid_t cmd;

    report.result = set_up(g, &tap, report.error);
    /* When weir is gone, the next recv() says so. */
    if (fdpass_send(g->channel, &report, sizeof(report), -1) == 0 && report.result == 0)
        (void)tap_pass(g->channel, &tap);
    if (report.result < 0 || !wait_for_go(g->channel))
        _exit(EXIT_EXEC_FAILED);
    if (close_range(STDERR_FILENO + 1, ~0u, 0) < 0) {
        (void)exec_fail(report.error, "cannot close descriptors");
    } else if (exec_seccomp(report.error) == 0) {
        (void)prctl(PR_SET_DUMPABLE, 0); /* CMD has no business in init's memory */
        cmd = fork();
        if (cmd == 0)
            become_cmd(g);
        if (cmd > 0)
            _exit(mind(g, cmd));
        (void)exec_fail(report.error, "cannot start CMD");
    }
    (void)dprintf(STDERR_FILENO, "weir: exec: %s\n", report.error);
    _exit(EXIT_EXEC_FAILED);
}
