/*
 * The guest's end of UDP trains and round trips. Without a rate, the highest is searched for at which less than 1 %
 * gets lost: doubled from one short train to the next, then narrowed down. A train that loses more, or falls behind,
 * gets a second chance: that somebody else had the CPU is no limit of what is measured.
 */
#include "tests/bench/train.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    SILENCE_MS = 50,   /* then the order is sent again */
    RATE_FIRST = 8000, /* of a search; in datagrams per second */
    RATE_LEAST = 100,
    RATE_MAX = 1 << 23,
    STEP_MS = 400,
    TRIES = 2,   /* of a step */
    NARROW = 16, /* a search ends within 1/16 */
    LOSS_PERCENT_MAX = 1,
};

struct run {
    int fd;
    enum train_kind direction; /* TRAIN_UP or TRAIN_DOWN */
    uint32_t bytes;
    uint32_t train; /* number of the last one */
    struct tally down;
};

struct step {
    uint64_t sent, arrived, reordered, duplicates;
    double per_s; /* that arrived */
};

static int udp_open(const struct endpoint *server, unsigned silence_ms)
{
    struct timeval silence = {.tv_sec = silence_ms / 1000, .tv_usec = silence_ms % 1000 * 1000};
    int fd = udp_socket(server->any.sa_family, 0);

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence)) < 0)
        die("a socket's timeout");
    if (connect(fd, &server->any, server->len) < 0)
        die("connect");
    return fd;
}

/* Take in what comes until the answer, or silence: false. */
static bool hear(struct run *run, uint32_t train, struct train_answer *out_answer)
{
    static struct train_batch batch;
    unsigned count;

    while ((count = train_receive(run->fd, &batch, MSG_WAITFORONE)) > 0) {
        uint64_t now = now_ns();

        for (unsigned i = 0; i < count; i++) {
            struct train_answer answer;

            if (tally_take(&run->down, batch.heads[i], batch.messages[i].msg_len, now) ||
                batch.messages[i].msg_len != sizeof(answer))
                continue;
            memcpy(&answer, batch.heads[i], sizeof(answer));
            if (answer.kind != TRAIN_ANSWER || answer.train != train)
                continue; /* to an order that was sent twice */
            *out_answer = answer;
            return true;
        }
    }
    return false;
}

static struct train_answer ask(struct run *run, const struct train_order *order)
{
    uint64_t end = now_ns() + order->ns + BENCH_STALL_MS * UINT64_C(1000000);
    struct train_answer answer;

    do {
        if (send(run->fd, order, sizeof(*order), 0) < 0 && errno != ENOBUFS)
            die("send");
        if (hear(run, order->train, &answer))
            return answer;
    } while (now_ns() < end);
    errno = 0;
    die("no answer to a train's order within %d ms", BENCH_STALL_MS);
}

static struct step go(struct run *run, uint32_t rate, uint64_t ns)
{
    struct train_order order = {
        .kind = run->direction,
        .train = ++run->train,
        .bytes = run->bytes,
        .rate = rate,
        .ns = ns,
    };
    struct train_answer answer;
    struct step step = {0};
    uint64_t span_ns;

    if (run->direction == TRAIN_UP) {
        step.sent = train_send(run->fd, NULL, &order);
        answer = ask(run, &order);
        step.arrived = answer.arrived;
        step.reordered = answer.reordered;
        step.duplicates = answer.duplicates;
        span_ns = answer.span_ns;
    } else {
        tally_begin(&run->down, order.train);
        answer = ask(run, &order);
        step.sent = answer.sent;
        step.arrived = run->down.arrived;
        step.reordered = run->down.reordered;
        step.duplicates = run->down.duplicates;
        span_ns = run->down.last_ns - run->down.first_ns;
    }
    errno = 0;
    if (step.arrived > step.sent)
        die("%" PRIu64 " datagrams sent, %" PRIu64 " arrived", step.sent, step.arrived);
    span_ns = span_ns > ns ? span_ns : ns; /* longer when queues held something */
    step.per_s = (double)step.arrived * 1e9 / (double)span_ns;
    return step;
}

static bool good(const struct step *step)
{
    return (step->sent - step->arrived) * 100 < step->sent * LOSS_PERCENT_MAX;
}

/*
 * Try a rate. `best` is the best step so far; `behind` says that little got lost but the rate was not reached:
 * more cannot be sent.
 *
 * Return: is it good?
 */
static bool attempt(struct run *run, uint32_t rate, struct step *best, bool *behind)
{
    bool any_good = false;

    for (int i = 0; i < TRIES; i++) {
        struct step step = go(run, rate, STEP_MS * UINT64_C(1000000));

        if (!good(&step))
            continue;
        any_good = true;
        if (step.per_s > best->per_s)
            *best = step;
        *behind = step.per_s < rate * 0.9;
        if (!*behind)
            break;
    }
    return any_good;
}

static struct step search(struct run *run)
{
    struct step best = {0};
    uint32_t low = 0, high = RATE_FIRST;
    bool behind = false;

    while (high <= RATE_MAX && attempt(run, high, &best, &behind)) {
        if (behind)
            return best;
        low = high;
        high *= 2;
    }
    while (low == 0 && high > RATE_LEAST) {
        if (attempt(run, high / 2, &best, &behind))
            low = high / 2;
        else
            high /= 2;
    }
    errno = 0;
    if (low == 0)
        die("%d %% or more are lost even at %d a second", LOSS_PERCENT_MAX, RATE_LEAST);
    while (high - low > low / NARROW) {
        uint32_t middle = low + (high - low) / 2;

        if (attempt(run, middle, &best, &behind))
            low = middle;
        else
            high = middle;
    }
    return best;
}

void cmd_udp(const struct endpoint *server, bool up, unsigned bytes, unsigned rate, unsigned seconds)
{
    struct run run = {.direction = up ? TRAIN_UP : TRAIN_DOWN, .bytes = bytes};
    struct step step;

    run.train = (uint32_t)(now_ns() >> 20); /* no number of the process before */
    errno = 0;
    if (bytes < sizeof(struct train_car) || (uint64_t)rate * seconds > TRAIN_CARS_MAX)
        die("a train is of %d datagrams at most, and those of %zu bytes at least", TRAIN_CARS_MAX,
            sizeof(struct train_car));
    run.fd = udp_open(server, SILENCE_MS);
    (void)go(&run, 1000, 1000000); /* neighbours, routes and the flow are there from now on */
    step = rate > 0 ? go(&run, rate, seconds * UINT64_C(1000000000)) : search(&run);
    (void)printf("{\"case\": \"udp-%s\", \"bytes\": %u, \"rate\": %u, ", up ? "up" : "down", bytes, rate);
    (void)printf("\"sent\": %" PRIu64 ", \"arrived\": %" PRIu64 ", \"packets_s\": %.1f, ", step.sent, step.arrived,
                 step.per_s);
    (void)printf("\"lost_percent\": %.4f, \"reordered\": %" PRIu64 ", \"duplicates\": %" PRIu64 "}\n",
                 step.sent ? 100 * (double)(step.sent - step.arrived) / (double)step.sent : 0, step.reordered,
                 step.duplicates);
    (void)close(run.fd); /* nothing is left to lose */
    free(run.down.seen);
}

void cmd_udp_rr(const struct endpoint *server, unsigned seconds)
{
    int fd = udp_open(server, BENCH_STALL_MS);

    pingpong(&fd, 1, seconds);
    (void)close(fd); /* nothing is left to lose */
}
