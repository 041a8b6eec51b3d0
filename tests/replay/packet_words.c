/*
 * The words of a frame, "tcp 40000 203.0.113.10:443 S seq=1000 win=64240 mss=1460", as a struct packet: what the guest sends, and what
 * is expected of weir.
 */
#include <stdio.h>
#include <string.h>

#include "base/mac.h"
#include "family.h"
#include "vm.h"

enum { TTL = 64, ND_HOP_LIMIT = 255, DNS_ID = 0x7765 };

static size_t put_name(uint8_t *out, const char *name)
{
    size_t n = 0;

    while (*name) {
        size_t label = strcspn(name, ".");

        out[n++] = (uint8_t)label;
        memcpy(out + n, name, label);
        n += label;
        name += label + (name[label] == '.');
    }
    out[n++] = 0;
    return n;
}

/* A question as a stub resolver sends it (RFC 1035 section 4.1). */
static size_t put_question(const struct line *line, const char *name, const char *type, uint8_t *out)
{
    const char *addr = family_now() == ADDR_V6 ? "AAAA" : "A";
    static const uint8_t head[] = {DNS_ID >> 8, DNS_ID & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    size_t n = sizeof(head);
    unsigned code;

    type = type ? type : addr;
    code = strcmp(type, "A") == 0 ? 1 : strcmp(type, "AAAA") == 0 ? 28 : (unsigned)word_number(line, type);
    memcpy(out, head, n);
    n += put_name(out + n, name);
    out[n++] = (uint8_t)(code >> 8);
    out[n++] = (uint8_t)code;
    out[n++] = 0;
    out[n++] = 1;
    return n;
}

static void read_payload(const struct line *line, unsigned at, struct packet *p, struct packet_fields *f, uint8_t *room)
{
    const char *word;

    for (unsigned i = at; i < line->count; i++) {
        if (!line->quoted[i])
            continue;
        memcpy(room, line->words[i], line->lens[i]);
        p->payload_bytes = line->lens[i];
        f->payload = f->len = true;
    }
    if ((word = line_get(line, at, "hex"))) {
        p->payload_bytes = word_hex(line, word, room, WIRE_FRAME_MAX);
        f->payload = f->len = true;
    }
    if ((word = line_get(line, at, "dns"))) {
        p->payload_bytes = put_question(line, word, line_get(line, at, "type"), room);
        f->payload = f->len = true;
    }
    if ((word = line_get(line, at, "quic"))) {
        p->payload_bytes = vm_put_initial(line, at, word, room);
        f->payload = f->len = true;
    }
    if ((word = line_get(line, at, "len"))) {
        p->payload_bytes = word_number(line, word);
        f->len = true;
        if (!f->payload)
            pattern_fill(room, p->payload_bytes, 0);
    }
    if ((word = line_get(line, at, "pattern"))) {
        pattern_fill(room, p->payload_bytes, word_number(line, word));
        f->payload = true;
    }
    p->payload = room;
}

static bool read_number(const struct line *line, unsigned at, const char *key, bool *out_relative, uint32_t *out)
{
    const char *word = line_get(line, at, key);

    if (!word || strcmp(word, "*") == 0)
        return false;
    if (out_relative) {
        *out_relative = *word == '+';
        word += *word == '+';
    }
    *out = (uint32_t)word_number(line, word);
    return true;
}

static void read_tcp_fields(const struct line *line, unsigned at, struct packet *p, struct packet_fields *f)
{
    const char *flags = line_word(line, at), *word;
    uint32_t n;

    f->any_flags = strcmp(flags, "*") == 0;
    if (!f->any_flags && !wire_flags_parse(flags, &p->flags))
        line_fail(line, "'%s' are no TCP flags; letters of SFRPA, . for none", flags);
    f->seq = read_number(line, at, "seq", &f->rel_seq, &p->seq);
    f->ack = read_number(line, at, "ack", &f->rel_ack, &p->ack);
    if ((f->window = read_number(line, at, "win", NULL, &n)))
        p->window = (uint16_t)n;
    if ((f->mss = read_number(line, at, "mss", NULL, &n)))
        p->mss = (uint16_t)n;
    word = line_get(line, at, "ws");
    f->no_wscale = word && strcmp(word, "none") == 0;
    if (!f->no_wscale && (f->wscale = read_number(line, at, "ws", NULL, &n)))
        p->wscale = (int)n;
    p->sack_permitted = f->sack_permitted = line_has(line, at, "sack");
}

static void read_place(const struct line *line, const char *word, const struct addr *own, bool ports, struct addr *addr,
                       uint16_t *port, bool *any, bool *any_port)
{
    char text[128];
    size_t len = strlen(word);

    *any = strcmp(word, "*") == 0;
    *any_port = len > 2 && strcmp(word + len - 2, ":*") == 0;
    if (*any)
        return;
    (void)snprintf(text, sizeof(text), "%.*s%s", (int)(*any_port ? len - 2 : len), word, *any_port ? ":0" : "");
    if (ports)
        word_endpoint(line, text, own, addr, port);
    else
        word_addr(line, text, addr);
}

static void read_nd_fields(const struct line *line, unsigned at, struct packet *p, struct packet_fields *f)
{
    const char *word;
    uint32_t n = 0;

    if ((word = line_get(line, at, "target"))) {
        word_addr(line, word, &p->nd.target);
        f->target = true;
    }
    if ((word = line_get(line, at, "mac"))) {
        if (mac_parse(word, p->nd.mac) < 0)
            line_fail(line, "'%s' is no MAC address", word);
        p->nd.has_mac = f->mac = true;
    }
    if ((f->nd_flags = read_number(line, at, "flags", NULL, &n)))
        p->nd.flags = (uint8_t)n;
    if ((f->hops = read_number(line, at, "hops", NULL, &n)))
        p->nd.hop_limit = (uint8_t)n;
    if ((f->lifetime = read_number(line, at, "lifetime", NULL, &n)))
        p->nd.lifetime_s = (uint16_t)n;
    if ((word = line_get(line, at, "prefix"))) {
        if (addr_prefix_parse(word, &p->nd.prefix) < 0)
            line_fail(line, "'%s' is no prefix", word);
        f->prefix = true;
    }
    if ((f->prefix_flags = read_number(line, at, "prefix-flags", NULL, &n)))
        p->nd.prefix_flags = (uint8_t)n;
    if ((f->mtu = read_number(line, at, "mtu", NULL, &n)))
        p->nd.mtu = n;
    if ((word = line_get(line, at, "resolver"))) {
        word_addr(line, word, &p->nd.resolver);
        f->resolver = true;
    }
}

void vm_read_packet(const struct line *line, unsigned at, const struct addr *own, struct packet *out_packet,
                    struct packet_fields *out_fields, uint8_t *payload_room)
{
    static const char *const kinds[] = {"other", "arp", "tcp", "udp", "icmp"};
    const char *kind = line_word(line, at), *word;
    struct packet *p = out_packet;
    struct packet_fields *f = out_fields;
    bool ports;
    uint32_t n = 0;

    *p = (struct packet){.wscale = -1, .ttl = TTL, .dont_fragment = true, .window = 65535};
    *f = (struct packet_fields){0};
    while (p->kind <= WIRE_ICMP && strcmp(kinds[p->kind], kind) != 0)
        p->kind++;
    if (p->kind > WIRE_ICMP || p->kind == WIRE_OTHER)
        line_fail(line, "'%s' is none of arp, tcp, udp, icmp", kind);
    ports = p->kind == WIRE_TCP || p->kind == WIRE_UDP;
    read_place(line, line_word(line, at + 1), own, ports, &p->src, &p->src_port, &f->any_src, &f->any_src_port);
    read_place(line, line_word(line, at + 2), own, ports, &p->dst, &p->dst_port, &f->any_dst, &f->any_dst_port);
    at += 3;
    if (p->kind == WIRE_TCP)
        read_tcp_fields(line, at++, p, f);
    if ((f->type = read_number(line, at, "type", NULL, &n)))
        p->type = (uint8_t)n;
    if ((f->type |= read_number(line, at, "op", NULL, &n)) && p->kind == WIRE_ARP)
        p->type = (uint8_t)n;
    if ((f->code = read_number(line, at, "code", NULL, &n)))
        p->code = (uint8_t)n;
    if (wire_is_nd(p))
        p->ttl = ND_HOP_LIMIT;
    if ((f->ttl = read_number(line, at, "ttl", NULL, &n)))
        p->ttl = (uint8_t)n;
    if (p->kind == WIRE_ICMP)
        read_nd_fields(line, at, p, f);
    if ((word = line_get(line, at, "about"))) {
        word_endpoint(line, word, NULL, &p->quoted, &p->quoted_port);
        f->about = true;
    }
    if ((word = line_get(line, at, "gso")))
        p->gso_size = (uint16_t)word_number(line, word);
    p->bad_sum = line_has(line, at, "badsum");
    read_payload(line, at, p, f, payload_room);
}
