#include "port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "datapath/instance.h"
#include "host/kernel.h"

enum { ETH_IP_BYTES = 34, ETH_IP6_BYTES = 54, TCP_CHECKSUM_AT = 16 };

struct inbound {
    struct list node;
    struct frame_offload offload;
    size_t len;
    uint8_t bytes[];
};

struct port_link {
    struct link link;
    uv_handle_t handle; /* for a close callback, as real back ends have one */
    bool started;
};

/* One a process, like the instance. */
static struct {
    struct port_owner owner;
    bool offload, writable;
    struct port_link *link;
    struct list inbound;
} port;

void port_setup(const struct port_owner *owner, bool offload)
{
    memset(&port, 0, sizeof(port));
    port.owner = *owner;
    port.offload = offload;
    list_init(&port.inbound);
}

void port_push(const uint8_t *bytes, size_t len, uint16_t gso_size, uint16_t header_bytes)
{
    struct inbound *in = kernel_alloc(sizeof(*in) + len);
    bool six = len >= FRAME_ETH_BYTES && bytes[12] == FRAME_ETHERTYPE_IPV6 >> 8;

    list_init(&in->node);
    in->len = len;
    memcpy(in->bytes, bytes, len);
    if (gso_size > 0)
        in->offload = (struct frame_offload){
            .needs_csum = true,
            .gso_type = six ? FRAME_GSO_TCP6 : FRAME_GSO_TCP4,
            .gso_size = gso_size,
            .hdr_len = header_bytes,
            .csum_start = six ? ETH_IP6_BYTES : ETH_IP_BYTES,
            .csum_offset = TCP_CHECKSUM_AT,
        };
    list_append(&port.inbound, &in->node);
}

void port_writable(void)
{
    port.writable = true;
}

void port_plug(bool in)
{
    struct link_caps caps = {.csum_offload = port.offload, .tso4 = port.offload, .tso6 = port.offload};

    if (in)
        link_came_up(&port.link->link, &caps);
    else
        link_went_down(&port.link->link);
}

static bool is_ready(void *ctx)
{
    (void)ctx;
    return port.writable || !list_empty(&port.inbound);
}

static void take_one(struct inbound *in)
{
    struct instance *instance = port.link->link.instance;
    struct buf *buf = port.link->link.up ? pool_get_wire(&instance->pool, in->len) : NULL;

    if (buf) {
        memcpy(buf->data, in->bytes, in->len);
        buf->start = 0;
        buf->len = (uint32_t)in->len;
        CHECK(link_input(&port.link->link, buf, &in->offload) == 0);
    }
    kernel_free(in);
}

static void run(void *ctx)
{
    (void)ctx;
    if (port.writable && port.link && port.link->link.up)
        link_writable(&port.link->link);
    port.writable = false;
    for (int i = 0; i < LINK_BATCH && !list_empty(&port.inbound); i++) {
        struct inbound *in = LIST_ENTRY(list_take_first(&port.inbound), struct inbound, node);

        if (port.link)
            take_one(in);
        else
            kernel_free(in);
    }
}

struct loop_device port_device(void)
{
    return (struct loop_device){.ready = is_ready, .run = run};
}

/* ---- struct link_ops ---- */

static int port_start(struct link *link, char error[static LINK_ERROR_MAX])
{
    (void)error;
    port.link = CONTAINER_OF(link, struct port_link, link);
    loop_inert_handle(link->instance->loop, &port.link->handle);
    port.link->handle.data = port.link;
    port.link->started = true;
    port_plug(true);
    return 0;
}

static int port_send(struct link *link, const struct wire_frame *frame)
{
    static uint8_t bytes[FRAME_BYTES_MAX];
    size_t len = 0;

    (void)link;
    for (int i = 0; i < frame->iovcnt; i++) {
        CHECK(len + frame->iov[i].iov_len <= sizeof(bytes));
        memcpy(bytes + len, frame->iov[i].iov_base, frame->iov[i].iov_len);
        len += frame->iov[i].iov_len;
    }
    return port.owner.on_frame(port.owner.ctx, bytes, len, &frame->offload) ? 0 : -EAGAIN;
}

static void on_closed(uv_handle_t *handle)
{
    struct port_link *p = handle->data;

    port.link = NULL;
    while (!list_empty(&port.inbound))
        kernel_free(LIST_ENTRY(list_take_first(&port.inbound), struct inbound, node));
    link_closed(&p->link);
}

static void port_close(struct link *link)
{
    struct port_link *p = CONTAINER_OF(link, struct port_link, link);

    if (p->started)
        uv_close(&p->handle, on_closed);
    else
        link_closed(link);
}

static const struct link_ops port_ops = {.start = port_start, .send = port_send, .close = port_close};

static struct link *port_new(const struct link_spec *spec)
{
    struct port_link *p = calloc(1, sizeof(*p));

    (void)spec;
    if (!p)
        return NULL;
    p->link.ops = &port_ops;
    return &p->link;
}

struct link_spec port_spec(void)
{
    static const struct link_kind kind = {.word = "replay", .options = "", .new = port_new};

    return (struct link_spec){.kind = &kind};
}
