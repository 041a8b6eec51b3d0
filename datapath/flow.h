/*
 * The flow table: every guest TCP connection, UDP pair and pinged host, found by link and five-tuple.
 *
 *   FREE → CLAIMED → DIALING → JUDGING → OPEN → CLOSING → FREE    (JUDGING: host connected, down flows, up held)
 *                    DIALING → OPEN                               (nothing the guest could say changes the verdict)
 *          CLAIMED → PEEKING → DIALING → OPEN                     (name ambiguous: the guest is accepted first)
 *          CLAIMED → PEEKING → OPEN                               (QUIC that is read: its datagrams are held)
 *          CLAIMED → OPEN                                         (UDP, ping, and DNS over TCP: nothing is dialled)
 *          CLAIMED → ASKING → as from CLAIMED                     (the embedder is asked, or where its name leads)
 *   any but FREE → CLOSING
 *
 *   CLAIMED   found by its key; must leave this state before the entry point that claimed it returns
 *   ASKING    a word from elsewhere is waited for (asking.h); the guest's SYN is parked, or its datagrams are held
 *   DIALING   the host socket connects; the guest's SYN is parked, or its bytes are held
 *   PEEKING   the guest is connected, its bytes are held and read for a name; nothing was dialled
 *   JUDGING   both sides are connected; the server's bytes flow, the guest's are held
 *   OPEN      bytes flow both ways
 *   CLOSING   decided and recorded, out of reach of policy; handles, TIME_WAIT or a refusal on their way out
 *
 * The array is mapped once for the configured maximum and touched as flows open. A flow is freed only in flow_reap(),
 * at the end of a turn, so any callback may go on reading its flow after killing it.
 */
#ifndef WEIR_DATAPATH_FLOW_H
#define WEIR_DATAPATH_FLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/addr.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/table.h"
#include "datapath/half.h"
#include "policy/policy.h"
#include "proxy/dial.h"
#include "stack/tcp.h"

struct instance;
struct link;
struct endpoint;
struct relay_socket;
struct relay_quic;
struct follow;
struct held;

enum flow_state {
    FLOW_FREE,
    FLOW_CLAIMED,
    FLOW_ASKING,
    FLOW_DIALING,
    FLOW_PEEKING,
    FLOW_JUDGING,
    FLOW_OPEN,
    FLOW_CLOSING,
};
enum flow_kind { FLOW_TCP, FLOW_DNS_TCP, FLOW_UDP, FLOW_PING };

/* How a flow ended, as the record says it. */
enum flow_close {
    FLOW_CLOSE_NONE,
    FLOW_CLOSE_GUEST_FIN,
    FLOW_CLOSE_GUEST_RST,
    FLOW_CLOSE_PEER_FIN,
    FLOW_CLOSE_PEER_RST,
    FLOW_CLOSE_IDLE,
    FLOW_CLOSE_LIMIT,
    FLOW_CLOSE_POLICY,
    FLOW_CLOSE_HOOK,
    FLOW_CLOSE_SHUTDOWN,
};

/* Hashed as bytes: zero the whole of it before filling it in. */
struct flow_key {
    uint32_t link_id;
    uint8_t proto; /* enum frame_proto */
    uint8_t zero;
    uint16_t guest_port, port;
    struct addr guest, dst;
};

/* A struct verdict without its name: what an idle flow keeps is small. */
struct flow_verdict {
    uint8_t action, layer; /* enum verdict_action, enum policy_layer */
    uint16_t reason;       /* enum reason */
    int rule;
    int16_t rules[POLICY_LAYERS];
    bool audited, strict;
};

/* One TCP flow's two halves and what connects them (bridge.c). */
struct bridge {
    uv_stream_t *host;            /* borrowed: connected; NULL before that */
    struct half up, down;
    struct follow *follow;        /* owned: what the guest says is still read; NULL: bytes pass as they are */
    uv_write_t write;
    uint32_t writing;             /* bytes of the guest's handed to uv_write() */
    uv_shutdown_t shutdown;
    struct buf *chunk_first, *chunk_last; /* owned: server's bytes not yet acknowledged by the guest */
    struct buf *chunk_send;       /* where the next byte for TCP lies; NULL: no chunk */
    uint32_t send_at;             /* offset in it */
    uint32_t unsent, queued;      /* bytes read and not given to TCP; given and not acknowledged */
    struct list up_node;          /* on instance.up_due: bytes of the guest's wait for more of them */
    uint8_t up_turns;             /* for so many turns */
    struct list starved_node;     /* on instance.starved: the pool was full */
    bool reading;                 /* libuv tells when the host has bytes */
    bool more;                    /* it has had more than we took: look by ourselves when there is room */
    bool down_started, kept_alive;
};

/* FLOW_UDP, FLOW_PING (relay.c). */
struct relay_flow {
    struct endpoint *endpoint; /* borrowed; counted there */
    struct relay_socket *own;  /* owned, connected to the peer; NULL: the endpoint's serves */
    struct relay_quic *quic;   /* owned: its Initials are read; NULL: they are not */
    struct held *held;         /* owned: ASKING; else NULL */
    struct list endpoint_node;
    uint8_t sent;              /* up to RELAY_OWN_AFTER */
};

struct dns_session;

struct flow {
    struct flow_key key;
    enum flow_state state;        /* written by flow_move() only */
    enum flow_kind kind;
    uint32_t generation;          /* of this slot: ids outlive flows and find nothing */
    struct instance *instance;    /* borrowed */
    struct link *link;            /* borrowed: a link is closed after its flows */
    uint64_t opened_ms, active_ms;
    uint64_t deadline_ms;         /* meaning by state; 0: none */
    uint32_t heap_at;             /* index + 1 in the deadline heap, 0: not in it */
    uint8_t closing;              /* uv handles on their way out */
    bool recorded, accepted, killed, host_closed;
    bool refused;                 /* an alert or a 403 is on its way */
    bool asked_of_half;           /* token: about half of something, since the time for the rest was over */
    bool opaque;                  /* what was HTTP is read no more: another protocol was agreed on */
    bool let_in;                  /* by the embedder, past the policy's default */
    bool counts_dial, counts_half_open, counts_live, counts_peek;
    enum flow_close close_how;    /* which end came first */
    struct addr to[DIAL_ADDRS_MAX]; /* where it goes when key.dst stands for a name; ADDR_NONE: to key.dst */
    struct list wait_node;        /* on a lookup of the resolver's */
    uint64_t token;               /* of the question to the embedder that it waits for (asking.h); 0: none */
    uint64_t asked_ms;            /* when that was asked */
    uint8_t asked;                /* named.c: which questions, and what came of them */
    enum group group;             /* of its target when it was judged; compared again before connect() */
    struct flow_verdict verdict;  /* the last one */
    const char *name_src;         /* static: where `name` is from */
    char *name;                   /* owned: the name it was decided by, NULL: none */
    char *said, *alpn;            /* owned: what its bytes gave, NULL: nothing */
    struct pin_name *pin;         /* held while the flow lives */
    uint8_t evidence_kind;        /* enum evidence_kind of its bytes */
    bool ech;
    uint64_t dial_from_ms, peek_from_ms;
    uint32_t dns_ms, dial_ms, peek_ms;
    uint64_t up_bytes, down_bytes;
    uint64_t up_max, down_max;    /* what they may come to by the flow's rules; UINT64_MAX: no bound */
    uint16_t held_slots[POLICY_LAYERS]; /* rules it is counted under (rule_use.c); 0: none */
    struct list node;             /* on the free, reap or TIME_WAIT list */
    struct tcp_syn syn;           /* parked until the dial is done */
    struct tcp_conn conn;         /* FLOW_TCP, FLOW_DNS_TCP */
    struct dial dial;             /* FLOW_TCP */
    union {
        struct bridge bridge;
        struct relay_flow relay;
        struct dns_session *dns;  /* owned */
    } as;
};

enum { FLOW_TIME_WAIT_MAX = 8192 }; /* slots beyond the limit, for flows that only TIME_WAIT keeps */

struct flow_table {
    struct flow *flows;           /* owned: mapped */
    uint32_t slots, fresh;        /* slots never used start at `fresh` */
    uint32_t flows_max, live;     /* live: those that count against the limit */
    struct table index;
    struct list free, reap, time_wait;
    uint32_t *heap;               /* owned: flow indexes by deadline */
    uint32_t heap_len;
};

int flow_table_init(struct flow_table *t, uint32_t flows_max);
void flow_table_deinit(struct flow_table *t);

struct flow *flow_find(struct flow_table *t, const struct flow_key *key);

/**
 * A new flow in FLOW_CLAIMED, on the table.
 *
 * The oldest TIME_WAIT flow is dropped for it when slots run out. Return: NULL at flows_max: the newcomer is refused,
 * nobody is evicted.
 */
struct flow *flow_claim(struct flow_table *t, const struct flow_key *key, uint64_t now_ms);

/** The flow is one of @link's guest; counted there while it is live. */
void flow_belongs(struct flow *flow, struct link *link);

/** Keep a verdict. Its name is copied. */
void flow_set_verdict(struct flow *flow, const struct verdict *verdict);

/** The flow's verdict with its name. */
void flow_get_verdict(const struct flow *flow, struct verdict *out_verdict);

/** The address the flow really goes to. */
static inline const struct addr *flow_target(const struct flow *flow)
{
    return flow->to[0].family != ADDR_NONE ? &flow->to[0] : &flow->key.dst;
}

/** Replace a text of the flow (name, said, alpn) by a copy; "" clears it. Out of memory: it is cleared. */
void flow_set_text(char **text, const char *value);

/** Change the state; CHECKs that the move is one of the diagram's. */
void flow_move(struct flow *flow, enum flow_state state);

/** The flow no longer counts against the limit: only TIME_WAIT keeps it. */
void flow_enter_time_wait(struct flow_table *t, struct flow *flow);

/** Out of the hash now; freed at the next flow_reap() once no handle is on its way out. Idempotent. */
void flow_release(struct flow_table *t, struct flow *flow);

/** Free what flow_release() listed and is ready. At the end of a turn; flow_claim() does it when slots run out. */
void flow_reap(struct flow_table *t);

/** Set (or with 0 clear) the flow's deadline. */
void flow_set_deadline(struct flow_table *t, struct flow *flow, uint64_t deadline_ms);

/** The earliest deadline, or 0 when there is none. */
uint64_t flow_next_deadline(const struct flow_table *t);

/** The flow whose deadline is earliest if it is <= @now_ms, with its deadline cleared; else NULL. */
struct flow *flow_take_due(struct flow_table *t, uint64_t now_ms);

/** How many bytes more the flow may have. */
static inline uint64_t flow_up_left(const struct flow *flow)
{
    return flow->up_max > flow->up_bytes ? flow->up_max - flow->up_bytes : 0;
}

static inline uint64_t flow_down_left(const struct flow *flow)
{
    return flow->down_max > flow->down_bytes ? flow->down_max - flow->down_bytes : 0;
}

/** generation:index, what leaves the engine instead of a pointer. */
uint64_t flow_id(const struct flow_table *t, const struct flow *flow);

const char *flow_close_name(enum flow_close how);

#endif
