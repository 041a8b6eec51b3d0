#include "datapath/hook.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "datapath/asking.h"
#include "datapath/instance_private.h"
#include "datapath/resolver.h"

enum waiter { WAITER_NONE, WAITER_UNBOUND, WAITER_FLOW, WAITER_QUESTION };

/* A question to the embedder without an answer yet. */
struct ask {
    enum waiter waiter;
    uint32_t generation; /* of this slot: a token outlives its question and finds nothing */
    struct link *link;   /* borrowed: whose guest it is about */
    void *who;           /* borrowed: struct flow or struct question */
};

struct answered {
    uint64_t token;
    enum decide_answer answer;
};

struct hook {
    struct instance *instance; /* borrowed */
    struct ask asks[HOOK_PENDING_MAX];
    uint16_t free[HOOK_PENDING_MAX]; /* a stack */
    unsigned free_count;
    uv_async_t async;
    pthread_mutex_t lock;            /* of what follows */
    struct answered inbox[HOOK_PENDING_MAX];
    unsigned inbox_count;
};

static struct ask *ask_of(struct hook *h, uint64_t token)
{
    uint32_t index = (uint32_t)token;
    struct ask *a = index < HOOK_PENDING_MAX ? &h->asks[index] : NULL;

    return a && a->waiter != WAITER_NONE && a->generation == (uint32_t)(token >> 32) ? a : NULL;
}

static void ask_free(struct hook *h, struct ask *a)
{
    a->waiter = WAITER_NONE;
    a->link->asks--;
    h->free[h->free_count++] = (uint16_t)(a - h->asks);
}

/* ---- answers ---- */

static void deliver(struct hook *h, const struct answered *answered)
{
    struct ask *a = ask_of(h, answered->token);
    enum waiter waiter;

    if (!a) /* too late, or the second one */
        return;
    waiter = a->waiter;
    ask_free(h, a);
    if (waiter == WAITER_FLOW)
        asking_decided(a->who, answered->answer);
    else if (waiter == WAITER_QUESTION)
        resolver_decided(h->instance->resolver, a->who, answered->answer);
}

static void on_async(uv_async_t *async)
{
    struct hook *h = async->data;
    struct answered inbox[HOOK_PENDING_MAX];
    unsigned count;

    (void)pthread_mutex_lock(&h->lock);
    count = h->inbox_count;
    memcpy(inbox, h->inbox, count * sizeof(inbox[0]));
    h->inbox_count = 0;
    (void)pthread_mutex_unlock(&h->lock);
    stack_set_time(h->instance->stack, instance_now(h->instance));
    for (unsigned i = 0; i < count; i++)
        deliver(h, &inbox[i]);
}

int instance_resume(struct instance *in, uint64_t token, enum decide_answer answer)
{
    struct hook *h = in->hook;
    bool full;

    if (!h || answer == DECIDE_PENDING)
        return -EINVAL;
    (void)pthread_mutex_lock(&h->lock);
    full = h->inbox_count == HOOK_PENDING_MAX;
    if (!full)
        h->inbox[h->inbox_count++] = (struct answered){.token = token, .answer = answer};
    (void)pthread_mutex_unlock(&h->lock);
    (void)uv_async_send(&h->async);
    return full ? -ENOBUFS : 0;
}

/* ---- birth and death ---- */

struct hook *hook_new(struct instance *in)
{
    struct hook *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->instance = in;
    if (uv_async_init(in->loop, &h->async, on_async) < 0) {
        free(h);
        return NULL;
    }
    h->async.data = h;
    uv_unref((uv_handle_t *)&h->async);
    (void)pthread_mutex_init(&h->lock, NULL);
    for (unsigned i = 0; i < HOOK_PENDING_MAX; i++) {
        h->asks[i].generation = 1; /* so no token is 0 */
        h->free[h->free_count++] = (uint16_t)(HOOK_PENDING_MAX - 1 - i);
    }
    return h;
}

static void on_async_closed(uv_handle_t *handle)
{
    struct hook *h = handle->data;
    struct instance *in = h->instance;

    (void)pthread_mutex_destroy(&h->lock);
    free(h);
    if (in)
        instance_child_closed(in);
}

void hook_discard(struct hook *h)
{
    if (!h)
        return;
    h->instance = NULL;
    uv_close((uv_handle_t *)&h->async, on_async_closed);
}

void hook_close(struct hook *h)
{
    uv_close((uv_handle_t *)&h->async, on_async_closed);
}

/* ---- questions ---- */

static bool is_asked(const struct instance *in, enum decide_stage stage)
{
    return in->hook && in->config.hook.stages & stage;
}

bool hook_may_overturn(const struct instance *in, enum decide_stage stage, const struct verdict *v)
{
    return stage != DECIDE_BYTES && is_asked(in, stage) && v->by_default;
}

void hook_have_read(const struct instance *in, enum rule_proto proto, bool said, struct verdict *v)
{
    if (proto != RULE_TCP || v->action != VERDICT_ALLOW || !is_asked(in, DECIDE_BYTES))
        return;
    if (!said)
        v->action = VERDICT_JUDGE;
    else if (v->name[0] == '\0') /* else a rule says how far its name is followed */
        v->follows_hello = v->follows_http = true;
}

static void deny(struct verdict *v, enum reason reason)
{
    v->other_rules = false;
    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        v->rules[i] = -1;
    v->action = VERDICT_DENY;
    v->reason = reason;
    v->layer = POLICY_LAYER_POLICY;
    v->rule = -1;
    v->by_default = v->audited = false;
}

void hook_apply(const struct instance *in, const struct decide_facts *facts, enum decide_answer answer,
                struct verdict *v)
{
    if (answer == DECIDE_DENY) {
        deny(v, REASON_DENY_HOOK);
    } else if (hook_may_overturn(in, facts->stage, v)) {
        v->action = VERDICT_ALLOW;
        v->reason = REASON_OK_HOOK;
        v->by_default = false;
    }
}

/* With others beside it, a guest's questions take three quarters of the places at most. */
static bool has_room(const struct hook *h, const struct link *link)
{
    unsigned share = h->instance->link_count > 1 ? HOOK_PENDING_MAX / 4 * 3 : HOOK_PENDING_MAX;

    return h->free_count > 0 && link->asks < share;
}

uint64_t hook_ask(struct link *link, struct decide_facts *facts, struct verdict *v)
{
    struct instance *in = link->instance;
    struct hook *h = in->hook;
    enum decide_answer answer;
    uint64_t token;
    struct ask *a;

    if (!is_asked(in, facts->stage) || (v->action == VERDICT_DENY && !hook_may_overturn(in, facts->stage, v)))
        return 0;
    if (!has_room(h, link)) {
        instance_count(in, COUNTER_HOOK_FULL);
        deny(v, REASON_HOOK_TIMEOUT);
        return 0;
    }
    a = &h->asks[h->free[--h->free_count]];
    a->waiter = WAITER_UNBOUND;
    a->link = link;
    link->asks++;
    a->generation++;
    token = (uint64_t)a->generation << 32 | (uint32_t)(a - h->asks);
    facts->verdict = v;
    answer = in->config.hook.on_decide(in->config.hook.ctx, facts, token);
    if (answer == DECIDE_PENDING)
        return token;
    ask_free(h, a);
    hook_apply(in, facts, answer, v);
    return 0;
}

static void bind_to(struct instance *in, uint64_t token, enum waiter waiter, void *who)
{
    struct ask *a = ask_of(in->hook, token);

    CHECK(a && a->waiter == WAITER_UNBOUND);
    a->waiter = waiter;
    a->who = who;
}

void hook_bind_flow(struct instance *in, uint64_t token, struct flow *flow)
{
    bind_to(in, token, WAITER_FLOW, flow);
}

void hook_bind_question(struct instance *in, uint64_t token, struct question *question)
{
    bind_to(in, token, WAITER_QUESTION, question);
}

void hook_forget(struct instance *in, uint64_t token)
{
    struct ask *a = token != 0 ? ask_of(in->hook, token) : NULL;

    if (a)
        ask_free(in->hook, a);
}
