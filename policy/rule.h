/*
 * One rule of the policy language (docs/policy.md):
 *
 *     ACTION [in] TARGET [PROTO[/PORTS]] [key=value ...]
 *
 * The parser is strict: unknown words, unknown or repeated keys, empty names, lo > hi, icmp with
 * ports are errors with a position and a hint; nothing is guessed.
 */
#ifndef WEIR_POLICY_RULE_H
#define WEIR_POLICY_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "policy/group.h"
#include "policy/name.h"

enum rule_action { RULE_ALLOW, RULE_DENY, RULE_AUDIT };
enum rule_direction { RULE_OUT, RULE_IN };
enum rule_target {
    RULE_ANY,
    RULE_NAME,          /* a.b: exactly */
    RULE_BELOW,         /* *.a.b: one or more labels in front */
    RULE_SUFFIX,        /* .a.b: the apex and everything below */
    RULE_PREFIX,        /* an address or CIDR */
    RULE_GROUP,
};
enum rule_proto { RULE_PROTO_ANY, RULE_TCP, RULE_UDP, RULE_ICMP };
enum rule_need { RULE_NEED_AUTO, RULE_NEED_SNI, RULE_NEED_HOST, RULE_NEED_NONE };

enum { RULE_PORTS_MAX = 32, RULE_PRIVATE_MAX = 8, RULE_TEXT_MAX = 1024, RULE_TAG_MAX = 63 };

struct rule_ports {
    uint16_t lo, hi; /* inclusive */
};

/* Value type: holds no pointers. */
struct rule {
    enum rule_action action;
    enum rule_direction direction;
    enum rule_target target;
    enum rule_proto proto;
    enum rule_need need;
    enum group group;                  /* RULE_GROUP */
    struct addr_prefix prefix;         /* RULE_PREFIX */
    char name[NAME_TEXT_MAX + 1];      /* RULE_NAME, _BELOW, _SUFFIX: canonical, without "*." or "." */
    struct rule_ports ports[RULE_PORTS_MAX]; /* none: all ports */
    unsigned port_count;
    bool private_any;                  /* private=yes */
    struct addr_prefix private_nets[RULE_PRIVATE_MAX];
    unsigned private_count;
    bool quic_inspect;                 /* quic=inspect: QUIC is read for its name; else refused */
    bool http_first;                   /* http=first: of a connection's requests only the first is judged */
    bool ech_deny;                     /* ech=deny: a ClientHello with an ECH extension is refused */
    int64_t expires_s;                 /* expires=RFC3339 as seconds since the epoch; 0: never */
    uint32_t conns, rate;              /* conns=, rate=: flows at a time, new ones a second; 0: no such limit */
    uint64_t up_max, down_max;         /* up=, down=: bytes of each flow; 0: no such limit */
    uint16_t slot;                     /* given by policy_new(), from 1 on: what is counted under it; 0: nothing */
    char tag[RULE_TAG_MAX + 1];
};

/* Where and why a rule text was refused. */
struct rule_error {
    unsigned column;    /* 1-based, of the offending word, in bytes */
    char message[160];  /* what is wrong */
    char hint[160];     /* what to write instead; may be empty */
};

/**
 * Parse one rule.
 *
 * @text:     borrowed, one line without newline
 * @out_rule: written only on success
 * @error:    written only on failure
 *
 * Return: 0, or -EINVAL.
 */
int rule_parse(const char *text, struct rule *out_rule, struct rule_error *error);

/** The rule in its canonical spelling (what `weir check` prints). Return: @out. */
char *rule_format(const struct rule *rule, char out[static RULE_TEXT_MAX]);

bool rule_is_by_name(const struct rule *rule);

/** Whether flows under the rule are bounded in number, pace or bytes. */
bool rule_has_limits(const struct rule *rule);

/** Whether a canonical name is one of a name rule's names. */
bool rule_covers_name(const struct rule *rule, const char *name);

/** Whether protocol (RULE_TCP, ...) and port fall under the rule. ICMP has no port: 0. */
bool rule_covers_port(const struct rule *rule, enum rule_proto proto, uint16_t port);

#endif
