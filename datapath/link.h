/*
 * Links: the channels that carry guests' frames, one guest each.
 *
 * A back end (link_tap.c, link_stream.c) owns its descriptor and its framing; this interface is all the rest of the program
 * knows of it. send() takes a frame whole or not at all: what the kernel took in part, the link copies. Nobody calls a flow
 * from inside send().
 */
#ifndef WEIR_DATAPATH_LINK_H
#define WEIR_DATAPATH_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/list.h"
#include "policy/pins.h"
#include "stack/guest.h"

enum { LINK_PATH_MAX = 255, LINK_NAME_MAX = 15, LINK_BATCH = 64, LINK_ERROR_MAX = 768 };

enum link_kind { LINK_TAP, LINK_STREAM };

/* A parsed link spec (docs/configuration.md, "Links"). */
struct link_spec {
    enum link_kind kind;
    char device[LINK_NAME_MAX + 1];  /* tap: name= */
    char netns[LINK_PATH_MAX + 1];   /* tap: netns=PATH|PID; "" : a persistent TAP of our own namespace */
    char path[108];                  /* stream: path= */
    bool connect;                    /* stream: connect instead of listening */
    bool super_segments;             /* offload=compat: partial checksums and super-segments without a header */
    int fd;                          /* tap: an open descriptor to take over, else -1 */
    char guest[GUEST_HOSTNAME_MAX + 1]; /* name=: the guest's, for records */
    uint8_t mac[FRAME_MAC_BYTES];    /* mac=: the guest's, pinned */
    bool mac_pinned;
    struct addr ip;                  /* ip=: the guest's; ADDR_NONE: the next free one */
};

struct instance;
struct link;

struct link_ops {
    /** Start moving frames. The loop exists. Return: 0, or -errno with @error filled. */
    int (*start)(struct link *link, char error[static LINK_ERROR_MAX]);
    int (*send)(struct link *link, const struct wire_frame *frame); /* as struct wire */
    /** Close descriptors; link_closed() when the last handle is closed, later. Idempotent. */
    void (*close)(struct link *link);
};

struct link {
    struct instance *instance;  /* borrowed */
    const struct link_ops *ops;
    struct link_spec spec;
    struct list node;           /* on instance.links */
    uint32_t id;
    struct guest *guest;        /* owned */
    struct pins *pins;          /* owned: what the resolver told this guest */
    uint32_t dials, half_open, peeks; /* its flows in those phases */
    uint64_t dns_refill_ms;     /* of its budget of questions (resolver.c) */
    uint32_t dns_tokens;
    bool up;                    /* a monitor is there */
    bool closing;
};

/**
 * Parse "tap,name=eth0,netns=PATH", "stream,path=P[,connect]", each with mac=, ip=, name=, offload=compat.
 *
 * Return: 0, or -EINVAL with @error telling the word and what would be right.
 */
int link_spec_parse(const char *text, struct link_spec *out_spec, char error[static LINK_ERROR_MAX]);

/**
 * Open a link and give it a guest.
 *
 * @spec: copied; a spec.fd >= 0 is taken over
 *
 * Return: 0, or -errno with @error filled (and spec.fd closed).
 */
int link_open(struct instance *in, const struct link_spec *spec, char error[static LINK_ERROR_MAX]);

/** The guest's name in records. */
const char *link_guest_name(const struct link *link);

/** Reset the link's flows and close it. Idempotent. */
void link_close(struct link *link);

/* ---- for back ends ---- */

struct link *link_tap_new(void);    /* NULL: out of memory; freed by link_closed() */
struct link *link_stream_new(void);

/** A monitor is there: frames may flow. */
void link_came_up(struct link *link, const struct wire *caps);

/** The monitor went away: its flows are reset. The link itself lives on. */
void link_went_down(struct link *link);

/** One frame from the guest; the reference is given. */
void link_input(struct link *link, struct buf *buf, const struct frame_offload *offload);

/** send() would succeed again. */
void link_writable(struct link *link);

/** The back end's last handle is closed: frees the link. */
void link_closed(struct link *link);

/* ---- TAP devices (tap_open.c) ---- */

struct tap_device {
    int fd;
    bool tso4, tso6; /* offloads the kernel agreed to */
    bool ring_set;   /* txqueuelen could be raised */
};

/**
 * Open or create a TAP of that name in this process's network namespace, with a virtio-net header of 12 bytes, and set it up:
 * MTU, txqueuelen, link up.
 */
int tap_create(const char *device, uint16_t mtu, struct tap_device *out_tap,
               char error[static LINK_ERROR_MAX]);

/** The same in another namespace, by a child process: @netns is a path or a pid. Only before the loop runs. */
int tap_create_in(const char *netns, const char *device, uint16_t mtu, struct tap_device *out_tap,
                  char error[static LINK_ERROR_MAX]);

#endif
