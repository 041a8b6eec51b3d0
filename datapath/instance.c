#include "datapath/instance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "datapath/admit.h"
#include "datapath/bridge.h"
#include "datapath/flow_end.h"
#include "datapath/flow_events.h"
#include "datapath/instance_private.h"
#include "datapath/link_backend.h"
#include "datapath/policy_build.h"
#include "datapath/relay_ping.h"
#include "datapath/relay_udp.h"
#include "datapath/resolver.h"
#include "datapath/rule_use.h"
#include "datapath/verdicts.h"
#include "policy/dns_budget.h"
#include "stack/ip6.h"

static const struct stack_events stack_events = {
    .on_segment = admit_segment,
    .on_datagram = relay_udp_datagram,
    .on_echo = relay_ping_echo,
    .on_refusal = relay_udp_refused,
};

void instance_config_init(struct instance_config *c)
{
    static const uint8_t gateway_mac[] = {0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd};

    memset(c, 0, sizeof(*c));
    (void)addr_prefix_parse("192.168.127.0/24", &c->net4); /* constants that parse */
    (void)addr_prefix_parse("fd77:6569:72::/48", &c->net6);
    memcpy(c->gateway_mac, gateway_mac, sizeof(gateway_mac));
    c->mtu = 1500;
    c->rebind_strip = c->unrouted_strip = true;
    c->log_fd = -1;
    strcpy(c->aliases[0], "host.weir.internal");
    c->alias_count = 1;
    c->limits = (struct instance_limits){
        .flows = 16384,
        .half_open = 512,
        .dials = 256,
        .buffers = 256ull << 20,
        .flow_buffer = 4u << 20,
        .dial_timeout_ms = 10000,
        .udp_flows = 8192,
        .udp_idle_ms = 60000,
        .udp_idle_dns_ms = 10000,
        .udp_idle_quic_ms = 180000,
        .dns_qps = 50,
        .keepalive_ms = 120000,
        .guest_timeout_ms = 180000,
    };
}

int64_t instance_wall_s(void)
{
    return time(NULL);
}

const struct host_addrs *instance_host_addrs(const struct instance *in)
{
    return &in->host.addrs;
}

const struct counters *instance_counters(const struct instance *in)
{
    return &in->counters;
}

void instance_warn(struct instance *in, const char *text)
{
    if (in->config.on_warning)
        in->config.on_warning(in->config.ctx, text);
}

bool instance_undelivered(const struct instance *in)
{
    for (uint32_t i = 0; i < in->flows.fresh; i++) {
        const struct flow *flow = &in->flows.flows[i];

        if (flow->state != FLOW_FREE && flow->state != FLOW_CLOSING && flow->kind == FLOW_TCP)
            return true;
    }
    return false;
}

/* ---- the policy in force ---- */

/* What follows from the policy at this time of day. Return: how many flows it ended. */
static unsigned apply(struct instance *in, enum reason reason)
{
    int64_t wall_s = instance_wall_s();
    unsigned cut;

    in->expiry_s = policy_next_expiry(in->policy, wall_s);
    in->expiry_check_ms = 0;
    LIST_FOR_EACH(node, &in->links) {
        struct link *link = LIST_ENTRY(node, struct link, node);

        link->guest->alias_open = policy_opens_host(in->policy, wall_s);
    }
    cut = verdict_rejudge(in, reason);
    flow_record_policy(in, reason, cut);
    return cut;
}

/* @policy: the reference is given. */
static unsigned enforce(struct instance *in, struct policy *policy)
{
    policy_unref(in->policy);
    in->policy = policy;
    rule_use_renew(in);
    return apply(in, REASON_POLICY_REVOKED);
}

/* When to look at the clock for rules that end; it may be set meanwhile, so not only when they should. */
static uint64_t expiry_due(struct instance *in, uint64_t now_ms)
{
    int64_t left_s = in->expiry_s - instance_wall_s();

    if (in->expiry_s == 0 || in->expiry_check_ms > 0)
        return in->expiry_check_ms;
    if (left_s > INSTANCE_CLOCK_CHECK_S)
        left_s = INSTANCE_CLOCK_CHECK_S;
    in->expiry_check_ms = now_ms + (left_s > 0 ? (uint64_t)left_s * 1000 : 1);
    return in->expiry_check_ms;
}

static void end_rules(struct instance *in)
{
    if (in->expiry_s > 0 && in->expiry_s <= instance_wall_s())
        (void)apply(in, REASON_POLICY_EXPIRED);
    in->expiry_check_ms = 0;
}

int instance_set_policy(struct instance *in, struct policy *policy)
{
    struct policy *whole = in->host.known ? policy_build(policy, &in->nets, &in->host.addrs) : policy_ref(in->nothing);

    if (!whole)
        return -ENOMEM;
    (void)policy_ref(policy); /* first: it may be the one that was given before */
    policy_unref(in->given);
    in->given = policy;
    return (int)enforce(in, whole);
}

void instance_set_limits(struct instance *in, const struct instance_limits *limits)
{
    struct instance_limits now = *limits;

    now.flows = in->config.limits.flows;
    now.buffers = in->config.limits.buffers;
    in->config.limits = now;
    stack_set_limits(in->stack, now.flow_buffer, now.guest_timeout_ms);
    for (uint32_t i = 0; i < in->flows.fresh; i++)
        if (in->flows.flows[i].state == FLOW_OPEN)
            flow_arm_idle(&in->flows.flows[i]);
}

/* An address that is not in the policy would be open to guests: better no network than that. */
static void on_host_change(void *ctx, int err)
{
    struct instance *in = ctx;
    struct policy *whole = err < 0 ? NULL : policy_build(in->given, &in->nets, &in->host.addrs);

    if (err == 0 && !whole)
        err = -ENOMEM;
    in->host.known = err == 0;
    (void)enforce(in, whole ? whole : policy_ref(in->nothing));
    if (in->config.on_host_addrs)
        in->config.on_host_addrs(in->config.ctx, err);
}

/* ---- the end of a turn ---- */

static void on_deadline(uv_timer_t *timer);

/* Buffers go back a while after the burst that needed them, not between two segments of it. */
static uint64_t trim_due(struct instance *in, uint64_t now_ms)
{
    if (!pool_wants_trim(&in->pool))
        in->trim_ms = 0;
    else if (in->trim_ms == 0)
        in->trim_ms = now_ms + INSTANCE_TRIM_MS;
    return in->trim_ms;
}

static void arm_deadline(struct instance *in)
{
    uint64_t now_ms = instance_now(in), next_ms = 0;
    uint64_t due_ms[] = {
        flow_next_deadline(&in->flows),
        record_repeats(&in->log, now_ms, false),
        in->log.len > 0 ? now_ms + INSTANCE_LOG_RETRY_MS : 0, /* the log's reader was full */
        record_drops(&in->log, now_ms),
        trim_due(in, now_ms),
        in->advertise_ms,
        expiry_due(in, now_ms),
        resolver_next_due(in->resolver),
        in->again ? now_ms : 0,
    };

    for (size_t i = 0; i < ARRAY_SIZE(due_ms); i++)
        if (due_ms[i] > 0 && (next_ms == 0 || due_ms[i] < next_ms))
            next_ms = due_ms[i];
    if (next_ms == in->deadline_armed_ms)
        return;
    in->deadline_armed_ms = next_ms;
    if (next_ms == 0)
        (void)uv_timer_stop(&in->deadline_timer);
    else
        (void)uv_timer_start(&in->deadline_timer, on_deadline, next_ms > now_ms ? next_ms - now_ms : 0, 0);
}

static void on_tick(uv_timer_t *timer)
{
    struct instance *in = timer->data;

    stack_set_time(in->stack, instance_now(in));
    stack_tick(in->stack);
}

static void arm_tick(struct instance *in)
{
    bool wanted = stack_wants_tick(in->stack);

    if (wanted == in->tick_armed)
        return;
    in->tick_armed = wanted;
    if (wanted)
        (void)uv_timer_start(&in->tick_timer, on_tick, STACK_TICK_MS, STACK_TICK_MS);
    else
        (void)uv_timer_stop(&in->tick_timer);
}

static void instance_drain(struct instance *in)
{
    stack_set_time(in->stack, instance_now(in));
    bridge_write_due(in);
    in->again = bridge_resume_starved(in) || !list_empty(&in->up_due); /* no frame may come to end the wait */
    relay_udp_flush(in);
    stack_flush(in->stack);
    flow_reap(&in->flows);
    record_flush(&in->log);
    if (in->closing)
        return;
    arm_deadline(in);
    arm_tick(in);
}

static void advertise(struct instance *in)
{
    in->advertise_ms = instance_now(in) + INSTANCE_ADVERTISE_MS;
    LIST_FOR_EACH(node, &in->links) {
        struct link *link = LIST_ENTRY(node, struct link, node);

        if (link->up)
            guest_advertise(link->guest);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    struct instance *in = timer->data;
    struct flow *flow;

    in->deadline_armed_ms = 0;
    stack_set_time(in->stack, instance_now(in));
    if (in->advertise_ms > 0 && in->advertise_ms <= instance_now(in))
        advertise(in);
    if (in->expiry_check_ms > 0 && in->expiry_check_ms <= instance_now(in))
        end_rules(in);
    if (in->trim_ms > 0 && in->trim_ms <= instance_now(in)) {
        pool_trim(&in->pool);
        in->trim_ms = 0;
    }
    resolver_due(in->resolver);
    while ((flow = flow_take_due(&in->flows, instance_now(in))))
        flow_deadline(flow);
}

/* Work is done in poll callbacks (then check comes next) and in timers (then prepare does). */
static void on_prepare(uv_prepare_t *prepare)
{
    struct instance *in = prepare->data;

    in->turn_bytes = 0;
    instance_drain(in);
    in->more_frames = false; /* its links say again what is so */
}

static void on_check(uv_check_t *check)
{
    instance_drain(check->data);
}

/* ---- birth and death ---- */

static int start_handles(struct instance *in)
{
    (void)uv_prepare_init(in->loop, &in->prepare); /* these four cannot fail */
    (void)uv_check_init(in->loop, &in->check);
    (void)uv_timer_init(in->loop, &in->deadline_timer);
    (void)uv_timer_init(in->loop, &in->tick_timer);
    in->prepare.data = in->check.data = in->deadline_timer.data = in->tick_timer.data = in;
    in->handles = 4;
    (void)uv_prepare_start(&in->prepare, on_prepare);
    (void)uv_check_start(&in->check, on_check);
    /* They end turns, they are no reason to have one. */
    uv_unref((uv_handle_t *)&in->prepare);
    uv_unref((uv_handle_t *)&in->check);
    return 0;
}

static void free_parts(struct instance *in)
{
    resolver_free(in->resolver);
    relay_udp_free(in->udp);
    relay_free(in->relay);
    flow_table_deinit(&in->flows);
    stack_free(in->stack);
    if (in->pool.bytes_max > 0)
        pool_deinit(&in->pool);
    record_deinit(&in->log);
    host_watch_deinit(&in->host);
    policy_unref(in->policy);
    policy_unref(in->nothing);
    policy_unref(in->given);
    free(in);
}

static bool is_off(const struct addr_prefix *net)
{
    return net->base.family == ADDR_NONE;
}

static bool network_fits(const struct addr_prefix *net)
{
    return is_off(net) || network_check(net) == 0;
}

/* What it takes to judge anything. */
static int make_policy(struct instance *in)
{
    static const struct policy_config nothing;
    const struct instance_config *c = &in->config;
    bool fits = network_fits(&c->net4) && network_fits(&c->net6) && (c->mtu >= IP6_MTU_MIN || is_off(&c->net6));
    int err = fits ? host_watch_init(&in->host) : -EINVAL;

    if (err < 0)
        return err;
    in->nets = networks_plan(&c->net4, &c->net6);
    in->nothing = policy_new(&nothing);
    in->policy = policy_build(in->given, &in->nets, &in->host.addrs);
    if (!in->nothing || !in->policy)
        return -ENOMEM;
    in->expiry_s = policy_next_expiry(in->policy, instance_wall_s());
    return 0;
}

static int make_relays(struct instance *in)
{
    in->resolver = resolver_new(in);
    in->relay = relay_new(in);
    in->udp = relay_udp_new();
    return in->resolver && in->relay && in->udp ? 0 : -ENOMEM; /* free_parts() takes what there is */
}

int instance_new(uv_loop_t *loop, const struct instance_config *config, struct instance **out_instance)
{
    struct instance *in = calloc(1, sizeof(*in));
    struct stack_config sc;
    int err;

    if (!in)
        return -ENOMEM;
    in->loop = loop;
    in->config = *config;
    in->given = policy_ref(config->policy);
    in->config.policy = NULL; /* in->given */
    in->host.fd = in->host.spare_fd = -1;
    in->log.fd = -1;
    list_init(&in->links);
    list_init(&in->up_due);
    list_init(&in->starved);
    err = make_policy(in);
    if (err == 0)
        err = pool_init(&in->pool, config->limits.buffers);
    if (err == 0)
        err = record_init(&in->log, config->log_fd, &in->counters);
    if (err == 0)
        err = flow_table_init(&in->flows, config->limits.flows);
    sc = (struct stack_config){
        .pool = &in->pool,
        .counters = &in->counters,
        .events = &stack_events,
        .ctx = in,
        .flows_max = config->limits.flows,
        .flow_buffer_bytes = config->limits.flow_buffer,
        .guest_timeout_ms = config->limits.guest_timeout_ms,
    };
    if (err == 0)
        err = stack_new(&sc, uv_now(loop), &in->stack);
    if (err == 0)
        err = make_relays(in);
    if (err == 0 && config->hook.on_decide && !(in->hook = hook_new(in)))
        err = -ENOMEM;
    if (err == 0) /* last: from here on an end takes a turn of the loop */
        err = host_watch_start(&in->host, loop, on_host_change, in);
    if (err < 0) {
        hook_discard(in->hook);
        free_parts(in);
        return err;
    }
    (void)start_handles(in);
    if (!is_off(&config->net6))
        in->advertise_ms = instance_now(in) + INSTANCE_ADVERTISE_MS;
    *out_instance = in;
    return 0;
}

static void maybe_gone(struct instance *in)
{
    void (*on_closed)(void *ctx) = in->on_closed;
    void *ctx = in->on_closed_ctx;

    if (!in->closing || in->handles > 0 || !list_empty(&in->links))
        return;
    free_parts(in);
    on_closed(ctx);
}

void instance_child_closed(struct instance *in)
{
    in->handles--;
    maybe_gone(in);
}

static void on_own_handle_closed(uv_handle_t *handle)
{
    instance_child_closed(handle->data);
}

static void on_host_closed(uv_handle_t *handle)
{
    struct host_watch *watch = handle->data;

    instance_child_closed(watch->ctx);
}

static void on_last_turn(uv_timer_t *timer);

void instance_close(struct instance *in, void (*on_closed)(void *ctx), void *ctx)
{
    if (in->closing)
        return;
    in->on_closed = on_closed;
    in->on_closed_ctx = ctx;
    (void)record_repeats(&in->log, 0, true);
    LIST_FOR_EACH(node, &in->links)
        link_close(LIST_ENTRY(node, struct link, node));
    in->handles += 3;
    host_watch_close(&in->host, on_host_closed);
    resolver_close(in->resolver);
    relay_close(in->relay);
    if (in->hook) {
        in->handles++;
        hook_close(in->hook);
    }
    in->closing = true;
    /* Flows may have handles on their way out: the rest goes when the table is empty. */
    (void)uv_timer_stop(&in->tick_timer);
    (void)uv_timer_start(&in->deadline_timer, on_last_turn, 0, 0);
}

static void on_last_turn(uv_timer_t *timer)
{
    struct instance *in = timer->data;

    flow_reap(&in->flows);
    if (!list_empty(&in->flows.reap)) {
        (void)uv_timer_start(timer, on_last_turn, 1, 0);
        return;
    }
    record_flush(&in->log);
    uv_close((uv_handle_t *)&in->prepare, on_own_handle_closed);
    uv_close((uv_handle_t *)&in->check, on_own_handle_closed);
    uv_close((uv_handle_t *)&in->deadline_timer, on_own_handle_closed);
    uv_close((uv_handle_t *)&in->tick_timer, on_own_handle_closed);
}

void link_closed(struct link *link)
{
    struct instance *in = link->instance;

    if (list_linked(&link->node)) {
        list_unlink(&link->node);
        in->link_count--;
    }
    /* Its flows were killed with it; what they still hold of its guest is let go here. */
    flow_reap(&in->flows);
    guest_free(link->guest);
    pins_free(link->pins);
    rule_use_free(link);
    dns_budget_free(link->dns_budget);
    free(link);
    maybe_gone(in);
}
