/*
 * From lwIP to the wire: netif->output of every guest.
 *
 * Adds the Ethernet header, writes the MSS option of a SYN, finishes checksums or leaves them to the wire, and marks
 * super-segments for segmentation. Nothing is queued here: a wire that is full makes lwIP keep the segment. Only TCP
 * comes this way.
 */
#include "stack/stack_private.h"

#include <errno.h>
#include <string.h>

enum { MSS_OPTION_AT = 20, TCP_CSUM_AT = 16 };

/* One packet of lwIP's, seen as bytes. */
struct packet {
    struct pbuf *p;
    struct addr src, dst;
    uint16_t ip_bytes;  /* header */
    uint8_t *l4;
    uint32_t l4_bytes;
};

static uint32_t sum_chain(const struct pbuf *p, size_t skip, uint32_t sum)
{
    bool odd = false;

    for (; p; p = p->next) {
        const uint8_t *at = (const uint8_t *)p->payload + skip;
        size_t len = p->len - skip;
        uint32_t part;

        skip = 0;
        if (len == 0)
            continue;
        part = frame_sum(at, len, 0);
        part = (part & 0xffff) + (part >> 16);
        part = (part & 0xffff) + (part >> 16);
        sum += odd ? (part & 0xff) << 8 | part >> 8 : part;
        odd ^= len & 1;
    }
    return sum;
}

static void put_sum(uint8_t *at, uint16_t sum)
{
    memcpy(at, &sum, sizeof(sum)); /* frame_sum() works on bytes as they lie in memory */
}

/* The checksum field: the pseudo-header's sum where the wire finishes it, the whole one where not. */
static void finish_checksum(struct packet *pk, bool offload, struct frame_offload *out_offload)
{
    uint8_t *field = pk->l4 + TCP_CSUM_AT;
    uint32_t sum = frame_sum_pseudo(&pk->src, &pk->dst, IP_PROTO_TCP, pk->l4_bytes);

    put_sum(field, 0);
    if (offload) {
        put_sum(field, (uint16_t)~frame_sum_fold(sum));
        out_offload->needs_csum = true;
        out_offload->csum_start = (uint16_t)(FRAME_ETH_BYTES + pk->ip_bytes);
        out_offload->csum_offset = TCP_CSUM_AT;
        return;
    }
    put_sum(field, frame_sum_fold(sum_chain(pk->p, pk->ip_bytes, sum)));
}

static void write_mss(struct guest *guest, struct packet *pk)
{
    uint8_t *option = pk->l4 + MSS_OPTION_AT;
    uint16_t mss = (uint16_t)(guest->config.mtu - pk->ip_bytes - TCP_HLEN);

    if (pk->l4[13] & FRAME_SYN && pk->l4[12] >> 4 > 5 && option[0] == 2 && option[1] == 4) {
        option[2] = (uint8_t)(mss >> 8);
        option[3] = (uint8_t)mss;
    }
}

/* The connection a segment belongs to: lwIP points the netif's hint into the pcb while it sends. */
static const struct tcp_conn *conn_of(const struct netif *netif)
{
    return netif->hints ? CONTAINER_OF(netif->hints, struct tcp_pcb, netif_hints)->callback_arg : NULL;
}

/* Return: ERR_BUF when the wire is full; ERR_MEM, which the pool counts: lwIP sends again at its next timer. */
static err_t send_chain(struct guest *guest, struct pbuf *p, uint16_t ethertype,
                        const struct frame_offload *offload, bool keep)
{
    const struct tcp_conn *conn = conn_of(guest->netif);
    struct iovec iov[WIRE_IOV_MAX - 1];
    struct wire_frame frame = {.iov = iov, .offload = *offload, .bulk = conn && tcp_conn_is_bulk(conn), .keep = keep};
    struct buf *flat = NULL;
    int n = 0, err;

    for (struct pbuf *q = p; q && n < (int)ARRAY_SIZE(iov); q = q->next)
        if (q->len > 0)
            iov[n++] = (struct iovec){.iov_base = q->payload, .iov_len = q->len};
    frame.iovcnt = n;
    if (n == (int)ARRAY_SIZE(iov)) { /* scattered over many small writes: gather once */
        flat = pool_get_wire(guest->stack->pool, p->tot_len); /* what is queued must be able to leave */
        if (!flat)
            return ERR_MEM;
        (void)pbuf_copy_partial(p, flat->data, p->tot_len, 0);
        iov[0] = (struct iovec){.iov_base = flat->data, .iov_len = p->tot_len};
        frame.iovcnt = 1;
    }
    err = guest_send(guest, ethertype, &frame);
    buf_unref(flat);
    /* A frame the wire will never take (no guest, link down) is lost like on any network. */
    return err == -EAGAIN ? ERR_BUF : ERR_OK; /* lwIP keeps segments, and remembers that it owes an ACK */
}

static err_t send_tcp(struct guest *guest, struct packet *pk, uint16_t ethertype)
{
    struct frame_offload offload = {0};
    uint32_t headers = (uint32_t)(pk->l4[12] >> 4) * 4;
    uint32_t payload = pk->l4_bytes - headers;
    const struct tcp_conn *conn = payload > 0 ? conn_of(guest->netif) : NULL;

    write_mss(guest, pk);
    finish_checksum(pk, guest->wire.csum_offload, &offload);
    if (conn && payload > conn->gso_size) {
        offload.gso_type = pk->src.family == ADDR_V6 ? FRAME_GSO_TCP6 : FRAME_GSO_TCP4;
        offload.gso_size = conn->gso_size;
        offload.hdr_len = (uint16_t)(FRAME_ETH_BYTES + pk->ip_bytes + headers);
    }
    return send_chain(guest, pk->p, ethertype, &offload, payload > 0);
}

static err_t output4(struct netif *netif, struct pbuf *p, const ip4_addr_t *next_hop)
{
    const uint8_t *ip = p->payload;
    struct packet pk = {
        .p = p,
        .src = addr_from_v4(ip + 12),
        .dst = addr_from_v4(ip + 16),
        .ip_bytes = IP_HLEN,
        .l4 = (uint8_t *)p->payload + IP_HLEN,
        .l4_bytes = (uint32_t)p->tot_len - IP_HLEN,
    };

    (void)next_hop;
    CHECK(p->len >= IP_HLEN + TCP_HLEN && ip[9] == IP_PROTO_TCP);
    return send_tcp(netif->state, &pk, FRAME_ETHERTYPE_IPV4);
}

static err_t output6(struct netif *netif, struct pbuf *p, const ip6_addr_t *next_hop)
{
    const uint8_t *ip = p->payload;
    struct packet pk = {
        .p = p,
        .src = addr_from_v6(ip + 8),
        .dst = addr_from_v6(ip + 24),
        .ip_bytes = IP6_HLEN,
        .l4 = (uint8_t *)p->payload + IP6_HLEN,
        .l4_bytes = (uint32_t)p->tot_len - IP6_HLEN,
    };

    (void)next_hop;
    CHECK(p->len >= IP6_HLEN + TCP_HLEN && ip[6] == IP_PROTO_TCP);
    return send_tcp(netif->state, &pk, FRAME_ETHERTYPE_IPV6);
}

err_t egress_netif_init(struct netif *netif)
{
    netif->name[0] = 'g';
    netif->name[1] = 'u';
    netif->mtu = 65535; /* lwIP may build super-segments: this file knows the guest's MTU */
    netif->output = output4;
    netif->output_ip6 = output6;
    netif->flags |= NETIF_FLAG_UP | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}
