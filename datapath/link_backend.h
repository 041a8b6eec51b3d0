/*
 * Links from below. A back end (link_tap.c, link_stream.c) is one kind of link: it reads the options of its
 * specs, owns its descriptors and its framing, and moves frames between them and the guest.
 *
 *   new() ── start() ──► link_came_up() ◄──► link_went_down() ── close() ──► ... ── link_closed()
 *
 * A new kind is a file with a `struct link_kind`, a line in the table of link_spec.c (unless no text means
 * it), and a member of link_spec.as.
 */
#ifndef WEIR_DATAPATH_LINK_BACKEND_H
#define WEIR_DATAPATH_LINK_BACKEND_H

#include "datapath/link.h"

/* Read from a link in one turn of the loop, whichever is met first: the others want theirs, too. */
enum { LINK_BATCH = 64, LINK_BATCH_BYTES = 2 * 1024 * 1024 };

struct link_kind {
    const char *word;    /* what specs begin with */
    const char *options; /* how they go on, for messages: "name=DEVICE[,netns=PATH|PID]" */
    /**
     * One option that is new in this spec.
     *
     * @key:   not empty
     * @value: NULL: there was no '='
     *
     * Return: 0; -ENOENT when this kind has no such option (name=, mac= and ip= are every kind's unless it
     * takes them itself); -EINVAL with @error filled.
     */
    int (*parse_option)(struct link_spec *spec, const char *key, const char *value,
                        char error[static LINK_ERROR_MAX]);
    /** What only all options together can tell. Return: 0, or -EINVAL with @error filled. */
    int (*check)(const struct link_spec *spec, char error[static LINK_ERROR_MAX]);
    /**
     * A link that does nothing yet: heap memory that begins with it, all zero but for its ops. link_closed()
     * calls free().
     *
     * @spec: a descriptor in it is the link's from here on, closed on failure
     *
     * Return: NULL when out of memory.
     */
    struct link *(*new)(const struct link_spec *spec);
};

struct link_ops {
    /** Start moving frames. The loop exists. Return: 0, or -errno with @error filled; then close() follows. */
    int (*start)(struct link *link, char error[static LINK_ERROR_MAX]);
    /**
     * Take one frame whole or not at all: what the kernel took in part, the link copies. Never calls
     * link_input().
     *
     * Return: as struct wire's send.
     */
    int (*send)(struct link *link, const struct wire_frame *frame);
    /** Close descriptors; link_closed() when the last handle is closed. Called once, started or not. */
    void (*close)(struct link *link);
};

/* What the monitor at hand, or the kernel, can take. */
struct link_caps {
    bool csum_offload;    /* partial checksums */
    bool tso4, tso6;      /* TCP super-segments */
    bool uso;             /* UDP datagrams in a row */
    bool bulk_apart;      /* frames of connections with bulk data wait in a queue of their own */
    uint32_t windows_max; /* bytes that all connections together may have under way to us; 0: no bound */
};

/* ---- kinds ---- */

extern const struct link_kind link_kind_tap, link_kind_stream;

/* ---- for parse_option() and check(): each returns 0, or -EINVAL with @error filled ---- */

/** Copy a value of 1 to @cap - 1 bytes. */
int link_option_text(const char *key, const char *value, char *out, size_t cap,
                     char error[static LINK_ERROR_MAX]);

/** An option that is a word alone. */
int link_option_flag(const char *key, const char *value, bool *out, char error[static LINK_ERROR_MAX]);

/** offload=compat. */
int link_option_offload(const char *key, const char *value, bool *out_super_segments,
                        char error[static LINK_ERROR_MAX]);

/** The guest's name, by whatever option: letters, digits, '-', '_' and '.', like the configuration's `name`. */
int link_option_guest(const char *key, const char *value, struct link_spec *spec,
                      char error[static LINK_ERROR_MAX]);

/** An option that a spec of this kind needs is not there. */
int link_option_missing(const struct link_kind *kind, const char *key, char error[static LINK_ERROR_MAX]);

/* ---- events, from the loop's callbacks only ---- */

/** A monitor is there: frames may flow. */
void link_came_up(struct link *link, const struct link_caps *caps);

/** The monitor went away: its flows are reset. The link itself lives on. */
void link_went_down(struct link *link);

/**
 * One frame from the guest; the reference is given. May close the link before it returns.
 *
 * Return: 0, or -EBUSY (counted, the frame is dropped) from inside another link_input() or a send(), of
 * whatever link: lwIP is one a process and not re-entrant.
 */
int link_input(struct link *link, struct buf *buf, const struct frame_offload *offload);

/** send() would succeed again. */
void link_writable(struct link *link);

/** The back end's last handle is closed: frees the link. */
void link_closed(struct link *link);

#endif
