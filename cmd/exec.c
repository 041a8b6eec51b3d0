/*
 * `weir exec`, weir's side: start the guest, take its TAP, serve it, end with it.
 */
#include "cmd/exec.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fdpass.h"
#include "cmd/commands.h"
#include "cmd/say.h"
#include "cmd/service.h"

enum {
    LINGER_MS = 1000,    /* after CMD's end, for what its connections have not delivered yet */
    LINGER_LOOK_MS = 5,
};

/* Passed on to CMD; but a terminal sends its own to CMD directly. */
static const int passed_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

struct exec {
    struct service service;
    pid_t init;               /* 0: none, or reaped */
    int status;               /* of init: as waitpid() has it */
    int signal_fd;            /* owned */
    uv_poll_t signals;
    uv_timer_t linger;
    bool watching;            /* the two handles are open */
    uint64_t linger_until_ms; /* 0: CMD runs */
};

/* ---- starting the guest ---- */

static void block_signals(struct exec_guest *g)
{
    (void)sigemptyset(&g->signals);
    (void)sigaddset(&g->signals, SIGCHLD);
    for (size_t i = 0; i < ARRAY_SIZE(passed_signals); i++)
        (void)sigaddset(&g->signals, passed_signals[i]);
    (void)sigprocmask(SIG_BLOCK, &g->signals, &g->mask);
}

static const char *clone_hint(int err)
{
    if (err == EPERM || err == ENOSPC || err == EINVAL)
        return "; user namespaces seem to be off: see weir(1), \"exec\", for the settings";
    return "";
}

/* Return: weir's end of the channel, or -errno after an error line. */
static int start_guest(struct exec *x, struct exec_guest *g)
{
    int ends[2];
    long pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        int err = errno;

        say_error("exec", "cannot make a channel: %s", strerror(err));
        return -err;
    }
    g->channel = ends[1];
    (void)fflush(NULL);
    /* Like fork(): no stack of its own, no shared memory. */
    pid = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | SIGCHLD, NULL, NULL, NULL,
                  NULL);
    if (pid == 0) {
        (void)close(ends[0]);
        exec_guest_main(g);
    }
    (void)close(ends[1]);
    if (pid < 0) {
        int err = errno;

        (void)close(ends[0]);
        say_error("exec", "cannot make the guest's namespaces: %s%s", strerror(err), clone_hint(err));
        return -err;
    }
    x->init = (pid_t)pid;
    return ends[0];
}

/* Return: 0, or -errno after an error line. */
static int receive_tap(int channel, struct tap_device *out_tap)
{
    struct exec_report report;
    int none, err = fdpass_receive(channel, &report, sizeof(report), &none);

    if (err < 0) {
        say_error("exec", "the guest ended before it was set up");
        return err;
    }
    if (report.result < 0) {
        say_error("exec", "%s", report.error);
        return report.result;
    }
    err = tap_receive(channel, out_tap);
    if (err < 0)
        say_error("exec", "the guest sent no TAP: %s", strerror(-err));
    return err;
}

static int open_link(struct exec *x, const struct tap_device *tap)
{
    const struct config *c = x->service.config;
    struct link_spec spec = link_spec_of_tap(EXEC_DEVICE, tap);
    char error[LINK_ERROR_MAX];
    int err;

    memcpy(spec.mac, c->guest_mac, sizeof(spec.mac));
    spec.mac_pinned = c->guest_mac_given;
    err = link_open(x->service.instance, &spec, error);
    if (err < 0)
        say_error("exec", "%s", error);
    return err;
}

/* ---- the guest's end ---- */

/* CMD's last bytes are on their way: its kernel still has them, and the server has not had the last one. */
static void on_linger(uv_timer_t *timer)
{
    struct exec *x = timer->data;

    if (uv_now(&x->service.loop) >= x->linger_until_ms || !instance_undelivered(x->service.instance))
        service_close(&x->service);
}

static void reap(struct exec *x)
{
    pid_t pid = x->init > 0 ? waitpid(x->init, &x->status, WNOHANG) : 0;

    if (pid != x->init || pid == 0)
        return;
    x->init = 0;
    x->linger_until_ms = uv_now(&x->service.loop) + LINGER_MS;
    (void)uv_timer_start(&x->linger, on_linger, 0, LINGER_LOOK_MS);
}

static void on_signals(uv_poll_t *poll, int status, int events)
{
    struct exec *x = poll->data;
    struct signalfd_siginfo info;

    (void)status;
    (void)events;
    while (read(x->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            reap(x);
        else if (info.ssi_code != SI_KERNEL && x->init > 0)
            (void)kill(x->init, (int)info.ssi_signo);
    }
}

static void on_closing(struct service *service)
{
    struct exec *x = CONTAINER_OF(service, struct exec, service);

    if (x->watching) {
        uv_close((uv_handle_t *)&x->signals, NULL);
        uv_close((uv_handle_t *)&x->linger, NULL);
    }
    x->watching = false;
    if (x->init > 0)
        (void)kill(x->init, SIGKILL); /* it has no network any more */
}

static int watch(struct exec *x, const struct exec_guest *g)
{
    int err;

    x->signal_fd = signalfd(-1, &g->signals, SFD_NONBLOCK | SFD_CLOEXEC);
    err = x->signal_fd < 0 ? -errno : uv_poll_init(&x->service.loop, &x->signals, x->signal_fd);
    if (err < 0) {
        say_error("exec", "cannot watch signals: %s", strerror(-err));
        return err;
    }
    (void)uv_timer_init(&x->service.loop, &x->linger); /* cannot fail */
    x->signals.data = x->linger.data = x;
    x->watching = true;
    return uv_poll_start(&x->signals, UV_READABLE, on_signals);
}

/* ---- the command ---- */

/* Set up weir's half while the guest sets up its own, join them, and let CMD start. */
static int serve(struct exec *x, const struct config *config, const struct exec_guest *g, int channel)
{
    struct tap_device tap;
    int err = service_open(&x->service, config, STDERR_FILENO);

    x->service.on_closing = on_closing;
    if (err == 0)
        err = watch(x, g);
    if (err < 0)
        return err;
    err = receive_tap(channel, &tap);
    if (err < 0)
        return err;
    err = open_link(x, &tap);
    if (err < 0)
        return err;
    if (send(channel, "g", 1, MSG_NOSIGNAL) != 1) {
        say_error("exec", "the guest ended before its command was started");
        return -EIO;
    }
    return service_run(&x->service);
}

static int exit_of(const struct exec *x)
{
    if (WIFEXITED(x->status))
        return WEXITSTATUS(x->status);
    say_error("exec", "the guest was ended from outside: %s", strsignal(WTERMSIG(x->status)));
    return EXIT_EXEC_SIGNAL + WTERMSIG(x->status);
}

int exec_command(const struct args *args, const struct config *config)
{
    struct exec x = {.signal_fd = -1};
    struct exec_guest g = {
        .args = args,
        .config = config,
        .outer_uid = geteuid(),
        .outer_gid = getegid(),
        .uid = args->root ? 0 : geteuid(),
        .gid = args->root ? 0 : getegid(),
    };
    int channel, err;

    if (config->link_count > 0)
        say(config, CONFIG_LEVEL_INFO, "%s: links: are for run; exec has its own", config->file);
    block_signals(&g);
    channel = start_guest(&x, &g);
    if (channel < 0)
        return EXIT_EXEC_FAILED;
    service_raise_limits(); /* weir's own; CMD has the limits of its caller */
    err = serve(&x, config, &g, channel);
    (void)close(channel);
    service_deinit(&x.service);
    if (x.init > 0)
        while (waitpid(x.init, &x.status, 0) < 0 && errno == EINTR)
            ;
    if (x.signal_fd >= 0)
        (void)close(x.signal_fd);
    return err < 0 ? EXIT_EXEC_FAILED : exit_of(&x);
}
