#include "wire.h"

#include <stdio.h>
#include <string.h>

enum {
    ETH = 14,
    IP_HEADER = 20,
    IP6_HEADER = 40,
    TCP_HEADER = 20,
    UDP_HEADER = 8,
    ICMP_HEADER = 8,
    PROTO_ICMP = 1,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_ICMP6 = 58,
    TYPE_ARP = 0x0806,
    TYPE_IP = 0x0800,
    TYPE_IP6 = 0x86dd,
    ND_HOP_LIMIT = 255, /* RFC 4861 section 6.1.1 */
};

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

/* RFC 1071. */
static uint16_t checksum(const uint8_t *p, size_t len, uint32_t start)
{
    uint64_t sum = start;

    for (size_t i = 0; i + 1 < len; i += 2)
        sum += be16(p + i);
    if (len & 1)
        sum += (uint32_t)p[len - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* RFC 9293 section 3.1, RFC 8200 section 8.1 */
static uint32_t pseudo(const uint8_t *ip, uint8_t proto, size_t len)
{
    bool six = ip[0] >> 4 == 6;
    uint32_t sum = (uint32_t)(proto + (len >> 16) + (len & 0xffff));

    for (int i = six ? 8 : 12; i < (six ? 40 : 20); i += 2)
        sum += be16(ip + i);
    return sum;
}

/* ---- building ---- */

static size_t build_arp(const struct packet *p, uint8_t *body)
{
    put16(body, 1);
    put16(body + 2, 0x0800);
    body[4] = 6;
    body[5] = 4;
    put16(body + 6, p->type);
    memcpy(body + 8, p->src_mac, 6);
    memcpy(body + 14, p->src.bytes, 4);
    memset(body + 18, 0, 6);
    memcpy(body + 24, p->dst.bytes, 4);
    return 28;
}

static size_t build_options(const struct packet *p, uint8_t *out)
{
    size_t n = 0;

    if (p->mss > 0) {
        out[n] = 2;
        out[n + 1] = 4;
        put16(out + n + 2, p->mss);
        n += 4;
    }
    if (p->sack_permitted) {
        memcpy(out + n, (uint8_t[]){1, 1, 4, 2}, 4);
        n += 4;
    }
    if (p->wscale >= 0) {
        memcpy(out + n, (uint8_t[]){1, 3, 3, (uint8_t)p->wscale}, 4);
        n += 4;
    }
    if (p->sack_count > 0) {
        memcpy(out + n, (uint8_t[]){1, 1, 5, (uint8_t)(2 + 8 * p->sack_count)}, 4);
        n += 4;
        for (unsigned i = 0; i < 2 * p->sack_count; i++, n += 4)
            put32(out + n, p->sacks[i]);
    }
    return n;
}

static size_t build_tcp(const struct packet *p, const uint8_t *ip, uint8_t *l4)
{
    size_t header = TCP_HEADER + build_options(p, l4 + TCP_HEADER), len = header + p->payload_bytes;

    put16(l4, p->src_port);
    put16(l4 + 2, p->dst_port);
    put32(l4 + 4, p->seq);
    put32(l4 + 8, p->ack);
    l4[12] = (uint8_t)(header / 4 << 4);
    l4[13] = p->flags;
    put16(l4 + 14, p->window);
    put32(l4 + 16, 0);
    if (p->payload_bytes > 0)
        memcpy(l4 + header, p->payload, p->payload_bytes);
    if (p->gso_size > 0) /* a partial checksum: the sum of the pseudo-header alone */
        put16(l4 + 16, (uint16_t)~checksum(NULL, 0, pseudo(ip, PROTO_TCP, len)));
    else
        put16(l4 + 16, checksum(l4, len, pseudo(ip, PROTO_TCP, len)) ^ (p->bad_sum ? 0x5555u : 0));
    return len;
}

static size_t build_udp(const struct packet *p, const uint8_t *ip, uint8_t *l4)
{
    size_t len = UDP_HEADER + p->payload_bytes;
    uint16_t sum;

    put16(l4, p->src_port);
    put16(l4 + 2, p->dst_port);
    put16(l4 + 4, (uint32_t)len);
    put16(l4 + 6, 0);
    if (p->payload_bytes > 0)
        memcpy(l4 + UDP_HEADER, p->payload, p->payload_bytes);
    sum = checksum(l4, len, pseudo(ip, PROTO_UDP, len)) ^ (p->bad_sum ? 0x5555u : 0);
    put16(l4 + 6, sum ? sum : 0xffff);
    return len;
}

bool wire_is_nd(const struct packet *p)
{
    return p->kind == WIRE_ICMP && p->src.family == ADDR_V6 && p->type >= WIRE_ROUTER_SOLICITATION &&
           p->type <= WIRE_NEIGHBOUR_ADVERTISEMENT;
}

/* What a guest says: neither of its messages has more than a target and a link-layer address. Return: bytes behind the header. */
static size_t build_nd(const struct packet *p, uint8_t *icmp)
{
    uint8_t *at = icmp + ICMP_HEADER;

    icmp[4] = p->nd.flags;
    if (p->nd.target.family == ADDR_V6) {
        memcpy(at, p->nd.target.bytes, 16);
        at += 16;
    }
    if (p->nd.has_mac) {
        at[0] = p->type == WIRE_NEIGHBOUR_ADVERTISEMENT ? 2 : 1;
        at[1] = 1;
        memcpy(at + 2, p->nd.mac, 6);
        at += 8;
    }
    return (size_t)(at - icmp) - ICMP_HEADER;
}

static size_t build_icmp(const struct packet *p, const uint8_t *ip, uint8_t *l4)
{
    size_t len = ICMP_HEADER + p->payload_bytes;

    memset(l4, 0, ICMP_HEADER);
    l4[0] = p->type;
    l4[1] = p->code;
    put16(l4 + 4, p->src_port);
    put16(l4 + 6, p->dst_port);
    if (p->payload_bytes > 0)
        memcpy(l4 + ICMP_HEADER, p->payload, p->payload_bytes);
    else if (wire_is_nd(p))
        len += build_nd(p, l4);
    put16(l4 + 2, checksum(l4, len, p->src.family == ADDR_V6 ? pseudo(ip, PROTO_ICMP6, len) : 0));
    return len;
}

static uint8_t proto_of(const struct packet *p)
{
    if (p->kind == WIRE_ICMP)
        return p->src.family == ADDR_V6 ? PROTO_ICMP6 : PROTO_ICMP;
    return p->kind == WIRE_TCP ? PROTO_TCP : PROTO_UDP;
}

static size_t build_l4(const struct packet *p, const uint8_t *ip, uint8_t *l4)
{
    return p->kind == WIRE_TCP ? build_tcp(p, ip, l4) : p->kind == WIRE_UDP ? build_udp(p, ip, l4) : build_icmp(p, ip, l4);
}

static size_t build_ip(const struct packet *p, uint8_t *ip)
{
    size_t len;

    memset(ip, 0, IP_HEADER);
    ip[0] = 0x45;
    put16(ip + 6, p->dont_fragment ? 0x4000 : 0);
    ip[8] = p->ttl;
    ip[9] = proto_of(p);
    memcpy(ip + 12, p->src.bytes, 4);
    memcpy(ip + 16, p->dst.bytes, 4);
    len = build_l4(p, ip, ip + IP_HEADER);
    put16(ip + 2, (uint32_t)(IP_HEADER + len));
    put16(ip + 10, checksum(ip, IP_HEADER, 0));
    return IP_HEADER + len;
}

static size_t build_ip6(const struct packet *p, uint8_t *ip)
{
    size_t len;

    memset(ip, 0, IP6_HEADER);
    ip[0] = 0x60;
    ip[6] = proto_of(p);
    ip[7] = p->ttl;
    memcpy(ip + 8, p->src.bytes, 16);
    memcpy(ip + 24, p->dst.bytes, 16);
    len = build_l4(p, ip, ip + IP6_HEADER);
    put16(ip + 4, (uint32_t)len);
    return IP6_HEADER + len;
}

size_t wire_build(const struct packet *p, uint8_t *out)
{
    bool six = p->src.family == ADDR_V6;

    memcpy(out, p->dst_mac, 6);
    memcpy(out + 6, p->src_mac, 6);
    put16(out + 12, p->kind == WIRE_ARP ? TYPE_ARP : six ? TYPE_IP6 : TYPE_IP);
    if (p->kind == WIRE_ARP)
        return ETH + build_arp(p, out + ETH);
    return ETH + (six ? build_ip6(p, out + ETH) : build_ip(p, out + ETH));
}

/* ---- reading ---- */

static void read_options(struct packet *p, const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at != 0) {
        if (*at == 1) {
            at++;
            continue;
        }
        if (end - at < 2 || at[1] < 2 || at[1] > end - at)
            return;
        if (at[0] == 2 && at[1] == 4)
            p->mss = be16(at + 2);
        else if (at[0] == 3 && at[1] == 3)
            p->wscale = at[2];
        else if (at[0] == 4)
            p->sack_permitted = true;
        else if (at[0] == 5)
            for (p->sack_count = 0; p->sack_count < (at[1] - 2u) / 8 && p->sack_count < WIRE_SACKS_MAX; p->sack_count++) {
                p->sacks[2 * p->sack_count] = be32(at + 2 + 8 * p->sack_count);
                p->sacks[2 * p->sack_count + 1] = be32(at + 6 + 8 * p->sack_count);
            }
        at += at[1];
    }
}

static void read_tcp(struct packet *p, const uint8_t *l4, size_t len)
{
    size_t header = len >= TCP_HEADER ? (size_t)(l4[12] >> 4) * 4 : 0;

    if (header < TCP_HEADER || header > len)
        return;
    p->kind = WIRE_TCP;
    p->src_port = be16(l4);
    p->dst_port = be16(l4 + 2);
    p->seq = be32(l4 + 4);
    p->ack = be32(l4 + 8);
    p->flags = l4[13] & 0x3f;
    p->window = be16(l4 + 14);
    read_options(p, l4 + TCP_HEADER, l4 + header);
    p->payload = l4 + header;
    p->payload_bytes = len - header;
}

/* RFC 4861 section 4.6 */
static void read_nd_options(struct wire_nd_fields *nd, const uint8_t *at, const uint8_t *end)
{
    for (; end - at >= 8 && at[1] > 0 && 8 * at[1] <= end - at; at += 8 * at[1])
        if ((at[0] == 1 || at[0] == 2) && at[1] == 1) {
            nd->has_mac = true;
            memcpy(nd->mac, at + 2, 6);
        } else if (at[0] == 3 && at[1] == 4) {
            nd->prefix = (struct addr_prefix){.base = addr_from_v6(at + 16), .bits = at[2]};
            nd->prefix_flags = at[3];
        } else if (at[0] == 5 && at[1] == 1) {
            nd->mtu = be32(at + 4);
        } else if (at[0] == 25 && at[1] >= 3) { /* RFC 8106 section 5.1 */
            nd->resolver = addr_from_v6(at + 8);
        }
}

static void read_nd(struct packet *p, const uint8_t *l4, size_t len)
{
    bool router = p->type == WIRE_ROUTER_ADVERTISEMENT;
    size_t head = router ? 16 : p->type == WIRE_ROUTER_SOLICITATION ? 8 : 24;

    if (len < head)
        return;
    p->nd.flags = l4[router ? 5 : 4];
    if (router) {
        p->nd.hop_limit = l4[4];
        p->nd.lifetime_s = be16(l4 + 6);
    } else if (head == 24) {
        p->nd.target = addr_from_v6(l4 + 8);
    }
    read_nd_options(&p->nd, l4 + head, l4 + len);
}

/* RFC 792, RFC 4443 section 3: behind an error's header, that of the packet it is about and 8 bytes more. */
static void read_icmp(struct packet *p, const uint8_t *l4, size_t len)
{
    bool six = p->src.family == ADDR_V6;
    size_t header = six ? IP6_HEADER : IP_HEADER;
    const uint8_t *ip = l4 + ICMP_HEADER;

    if (len < ICMP_HEADER)
        return;
    p->kind = WIRE_ICMP;
    p->type = l4[0];
    p->code = l4[1];
    p->payload = l4 + ICMP_HEADER;
    p->payload_bytes = len - ICMP_HEADER;
    if (wire_is_nd(p))
        read_nd(p, l4, len);
    if (!(six ? p->type == 1 || p->type == 2 : p->type == 3) || len < ICMP_HEADER + header + 4)
        return;
    p->quoted = six ? addr_from_v6(ip + 24) : addr_from_v4(ip + 16);
    p->quoted_src_port = be16(ip + header);
    p->quoted_port = be16(ip + header + 2);
}

static void read_l4(struct packet *p, uint8_t proto, const uint8_t *ip, const uint8_t *l4, size_t len, bool partial_sums)
{
    if (proto == PROTO_TCP) {
        read_tcp(p, l4, len);
    } else if (proto == PROTO_UDP && len >= UDP_HEADER) {
        p->kind = WIRE_UDP;
        p->src_port = be16(l4);
        p->dst_port = be16(l4 + 2);
        p->payload = l4 + UDP_HEADER;
        p->payload_bytes = len - UDP_HEADER;
    } else if (proto == (p->src.family == ADDR_V6 ? PROTO_ICMP6 : PROTO_ICMP)) {
        read_icmp(p, l4, len);
    }
    if (!partial_sums && checksum(l4, len, proto == PROTO_ICMP ? 0 : pseudo(ip, proto, len)) != 0)
        p->sums_ok = false;
}

static void read_ip(struct packet *p, const uint8_t *ip, size_t room, bool partial_sums)
{
    size_t total = be16(ip + 2);

    if (ip[0] != 0x45 || total > room || total < IP_HEADER)
        return;
    p->ttl = ip[8];
    p->dont_fragment = ip[6] & 0x40;
    p->src = addr_from_v4(ip + 12);
    p->dst = addr_from_v4(ip + 16);
    p->sums_ok = checksum(ip, IP_HEADER, 0) == 0;
    read_l4(p, ip[9], ip, ip + IP_HEADER, total - IP_HEADER, partial_sums);
}

/* Extension headers are nothing weir sends, but in front of fragments: WIRE_OTHER. */
static void read_ip6(struct packet *p, const uint8_t *ip, size_t room, bool partial_sums)
{
    size_t len = be16(ip + 4);

    if (room < IP6_HEADER || ip[0] >> 4 != 6 || IP6_HEADER + len > room)
        return;
    p->ttl = ip[7];
    p->dont_fragment = true;
    p->src = addr_from_v6(ip + 8);
    p->dst = addr_from_v6(ip + 24);
    read_l4(p, ip[6], ip, ip + IP6_HEADER, len, partial_sums);
    if (wire_is_nd(p) && p->ttl != ND_HOP_LIMIT)
        p->sums_ok = false;
}

void wire_read(const uint8_t *bytes, size_t len, bool partial_sums, struct packet *p)
{
    const uint8_t *ip = bytes + ETH;

    *p = (struct packet){.kind = WIRE_OTHER, .wscale = -1, .payload = bytes, .payload_bytes = len, .sums_ok = true};
    if (len < ETH + 28)
        return;
    memcpy(p->dst_mac, bytes, 6);
    memcpy(p->src_mac, bytes + 6, 6);
    switch (be16(bytes + 12)) {
    case TYPE_ARP:
        p->kind = WIRE_ARP;
        p->type = (uint8_t)be16(ip + 6);
        p->src = addr_from_v4(ip + 14);
        p->dst = addr_from_v4(ip + 24);
        break;
    case TYPE_IP:
        read_ip(p, ip, len - ETH, partial_sums);
        break;
    case TYPE_IP6:
        read_ip6(p, ip, len - ETH, partial_sums);
        break;
    default:
        break;
    }
}

/* ---- text ---- */

bool wire_flags_parse(const char *text, uint8_t *out_flags)
{
    static const char letters[] = "FSRPA";
    uint8_t flags = 0;

    if (strcmp(text, ".") == 0) {
        *out_flags = 0;
        return true;
    }
    for (; *text; text++) {
        const char *at = strchr(letters, *text);

        if (!at)
            return false;
        flags |= (uint8_t)(1 << (at - letters));
    }
    *out_flags = flags;
    return true;
}

static int format_tcp(const struct packet *p, char *out, size_t room)
{
    char flags[8] = "", rest[160] = "";
    int n = 0;

    if (p->flags & WIRE_SYN)
        flags[n++] = 'S';
    if (p->flags & WIRE_FIN)
        flags[n++] = 'F';
    if (p->flags & WIRE_RST)
        flags[n++] = 'R';
    if (p->flags & WIRE_PSH)
        flags[n++] = 'P';
    if (p->flags & WIRE_ACK)
        flags[n++] = 'A';
    flags[n] = '\0';
    n = 0;
    if (p->mss > 0)
        n += snprintf(rest + n, sizeof(rest) - (size_t)n, " mss=%u", p->mss);
    if (p->wscale >= 0)
        n += snprintf(rest + n, sizeof(rest) - (size_t)n, " ws=%d", p->wscale);
    if (p->sack_permitted)
        n += snprintf(rest + n, sizeof(rest) - (size_t)n, " sack");
    for (unsigned i = 0; i < p->sack_count; i++)
        n += snprintf(rest + n, sizeof(rest) - (size_t)n, " sack:%u-%u", p->sacks[2 * i], p->sacks[2 * i + 1]);
    return snprintf(out, room, " %s seq=%s%u ack=%s%u win=%u len=%zu%s", flags[0] ? flags : ".", p->tracked ? "+" : "",
                    p->tracked ? p->rel_seq : p->seq, p->tracked ? "+" : "", p->tracked ? p->rel_ack : p->ack, p->window,
                    p->payload_bytes, rest);
}

static int format_nd(const struct wire_nd_fields *nd, char *out, size_t room)
{
    char prefix[ADDR_PREFIX_TEXT_MAX], resolver[ADDR_TEXT_MAX];
    int n = snprintf(out, room, " flags=%#x", nd->flags);

    if (nd->has_mac)
        n += snprintf(out + n, room - (size_t)n, " mac=%02x:%02x:%02x:%02x:%02x:%02x", nd->mac[0], nd->mac[1], nd->mac[2], nd->mac[3],
                      nd->mac[4], nd->mac[5]);
    if (nd->hop_limit > 0)
        n += snprintf(out + n, room - (size_t)n, " hops=%u lifetime=%u", nd->hop_limit, nd->lifetime_s);
    if (nd->prefix.base.family != ADDR_NONE)
        n += snprintf(out + n, room - (size_t)n, " prefix=%s prefix-flags=%#x", addr_prefix_format(&nd->prefix, prefix),
                      nd->prefix_flags);
    if (nd->mtu > 0)
        n += snprintf(out + n, room - (size_t)n, " mtu=%u", nd->mtu);
    if (nd->resolver.family != ADDR_NONE)
        n += snprintf(out + n, room - (size_t)n, " resolver=%s", addr_format(&nd->resolver, resolver));
    return n;
}

char *wire_format(const struct packet *p, char out[static WIRE_TEXT_MAX])
{
    static const char *const kinds[] = {"other", "arp", "tcp", "udp", "icmp"};
    char src[ADDR_ENDPOINT_TEXT_MAX], dst[ADDR_ENDPOINT_TEXT_MAX];
    bool ports = p->kind == WIRE_TCP || p->kind == WIRE_UDP;
    int n = snprintf(out, WIRE_TEXT_MAX, "%s", kinds[p->kind]);

    if (p->kind == WIRE_OTHER)
        return out;
    n += snprintf(out + n, WIRE_TEXT_MAX - (size_t)n, " %s %s",
                  ports ? addr_endpoint_format(&p->src, p->src_port, src) : addr_format(&p->src, src),
                  ports ? addr_endpoint_format(&p->dst, p->dst_port, dst) : addr_format(&p->dst, dst));
    if (p->kind == WIRE_TCP)
        n += format_tcp(p, out + n, WIRE_TEXT_MAX - (size_t)n);
    else if (p->kind == WIRE_UDP)
        n += snprintf(out + n, WIRE_TEXT_MAX - (size_t)n, " len=%zu", p->payload_bytes);
    else if (p->kind == WIRE_ICMP)
        n += snprintf(out + n, WIRE_TEXT_MAX - (size_t)n, " type=%u code=%u", p->type, p->code);
    else
        n += snprintf(out + n, WIRE_TEXT_MAX - (size_t)n, " op=%u", p->type);
    if (p->kind == WIRE_ICMP && p->nd.target.family != ADDR_NONE)
        n += snprintf(out + n, WIRE_TEXT_MAX - (size_t)n, " target=%s", addr_format(&p->nd.target, src));
    if (wire_is_nd(p))
        n += format_nd(&p->nd, out + n, WIRE_TEXT_MAX - (size_t)n);
    if (p->kind == WIRE_ICMP && p->quoted.family != ADDR_NONE)
        n += snprintf(out + n, WIRE_TEXT_MAX - (size_t)n, " about=%s", addr_endpoint_format(&p->quoted, p->quoted_port, src));
    if (!p->sums_ok)
        (void)snprintf(out + n, WIRE_TEXT_MAX - (size_t)n, " BAD-CHECKSUM");
    return out;
}
