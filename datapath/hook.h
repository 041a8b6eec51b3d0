/*
 * The embedder's decision (docs/policy.md, "The embedder's decision"): asked beside the policy, at the stages it
 * wants to hear of. It may deny what the policy allows, and allow what only the policy's default denies; never what a
 * deny rule, or either floor, denies.
 *
 * An answer may be DECIDE_PENDING: the question, SYN or bytes wait, and instance_resume() gives the answer later, from
 * any thread. Every token is good for one answer; one that comes too late, or twice, finds nothing.
 */
#ifndef WEIR_DATAPATH_HOOK_H
#define WEIR_DATAPATH_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "policy/policy.h"

enum {
    HOOK_PENDING_MAX = 1024,    /* of an instance; beyond that, hook.timeout at once */
    HOOK_DECIDE_MS = 5000,      /* default of decide_ms */
    HOOK_DECIDE_MS_MAX = 24 * 3600 * 1000,
    HOOK_DNS_MS = 4000,         /* a client's resolver waits no longer */
    HOOK_PARK_MS = 20000,       /* a SYN; then the guest is accepted, and its bytes held */
};

/* Bits: which questions are asked. */
enum decide_stage {
    DECIDE_DNS = 1,   /* a name is asked for */
    DECIDE_OPEN = 2,  /* a SYN, or the first datagram to a destination */
    DECIDE_BYTES = 4, /* what a flow's first bytes, a later ClientHello or a further request named */
};

enum decide_answer { DECIDE_ALLOW, DECIDE_DENY, DECIDE_PENDING };

/* What is known. Everything is borrowed for the call. */
struct decide_facts {
    enum decide_stage stage;
    const char *guest;             /* its name */
    enum rule_proto proto;         /* of the flow, or of the question */
    struct addr src, dst;          /* dst: as the guest dialled it; of a question, the resolver it asked */
    struct addr target;            /* where it leads: dst, or what a name in fake-ip mode was resolved to */
    uint16_t src_port, dst_port;   /* 0 for ICMP */
    const char *name;              /* asked for, said, or decided by; "" when none */
    const char *name_src;          /* whence: dns, sni, host, quic, or none */
    const char *const *names;      /* all that are pinned to dst, the newest first */
    size_t name_count;             /* at most POLICY_WORLDS_MAX */
    uint16_t dns_type;             /* DECIDE_DNS */
    const struct evidence *said;   /* DECIDE_BYTES; else NULL */
    const struct verdict *verdict; /* the policy's */
};

/**
 * @token: for instance_resume(), should the answer be DECIDE_PENDING
 *
 * Called on the loop's thread. Must not call into the instance but for instance_resume().
 */
typedef enum decide_answer (*decide_fn)(void *ctx, const struct decide_facts *facts, uint64_t token);

struct hook_config {
    decide_fn on_decide; /* NULL: nobody is asked */
    void *ctx;           /* borrowed */
    unsigned stages;     /* of enum decide_stage */
    uint32_t decide_ms;  /* then hook.timeout; 1..HOOK_DECIDE_MS_MAX */
};

struct hook;
struct flow;
struct instance;
struct link;
struct question;

/* Return: NULL: out of memory, or no handle. */
struct hook *hook_new(struct instance *in);

/** Nobody waits any more; it is freed once its handle is closed, then instance_child_closed(). */
void hook_close(struct hook *hook);

/** The same for one whose instance came to nothing. NULL is fine. */
void hook_discard(struct hook *hook);

/**
 * Ask, if somebody wants to hear of that stage; @verdict is the policy's, and becomes what holds for both.
 *
 * Return: 0: @verdict is final; else a token: the answer will come, for hook_bind_flow() or hook_bind_question().
 */
uint64_t hook_ask(struct link *link, struct decide_facts *facts, struct verdict *verdict);

/** Whether @verdict denies something that an embedder could allow at this stage. */
bool hook_may_overturn(const struct instance *in, enum decide_stage stage, const struct verdict *verdict);

/**
 * Make of the policy's verdict what holds with @answer (not DECIDE_PENDING).
 *
 * Of a flow that is let in past the default (ok.hook) the policy has more to say: verdict_let_in().
 */
void hook_apply(const struct instance *in, const struct decide_facts *facts, enum decide_answer answer,
                struct verdict *verdict);

/** What the policy lets pass unread is read all the same where the embedder wants to hear what flows say. */
void hook_have_read(const struct instance *in, enum rule_proto proto, bool said, struct verdict *verdict);

/** Who waits for the answer. */
void hook_bind_flow(struct instance *in, uint64_t token, struct flow *flow);
void hook_bind_question(struct instance *in, uint64_t token, struct question *question);

/** The answer is not waited for any more. 0 is fine. */
void hook_forget(struct instance *in, uint64_t token);

#endif
