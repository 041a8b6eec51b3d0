/*
 * Links: the channels that carry guests' frames, one guest each. This is what the rest of the program knows
 * of them; what is below, the kinds of links, is in datapath/link_backend.h.
 */
#ifndef WEIR_DATAPATH_LINK_H
#define WEIR_DATAPATH_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/list.h"
#include "datapath/tap.h"
#include "policy/dns_budget.h"
#include "policy/pins.h"
#include "stack/guest.h"

enum {
    LINK_SOCKET_MAX = 107, /* bytes of a unix socket's path: sun_path without its NUL */
    LINK_ERROR_MAX = TAP_ERROR_MAX,
};

struct instance;
struct link_kind;
struct link_ops;
struct rule_use;

/* What a kind's own options said. Each back end writes and reads its own. */
struct link_tap_options {
    char device[TAP_NAME_MAX + 1];
    char netns[TAP_NETNS_MAX + 1]; /* path or pid; "": our own namespace */
    bool given;                    /* `tap` is an open device to take over; its name is for messages then */
    struct tap_device tap;
};

struct link_stream_options {
    char path[LINK_SOCKET_MAX + 1];
    bool connect;                  /* instead of listening */
    bool super_segments;           /* offload=compat: partial checksums and super-segments without a header */
};

/* A link spec, parsed or made (docs/configuration.md, "Links"). Copied by assignment. */
struct link_spec {
    const struct link_kind *kind;       /* static */
    char guest[GUEST_HOSTNAME_MAX + 1]; /* the guest's name in records; "": the instance's */
    uint8_t mac[FRAME_MAC_BYTES];       /* mac=: the guest's, when mac_pinned */
    bool mac_pinned;
    struct addr ip;                     /* ip=: the guest's, of either family; of the other: the first free one */
    union {
        struct link_tap_options tap;
        struct link_stream_options stream;
    } as;                               /* by kind */
};

struct link {
    struct instance *instance;  /* borrowed */
    const struct link_ops *ops; /* static */
    struct link_spec spec;
    struct list node;           /* on instance.links */
    uint32_t id;
    struct guest *guest;        /* owned */
    struct pins *pins;          /* owned: what the resolver told this guest */
    uint32_t flows;             /* its live ones */
    uint32_t dials, half_open, peeks; /* and those in these phases */
    uint32_t relayed;           /* UDP and ping flows */
    uint32_t asks;              /* questions to the embedder without an answer */
    uint64_t ping_refill_ms;    /* of its budget of echoes (relay_ping.c) */
    uint32_t ping_tokens;
    struct dns_rate dns_rate;   /* of its questions */
    struct dns_budget *dns_budget; /* owned: of new names under wildcards */
    struct rule_use *rule_uses; /* owned: by slot of the policy in force (rule_use.c); NULL: none, or no memory */
    unsigned rule_uses_count;
    bool up;                    /* a monitor is there */
    bool closing;
};

/**
 * Parse "KIND[,OPTION[=VALUE]]...".
 *
 * Strict: an option given twice, an empty one, one of another kind, or a value that could be read in two ways
 * is an error.
 *
 * Return: 0, or -EINVAL with @error telling the word and what would be right.
 */
int link_spec_parse(const char *text, struct link_spec *out_spec, char error[static LINK_ERROR_MAX]);

/** The spec of a TAP that is open: link_open() takes @tap->fd over. */
struct link_spec link_spec_of_tap(const char *device, const struct tap_device *tap);

/**
 * Open a link and give it a guest.
 *
 * @spec: copied; a descriptor in it is taken over, on failure too
 *
 * Return: 0, or -errno with @error filled.
 */
int link_open(struct instance *in, const struct link_spec *spec, char error[static LINK_ERROR_MAX]);

/** The guest's name in records. */
const char *link_guest_name(const struct link *link);

/** Whether the guest's share of the flow table has room: with others beside it, three quarters are the most. */
bool link_may_open(const struct link *link);

/** Reset the link's flows and close it. Idempotent. */
void link_close(struct link *link);

#endif
