/*
 * Bulk data on a number of streams. The rate is that of the bytes which arrived within the time; every stream then ends
 * in good order, so that a byte that never comes is noticed (a stall behind the end is printed; one before it leaves no
 * figure):
 *
 *   up      send chunks until the time is over, FIN; the server answers how much it got, and what is missing is
 *           printed as lost
 *   down    discard until the time is over, ask for the end; the server finishes its chunk, and the count must be
 *           whole chunks
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/tcp.h> /* libc's tcp_info is an old one */
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct stream {
    int fd;
    uint64_t bytes;          /* sent, or received */
    uint64_t acked;          /* up: of them, by whoever is next, when the time was over */
    struct up_answer answer; /* up */
    size_t answer_got;       /* bytes of it */
    bool ending;             /* we have said that we want no more */
    bool done;
};

struct bulk {
    enum bench_mode mode;
    int epoll_fd;
    unsigned open, stalled;              /* streams */
    bool over;                           /* the time is */
    uint64_t bytes, bytes_in_time, lost; /* of the streams that have ended; down: bytes_in_time of all */
};

static char chunk[BENCH_CHUNK_BYTES];
static char discarded[BENCH_DISCARD_BYTES]; /* never written: MSG_TRUNC */

static void watch(struct bulk *bulk, int op, struct stream *stream, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = stream};

    if (epoll_ctl(bulk->epoll_fd, op, stream->fd, &event) < 0)
        die("epoll_ctl");
}

static void stream_done(struct bulk *bulk, struct stream *stream)
{
    (void)close(stream->fd); /* everything has been read */
    stream->done = true;
    bulk->open--;
}

static uint64_t bytes_acked(const struct stream *stream)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    if (getsockopt(stream->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
        die("TCP_INFO");
    return info.tcpi_bytes_acked;
}

/* Up: the server's count does not come. What the next hop took until the end is the best there is. */
static void stream_stalled(struct bulk *bulk, struct stream *stream)
{
    bulk->bytes += stream->acked;
    bulk->bytes_in_time += stream->acked;
    bulk->stalled++;
    stream_done(bulk, stream);
}

static void ask_for_end(struct bulk *bulk, struct stream *stream)
{
    stream->ending = true;
    if (bulk->mode == BENCH_UP) {
        stream->acked = bytes_acked(stream);
        if (shutdown(stream->fd, SHUT_WR) < 0)
            die("shutdown");
        watch(bulk, EPOLL_CTL_MOD, stream, EPOLLIN);
    } else if (send(stream->fd, "S", 1, 0) != 1) {
        die("send");
    }
}

static void turn_up(struct bulk *bulk, struct stream *stream)
{
    ssize_t n;

    if (!stream->ending) {
        n = send(stream->fd, chunk, sizeof(chunk), 0);
        if (n > 0)
            stream->bytes += (uint64_t)n;
        else if (errno != EAGAIN)
            die("send after %" PRIu64 " bytes", stream->bytes);
        return;
    }
    n = recv(stream->fd, (char *)&stream->answer + stream->answer_got, sizeof(stream->answer) - stream->answer_got, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("the server did not say how much it got of %" PRIu64 " bytes", stream->bytes);
    stream->answer_got += (size_t)n;
    if (stream->answer_got < sizeof(stream->answer))
        return;
    errno = 0;
    if (stream->answer.bytes > stream->bytes)
        die("%" PRIu64 " bytes sent, %" PRIu64 " arrived", stream->bytes, stream->answer.bytes);
    bulk->bytes += stream->answer.bytes;
    bulk->bytes_in_time += stream->answer.bytes_in_time;
    bulk->lost += stream->bytes - stream->answer.bytes;
    stream_done(bulk, stream);
}

static void turn_down(struct bulk *bulk, struct stream *stream)
{
    ssize_t n = recv(stream->fd, discarded, sizeof(discarded), MSG_TRUNC);

    if (n > 0) {
        stream->bytes += (uint64_t)n;
        if (!bulk->over)
            bulk->bytes_in_time += (uint64_t)n;
        return;
    }
    if (n < 0) {
        if (errno != EAGAIN)
            die("recv after %" PRIu64 " bytes", stream->bytes);
        return;
    }
    errno = 0;
    if (!stream->ending || stream->bytes % BENCH_CHUNK_BYTES != 0)
        die("the stream ended %s", stream->ending ? "within a chunk" : "early");
    bulk->bytes += stream->bytes;
    stream_done(bulk, stream);
}

static void stall(struct bulk *bulk, struct stream *streams, unsigned count)
{
    errno = 0;
    if (bulk->mode == BENCH_DOWN || !bulk->over)
        die("stalled: no byte for %d ms, %s the end was asked for", BENCH_STALL_MS, bulk->over ? "after" : "before");
    for (unsigned i = 0; i < count; i++)
        if (!streams[i].done)
            stream_stalled(bulk, &streams[i]);
}

/* One round of events; returns the ns that passed without any of them. */
static uint64_t turn(struct bulk *bulk, struct stream *streams, unsigned count, uint64_t last)
{
    struct epoll_event events[BENCH_EVENTS];
    int n = epoll_wait(bulk->epoll_fd, events, BENCH_EVENTS, BENCH_STALL_MS);
    uint64_t gap = now_ns() - last;

    if (n < 0)
        die("epoll_wait");
    if (n == 0)
        stall(bulk, streams, count);
    for (int i = 0; i < n; i++) {
        if (bulk->mode == BENCH_UP)
            turn_up(bulk, events[i].data.ptr);
        else
            turn_down(bulk, events[i].data.ptr);
    }
    return gap;
}

static uint64_t begin(struct bulk *bulk, struct stream *streams, unsigned count, unsigned seconds)
{
    uint64_t start = now_ns();
    struct up_order order = {.end_ns = start + seconds * UINT64_C(1000000000)};

    for (unsigned i = 0; i < count; i++) {
        if (bulk->mode == BENCH_UP)
            send_all(streams[i].fd, &order, sizeof(order));
        set_blocking(streams[i].fd, 0);
        watch(bulk, EPOLL_CTL_ADD, &streams[i], bulk->mode == BENCH_UP ? EPOLLOUT : EPOLLIN);
    }
    return start;
}

void cmd_bulk(const struct endpoint *server, enum bench_mode mode, unsigned count, unsigned seconds)
{
    static struct stream streams[BENCH_STREAMS_MAX];
    struct bulk bulk = {.mode = mode, .epoll_fd = epoll_create1(EPOLL_CLOEXEC), .open = count};
    uint64_t start, end, now, gap_max = 0;

    if (bulk.epoll_fd < 0)
        die("epoll_create1");
    for (unsigned i = 0; i < count; i++)
        streams[i].fd = tcp_open(server, mode);
    now = start = begin(&bulk, streams, count, seconds);
    end = start + seconds * UINT64_C(1000000000);
    while (bulk.open > 0) {
        uint64_t gap = turn(&bulk, streams, count, now);

        now = now_ns();
        if (bulk.over)
            continue;
        gap_max = gap > gap_max ? gap : gap_max;
        if (now < end)
            continue;
        bulk.over = true;
        for (unsigned i = 0; i < count; i++)
            ask_for_end(&bulk, &streams[i]);
    }
    (void)printf("{\"case\": \"%s\", \"streams\": %u, \"seconds\": %u, \"gbit_s\": %.4f, \"gap_ms\": %.3f, ",
                 mode == BENCH_UP ? "up" : "down", count, seconds, (double)bulk.bytes_in_time * 8e-9 / seconds,
                 (double)gap_max / 1e6);
    (void)printf("\"bytes\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"stalled\": %u, \"tail_ms\": %.3f}\n", bulk.bytes,
                 bulk.lost, bulk.stalled, (double)(now - end) / 1e6);
}
