/*
 * weir-bench: the load generator of the throughput tool. One program is both ends.
 *
 *     weir-bench serve ADDR PORT                      until killed; prints "ready" once it listens
 *     weir-bench up|down ADDR PORT STREAMS SECONDS    bulk data to, or from, the server
 *     weir-bench rr ADDR PORT SECONDS                 one byte there, one back, one connection
 *     weir-bench crr ADDR PORT IN_FLIGHT SECONDS [PER_SECOND]
 *                                                     connect, a byte each way, close; as many as go, or so many
 *     weir-bench idle ADDR PORT FLOWS SECONDS         open flows and hold them; then, for each line "rr SECONDS" on
 *                                                     stdin, rr over random ones
 *     weir-bench udp-up|udp-down ADDR PORT BYTES      datagrams of so many bytes: the highest rate that loses little
 *     weir-bench udp-up|udp-down ADDR PORT BYTES PER_SECOND SECONDS     at this rate
 *     weir-bench udp-rr ADDR PORT SECONDS             one datagram of a byte there, one back
 *
 * Every measurement is one line of JSON on stdout. What goes wrong is one line on stderr and exit status 1: a stall, a
 * reset, an end too early. Such a run has no figure.
 *
 * The first byte of a connection says what the server does with it:
 *
 *     'U'  takes a struct up_order, counts what comes behind it until the client's FIN, answers with a struct
 *     up_answer, closes 'D'  sends whole chunks until a second byte comes, closes
 *     'R'  sends every byte back, this first one too
 *     'C'  sends this byte back and closes
 *
 * So the server always closes first and orderly: the client's side, whose ports are the scarce ones, keeps no
 * TIME_WAIT. What UDP datagrams say is in train.h.
 */
#ifndef WEIR_TESTS_BENCH_BENCH_H
#define WEIR_TESTS_BENCH_BENCH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    BENCH_CHUNK_BYTES = 128 << 10, /* of one send() */
    BENCH_DISCARD_BYTES = 1 << 20, /* of one recv(), which copies nothing (MSG_TRUNC) */
    BENCH_STREAMS_MAX = 256,
    BENCH_FLOWS_MAX = 65000,
    BENCH_SECONDS_MAX = 3600,
    BENCH_STALL_MS = 10000, /* without any progress: the run has failed */
    BENCH_SAMPLES_MAX = 1 << 23,
    BENCH_EVENTS = 256,
    BENCH_RATE_MAX = 1 << 23, /* of anything, per second */
};

enum bench_mode { BENCH_UP = 'U', BENCH_DOWN = 'D', BENCH_RR = 'R', BENCH_CRR = 'C' };

/* As they lie in memory: both ends run on one machine, and on its one clock. */
struct up_order {
    uint64_t end_ns; /* when the time will be over, see now_ns() */
};

struct up_answer {
    uint64_t bytes;         /* that arrived */
    uint64_t bytes_in_time; /* those before the end */
};

/* An address and a port of either family. */
struct endpoint {
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    };
};

/* Durations in ns, one a sample. Zero is empty. */
struct samples {
    uint64_t *ns; /* owned */
    size_t count, room;
};

/** Print a line on stderr, errno's text behind it unless errno is 0, and exit with status 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** CLOCK_MONOTONIC, in ns. */
uint64_t now_ns(void);

/** A whole number within [1, max] from a command line, or die. */
unsigned number(const char *text, unsigned max);

/** Samples beyond BENCH_SAMPLES_MAX are dropped. */
void samples_add(struct samples *samples, uint64_t ns);

/** The value that `percent` % of the samples do not exceed, in µs; sorts them. 0 if there are none. */
double samples_percentile_us(struct samples *samples, unsigned percent);

/** A new TCP socket without Nagle's delay. */
int tcp_socket(int family, int flags);

/** Connect, send `mode`, and wait for nothing: a blocking socket, or die. */
int tcp_open(const struct endpoint *server, enum bench_mode mode);

/** Send all of it on a blocking socket, or die. */
void send_all(int fd, const void *bytes, size_t len);

void set_blocking(int fd, int blocking);

/**
 * Ping-pong of one byte for `seconds`, each time on a random one of `count` blocking sockets in mode BENCH_RR (or of
 * connected UDP sockets), and print the figures. An end or BENCH_STALL_MS of silence: die.
 */
void pingpong(const int *fds, unsigned count, unsigned seconds);

/* The subcommands. */
void cmd_serve(const struct endpoint *addr);
void cmd_bulk(const struct endpoint *server, enum bench_mode mode, unsigned streams, unsigned seconds);
void cmd_rr(const struct endpoint *server, unsigned seconds);
void cmd_crr(const struct endpoint *server, unsigned in_flight, unsigned seconds, unsigned per_s); /* 0: no pace */
void cmd_idle(const struct endpoint *server, unsigned flows, unsigned seconds);
void cmd_udp(const struct endpoint *server, bool up, unsigned bytes, unsigned per_s, unsigned seconds); /* 0: search */
void cmd_udp_rr(const struct endpoint *server, unsigned seconds);

#endif
