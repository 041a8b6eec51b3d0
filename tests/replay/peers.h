/*
 * The host side of a case, host.txt: which servers there are, what they answer, and how they fail. README.md has the language.
 */
#ifndef WEIR_TESTS_REPLAY_PEERS_H
#define WEIR_TESTS_REPLAY_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/list.h"
#include "host/kernel.h"
#include "words.h"

enum { PEER_TEXT_MAX = 4096, PEER_HELD_MAX = KERNEL_SNDBUF };

enum service_kind { SERVICE_TCP, SERVICE_UDP, SERVICE_DNS };
enum service_answer { ANSWER_ACCEPT, ANSWER_REFUSE, ANSWER_UNREACHABLE, ANSWER_BLACKHOLE, ANSWER_ECHO };
enum peer_end { PEER_OPEN, PEER_FIN, PEER_RST };

struct service {
    struct list node;
    enum service_kind kind;
    struct addr addr;          /* ADDR_NONE: any */
    uint16_t port;             /* 0: any */
    enum service_answer answer;
    int error;                 /* of ANSWER_UNREACHABLE: a positive errno */
    uint64_t after_us;
    const struct line *lines;  /* its program, borrowed */
    unsigned line_count;
    unsigned connects, datagrams; /* how many there were */
    uint64_t datagram_bytes;
    struct sock *last_sock;    /* of the last datagram: compared, never followed */
    unsigned socks;            /* different ones in a row */
    struct list peers;         /* owned: its connections, in order */
};

struct peer_piece {
    struct list node;
    bool pattern;
    uint64_t left, at;         /* pattern: where in the stream */
    uint8_t literal[];
};

/* A connection of weir's, at the server. */
struct peer {
    struct list node;          /* on service->peers */
    struct peers *peers;
    struct service *service;
    struct sock *sock;         /* NULL: gone */
    unsigned pc;               /* the line it is at */
    bool waiting, waited;      /* a `wait` is on its way, is over */
    bool paused, shut, closed, echo, stay;
    uint64_t got, accepted_us, end_us;
    bool pattern_bad, eof;
    enum peer_end end;         /* how weir's side ended */
    uint8_t text[PEER_TEXT_MAX];
    uint8_t *held;             /* owned: what it has not read */
    size_t held_bytes;
    struct list pieces;        /* owned: what it sends */
    uint64_t sent, pending;    /* pending: not in weir's receive buffer yet */
};

struct peers {
    struct script script;
    struct list services;      /* owned */
    struct addr host_addrs[8]; /* addresses of the host's own */
    unsigned host_addr_count;
    unsigned unknown;          /* connects and datagrams to nobody */
};

void peers_load(struct peers *peers, const char *dir);
void peers_deinit(struct peers *peers);
struct world peers_world(struct peers *peers);

/** Return: NULL when there is none. */
struct service *peers_service(struct peers *peers, enum service_kind kind, const struct addr *addr, uint16_t port);
struct peer *peers_nth(const struct service *service, unsigned n); /* from 1 */

/* ---- dns_zone.c ---- */

/** Answer a question by a service's lines. Return: bytes of the answer, 0: silence. @out_after_us: when. */
size_t zone_answer(const struct service *service, const uint8_t *question, size_t len, bool tcp, uint8_t *out,
                   size_t max, uint64_t *out_after_us);

#endif
