/*
 * From lwIP to the wire: netif->output of every guest.
 *
 * Adds the Ethernet header, writes the MSS option of a SYN, finishes checksums or leaves them to the wire,
 * marks super-segments for segmentation, and fragments UDP above the guest's MTU. Nothing is queued here: a wire
 * that is full makes lwIP keep the segment.
 */
#include "stack/stack_private.h"

#include <errno.h>
#include <string.h>

#include "stack/ip4.h"

enum { MSS_OPTION_AT = 20, TCP_CSUM_AT = 16, UDP_CSUM_AT = 6 };

/* One packet of lwIP's, seen as bytes. */
struct packet {
    struct pbuf *p;
    struct addr src, dst;
    uint8_t proto;
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
    uint8_t *field = pk->l4 + (pk->proto == IP_PROTO_TCP ? TCP_CSUM_AT : UDP_CSUM_AT);
    uint32_t sum = frame_sum_pseudo(&pk->src, &pk->dst, pk->proto, pk->l4_bytes);
    uint16_t folded;

    put_sum(field, 0);
    if (offload) {
        put_sum(field, (uint16_t)~frame_sum_fold(sum));
        out_offload->needs_csum = true;
        out_offload->csum_start = (uint16_t)(FRAME_ETH_BYTES + pk->ip_bytes);
        out_offload->csum_offset = (uint16_t)(field - pk->l4);
        return;
    }
    folded = frame_sum_fold(sum_chain(pk->p, pk->ip_bytes, sum));
    if (folded == 0 && pk->proto == IP_PROTO_UDP)
        folded = 0xffff; /* RFC 768: zero means none */
    put_sum(field, folded);
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

/* Return: ERR_BUF when the wire is full; ERR_MEM, which the pool counts: lwIP sends again at its next timer. */
static err_t send_chain(struct guest *guest, struct pbuf *p, uint16_t ethertype,
                        const struct frame_offload *offload, bool keep)
{
    struct iovec iov[WIRE_IOV_MAX - 1];
    struct wire_frame frame = {.iov = iov, .offload = *offload, .keep = keep};
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

/* The connection a segment belongs to: lwIP points the netif's hint into the pcb while it sends. */
static const struct tcp_conn *conn_of(const struct netif *netif)
{
    return netif->hints ? CONTAINER_OF(netif->hints, struct tcp_pcb, netif_hints)->callback_arg : NULL;
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

static err_t fragment4(struct guest *guest, struct packet *pk)
{
    uint16_t step = (uint16_t)((guest->config.mtu - IP4_HEADER_BYTES) & ~7);
    struct buf *buf = pool_get_wire(guest->stack->pool, guest->config.mtu);
    struct ip4_header header;

    if (!buf)
        return ERR_MEM; /* the pool counts it */
    ip4_read(pk->p->payload, &header);
    header.id = ++guest->ip_id;
    for (uint32_t at = 0; at < pk->l4_bytes; at += step) {
        uint32_t n = LWIP_MIN(step, pk->l4_bytes - at);
        struct iovec iov = {.iov_base = buf->data, .iov_len = IP4_HEADER_BYTES + n};
        struct wire_frame frame = {.iov = &iov, .iovcnt = 1};

        header.total_bytes = (uint16_t)(IP4_HEADER_BYTES + n);
        header.fragment = (uint16_t)(at / 8 | (at + n < pk->l4_bytes ? IP4_MF : 0));
        ip4_write(&header, buf->data);
        (void)pbuf_copy_partial(pk->p, buf->data + IP4_HEADER_BYTES, (u16_t)n, (u16_t)(IP4_HEADER_BYTES + at));
        (void)guest_send(guest, FRAME_ETHERTYPE_IPV4, &frame); /* counted there */
    }
    buf_unref(buf);
    return ERR_OK;
}

static err_t send_udp(struct guest *guest, struct packet *pk, uint16_t ethertype)
{
    struct frame_offload offload = {0};
    bool fits = pk->p->tot_len <= guest->config.mtu;

    finish_checksum(pk, guest->wire.csum_offload && fits, &offload);
    if (!fits)
        return fragment4(guest, pk);
    return send_chain(guest, pk->p, ethertype, &offload, false);
}

static err_t output4(struct netif *netif, struct pbuf *p, const ip4_addr_t *next_hop)
{
    const uint8_t *ip = p->payload;
    struct packet pk = {
        .p = p,
        .src = addr_from_v4(ip + 12),
        .dst = addr_from_v4(ip + 16),
        .proto = ip[9],
        .ip_bytes = IP_HLEN,
        .l4 = (uint8_t *)p->payload + IP_HLEN,
        .l4_bytes = (uint32_t)p->tot_len - IP_HLEN,
    };

    (void)next_hop;
    CHECK(p->len >= IP_HLEN + (pk.proto == IP_PROTO_TCP ? TCP_HLEN : UDP_HLEN));
    if (pk.proto == IP_PROTO_TCP)
        return send_tcp(netif->state, &pk, FRAME_ETHERTYPE_IPV4);
    return send_udp(netif->state, &pk, FRAME_ETHERTYPE_IPV4);
}

err_t egress_netif_init(struct netif *netif)
{
    netif->name[0] = 'g';
    netif->name[1] = 'u';
    netif->mtu = 65535; /* lwIP may build super-segments and whole datagrams: this file knows the guest's MTU */
    netif->output = output4;
    netif->flags |= NETIF_FLAG_UP | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}
