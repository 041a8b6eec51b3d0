/*
 * The flow log: one JSON object a line (docs/policy.md, "The flow log").
 *
 * Lines are collected during a turn and written once at its end. A reader that does not keep up never slows the data
 * path: what does not fit is dropped and counted, and the next line that does fit says how many were lost.
 */
#ifndef WEIR_DATAPATH_RECORD_H
#define WEIR_DATAPATH_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/counters.h"
#include "policy/policy.h"

enum {
    RECORD_LINE_BYTES_MAX = 2048,
    RECORD_BUFFER_BYTES_MAX = 256 * 1024,
    RECORD_TEXT_MAX = 255,       /* of anything a guest or server made */
    RECORD_DENIALS_MAX = 256,    /* different denials aggregated at a time */
    RECORD_DENIALS_PER_S = 500,  /* lines about denials; more are lost and counted */
    RECORD_REPEAT_MS = 10000,    /* repeats of a denial become one record when this has passed */
    RECORD_DROPS_MS = 10000,     /* dropped frames are told of at most so often */
};

enum record_event { RECORD_DENY, RECORD_CLOSE, RECORD_DNS, RECORD_OPEN, RECORD_POLICY };

/* One record; pointers are borrowed for the call, NULL or "" leaves a field out. */
struct record {
    enum record_event event;
    uint64_t flow;               /* 0: none */
    const char *guest, *proto;
    struct addr src, dst, peer;  /* family ADDR_NONE: left out */
    uint16_t src_port, dst_port, peer_port;
    const char *name, *name_src, *sni, *host, *alpn, *tag, *stage, *close;
    bool ech, opaque;
    enum policy_layer layer;
    int rule;                    /* -1: none */
    const char *verdict;         /* allow, deny, audit */
    enum reason reason;
    bool would_deny, has_bytes;
    uint64_t up, down;
    uint32_t t_dns_ms, t_dial_ms, t_peek_ms, dur_ms;
    unsigned cut;                /* RECORD_POLICY: flows that were reset */
};

struct record_denial {
    uint64_t digest;             /* of rule, dst, port, name and reason; 0: free */
    uint64_t since_ms;
    uint32_t repeats;
    struct record record;        /* with the texts below */
    char guest[64], name[RECORD_TEXT_MAX + 1], proto[8], stage[8];
};

struct record_log {
    int fd;                      /* borrowed; -1: nothing is written */
    struct counters *counters;   /* borrowed */
    char *buffer;                /* owned */
    size_t len;
    bool torn;                   /* the last line written is not whole */
    uint64_t lost;               /* records, since the last one written */
    struct record_denial *denials; /* owned: RECORD_DENIALS_MAX */
    uint64_t second_ms;          /* when the second began in which ... */
    uint32_t second_lines;       /* ... so many denials were written */
    uint64_t repeats_due_ms;     /* of the oldest of them; 0: there is none */
    struct counters told;        /* what the last record of dropped frames knew */
    uint64_t drops_ms;           /* when that was written; 0: never */
};

/** Return: 0, or -ENOMEM. */
int record_init(struct record_log *log, int fd, struct counters *counters);
void record_deinit(struct record_log *log); /* writes what is pending */

/** Append a record; a denial that was reported less than RECORD_REPEAT_MS ago is only counted. */
void record_add(struct record_log *log, const struct record *r, uint64_t now_ms);

/**
 * Write out which frames were dropped for what no healthy guest sends, if some were and it is time.
 *
 * Return: when to call again, 0: there is nothing to tell.
 */
uint64_t record_drops(struct record_log *log, uint64_t now_ms);

/** Write out the repeats that are due. Return: when to call again, 0: nothing pending. */
uint64_t record_repeats(struct record_log *log, uint64_t now_ms, bool all);

/** End of a turn: write what was collected. */
void record_flush(struct record_log *log);

#endif
