#include "datapath/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "datapath/instance_private.h"

static const void *key_of(const void *ctx, uint32_t index)
{
    const struct flow_table *t = ctx;

    return &t->flows[index].key;
}

int flow_table_init(struct flow_table *t, uint32_t flows_max)
{
    memset(t, 0, sizeof(*t));
    t->flows_max = flows_max;
    t->slots = flows_max + FLOW_TIME_WAIT_MAX;
    list_init(&t->free);
    list_init(&t->reap);
    list_init(&t->time_wait);
    t->flows = mmap(NULL, t->slots * sizeof(*t->flows), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t->flows == MAP_FAILED) {
        t->flows = NULL;
        return -ENOMEM;
    }
    t->heap = mmap(NULL, t->slots * sizeof(*t->heap), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t->heap == MAP_FAILED)
        t->heap = NULL;
    if (!t->heap || table_init(&t->index, t->slots, sizeof(struct flow_key), key_of, t) < 0) {
        flow_table_deinit(t);
        return -ENOMEM;
    }
    return 0;
}

void flow_table_deinit(struct flow_table *t)
{
    table_deinit(&t->index);
    if (t->heap)
        (void)munmap(t->heap, t->slots * sizeof(*t->heap));
    if (t->flows)
        (void)munmap(t->flows, t->slots * sizeof(*t->flows));
    t->heap = NULL;
    t->flows = NULL;
}

struct flow_key flow_key_of(const struct link *link, const struct frame *f)
{
    struct flow_key key;

    memset(&key, 0, sizeof(key)); /* hashed as bytes */
    key.link_id = link->id;
    key.proto = f->proto;
    key.guest_port = f->src_port;
    key.port = f->dst_port;
    key.guest = f->src;
    key.dst = f->dst;
    return key;
}

struct flow *flow_find(struct flow_table *t, const struct flow_key *key)
{
    uint32_t index = table_find(&t->index, key);

    return index == TABLE_NONE ? NULL : &t->flows[index];
}

static struct flow *take_slot(struct flow_table *t)
{
    struct list *node = list_take_first(&t->free);

    if (!node && t->fresh < t->slots) {
        list_init(&t->flows[t->fresh].node);
        return &t->flows[t->fresh++];
    }
    if (!node && (node = t->time_wait.next) != &t->time_wait) {
        struct flow *old = LIST_ENTRY(node, struct flow, node);

        /* TIME_WAIT goes first. It has no handle, so its slot is free at once. */
        CHECK(old->closing == 0);
        flow_release(t, old);
        flow_reap(t);
        node = list_take_first(&t->free);
    }
    return node ? LIST_ENTRY(node, struct flow, node) : NULL;
}

struct flow *flow_claim(struct flow_table *t, const struct flow_key *key, uint64_t now_ms)
{
    struct flow *flow;
    uint32_t generation;

    if (t->live >= t->flows_max || !(flow = take_slot(t)))
        return NULL;
    generation = flow->generation + 1;
    memset(flow, 0, sizeof(*flow));
    flow->generation = generation;
    flow->key = *key;
    flow->opened_ms = flow->active_ms = now_ms;
    flow->counts_live = true;
    flow->up_max = flow->down_max = UINT64_MAX;
    list_init(&flow->node);
    list_init(&flow->wait_node);
    t->live++;
    table_add(&t->index, (uint32_t)(flow - t->flows));
    flow->state = FLOW_CLAIMED;
    return flow;
}

void flow_belongs(struct flow *flow, struct link *link)
{
    flow->link = link;
    flow->instance = link->instance;
    link->flows++;
}

void flow_set_text(char **text, const char *value)
{
    free(*text);
    *text = value[0] != '\0' ? strdup(value) : NULL;
}

void flow_set_verdict(struct flow *flow, const struct verdict *verdict)
{
    flow->verdict = (struct flow_verdict){
        .action = (uint8_t)verdict->action,
        .layer = (uint8_t)verdict->layer,
        .reason = (uint16_t)verdict->reason,
        .rule = verdict->rule,
        .audited = verdict->audited,
        .strict = verdict->strict,
    };
    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        flow->verdict.rules[i] = (int16_t)verdict->rules[i];
    flow_set_text(&flow->name, verdict->name);
}

void flow_get_verdict(const struct flow *flow, struct verdict *out_verdict)
{
    const struct flow_verdict *v = &flow->verdict;

    *out_verdict = (struct verdict){
        .action = (enum verdict_action)v->action,
        .layer = (enum policy_layer)v->layer,
        .reason = (enum reason)v->reason,
        .rule = v->rule,
        .audited = v->audited,
        .strict = v->strict,
    };
    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        out_verdict->rules[i] = v->rules[i];
    if (flow->name)
        strcpy(out_verdict->name, flow->name);
}

void flow_move(struct flow *flow, enum flow_state state)
{
    static const uint8_t allowed[] = {
        [FLOW_FREE] = 1 << FLOW_CLAIMED,
        [FLOW_CLAIMED] =
            1 << FLOW_ASKING | 1 << FLOW_DIALING | 1 << FLOW_PEEKING | 1 << FLOW_OPEN | 1 << FLOW_CLOSING,
        [FLOW_ASKING] = 1 << FLOW_DIALING | 1 << FLOW_PEEKING | 1 << FLOW_OPEN | 1 << FLOW_CLOSING,
        [FLOW_DIALING] = 1 << FLOW_JUDGING | 1 << FLOW_OPEN | 1 << FLOW_CLOSING,
        [FLOW_PEEKING] = 1 << FLOW_DIALING | 1 << FLOW_OPEN | 1 << FLOW_CLOSING,
        [FLOW_JUDGING] = 1 << FLOW_OPEN | 1 << FLOW_CLOSING,
        [FLOW_OPEN] = 1 << FLOW_CLOSING,
        [FLOW_CLOSING] = 1 << FLOW_FREE,
    };

    CHECK(allowed[flow->state] & 1 << state);
    flow->state = state;
}

static void stop_counting(struct flow_table *t, struct flow *flow)
{
    if (flow->counts_live)
        t->live--;
    if (flow->counts_live && flow->link)
        flow->link->flows--;
    flow->counts_live = false;
}

void flow_enter_time_wait(struct flow_table *t, struct flow *flow)
{
    CHECK(flow->state == FLOW_CLOSING);
    stop_counting(t, flow);
    if (!list_linked(&flow->node))
        list_append(&t->time_wait, &flow->node);
}

void flow_release(struct flow_table *t, struct flow *flow)
{
    if (flow->killed)
        return;
    flow->killed = true;
    flow_set_deadline(t, flow, 0);
    table_remove(&t->index, (uint32_t)(flow - t->flows));
    stop_counting(t, flow);
    list_unlink(&flow->node);
    list_append(&t->reap, &flow->node);
}

void flow_reap(struct flow_table *t)
{
    LIST_FOR_EACH(node, &t->reap) {
        struct flow *flow = LIST_ENTRY(node, struct flow, node);

        tcp_conn_abort(&flow->conn); /* only TIME_WAIT can be left, and says nothing; its guest may be gone before... */
        if (flow->closing > 0)
            continue; /* ... the flow's handles are */
        flow_set_text(&flow->name, "");
        flow_set_text(&flow->said, "");
        flow_set_text(&flow->alpn, "");
        flow_move(flow, FLOW_FREE);
        list_unlink(node);
        list_append(&t->free, node);
    }
}

uint64_t flow_id(const struct flow_table *t, const struct flow *flow)
{
    return (uint64_t)flow->generation << 32 | (uint32_t)(flow - t->flows);
}

const char *flow_close_name(enum flow_close how)
{
    switch (how) {
    case FLOW_CLOSE_NONE:
        return NULL;
    case FLOW_CLOSE_GUEST_FIN:
        return "guest_fin";
    case FLOW_CLOSE_GUEST_RST:
        return "guest_rst";
    case FLOW_CLOSE_PEER_FIN:
        return "peer_fin";
    case FLOW_CLOSE_PEER_RST:
        return "peer_rst";
    case FLOW_CLOSE_IDLE:
        return "idle";
    case FLOW_CLOSE_LIMIT:
        return "limit";
    case FLOW_CLOSE_POLICY:
        return "policy";
    case FLOW_CLOSE_HOOK:
        return "hook";
    case FLOW_CLOSE_SHUTDOWN:
        return "shutdown";
    }
    return NULL;
}

/* ---- deadlines: a binary heap of flow indexes ---- */

static struct flow *at(const struct flow_table *t, uint32_t slot)
{
    return &t->flows[t->heap[slot]];
}

static void place(struct flow_table *t, uint32_t slot, uint32_t index)
{
    t->heap[slot] = index;
    t->flows[index].heap_at = slot + 1;
}

static void sift_up(struct flow_table *t, uint32_t slot)
{
    uint32_t index = t->heap[slot];

    while (slot > 0 && at(t, (slot - 1) / 2)->deadline_ms > t->flows[index].deadline_ms) {
        place(t, slot, t->heap[(slot - 1) / 2]);
        slot = (slot - 1) / 2;
    }
    place(t, slot, index);
}

static void sift_down(struct flow_table *t, uint32_t slot)
{
    uint32_t index = t->heap[slot];

    for (;;) {
        uint32_t child = 2 * slot + 1;

        if (child >= t->heap_len)
            break;
        if (child + 1 < t->heap_len && at(t, child + 1)->deadline_ms < at(t, child)->deadline_ms)
            child++;
        if (at(t, child)->deadline_ms >= t->flows[index].deadline_ms)
            break;
        place(t, slot, t->heap[child]);
        slot = child;
    }
    place(t, slot, index);
}

void flow_set_deadline(struct flow_table *t, struct flow *flow, uint64_t deadline_ms)
{
    uint32_t slot;

    flow->deadline_ms = deadline_ms;
    if (deadline_ms > 0 && flow->heap_at == 0) {
        place(t, t->heap_len++, (uint32_t)(flow - t->flows));
        sift_up(t, flow->heap_at - 1);
        return;
    }
    if (flow->heap_at == 0)
        return;
    slot = flow->heap_at - 1;
    if (deadline_ms > 0) {
        sift_up(t, slot);
        sift_down(t, flow->heap_at - 1);
        return;
    }
    flow->heap_at = 0;
    t->heap_len--;
    if (slot < t->heap_len) {
        place(t, slot, t->heap[t->heap_len]);
        sift_up(t, slot);
        sift_down(t, slot);
    }
}

uint64_t flow_next_deadline(const struct flow_table *t)
{
    return t->heap_len > 0 ? at(t, 0)->deadline_ms : 0;
}

struct flow *flow_take_due(struct flow_table *t, uint64_t now_ms)
{
    struct flow *flow;

    if (t->heap_len == 0 || (flow = at(t, 0))->deadline_ms > now_ms)
        return NULL;
    flow_set_deadline(t, flow, 0);
    return flow;
}
