/*
 * UDP trains: numbered datagrams at a steady pace, and the tally of what arrives of them. The guest's end leads; each
 * datagram says what it is, and all of a run are one flow, so that an order is served behind the data before it:
 *
 *     TRAIN_DATA    one car of a train: a struct train_car, then anything
 *     TRAIN_UP      a struct train_order: what has arrived of this train? The server answers
 *     TRAIN_DOWN    a struct train_order: the server sends this train and answers; asked again, it only answers
 *     TRAIN_ANSWER  a struct train_answer, from the server
 *     BENCH_RR      one byte, sent back as it is
 *
 * Orders and answers may get lost like all else: the guest's end asks until it is answered.
 */
#ifndef WEIR_TESTS_BENCH_TRAIN_H
#define WEIR_TESTS_BENCH_TRAIN_H

#include "tests/bench/bench.h"

#include <stdbool.h>
#include <sys/socket.h>

enum {
    TRAIN_BYTES_MAX = 65000,  /* of one datagram's payload */
    TRAIN_CARS_MAX = 1 << 26, /* of one train; one bit each */
    TRAIN_BATCH = 64,         /* datagrams of one system call */
    TRAIN_HEAD_BYTES = 64,    /* what is looked at of one that arrives */
};

enum train_kind { TRAIN_DATA = 1, TRAIN_UP, TRAIN_DOWN, TRAIN_ANSWER };

/* As they lie in memory, see struct up_order. */
struct train_car {
    uint32_t kind, train;
    uint64_t number; /* from 0 */
};

struct train_order {
    uint32_t kind, train;
    uint32_t bytes; /* of one datagram's payload, at least a struct train_car */
    uint32_t rate;  /* datagrams per second */
    uint64_t ns;    /* how long */
};

struct train_answer {
    uint32_t kind, train;
    uint64_t sent;                           /* down */
    uint64_t arrived, reordered, duplicates; /* up, see struct tally */
    uint64_t span_ns;                        /* up: from the first to the last that arrived */
};

/* What arrived of the train that is counted now. Zero is empty. */
struct tally {
    uint32_t train;
    uint64_t arrived;    /* each once */
    uint64_t reordered;  /* of them, behind one with a higher number */
    uint64_t duplicates; /* not in `arrived` */
    uint64_t first_ns, last_ns;
    uint64_t next;  /* above the highest number so far */
    uint64_t *seen; /* owned, malloc'ed; a bit for each number */
};

/* Datagrams of one recvmmsg(): their beginnings, true lengths and senders. */
struct train_batch {
    struct mmsghdr messages[TRAIN_BATCH];
    struct iovec vectors[TRAIN_BATCH];
    struct endpoint from[TRAIN_BATCH];
    _Alignas(uint64_t) char heads[TRAIN_BATCH][TRAIN_HEAD_BYTES];
};

/** A new UDP socket with room for what arrives while its owner waits for a CPU. */
int udp_socket(int family, int flags);

/**
 * Send a train for order->ns. Who cannot keep the pace falls behind it: what is due too late is left out, not sent in
 * one burst.
 *
 * @to: NULL if the socket is connected
 *
 * Return: how many were sent.
 */
uint64_t train_send(int fd, const struct endpoint *to, const struct train_order *order);

/** Receive what is there, with MSG_* flags. Return: how many, or 0 when nothing came (in time); other trouble: die. */
unsigned train_receive(int fd, struct train_batch *batch, int flags);

/** Count from now on what arrives of another train. */
void tally_begin(struct tally *tally, uint32_t train);

/** Is it a car of the tally's train? Then it is counted. */
bool tally_take(struct tally *tally, const char *head, size_t len, uint64_t now);

/** Serve what a server's UDP socket has: the trains' other end. */
void train_serve(int fd);

#endif
