#include "host_stub.h"

#include <string.h>

#include "base/check.h"
#include "host/loop.h"

static struct host_addrs stub;

int host_addrs_add(struct host_addrs *h, const struct addr *a)
{
    CHECK(h->count < GROUP_HOST_ADDRS_MAX);
    h->addrs[h->count++] = *a;
    return 0;
}

void host_stub_set(const struct addr *addrs, unsigned count)
{
    memset(&stub, 0, sizeof(stub));
    for (unsigned i = 0; i < count; i++)
        (void)host_addrs_add(&stub, &addrs[i]);
}

int host_addrs_read(struct host_addrs *out_addrs)
{
    *out_addrs = stub;
    return 0;
}

int host_watch_init(struct host_watch *w)
{
    memset(w, 0, sizeof(*w));
    w->fd = -1;
    w->addrs = stub;
    w->known = true;
    return 0;
}

void host_watch_deinit(struct host_watch *w)
{
    (void)w;
}

int host_watch_start(struct host_watch *w, uv_loop_t *loop, void (*on_change)(void *ctx, int err), void *ctx)
{
    w->on_change = on_change;
    w->ctx = ctx;
    w->started = true;
    loop_inert_handle(loop, (uv_handle_t *)&w->poll);
    w->poll.data = w;
    return 0;
}

void host_watch_close(struct host_watch *w, uv_close_cb on_closed)
{
    uv_close((uv_handle_t *)&w->poll, on_closed);
}
