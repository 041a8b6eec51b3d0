/*
 * An instance: one event loop's worth of guests, flows, policy and resolver.
 *
 * Single thread: every function here and in the other headers of datapath/ is called from the loop's thread. Work
 * arrives from libuv callbacks; instance_drain() ends each turn of the loop: it sends what connections owe their
 * guests, frees what died, writes the log, and arms timers only for what is pending, so that an idle process does not
 * wake up.
 */
#ifndef WEIR_DATAPATH_INSTANCE_H
#define WEIR_DATAPATH_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/counters.h"
#include "base/pool.h"
#include "base/siphash.h"
#include "datapath/flow.h"
#include "datapath/hook.h"
#include "datapath/host_addrs.h"
#include "datapath/network.h"
#include "datapath/record.h"
#include "policy/dns_type.h"
#include "policy/policy.h"
#include "proxy/upstream.h"
#include "stack/stack.h"

enum {
    INSTANCE_HOSTS_MAX = 64,
    INSTANCE_ALIASES_MAX = 8,
    INSTANCE_LINKS_MAX = STACK_GUESTS_MAX,
    INSTANCE_PEEKS_MAX = 1024,    /* a guest's flows holding unjudged bytes (a first window each), or read as QUIC */
    INSTANCE_PEEK_MS = 3000,      /* from the SYN-ACK, or from the guest's first byte where silence may stand */
    INSTANCE_TRIM_MS = 500,
    INSTANCE_INTERACTIVE_MS = 16, /* so long after what a guest last said it is thought to wait for an answer */
    INSTANCE_LOG_RETRY_MS = 50,
    INSTANCE_CLOCK_CHECK_S = 60,  /* the wall clock is looked at so often while rules wait for their end */
    INSTANCE_ADVERTISE_MS = 6 * 3600 * 1000, /* guests hear of their IPv6 router again, well before they forget it */
    INSTANCE_REFUSAL_MS = 5000,   /* for a guest to take its alert or 403 and go */
    INSTANCE_LINGER_MS = 300000,  /* for queued data to reach a guest whose server is gone */
};

struct instance_limits {
    uint32_t flows;                /* of all guests */
    uint32_t half_open, dials;     /* of each guest */
    uint64_t buffers;              /* bytes */
    uint32_t flow_buffer;          /* bytes */
    uint32_t udp_flows;            /* of each guest: UDP and ping */
    uint32_t dial_timeout_ms;
    uint32_t udp_idle_ms, udp_idle_dns_ms, udp_idle_quic_ms; /* silence that ends a UDP flow, by destination port */
    uint32_t idle_ms, lifetime_ms; /* of a TCP flow without traffic, and of any; 0: none */
    uint32_t keepalive_ms;         /* silence after which the peer is asked; seen dead after twice that; 0: never */
    uint32_t dns_qps;              /* questions a second of each guest; four seconds' worth may come at once */
    uint32_t guest_timeout_ms;     /* a guest that answers nothing for so long, with bytes or probes outstanding */
};

struct instance_host {
    char name[NAME_TEXT_MAX + 1]; /* canonical */
    struct addr addr;
};

/* Everything is copied but `policy`, of which a reference is taken. */
struct instance_config {
    char name[GUEST_HOSTNAME_MAX + 1];     /* the guest's, for records */
    char hostname[GUEST_HOSTNAME_MAX + 1]; /* told by DHCP */
    struct addr_prefix net4, net6;         /* the guests': network_check() takes each, or it is off */
    uint16_t mtu;
    uint8_t gateway_mac[FRAME_MAC_BYTES];
    uint8_t search[GUEST_SEARCH_MAX];      /* wire form */
    uint8_t search_len;
    bool refuse_icmp;                      /* denied SYNs get ICMP instead of RST */
    struct policy *policy;                 /* its groups: configured entries only, the instance adds the rest */
    struct upstream_server resolvers[RESOLVCONF_SERVERS_MAX]; /* none: /etc/resolv.conf is followed */
    unsigned resolver_count;
    struct instance_host hosts[INSTANCE_HOSTS_MAX];
    unsigned host_count;
    char aliases[INSTANCE_ALIASES_MAX][NAME_TEXT_MAX + 1];
    unsigned alias_count;
    bool fake_ip;                          /* names get addresses of a pool, and flows there go by name (named.h) */
    struct siphash_key fake_ip_key;        /* which ones: the same key, the same addresses. Zero: a random one */
    struct dns_types dns_types;            /* that go upstream under default deny, beside A and AAAA */
    bool rebind_strip;                     /* forbidden addresses are cut from an answer; else they spoil it */
    bool unrouted_strip;                   /* and those to which the host has no route; else they are told */
    struct instance_limits limits;
    struct hook_config hook;               /* the embedder's say */
    int log_fd;                            /* flow log; -1: none. Borrowed */
    bool log_open;                         /* flows are told of when they open, too */
    /*
     * The host's addresses changed (0), or cannot be told (-E2BIG: more than GROUP_HOST_ADDRS_MAX; -errno): then
     * nothing is allowed until they can, which is told with 0. Called from the loop; instance_close() is fine in it.
     * May be NULL.
     */
    void (*on_host_addrs)(void *ctx, int err);
    void (*on_warning)(void *ctx, const char *text); /* something the user should know, said once each; may be NULL */
    void *ctx;                             /* borrowed */
};

struct link;
struct resolver;
struct relay;
struct relay_udp;

struct instance {
    uv_loop_t *loop;              /* borrowed */
    struct instance_config config;
    struct networks nets;
    struct policy *given;         /* one reference: as the caller made it, its groups unfinished */
    struct policy *nothing;       /* one reference: allows nothing; in force while the host's addresses are unknown */
    struct policy *policy;        /* one reference: in force */
    struct host_watch host;
    struct counters counters;
    uint64_t reasons[REASON_COUNT]; /* records by reason, repeats included */
    struct pool pool;
    struct stack *stack;          /* owned */
    struct flow_table flows;
    struct record_log log;
    struct resolver *resolver;    /* owned */
    struct hook *hook;            /* owned; NULL: nobody is asked */
    struct relay *relay;          /* owned: datagram sockets */
    struct relay_udp *udp;        /* owned */
    struct list links;            /* owned */
    unsigned link_count;
    uint32_t next_link_id;
    uint64_t down_queued;         /* bytes handed to TCP and not acknowledged, of all bridges */
    bool more_frames;             /* a link's batch ended before its frames did */
    struct list up_due;           /* bridges that gather bytes of their guests' before they write */
    uint32_t turn_bytes;          /* read by bridges in this turn */
    uint64_t interactive_ms;      /* when a guest last sent something that was no part of bulk data */
    struct list starved;          /* bridges that stopped reading: the pool was full, or the turn's share was used up */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t deadline_timer, tick_timer;
    uint64_t deadline_armed_ms;   /* 0: not armed */
    int64_t expiry_s;             /* when the next rule ends, by the wall clock; 0: none does */
    uint64_t expiry_check_ms;     /* when to look for it; 0: never */
    uint64_t advertise_ms;        /* when guests are told of their IPv6 network again; 0: never */
    uint64_t trim_ms;             /* when free buffers go back to the kernel; 0: there are few */
    bool again;                   /* bridges wait for nothing but the next turn */
    bool tick_armed, closing;
    unsigned handles;             /* of the instance's own, not yet closed */
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

void instance_config_init(struct instance_config *config); /* defaults */

/**
 * Return: 0; -EBUSY when this process has an instance already (lwIP is one); -EINVAL when guests cannot live in net4
 * or net6; -E2BIG when the host has more than GROUP_HOST_ADDRS_MAX addresses; -errno.
 */
int instance_new(uv_loop_t *loop, const struct instance_config *config, struct instance **out_instance);

/**
 * Close links, reset flows (each writes its record), stop timers; @on_closed when the last handle is closed and the
 * instance is freed.
 */
void instance_close(struct instance *in, void (*on_closed)(void *ctx), void *ctx);

static inline uint64_t instance_now(const struct instance *in)
{
    return uv_now(in->loop);
}

/** Whether a guest has just spoken on a flow without bulk data: then turns are short. */
static inline bool instance_guest_waits(const struct instance *in)
{
    return instance_now(in) - in->interactive_ms < INSTANCE_INTERACTIVE_MS;
}

/**
 * Swap the policy, of which a reference is taken; its groups as in struct instance_config. New flows are judged by it,
 * live ones are judged anew and reset when it denies them (policy.revoked).
 *
 * Return: how many were; -ENOMEM with the old policy in force.
 */
int instance_set_policy(struct instance *in, struct policy *policy);

/** Swap the limits, for live flows as well. `flows` and `buffers` stay: what they size was made with them. */
void instance_set_limits(struct instance *in, const struct instance_limits *limits);

/**
 * The embedder's answer to a question that was DECIDE_PENDING. From any thread, until instance_close().
 *
 * Return: 0, the answer counts if it is still waited for; -EINVAL for DECIDE_PENDING, or when nobody is asked; -ENOBUFS
 * when HOOK_PENDING_MAX answers came at once: say it again.
 */
int instance_resume(struct instance *in, uint64_t token, enum decide_answer answer);

/** The host's addresses that are closed to guests; valid until the loop runs. */
const struct host_addrs *instance_host_addrs(const struct instance *in);

/** What was counted since the start; lives as long as the instance. */
const struct counters *instance_counters(const struct instance *in);

/** Whether a TCP flow may still have bytes on the way: one is open, or on its way to being closed in order. */
bool instance_undelivered(const struct instance *in);

void instance_warn(struct instance *in, const char *text);

/** Wall-clock seconds, for `expires=` and records. */
int64_t instance_wall_s(void);

static inline void instance_count(struct instance *in, enum counter c)
{
    counter_bump(&in->counters, c);
}

#endif
