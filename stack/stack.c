#include "stack/stack.h"

#include <errno.h>
#include <stdlib.h>

#include "stack/heap.h"
#include "stack/lwip/hooks.h"
#include "stack/stack_private.h"

#include "lwip/init.h"

/* lwIP is one global instance; so are we. */
static struct stack *the_stack;

/* A listener's accept is only a place to say yes: the connection was decided before its SYN was handed over. */
static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)arg;
    (void)pcb;
    return err;
}

static int make_listener(struct stack *stack)
{
    struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);

    if (!pcb)
        return -ENOMEM;
    stack->listener = (struct tcp_pcb_listen *)tcp_listen(pcb);
    if (!stack->listener) {
        tcp_abort(pcb);
        return -ENOMEM;
    }
    tcp_listen_pcbs.listen_pcbs = NULL; /* on the list only inside tcp_conn_accept() */
    stack->listener->next = NULL;
    tcp_accept((struct tcp_pcb *)stack->listener, on_accept);
    return 0;
}

void stack_set_limits(struct stack *stack, uint32_t flow_buffer_bytes, uint32_t guest_timeout_ms)
{
    stack->guest_timeout_ms = guest_timeout_ms;
    stack->window_max = LWIP_MIN(flow_buffer_bytes, TCP_WINDOW_MAX);
}

int stack_new(const struct stack_config *config, uint64_t now_ms, struct stack **out_stack)
{
    static bool lwip_ready;
    struct stack *stack;

    if (the_stack)
        return -EBUSY;
    stack = calloc(1, sizeof(*stack));
    if (!stack)
        return -ENOMEM;
    the_stack = stack;
    stack->pool = config->pool;
    stack->counters = config->counters;
    stack->events = config->events;
    stack->ctx = config->ctx;
    stack->now_ms = now_ms;
    stack->grants_max = LWIP_MIN(config->pool->bytes_max / 2, (size_t)TCP_GRANTS_MAX);
    stack_set_limits(stack, config->flow_buffer_bytes, config->guest_timeout_ms);
    siphash_key_random(&stack->isn_key);
    list_init(&stack->flush);
    list_init(&stack->timers);
    list_init(&stack->blocked);
    heap_init(STACK_HEAP_FLOOR_BYTES + (size_t)config->flows_max * STACK_HEAP_PER_FLOW_BYTES);
    if (!lwip_ready)
        lwip_init();
    lwip_ready = true;
    if (make_listener(stack) < 0 || udp_relay_init(stack) < 0) {
        stack_free(stack);
        return -ENOMEM;
    }
    *out_stack = stack;
    return 0;
}

void stack_free(struct stack *stack)
{
    if (!stack)
        return;
    CHECK(stack->guest_count == 0 && stack->depth == 0);
    udp_relay_deinit(stack);
    if (stack->listener) {
        tcp_listen_pcbs.listen_pcbs = stack->listener;
        (void)tcp_close((struct tcp_pcb *)stack->listener); /* cannot fail for a listener */
    }
    heap_deinit();
    the_stack = NULL;
    free(stack);
}

void stack_set_time(struct stack *stack, uint64_t now_ms)
{
    stack->now_ms = now_ms;
}

u32_t stack_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip,
                u16_t remote_port)
{
    struct {
        struct addr local, remote;
        u16_t ports[2];
    } tuple = {ip_addr_to(local_ip), ip_addr_to(remote_ip), {local_port, remote_port}};

    /* RFC 6528 section 3: ISN = M + F(tuple, key), M a 4 microsecond clock. */
    return (u32_t)(the_stack->now_ms * 250) + (u32_t)siphash(&the_stack->isn_key, &tuple, sizeof(tuple));
}

void stack_count_refusals(struct stack *stack)
{
    stack->counters->n[COUNTER_HEAP_FULL] = heap_refused();
    stack->counters->n[COUNTER_POOL_FULL] = stack->pool->refused;
}
