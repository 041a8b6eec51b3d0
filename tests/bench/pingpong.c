/*
 * One byte there, one back: the latency of an open flow.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned pick(uint64_t *state, unsigned count)
{
    *state ^= *state >> 12; /* xorshift64*: the same choice on every machine */
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (unsigned)((*state * 0x2545f4914f6cdd1du) >> 32) % count;
}

static void get_byte(int fd)
{
    char byte;
    ssize_t n;

    errno = 0;
    n = recv(fd, &byte, 1, 0);
    if (n == 0)
        die("a flow ended early");
    if (n < 0 && errno != EAGAIN)
        die("recv");
    if (n < 0)
        die("no answer within %d ms", BENCH_STALL_MS);
}

void pingpong(const int *fds, unsigned count, unsigned seconds)
{
    struct samples samples = {0};
    uint64_t random = 0x9e3779b97f4a7c15u;
    uint64_t start = now_ns(), now = start, end = start + seconds * UINT64_C(1000000000);
    unsigned long operations = 0;

    while (now < end) {
        int fd = fds[pick(&random, count)];
        uint64_t before = now;

        send_all(fd, "R", 1);
        get_byte(fd);
        now = now_ns();
        samples_add(&samples, now - before);
        operations++;
    }
    (void)printf("{\"case\": \"rr\", \"flows\": %u, \"operations\": %lu, \"seconds\": %.6f, ", count, operations,
                 (double)(now - start) / 1e9);
    (void)printf("\"p50_us\": %.2f, \"p99_us\": %.2f, \"worst_us\": %.2f}\n", samples_percentile_us(&samples, 50),
                 samples_percentile_us(&samples, 99), samples_percentile_us(&samples, 100));
    free(samples.ns);
}

void cmd_rr(const struct endpoint *server, unsigned seconds)
{
    int fd = tcp_open(server, BENCH_RR);

    get_byte(fd);
    pingpong(&fd, 1, seconds);
    (void)close(fd); /* nothing is left to lose */
}
