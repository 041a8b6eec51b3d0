/*
 * UDP through lwIP: one udp_pcb of ours, its port set per datagram in both directions. As with TCP, lwIP's callback
 * only records.
 */
#include "stack/stack_private.h"

#include <errno.h>

static void on_recv(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *src,
                    u16_t src_port)
{
    struct stack *stack = arg;

    (void)pcb;
    (void)src;
    (void)src_port;
    CHECK(stack->datagram && stack->datagram->payload_bytes == p->tot_len);
    (void)pbuf_free(p);
    stack->datagram_taken = true;
}

int udp_relay_init(struct stack *stack)
{
    stack->udp = udp_new_ip_type(IPADDR_TYPE_ANY);
    if (!stack->udp)
        return -ENOMEM;
    udp_recv(stack->udp, on_recv, stack);
    return 0;
}

void udp_relay_deinit(struct stack *stack)
{
    if (stack->udp)
        udp_remove(stack->udp);
    stack->udp = NULL;
}

void udp_relay_input(struct stack *stack, struct guest *guest, struct frame *f)
{
    struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)f->l4_bytes, PBUF_REF);

    if (!p)
        return; /* the heap counts it */
    p->payload = f->l4;
    stack->datagram = f;
    stack->datagram_taken = false;
    stack->udp->local_port = f->dst_port;
    stack->udp->next = NULL;
    udp_pcbs = stack->udp;
    ip_data_set(guest, &f->src, &f->dst);
    udp_input(p, guest->netif);
    ip_data_clear();
    udp_pcbs = NULL;
    stack->datagram = NULL;
    if (stack->datagram_taken)
        stack->events->on_datagram(stack->ctx, guest, f);
}

int stack_send_datagram(struct stack *stack, struct guest *guest, const struct addr *src,
                        uint16_t src_port, const struct addr *dst, uint16_t dst_port,
                        const void *bytes, size_t len)
{
    ip_addr_t from, to;
    struct pbuf *p;
    err_t err;

    if (len > FRAME_IP_BYTES_MAX - IP_HLEN - UDP_HLEN) {
        counter_bump(stack->counters, COUNTER_UDP_TOO_BIG);
        return -EMSGSIZE;
    }
    CHECK(src_port != 0); /* lwIP would bind the pcb to a port of its own */
    p = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_ROM);
    if (!p)
        return -ENOMEM; /* the heap counts it */
    ((struct pbuf_rom *)p)->payload = bytes;
    ip_addr_from(&from, src);
    ip_addr_from(&to, dst);
    stack->udp->local_port = src_port;
    err = udp_sendto_if_src(stack->udp, p, &to, dst_port, guest->netif, &from);
    (void)pbuf_free(p);
    return err == ERR_OK ? 0 : -ENOBUFS;
}
