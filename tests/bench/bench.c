/*
 * The command line of weir-bench, and what its subcommands share (bench.h).
 */
#include "tests/bench/train.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { SAMPLES_ROOM_FIRST = 4096 };

_Noreturn void die(const char *format, ...)
{
    int error = errno;
    va_list args;

    (void)fputs("weir-bench: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, "%s%s\n", error ? ": " : "", error ? strerror(error) : "");
    exit(EXIT_FAILURE);
}

uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail: the clock exists and the pointer is good */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

unsigned number(const char *text, unsigned max)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < 1 || value > max) {
        errno = 0;
        die("'%s' is not a number from 1 to %u", text, max);
    }
    return (unsigned)value;
}

void samples_add(struct samples *samples, uint64_t ns)
{
    if (samples->count == samples->room) {
        size_t room = samples->room ? samples->room * 2 : SAMPLES_ROOM_FIRST;
        uint64_t *grown;

        if (room > BENCH_SAMPLES_MAX)
            return;
        grown = realloc(samples->ns, room * sizeof(*grown));
        if (!grown)
            die("%zu samples", room);
        samples->ns = grown;
        samples->room = room;
    }
    samples->ns[samples->count++] = ns;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

double samples_percentile_us(struct samples *samples, unsigned percent)
{
    if (samples->count == 0)
        return 0;
    qsort(samples->ns, samples->count, sizeof(*samples->ns), by_size);
    return (double)samples->ns[(samples->count - 1) * percent / 100] / 1e3;
}

int tcp_socket(int family, int flags)
{
    int one = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
        die("a TCP socket");
    return fd;
}

void send_all(int fd, const void *bytes, size_t len)
{
    const char *from = bytes;

    while (len > 0) {
        ssize_t n = send(fd, from, len, 0);

        if (n <= 0)
            die("send");
        from += n;
        len -= (size_t)n;
    }
}

int tcp_open(const struct endpoint *server, enum bench_mode mode)
{
    struct timeval stall = {.tv_sec = BENCH_STALL_MS / 1000};
    char first = (char)mode;
    int fd = tcp_socket(server->any.sa_family, 0);

    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof(stall)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof(stall)) < 0)
        die("a socket's timeouts");
    if (connect(fd, &server->any, server->len) < 0)
        die("connect");
    send_all(fd, &first, 1);
    return fd;
}

void set_blocking(int fd, int blocking)
{
    if (fcntl(fd, F_SETFL, blocking ? 0 : O_NONBLOCK) < 0)
        die("fcntl");
}

static struct endpoint parse_address(const char *addr, const char *port_text)
{
    in_port_t port = htons((uint16_t)number(port_text, UINT16_MAX));
    struct endpoint v4 = {.len = sizeof(v4.in), .in = {.sin_family = AF_INET, .sin_port = port}};
    struct endpoint v6 = {.len = sizeof(v6.in6), .in6 = {.sin6_family = AF_INET6, .sin6_port = port}};

    if (inet_pton(AF_INET, addr, &v4.in.sin_addr) == 1)
        return v4;
    errno = 0;
    if (inet_pton(AF_INET6, addr, &v6.in6.sin6_addr) != 1)
        die("'%s' is not an address", addr);
    return v6;
}

static _Noreturn void usage(void)
{
    (void)fputs("usage: weir-bench serve ADDR PORT\n"
                "       weir-bench up|down ADDR PORT STREAMS SECONDS\n"
                "       weir-bench rr ADDR PORT SECONDS\n"
                "       weir-bench crr ADDR PORT IN_FLIGHT SECONDS [PER_SECOND]\n"
                "       weir-bench idle ADDR PORT FLOWS SECONDS    (then \"rr SECONDS\" on stdin)\n"
                "       weir-bench udp-up|udp-down ADDR PORT BYTES [PER_SECOND SECONDS]\n"
                "       weir-bench udp-rr ADDR PORT SECONDS\n",
                stderr);
    exit(2);
}

/* A TCP command; false: it is none. */
static bool run_tcp(const char *what, const struct endpoint *addr, int argc, char **args)
{
    if (strcmp(what, "up") == 0 && argc == 2)
        cmd_bulk(addr, BENCH_UP, number(args[0], BENCH_STREAMS_MAX), number(args[1], BENCH_SECONDS_MAX));
    else if (strcmp(what, "down") == 0 && argc == 2)
        cmd_bulk(addr, BENCH_DOWN, number(args[0], BENCH_STREAMS_MAX), number(args[1], BENCH_SECONDS_MAX));
    else if (strcmp(what, "rr") == 0 && argc == 1)
        cmd_rr(addr, number(args[0], BENCH_SECONDS_MAX));
    else if (strcmp(what, "crr") == 0 && (argc == 2 || argc == 3))
        cmd_crr(addr, number(args[0], BENCH_STREAMS_MAX), number(args[1], BENCH_SECONDS_MAX),
                argc == 3 ? number(args[2], BENCH_RATE_MAX) : 0);
    else if (strcmp(what, "idle") == 0 && argc == 2)
        cmd_idle(addr, number(args[0], BENCH_FLOWS_MAX), number(args[1], BENCH_SECONDS_MAX));
    else
        return false;
    return true;
}

static bool run_udp(const char *what, const struct endpoint *addr, int argc, char **args)
{
    bool up = strcmp(what, "udp-up") == 0;

    if (strcmp(what, "udp-rr") == 0 && argc == 1)
        cmd_udp_rr(addr, number(args[0], BENCH_SECONDS_MAX));
    else if ((up || strcmp(what, "udp-down") == 0) && argc == 1)
        cmd_udp(addr, up, number(args[0], TRAIN_BYTES_MAX), 0, 0);
    else if ((up || strcmp(what, "udp-down") == 0) && argc == 3)
        cmd_udp(addr, up, number(args[0], TRAIN_BYTES_MAX), number(args[1], BENCH_RATE_MAX),
                number(args[2], BENCH_SECONDS_MAX));
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct endpoint addr;

    if (argc < 4)
        usage();
    (void)signal(SIGPIPE, SIG_IGN); /* cannot fail for this signal */
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        die("getrlimit");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        die("setrlimit");
    addr = parse_address(argv[2], argv[3]);

    if (strcmp(argv[1], "serve") == 0 && argc == 4)
        cmd_serve(&addr);
    if (!run_tcp(argv[1], &addr, argc - 4, argv + 4) && !run_udp(argv[1], &addr, argc - 4, argv + 4))
        usage();
    return EXIT_SUCCESS;
}
