/*
 * Connections by the thousand: opened, used for one byte each way, and closed (crr) or kept (idle). A number of them is
 * in flight at any time, and each goes through
 *
 *     CONNECTING -> ANSWER -> END -> free again      crr: the server's FIN is part of the operation
 *                          -> kept                   idle
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    IDLE_IN_FLIGHT = 32,
    FAILURES_MAX = 64, /* then no more are tried */
    LINE_BYTES = 64,
    PACE_MS = 1,
};

enum slot_state { SLOT_FREE, SLOT_CONNECTING, SLOT_ANSWER, SLOT_END };

struct slot {
    int fd;
    enum slot_state state;
    uint64_t started_ns;
};

struct run {
    const struct endpoint *server; /* borrowed */
    enum bench_mode mode;
    int epoll_fd;
    unsigned want, begun; /* operations; crr: as many as the time allows */
    unsigned per_s;       /* that are begun; 0: as many as can be */
    uint64_t start_ns;
    unsigned done, failed, in_flight;
    int first_errno;       /* of the first failure */
    uint64_t last_done_ns; /* when the last operation succeeded */
    int *kept;             /* idle: owned, of `want` */
    struct samples samples;
};

static void watch(struct run *run, int op, struct slot *slot, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = slot};

    if (epoll_ctl(run->epoll_fd, op, slot->fd, &event) < 0)
        die("epoll_ctl");
}

static void slot_start(struct run *run, struct slot *slot)
{
    run->begun++;
    run->in_flight++;
    slot->started_ns = now_ns();
    slot->fd = tcp_socket(run->server->any.sa_family, SOCK_NONBLOCK);
    slot->state = SLOT_CONNECTING;
    if (connect(slot->fd, &run->server->any, run->server->len) < 0 && errno != EINPROGRESS)
        die("connect"); /* out of ports or routes: the bench's own trouble */
    watch(run, EPOLL_CTL_ADD, slot, EPOLLOUT);
}

static void slot_fail(struct run *run, struct slot *slot, int error)
{
    if (run->failed++ == 0)
        run->first_errno = error;
    run->in_flight--;
    slot->state = SLOT_FREE;
    (void)close(slot->fd);
}

static void slot_done(struct run *run, struct slot *slot)
{
    run->last_done_ns = now_ns();
    samples_add(&run->samples, run->last_done_ns - slot->started_ns);
    run->in_flight--;
    slot->state = SLOT_FREE;
    if (run->kept) {
        if (epoll_ctl(run->epoll_fd, EPOLL_CTL_DEL, slot->fd, NULL) < 0)
            die("epoll_ctl");
        run->kept[run->done] = slot->fd;
    } else {
        (void)close(slot->fd); /* read to its end */
    }
    run->done++;
}

static void on_connected(struct run *run, struct slot *slot)
{
    char first = (char)run->mode;
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(slot->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        die("SO_ERROR");
    if (error == 0 && send(slot->fd, &first, 1, 0) != 1)
        error = errno;
    if (error != 0) {
        slot_fail(run, slot, error);
        return;
    }
    slot->state = SLOT_ANSWER;
    watch(run, EPOLL_CTL_MOD, slot, EPOLLIN);
}

static void on_readable(struct run *run, struct slot *slot)
{
    char bytes[2];
    ssize_t n = recv(slot->fd, bytes, sizeof(bytes), 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n < 0 || (n == 0) != (slot->state == SLOT_END) || n > 1) {
        slot_fail(run, slot, n < 0 ? errno : EPROTO);
        return;
    }
    if (slot->state == SLOT_ANSWER && run->mode == BENCH_CRR) {
        slot->state = SLOT_END;
        n = recv(slot->fd, bytes, sizeof(bytes), 0); /* mostly there already */
        if (n < 0 && errno == EAGAIN)
            return;
        if (n != 0) {
            slot_fail(run, slot, n < 0 ? errno : EPROTO);
            return;
        }
    }
    slot_done(run, slot);
}

static bool is_due(const struct run *run)
{
    return run->per_s == 0 || run->begun < (now_ns() - run->start_ns) * run->per_s / 1000000000u;
}

/* Keep `in_flight` operations going until `end`, then let those that run come to theirs; stalled ones count as failed
 * (with a pace, once no more are begun). */
static void go(struct run *run, unsigned in_flight, uint64_t end)
{
    static struct slot slots[BENCH_STREAMS_MAX];
    struct epoll_event events[BENCH_EVENTS];

    run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (run->epoll_fd < 0)
        die("epoll_create1");
    for (;;) {
        bool more = run->begun < run->want && run->failed < FAILURES_MAX && now_ns() < end;
        int n;

        for (unsigned i = 0; more && i < in_flight; i++)
            if (slots[i].state == SLOT_FREE && run->begun < run->want && is_due(run))
                slot_start(run, &slots[i]);
        if (run->in_flight == 0 && !more)
            return;
        n = epoll_wait(run->epoll_fd, events, BENCH_EVENTS, more && run->per_s ? PACE_MS : BENCH_STALL_MS);
        if (n < 0)
            die("epoll_wait");
        for (unsigned i = 0; n == 0 && i < in_flight && !(more && run->per_s); i++)
            if (slots[i].state != SLOT_FREE)
                slot_fail(run, &slots[i], ETIMEDOUT);
        for (int i = 0; i < n; i++) {
            struct slot *slot = events[i].data.ptr;

            if (slot->state == SLOT_CONNECTING)
                on_connected(run, slot);
            else
                on_readable(run, slot);
        }
    }
}

static void print_figures(struct run *run, const char *name, double seconds)
{
    (void)printf("{\"case\": \"%s\", \"operations\": %u, \"failures\": %u, \"error\": \"%s\", \"seconds\": %.6f, ",
                 name, run->done, run->failed, run->failed ? strerror(run->first_errno) : "", seconds);
    (void)printf("\"per_s\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"worst_us\": %.2f}\n",
                 run->done > 0 ? run->done / seconds : 0, samples_percentile_us(&run->samples, 50),
                 samples_percentile_us(&run->samples, 99), samples_percentile_us(&run->samples, 100));
    if (fflush(stdout) != 0)
        die("stdout");
}

void cmd_crr(const struct endpoint *server, unsigned in_flight, unsigned seconds, unsigned per_s)
{
    uint64_t start = now_ns();
    struct run run = {
        .server = server,
        .mode = BENCH_CRR,
        .want = UINT32_MAX,
        .per_s = per_s,
        .start_ns = start,
    };

    go(&run, in_flight, start + seconds * UINT64_C(1000000000));
    print_figures(&run, "crr", (double)(now_ns() - start) / 1e9);
    free(run.samples.ns);
}

static void take_orders(const struct run *run)
{
    struct timeval stall = {.tv_sec = BENCH_STALL_MS / 1000};
    char line[LINE_BYTES];

    for (unsigned i = 0; i < run->done; i++) {
        set_blocking(run->kept[i], 1);
        if (setsockopt(run->kept[i], SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof(stall)) < 0)
            die("SO_RCVTIMEO");
    }
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        errno = 0;
        if (strncmp(line, "rr ", 3) != 0 || run->done == 0)
            die("'%s' with %u flows", line, run->done);
        pingpong(run->kept, run->done, number(line + 3, BENCH_SECONDS_MAX));
        if (fflush(stdout) != 0)
            die("stdout");
    }
}

void cmd_idle(const struct endpoint *server, unsigned flows, unsigned seconds)
{
    uint64_t start = now_ns();
    struct run run = {
        .server = server,
        .mode = BENCH_RR,
        .want = flows,
        .kept = calloc(flows, sizeof(int)),
        .last_done_ns = start,
    };

    if (!run.kept)
        die("no memory for %u flows", flows);
    go(&run, IDLE_IN_FLIGHT, start + seconds * UINT64_C(1000000000));
    /* What failed at the end took its own time. */
    print_figures(&run, "idle", (double)(run.last_done_ns - start) / 1e9);
    take_orders(&run);
    free(run.samples.ns);
    free(run.kept);
}
