/*
 * The TAP link: the guest is a kernel behind a TAP device (a namespace, or a monitor bridged to it).
 *
 * Every frame has a virtio-net header in front (VIRTIO 1.2 section 5.1.6, little-endian), so one read or
 * write moves a super-segment of up to 64 KiB at any MTU. One "landing" buffer waits for the next frame; the
 * stack keeps it only when the host side does not take the payload at once.
 */
#include "datapath/link_backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "datapath/instance.h"

enum {
    VNET_BYTES = 12,
    VNET_NEEDS_CSUM = 1,
    VNET_DATA_VALID = 2,
    VNET_GSO_ECN = 0x80,
    LANDING_BYTES = VNET_BYTES + FRAME_BYTES_MAX,
    TAP_SHORT_RING_FRAMES = 900, /* a ring of the default 1000 drops silently: all windows together stay below it */
    PROBE_EVERY_MAX = 8,
    TAP_HEADERS = 60,            /* IPv6 and TCP: the smaller of the two segment sizes */
    BULK_FRAMES = 4,             /* of bulk data between two looks at the other queue */
    BULK_BYTES_BESIDE = 512 * 1024, /* of it in a turn while a guest waits for an answer */
};

/* One queue of the device, or the only one. */
struct tap_queue {
    struct tap_link *tap;
    int fd;                /* owned by tap_link.tap; -1: none, not yet or not any more */
    uv_poll_t poll;
    bool waiting;          /* for room to write */
};

struct tap_link {
    struct link link;
    struct tap_device tap; /* owned */
    struct tap_queue first, bulk; /* bulk: once there was such data */
    unsigned handles;
    unsigned probe_every, probe_in; /* turns in which only one frame is read */
    struct buf *landing;   /* owned */
};

static struct tap_link *of(struct link *link)
{
    return CONTAINER_OF(link, struct tap_link, link);
}

static uint16_t le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static void put_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void read_header(const uint8_t h[static VNET_BYTES], struct frame_offload *out)
{
    *out = (struct frame_offload){
        .needs_csum = h[0] & VNET_NEEDS_CSUM,
        .csum_trusted = h[0] & VNET_DATA_VALID,
        .gso_type = h[1] & (uint8_t)~VNET_GSO_ECN,
        .hdr_len = le16(h + 2),
        .gso_size = le16(h + 4),
        .csum_start = le16(h + 6),
        .csum_offset = le16(h + 8),
    };
}

static void write_header(const struct frame_offload *o, uint8_t h[static VNET_BYTES])
{
    memset(h, 0, VNET_BYTES);
    h[0] = o->needs_csum ? VNET_NEEDS_CSUM : 0;
    h[1] = o->gso_type;
    put_le16(h + 2, o->hdr_len);
    put_le16(h + 4, o->gso_size);
    put_le16(h + 6, o->csum_start);
    put_le16(h + 8, o->csum_offset);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void want_events(struct tap_queue *q)
{
    (void)uv_poll_start(&q->poll, UV_READABLE | (q->waiting ? UV_WRITABLE : 0), on_poll);
}

/* Return: 0, or -errno. */
static int start_queue(struct tap_link *t, struct tap_queue *q, int fd)
{
    int err = uv_poll_init(t->link.instance->loop, &q->poll, fd);

    if (err < 0)
        return err;
    q->fd = fd;
    q->poll.data = q;
    t->handles++;
    want_events(q);
    return 0;
}

/* Where frames of bulk data go, and so come from. */
static struct tap_queue *bulk_queue(struct tap_link *t)
{
    if (t->bulk.fd >= 0 || t->tap.bulk_fd < 0)
        return t->bulk.fd >= 0 ? &t->bulk : &t->first;
    if (tap_attach_bulk(&t->tap) && start_queue(t, &t->bulk, t->tap.bulk_fd) == 0)
        return &t->bulk;
    (void)close(t->tap.bulk_fd); /* then one serves all, as with a device that has no other */
    t->tap.bulk_fd = -1;
    return &t->first;
}

static int tap_send(struct link *link, const struct wire_frame *frame)
{
    struct tap_link *t = of(link);
    struct tap_queue *q = &t->first;
    uint8_t header[VNET_BYTES];
    struct iovec iov[WIRE_IOV_MAX + 1];

    if (q->fd < 0)
        return -ENETDOWN;
    if (frame->bulk)
        q = bulk_queue(t);
    write_header(&frame->offload, header);
    iov[0] = (struct iovec){.iov_base = header, .iov_len = sizeof(header)};
    memcpy(iov + 1, frame->iov, (size_t)frame->iovcnt * sizeof(*iov));
    if (writev(q->fd, iov, frame->iovcnt + 1) >= 0)
        return 0;
    if (errno != EAGAIN && errno != ENOBUFS)
        return -errno; /* the device is down, or gone: lost like on a pulled cable */
    if (!q->waiting) {
        q->waiting = true;
        want_events(q);
    }
    return -EAGAIN;
}

/* The device was deleted under us: its guest is gone for good. */
static void tap_lost(struct tap_link *t)
{
    instance_count(t->link.instance, COUNTER_LINK_LOST);
    link_close(&t->link);
}

/* Return: bytes read; 0: there are no more frames now. */
static size_t read_one(struct tap_queue *q)
{
    struct tap_link *t = q->tap;
    struct instance *in = t->link.instance;
    struct frame_offload offload;
    ssize_t n;

    if (!t->landing && !(t->landing = pool_get_wire(&in->pool, LANDING_BYTES)))
        return 0; /* the pool is full; level-triggered polling comes back when flows have freed some */
    n = read(q->fd, t->landing->data, t->landing->cap);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            tap_lost(t); /* EBADFD */
        return 0;
    }
    if (n < VNET_BYTES) {
        instance_count(in, COUNTER_FRAME_BAD);
        return 1;
    }
    read_header(t->landing->data, &offload);
    t->landing->start = VNET_BYTES;
    t->landing->len = (uint32_t)n - VNET_BYTES;
    (void)link_input(&t->link, buf_ref(t->landing), &offload); /* we come from the loop */
    if (t->landing && t->landing->refs > 1) { /* someone holds its payload: land the next one elsewhere */
        buf_unref(t->landing);
        t->landing = NULL;
    }
    return q->fd >= 0 ? (size_t)n : 0;
}

/*
 * Whether there is a second frame is asked for at the price of a system call. Where there was none, it is asked ever
 * more rarely, up to every PROBE_EVERY_MAX turns: polling is level-triggered and brings what was left.
 */
static void read_batch(struct tap_link *t)
{
    size_t bytes = read_one(&t->first), n = bytes;
    int more = 0;

    if (n > 0 && t->probe_in > 0) {
        t->probe_in--;
        return;
    }
    while (n > 0 && more < LINK_BATCH - 1 && bytes < LINK_BATCH_BYTES && (n = read_one(&t->first)) > 0) {
        bytes += n;
        more++;
    }
    if (n > 0)
        t->link.instance->more_frames = true;
    if (more > 0)
        t->probe_every = 0;
    else if (t->probe_every < PROBE_EVERY_MAX)
        t->probe_every++;
    t->probe_in = t->probe_every;
}

/*
 * Frames of bulk data, and every few of them what waits in the other queue: that had better not be behind all of
 * these. It comes first also because a flow that has just become one of bulk data has its older frames there.
 */
static void read_bulk(struct tap_link *t)
{
    const struct instance *in = t->link.instance;
    size_t bytes = 0, n = 1, other;
    int others = 0;

    for (int i = 0; i < LINK_BATCH && n > 0; i++) {
        if (i % BULK_FRAMES == 0)
            for (; others < LINK_BATCH && bytes < LINK_BATCH_BYTES && (other = read_one(&t->first)) > 0; others++)
                bytes += other; /* they count: one guest's two queues are no two guests' */
        if (bytes >= (instance_guest_waits(in) ? BULK_BYTES_BESIDE : LINK_BATCH_BYTES))
            break;
        n = t->bulk.fd >= 0 ? read_one(&t->bulk) : 0;
        bytes += n;
    }
    if (n > 0)
        t->link.instance->more_frames = true;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct tap_queue *q = poll->data;
    struct tap_link *t = q->tap;

    if (status < 0) {
        tap_lost(t);
        return;
    }
    if (events & UV_WRITABLE && q->waiting) {
        q->waiting = false;
        want_events(q);
        link_writable(&t->link);
    }
    if (!(events & UV_READABLE) || q->fd < 0)
        return;
    if (q == &t->bulk)
        read_bulk(t);
    else
        read_batch(t);
}

static int tap_start(struct link *link, char error[static LINK_ERROR_MAX])
{
    const struct link_tap_options *o = &link->spec.as.tap;
    struct tap_link *t = of(link);
    uint16_t mtu = link->instance->config.mtu;
    struct link_caps caps;
    int err = 0;

    if (t->tap.fd < 0)
        err = o->netns[0] != '\0' ? tap_create_in(o->netns, o->device, mtu, &t->tap, error)
                                  : tap_create(o->device, mtu, &t->tap, error);
    if (err < 0)
        return err;
    err = start_queue(t, &t->first, t->tap.fd);
    if (err < 0) {
        (void)snprintf(error, LINK_ERROR_MAX, "cannot watch TAP '%s': %s", o->device, uv_strerror(err));
        return err;
    }
    caps = (struct link_caps){
        .csum_offload = t->tap.tso4,
        .tso4 = t->tap.tso4,
        .tso6 = t->tap.tso6,
        .uso = t->tap.uso,
        .bulk_apart = t->tap.bulk_fd >= 0,
        .windows_max = t->tap.ring_set ? 0 : TAP_SHORT_RING_FRAMES * (uint32_t)(mtu - TAP_HEADERS),
    };
    link_came_up(link, &caps);
    return 0;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct tap_queue *q = handle->data;

    if (--q->tap->handles == 0)
        link_closed(&q->tap->link);
}

static void tap_close(struct link *link)
{
    struct tap_link *t = of(link);
    struct tap_queue *queues[] = {&t->first, &t->bulk};

    buf_unref(t->landing);
    t->landing = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(queues); i++)
        if (queues[i]->fd >= 0) {
            uv_close((uv_handle_t *)&queues[i]->poll, on_poll_closed);
            queues[i]->fd = -1;
        }
    tap_release(&t->tap);
    if (t->handles == 0)
        link_closed(link);
}

static const struct link_ops tap_ops = {.start = tap_start, .send = tap_send, .close = tap_close};

/* ---- specs ---- */

static int take_device(const char *key, const char *value, struct link_tap_options *o,
                       char error[static LINK_ERROR_MAX])
{
    if (value && strchr(value, '%')) {
        (void)snprintf(error, LINK_ERROR_MAX, "not a device's name '%s': the kernel would choose one for '%%'",
                       value);
        return -EINVAL;
    }
    return link_option_text(key, value, o->device, sizeof(o->device), error);
}

static int parse_option(struct link_spec *spec, const char *key, const char *value,
                        char error[static LINK_ERROR_MAX])
{
    struct link_tap_options *o = &spec->as.tap;

    if (strcmp(key, "name") == 0)
        return take_device(key, value, o, error);
    if (strcmp(key, "netns") == 0)
        return link_option_text(key, value, o->netns, sizeof(o->netns), error);
    if (strcmp(key, "guest") == 0)
        return link_option_guest(key, value, spec, error);
    return -ENOENT;
}

static int check(const struct link_spec *spec, char error[static LINK_ERROR_MAX])
{
    return spec->as.tap.device[0] == '\0' ? link_option_missing(&link_kind_tap, "name", error) : 0;
}

static struct link *tap_new(const struct link_spec *spec)
{
    const struct link_tap_options *o = &spec->as.tap;
    struct tap_device tap = o->given ? o->tap : (struct tap_device){.fd = -1, .bulk_fd = -1};
    struct tap_link *t = calloc(1, sizeof(*t));

    if (!t) {
        if (o->given)
            tap_release(&tap);
        return NULL;
    }
    t->tap = tap;
    t->first = t->bulk = (struct tap_queue){.tap = t, .fd = -1};
    t->link.ops = &tap_ops;
    return &t->link;
}

const struct link_kind link_kind_tap = {
    .word = "tap",
    .options = "name=DEVICE[,netns=PATH|PID][,guest=NAME]",
    .parse_option = parse_option,
    .check = check,
    .new = tap_new,
};

struct link_spec link_spec_of_tap(const char *device, const struct tap_device *tap)
{
    struct link_spec spec = {.kind = &link_kind_tap, .as.tap = {.given = true, .tap = *tap}};

    (void)snprintf(spec.as.tap.device, sizeof(spec.as.tap.device), "%s", device);
    return spec;
}
