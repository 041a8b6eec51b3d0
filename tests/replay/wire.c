#include "wire.h"

#include <stdio.h>
#include <string.h>

enum { ETH = 14, IP_HEADER = 20, TCP_HEADER = 20, UDP_HEADER = 8, PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17 };

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

static uint32_t pseudo(const uint8_t *ip, uint8_t proto, size_t len)
{
    uint32_t sum = (uint32_t)(proto + len);

    for (int i = 12; i < 20; i += 2)
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

static size_t build_icmp(const struct packet *p, uint8_t *l4)
{
    memset(l4, 0, 8);
    l4[0] = p->type;
    l4[1] = p->code;
    put16(l4 + 4, p->src_port);
    put16(l4 + 6, p->dst_port);
    if (p->payload_bytes > 0)
        memcpy(l4 + 8, p->payload, p->payload_bytes);
    put16(l4 + 2, checksum(l4, 8 + p->payload_bytes, 0));
    return 8 + p->payload_bytes;
}

size_t wire_build(const struct packet *p, uint8_t *out)
{
    uint8_t *ip = out + ETH, *l4 = ip + IP_HEADER;
    size_t len;

    memcpy(out, p->dst_mac, 6);
    memcpy(out + 6, p->src_mac, 6);
    put16(out + 12, p->kind == WIRE_ARP ? 0x0806 : 0x0800);
    if (p->kind == WIRE_ARP)
        return ETH + build_arp(p, ip);
    memset(ip, 0, IP_HEADER);
    ip[0] = 0x45;
    put16(ip + 6, p->dont_fragment ? 0x4000 : 0);
    ip[8] = p->ttl;
    ip[9] = p->kind == WIRE_TCP ? PROTO_TCP : p->kind == WIRE_UDP ? PROTO_UDP : PROTO_ICMP;
    memcpy(ip + 12, p->src.bytes, 4);
    memcpy(ip + 16, p->dst.bytes, 4);
    len = p->kind == WIRE_TCP ? build_tcp(p, ip, l4) : p->kind == WIRE_UDP ? build_udp(p, ip, l4) : build_icmp(p, l4);
    put16(ip + 2, (uint32_t)(IP_HEADER + len));
    put16(ip + 10, checksum(ip, IP_HEADER, 0));
    return ETH + IP_HEADER + len;
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

/* RFC 792: the header of the datagram it is about and 8 bytes more. */
static void read_icmp(struct packet *p, const uint8_t *l4, size_t len)
{
    if (len < 8)
        return;
    p->kind = WIRE_ICMP;
    p->type = l4[0];
    p->code = l4[1];
    p->payload = l4 + 8;
    p->payload_bytes = len - 8;
    if (p->type != 3 || len < 8 + IP_HEADER + 4)
        return;
    p->quoted = addr_from_v4(l4 + 8 + 16);
    p->quoted_port = be16(l4 + 8 + IP_HEADER + 2);
}

void wire_read(const uint8_t *bytes, size_t len, bool partial_sums, struct packet *p)
{
    const uint8_t *ip = bytes + ETH, *l4 = ip + IP_HEADER;
    size_t total, l4_bytes;

    *p = (struct packet){.kind = WIRE_OTHER, .wscale = -1, .payload = bytes, .payload_bytes = len, .sums_ok = true};
    if (len < ETH + 28)
        return;
    memcpy(p->dst_mac, bytes, 6);
    memcpy(p->src_mac, bytes + 6, 6);
    if (be16(bytes + 12) == 0x0806) {
        p->kind = WIRE_ARP;
        p->type = (uint8_t)be16(ip + 6);
        p->src = addr_from_v4(ip + 14);
        p->dst = addr_from_v4(ip + 24);
        return;
    }
    total = be16(ip + 2);
    if (be16(bytes + 12) != 0x0800 || ip[0] != 0x45 || total > len - ETH || total < IP_HEADER)
        return;
    l4_bytes = total - IP_HEADER;
    p->ttl = ip[8];
    p->dont_fragment = ip[6] & 0x40;
    p->src = addr_from_v4(ip + 12);
    p->dst = addr_from_v4(ip + 16);
    p->sums_ok = checksum(ip, IP_HEADER, 0) == 0;
    if (ip[9] == PROTO_TCP) {
        read_tcp(p, l4, l4_bytes);
    } else if (ip[9] == PROTO_UDP && l4_bytes >= UDP_HEADER) {
        p->kind = WIRE_UDP;
        p->src_port = be16(l4);
        p->dst_port = be16(l4 + 2);
        p->payload = l4 + UDP_HEADER;
        p->payload_bytes = l4_bytes - UDP_HEADER;
    } else if (ip[9] == PROTO_ICMP) {
        read_icmp(p, l4, l4_bytes);
    }
    if (!partial_sums && checksum(l4, l4_bytes, ip[9] == PROTO_ICMP ? 0 : pseudo(ip, ip[9], l4_bytes)) != 0)
        p->sums_ok = false;
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
    if (p->kind == WIRE_ICMP && p->quoted.family != ADDR_NONE)
        n += snprintf(out + n, WIRE_TEXT_MAX - (size_t)n, " about=%s", addr_endpoint_format(&p->quoted, p->quoted_port, src));
    if (!p->sums_ok)
        (void)snprintf(out + n, WIRE_TEXT_MAX - (size_t)n, " BAD-CHECKSUM");
    return out;
}
