/*
 * Sending trains, counting them, and the server's end (train.h).
 */
#include "tests/bench/train.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum {
    PACE_NS = 100000,        /* the least time to sleep: what is due after it goes in one burst */
    BURST_MAX = 256,         /* what may be due at once; a TAP's queue holds about 1,000 */
    SOCKET_BUFFER = 8 << 20, /* tens of ms at the highest rates */
    BATCHES_A_TURN = 16,
};

static char filler[TRAIN_BYTES_MAX];

int udp_socket(int family, int flags)
{
    int bytes = SOCKET_BUFFER;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | flags, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
        die("a UDP socket");
    return fd;
}

static void sleep_until(uint64_t ns)
{
    struct timespec when = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};

    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL); /* a signal only makes it shorter */
}

/* The cars from `number` on; returns how many of them are on their way or lost at once. */
static unsigned send_some(int fd, const struct endpoint *to, const struct train_order *order, uint64_t number,
                          unsigned count)
{
    struct train_car cars[TRAIN_BATCH];
    struct iovec vectors[TRAIN_BATCH][2];
    struct mmsghdr messages[TRAIN_BATCH];
    int sent;

    for (unsigned i = 0; i < count; i++) {
        cars[i] = (struct train_car){.kind = TRAIN_DATA, .train = order->train, .number = number + i};
        vectors[i][0] = (struct iovec){.iov_base = &cars[i], .iov_len = sizeof(cars[i])};
        vectors[i][1] = (struct iovec){.iov_base = filler, .iov_len = order->bytes - sizeof(cars[i])};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = to ? (void *)(uintptr_t)&to->any : NULL,
            .msg_namelen = to ? to->len : 0,
            .msg_iov = vectors[i],
            .msg_iovlen = 2,
        };
    }
    sent = sendmmsg(fd, messages, count, 0);
    if (sent < 0 && (errno == ENOBUFS || errno == EAGAIN))
        return 1; /* that one is lost */
    if (sent < 0)
        die("sendmmsg");
    return (unsigned)sent;
}

uint64_t train_send(int fd, const struct endpoint *to, const struct train_order *order)
{
    uint64_t start = now_ns(), now = start, sent = 0, left_out = 0;

    (void)prctl(PR_SET_TIMERSLACK, 1uL); /* cannot fail; the default is 50 µs */
    while (now - start < order->ns && sent < TRAIN_CARS_MAX) {
        uint64_t due = (now - start) * order->rate / 1000000000u + 1 - left_out;

        if (due > sent + BURST_MAX) {
            left_out += due - sent - BURST_MAX;
            due = sent + BURST_MAX;
        }
        if (due > sent) {
            unsigned count = due - sent < TRAIN_BATCH ? (unsigned)(due - sent) : TRAIN_BATCH;

            sent += send_some(fd, to, order, sent, count);
        } else {
            uint64_t next = start + (sent + left_out) * 1000000000u / order->rate;

            sleep_until(next > now + PACE_NS ? next : now + PACE_NS);
        }
        now = now_ns();
    }
    return sent;
}

unsigned train_receive(int fd, struct train_batch *batch, int flags)
{
    int count;

    for (unsigned i = 0; i < TRAIN_BATCH; i++) {
        batch->vectors[i] = (struct iovec){.iov_base = batch->heads[i], .iov_len = TRAIN_HEAD_BYTES};
        batch->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &batch->from[i].any,
            .msg_namelen = sizeof(batch->from[i].in6),
            .msg_iov = &batch->vectors[i],
            .msg_iovlen = 1,
        };
    }
    count = recvmmsg(fd, batch->messages, TRAIN_BATCH, flags | MSG_TRUNC, NULL);
    if (count < 0 && errno != EAGAIN && errno != EINTR)
        die("recvmmsg");
    for (int i = 0; i < count; i++)
        batch->from[i].len = batch->messages[i].msg_hdr.msg_namelen;
    return count < 0 ? 0 : (unsigned)count;
}

void tally_begin(struct tally *tally, uint32_t train)
{
    uint64_t *seen = tally->seen;

    if (!seen)
        seen = calloc(TRAIN_CARS_MAX / 64, sizeof(*seen));
    else
        memset(seen, 0, (tally->next + 63) / 64 * sizeof(*seen));
    if (!seen)
        die("no memory for %d numbers", TRAIN_CARS_MAX);
    *tally = (struct tally){.train = train, .seen = seen};
}

bool tally_take(struct tally *tally, const char *head, size_t len, uint64_t now)
{
    struct train_car car;
    uint64_t bit;

    if (len < sizeof(car))
        return false;
    memcpy(&car, head, sizeof(car));
    if (car.kind != TRAIN_DATA || car.train != tally->train || car.number >= TRAIN_CARS_MAX || !tally->seen)
        return false;
    bit = UINT64_C(1) << car.number % 64;
    if (tally->seen[car.number / 64] & bit) {
        tally->duplicates++;
        return true;
    }
    tally->seen[car.number / 64] |= bit;
    if (tally->arrived++ == 0)
        tally->first_ns = now;
    tally->last_ns = now;
    if (car.number < tally->next)
        tally->reordered++;
    else
        tally->next = car.number + 1;
    return true;
}

/* ---- the server's end: one guest at a time, so that all it needs is the last train each way ---- */

static struct tally up;
static uint32_t down_train;
static uint64_t down_sent;

static void answer(int fd, const struct endpoint *to, const struct train_order *order)
{
    struct train_answer answer = {.kind = TRAIN_ANSWER, .train = order->train};

    if (order->kind == TRAIN_DOWN) {
        if (order->train != down_train)
            down_sent = train_send(fd, to, order);
        down_train = order->train;
        answer.sent = down_sent;
    } else if (order->train == up.train) {
        answer.arrived = up.arrived;
        answer.reordered = up.reordered;
        answer.duplicates = up.duplicates;
        answer.span_ns = up.last_ns - up.first_ns;
    }
    (void)sendto(fd, &answer, sizeof(answer), 0, &to->any, to->len); /* they ask again if it is missing */
}

static void serve_one(int fd, const struct endpoint *from, const char *head, size_t len, uint64_t now)
{
    struct train_order order;
    struct train_car car;

    if (len == 1) {
        (void)sendto(fd, head, 1, 0, &from->any, from->len); /* they say so if it is missing */
        return;
    }
    if (tally_take(&up, head, len, now) || len < sizeof(car))
        return;
    memcpy(&car, head, sizeof(car));
    if (car.kind == TRAIN_DATA && car.train != up.train) {
        tally_begin(&up, car.train);
        (void)tally_take(&up, head, len, now); /* the first of its train */
    }
    if (len != sizeof(order))
        return;
    memcpy(&order, head, sizeof(order));
    if ((order.kind == TRAIN_UP || order.kind == TRAIN_DOWN) && order.rate > 0 && order.bytes >= sizeof(car) &&
        order.bytes <= TRAIN_BYTES_MAX)
        answer(fd, from, &order);
}

void train_serve(int fd)
{
    static struct train_batch batch;
    unsigned count = TRAIN_BATCH;

    for (int turn = 0; turn < BATCHES_A_TURN && count == TRAIN_BATCH; turn++) {
        uint64_t now;

        count = train_receive(fd, &batch, MSG_DONTWAIT);
        now = now_ns();
        for (unsigned i = 0; i < count; i++)
            serve_one(fd, &batch.from[i], batch.heads[i], batch.messages[i].msg_len, now);
    }
}
