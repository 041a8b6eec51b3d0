/*
 * Nearly right packets (hostile.h). Each is made from the inside: a message, its checksum, what stands in front of it; every step is
 * now and then done wrong.
 */
#include "hostile.h"

enum {
    IP4_HEADER = 20,
    IP6_HEADER = 40,
    FRAGMENT_HEADER = 8,
    CHAIN_MAX = 5,        /* extension headers */
    EXTENSION_MAX = 264,  /* bytes of one, at most */
    MESSAGE_MAX = 1400,
    IDS = 12,             /* identifications of fragments: more than there are slots */
    FRAG_PIECES_MAX = 24,
    IGMP = 2,
    ICMP6_ND_FIRST = 133,
    HOP_BY_HOP = 0,
    ROUTING = 43,
    FRAGMENT = 44,
    ESP = 50,
    AH = 51,
    NO_NEXT = 59,
    DESTINATION = 60,
    MOBILITY = 135,
};

uint32_t hostile_pick(struct sim *sim, const uint32_t *values, size_t n)
{
    return values[sim_random(sim, (uint32_t)n)];
}

#define PICK HOSTILE_PICK

static bool seldom(struct sim *sim)
{
    return sim_random(sim, 12) == 0;
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put_random(struct sim *sim, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)sim_random(sim, 256);
}

/* ---- addresses ---- */

static struct addr solicited_node(const struct addr *a)
{
    struct addr group = {ADDR_V6, {0xff, 2, [11] = 1, 0xff}};

    memcpy(group.bytes + 13, a->bytes + 13, 3);
    return group;
}

/* Addresses of the guest's own making: more than are remembered. */
static struct addr own6(struct sim *sim, bool link_local)
{
    struct addr a = link_local ? (struct addr){ADDR_V6, {0xfe, 0x80}} : sim_guest6;

    a.bytes[8] = 2;
    a.bytes[15] = (uint8_t)sim_random(sim, 3 * GUEST_ADDRS6_MAX);
    return a;
}

static struct addr any6(struct sim *sim)
{
    static const struct addr others[] = {
        {.family = ADDR_V6},
        {ADDR_V6, {[15] = 1}},
        {ADDR_V6, {[10] = 0xff, 0xff, 203, 0, 113, 10}},
        {ADDR_V6, {0xff, 2, [15] = 1}},
        {ADDR_V6, {0xff, 2, [15] = 2}},
        {ADDR_V6, {0xff, 2, [15] = 0x16}},
        {ADDR_V6, {0xff, 2, [13] = 1, [15] = 2}},
        {ADDR_V6, {0xff, 0x0e, [15] = 0xfb}},
        {ADDR_V6, {0xfe, 0x80}},
        {ADDR_V6, {0xfe, 0xc0, [15] = 1}},
    };
    struct addr a;

    switch (sim_random(sim, 9)) {
    case 0:
        return sim_guest6;
    case 1:
        return sim_server6;
    case 2:
        return sim_gateway6;
    case 3:
        return sim_alias6;
    case 4:
        return sim_router6;
    case 5:
    case 6:
        return own6(sim, sim_random(sim, 2));
    case 7:
        a = sim_random(sim, 2) ? own6(sim, sim_random(sim, 2)) : sim_gateway6;
        return solicited_node(&a);
    default:
        return others[sim_random(sim, sizeof(others) / sizeof(others[0]))];
    }
}

static struct addr any4(struct sim *sim)
{
    static const struct addr all[] = {
        {.family = ADDR_V4}, {ADDR_V4, {255, 255, 255, 255}}, {ADDR_V4, {192, 168, 127, 255}}, {ADDR_V4, {224, 0, 0, 22}},
        {ADDR_V4, {239, 1, 2, 3}}, {ADDR_V4, {127, 0, 0, 1}}, {ADDR_V4, {192, 168, 127, 3}}, {ADDR_V4, {240, 0, 0, 1}},
    };
    static const struct addr *const known[] = {&sim_guest4, &sim_gateway4, &sim_alias4, &sim_server4};

    if (sim_random(sim, 2))
        return *known[sim_random(sim, 4)];
    return all[sim_random(sim, sizeof(all) / sizeof(all[0]))];
}

/* ---- messages ---- */

/* One option after another, as RFC 4861 section 4.6 has them: some of no length, some longer than what is left. */
static size_t put_nd_options(struct sim *sim, uint8_t *out)
{
    size_t n = 0;

    for (uint32_t count = sim_random(sim, 4); count > 0; count--) {
        uint32_t units = PICK(sim, 0, 1, 1, 1, 3, 4, 5);

        put_random(sim, out + n, 8 * (size_t)units + 2);
        out[n] = (uint8_t)PICK(sim, 1, 1, 2, 3, 4, 5, 14, 24, 25, 31, 255);
        out[n + 1] = (uint8_t)(seldom(sim) ? PICK(sim, 0, 2, 255) : units);
        if (out[n] <= 2)
            memcpy(out + n + 2, sim->guest_mac, FRAME_MAC_BYTES);
        n += 8 * (size_t)units + (seldom(sim) ? sim_random(sim, 8) : 0);
    }
    return n;
}

/* Return: its length; *out_dst where such a message goes. */
static size_t put_nd(struct sim *sim, uint8_t *out, struct addr *out_dst)
{
    static const uint8_t fixed[] = {8, 16, 24, 24, 40}; /* of types 133 to 137 */
    uint8_t type = (uint8_t)(ICMP6_ND_FIRST + sim_random(sim, 5));
    struct addr target = any6(sim);
    size_t n = fixed[type - ICMP6_ND_FIRST];

    put_random(sim, out, n);
    out[0] = type;
    out[1] = (uint8_t)seldom(sim);
    if (n >= 24)
        memcpy(out + 8, target.bytes, 16);
    n += put_nd_options(sim, out + n);
    if (type == 135 && sim_random(sim, 2))
        *out_dst = solicited_node(&target);
    return seldom(sim) ? sim_random(sim, (uint32_t)n + 1) : n;
}

/* A packet that weir may have sent, quoted as an ICMP error has it. */
static size_t put_error(struct sim *sim, const struct addr *src, const struct addr *dst, uint8_t *out)
{
    static uint8_t frame[FRAME_BYTES_MAX];
    uint8_t l4[64];
    size_t n = sim_build_udp(dst, (uint16_t)PICK(sim, 53, 0, 5000), src, (uint16_t)PICK(sim, 5000, 0), sim_pattern(0), 32, l4);

    out[0] = (uint8_t)(src->family == ADDR_V6 ? PICK(sim, 1, 2, 3, 4, 100) : PICK(sim, 3, 4, 5, 11, 12));
    out[1] = (uint8_t)PICK(sim, 0, 1, 3, 4, 13);
    put_random(sim, out + 4, 4);
    n = sim_build_ip(sim, dst, src, FRAME_PROTO_UDP, l4, n, frame) - FRAME_ETH_BYTES;
    n = sim_random(sim, 2) ? n : sim_random(sim, (uint32_t)n + 1);
    memcpy(out + 8, frame + FRAME_ETH_BYTES, n);
    if (n > 0 && seldom(sim))
        out[8 + sim_random(sim, (uint32_t)n)] = (uint8_t)sim_random(sim, 256);
    return 8 + n;
}

static size_t put_icmp(struct sim *sim, const struct addr *src, struct addr *dst, uint8_t *out)
{
    bool v6 = src->family == ADDR_V6;
    size_t n = 8 + sim_random(sim, 1300);

    memset(out, 0, 8);
    switch (sim_random(sim, v6 ? 5 : 2)) {
    case 0:
        out[0] = (uint8_t)(v6 ? PICK(sim, 128, 128, 129) : PICK(sim, 8, 8, 0, 13, 17));
        memcpy(out + 8, sim_pattern(0), n - 8);
        return n;
    case 1:
        return put_error(sim, src, dst, out);
    case 2:
        put_random(sim, out, 28);
        out[0] = (uint8_t)PICK(sim, 130, 131, 132, 143);
        *dst = (struct addr){ADDR_V6, {0xff, 2, [15] = (uint8_t)PICK(sim, 2, 0x16)}};
        return PICK(sim, 8, 24, 28);
    default:
        return put_nd(sim, out, dst);
    }
}

static size_t put_dhcp6(struct sim *sim, uint8_t *out)
{
    static const uint8_t client[] = {0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 2};
    size_t n = 4;

    put_random(sim, out, n);
    out[0] = (uint8_t)(1 + sim_random(sim, 13));
    memcpy(out + n, client, sizeof(client));
    n += sizeof(client);
    for (uint32_t count = sim_random(sim, 4); count > 0; count--) {
        uint32_t len = PICK(sim, 0, 2, 12, 16, 40);

        put_random(sim, out + n, 4 + (size_t)len);
        put16(out + n, PICK(sim, 2, 3, 4, 5, 6, 8, 14, 16, 25));
        put16(out + n + 2, seldom(sim) ? sim_random(sim, 65536) : len);
        n += 4 + (size_t)len;
    }
    return n;
}

static size_t put_udp(struct sim *sim, const struct addr *src, const struct addr *dst, uint8_t *out)
{
    uint8_t bytes[512];
    bool dhcp = src->family == ADDR_V6 && sim_random(sim, 3) == 0;
    uint32_t from = dhcp ? 546 : PICK(sim, 0, 68, 5000, 65535), to = dhcp ? 547 : PICK(sim, 0, 53, 67, 443, 5353);
    size_t n = dhcp ? put_dhcp6(sim, bytes) : sim_random(sim, sizeof(bytes));

    if (!dhcp)
        put_random(sim, bytes, n);
    n = sim_build_udp(src, (uint16_t)from, dst, (uint16_t)to, bytes, n, out);
    if (seldom(sim))
        put16(out + 6, PICK(sim, 0, 1, 65535)); /* the checksum, or none */
    if (seldom(sim))
        put16(out + 4, PICK(sim, 0, 7, 8, 9, 65535));
    return n;
}

static size_t put_tcp(struct sim *sim, uint8_t *out)
{
    put_random(sim, out, 60);
    put16(out, PICK(sim, 0, 40000, 40001));
    put16(out + 2, PICK(sim, 0, 80));
    out[12] = (uint8_t)(PICK(sim, 5, 5, 6, 10, 15, 4) << 4);
    out[13] = (uint8_t)PICK(sim, 2, 2, 16, 18, 4, 3, 255);
    return PICK(sim, 20, 24, 40, 60, 19, 8);
}

/* A message of some protocol with its checksum: *out_proto says which. */
static size_t put_message(struct sim *sim, const struct addr *src, struct addr *dst, uint8_t *out, uint8_t *out_proto)
{
    bool v6 = src->family == ADDR_V6;
    size_t n, at;
    uint16_t sum;

    *out_proto = (uint8_t)(v6 ? PICK(sim, 58, 58, 58, 17, 17, 6, 1, 4, 41, 132) : PICK(sim, 1, 1, 17, 17, 6, IGMP, 4, 47, 58));
    if (*out_proto == FRAME_PROTO_UDP)
        return put_udp(sim, src, dst, out);
    if (*out_proto == (v6 ? FRAME_PROTO_ICMPV6 : FRAME_PROTO_ICMP)) {
        n = put_icmp(sim, src, dst, out);
        at = 2;
    } else if (*out_proto == FRAME_PROTO_TCP) {
        n = put_tcp(sim, out);
        at = 16;
    } else {
        n = PICK(sim, 0, 8, 16, 40);
        put_random(sim, out, n);
        out[0] = *out_proto == IGMP ? (uint8_t)PICK(sim, 0x11, 0x12, 0x16, 0x17, 0x22) : out[0];
        at = 2;
    }
    if (n < at + 2 || seldom(sim))
        return n;
    put16(out + at, 0);
    sum = sim_checksum(out, n, !v6 && at == 2 ? 0 : sim_pseudo(src, dst, *out_proto, n));
    put16(out + at, sum);
    return n;
}

/* ---- IPv6 ---- */

/* RFC 8200 section 4, RFC 2675, RFC 2711, RFC 5095. Return: its length. */
static size_t put_extension(struct sim *sim, uint8_t kind, uint8_t next, uint8_t *out)
{
    static const uint8_t options[][6] = {
        {5, 2, 0, 0, 1, 0}, {1, 0, 5, 2, 0, 0}, {5, 2, 0, 1, 1, 0}, {0xc2, 4, 0, 1, 0, 0}, {1, 4}, {0x3e, 4}, {0xfe, 255}};
    uint32_t units = sim_random(sim, 8) ? 0 : sim_random(sim, 32);
    size_t n = kind == FRAGMENT ? FRAGMENT_HEADER : 8 * (size_t)units + 8;

    memset(out, 0, n);
    out[0] = next;
    if (kind == FRAGMENT) {
        put16(out + 2, PICK(sim, 0, 0, 1, 8, 9, 0xfff8, 0xfff9, 7));
        put16(out + 6, sim_random(sim, IDS));
        return n;
    }
    out[1] = (uint8_t)(seldom(sim) ? sim_random(sim, 256) : units);
    if (kind == ROUTING)
        memcpy(out + 2, ((uint8_t[]){(uint8_t)PICK(sim, 0, 2, 4, 255), (uint8_t)sim_random(sim, 4)}), 2);
    else
        memcpy(out + 2, options[sim_random(sim, sizeof(options) / sizeof(options[0]))], 6);
    return n;
}

/* Extension headers from @out on, the last one before @proto. *out_first: what the fixed header says is next. */
static size_t put_chain(struct sim *sim, uint8_t proto, uint8_t *out, uint8_t *out_first)
{
    uint32_t count = sim_random(sim, 3) ? sim_random(sim, 2) : sim_random(sim, CHAIN_MAX);
    uint8_t kinds[CHAIN_MAX + 1];
    size_t n = 0;

    for (uint32_t i = 0; i < count; i++)
        kinds[i] = (uint8_t)PICK(sim, HOP_BY_HOP, HOP_BY_HOP, ROUTING, FRAGMENT, FRAGMENT, ESP, AH, NO_NEXT, DESTINATION, MOBILITY);
    kinds[count] = proto;
    for (uint32_t i = 0; i < count; i++)
        n += put_extension(sim, kinds[i], kinds[i + 1], out + n);
    *out_first = kinds[0];
    return n;
}

/* To the gateway, or to the group as Ethernet has it (RFC 2464 section 7). */
static void put_mac(struct sim *sim, const struct addr *dst, uint8_t *frame)
{
    if (dst->bytes[0] == 0xff && sim_random(sim, 4) > 0)
        memcpy(frame, ((uint8_t[]){0x33, 0x33, dst->bytes[12], dst->bytes[13], dst->bytes[14], dst->bytes[15]}), FRAME_MAC_BYTES);
}

void hostile_send6(struct sim *sim)
{
    static uint8_t packet[IP6_HEADER + CHAIN_MAX * EXTENSION_MAX + MESSAGE_MAX], frame[FRAME_BYTES_MAX];
    uint32_t who = sim_random(sim, 3);
    struct addr src = who == 0 ? sim_guest6 : who == 1 ? own6(sim, sim_random(sim, 2)) : any6(sim), dst = any6(sim);
    uint8_t message[MESSAGE_MAX], proto, *ip = packet;
    size_t n = put_message(sim, &src, &dst, message, &proto), at = IP6_HEADER + put_chain(sim, proto, packet + IP6_HEADER, ip + 6);
    struct frame_offload offload = {.csum_trusted = seldom(sim)};

    memcpy(packet + at, message, n);
    n += at;
    memset(ip, 0, 6);
    ip[0] = seldom(sim) ? 0x40 : 0x60;
    put16(ip + 4, seldom(sim) ? PICK(sim, 0, 1, 7, 8, 65535) : (uint32_t)(n - IP6_HEADER));
    ip[7] = (uint8_t)PICK(sim, 255, 255, 255, 64, 1, 1, 0);
    memcpy(ip + 8, src.bytes, 16);
    memcpy(ip + 24, dst.bytes, 16);
    if (seldom(sim))
        n = sim_random(sim, (uint32_t)n + 1);
    n = sim_build_eth(sim, sim_gateway_mac, 0x86dd, packet, n, frame);
    put_mac(sim, &dst, frame);
    sim_send(sim, frame, n, &offload);
}

/* ---- IPv4 ---- */

void hostile_send4(struct sim *sim)
{
    static uint8_t packet[60 + MESSAGE_MAX], frame[FRAME_BYTES_MAX];
    struct addr src = sim_random(sim, 2) ? sim_guest4 : any4(sim), dst = any4(sim);
    size_t header = IP4_HEADER + 4 * (sim_random(sim, 3) ? 0 : (size_t)sim_random(sim, 11)), n;
    uint8_t *ip = packet, proto;

    n = header + put_message(sim, &src, &dst, packet + header, &proto);
    put_random(sim, ip, header);
    ip[0] = (uint8_t)(seldom(sim) ? sim_random(sim, 256) : 0x40 | header / 4);
    put16(ip + 2, seldom(sim) ? PICK(sim, 0, 19, 20, 65535) : (uint32_t)n);
    put16(ip + 4, sim_random(sim, IDS));
    put16(ip + 6, PICK(sim, 0, 0, 0x4000, 0x4000, 0x2000, 0x8000, 1, 0x1fff, 0x3fff));
    ip[8] = (uint8_t)PICK(sim, 64, 64, 1, 0);
    ip[9] = proto;
    memcpy(ip + 12, src.bytes, 4);
    memcpy(ip + 16, dst.bytes, 4);
    if (header > IP4_HEADER && sim_random(sim, 2))
        memcpy(ip + IP4_HEADER, ((uint8_t[]){0x94, 4, 0, 0}), 4);
    put16(ip + 10, 0);
    put16(ip + 10, sim_checksum(ip, header, 0));
    n = sim_build_eth(sim, sim_gateway_mac, 0x0800, packet, seldom(sim) ? sim_random(sim, (uint32_t)n + 1) : n, frame);
    sim_send(sim, frame, n, NULL);
}

/* ---- fragments ---- */

void hostile_send_fragments(struct sim *sim, enum addr_family family)
{
    static uint8_t l4[FRAME_IP6_BYTES_MAX + 8];
    bool v6 = family == ADDR_V6;
    struct addr src = v6 ? sim_guest6 : sim_guest4, dst = v6 ? any6(sim) : any4(sim);
    uint32_t payload = PICK(sim, 0, 100, 1400, 4000, 9000, 30000, 65000, 65507, v6 ? 65527 : 65507), id = sim_random(sim, IDS);
    size_t whole = sim_build_udp(&src, 5000, &dst, 53, sim_pattern(0), payload, l4);
    size_t size = 8 * (size_t)PICK(sim, 1, 10, 180, 180, 1000, 7000);
    uint8_t proto = (uint8_t)PICK(sim, 17, 17, 17, 17, 17, 6, 1, 58, 0, 60);
    uint32_t pieces = (uint32_t)((whole + size - 1) / size), order = sim_random(sim, 3), start = sim_random(sim, pieces);

    for (uint32_t i = 0; i < pieces && i < FRAG_PIECES_MAX; i++) {
        size_t at = size * (order == 0 ? i : order == 1 ? pieces - 1 - i : (start + i) % pieces), n = whole - at;
        bool more = n > size;

        n = more ? size : n;
        if (seldom(sim))
            continue;
        if (seldom(sim) && at >= 8)
            at -= 8;
        sim_send_fragment(sim, &dst, proto, id, l4, at, seldom(sim) ? sim_random(sim, (uint32_t)n) + 1 : n, seldom(sim) ? !more : more);
        if (seldom(sim))
            sim_run(sim, PICK(sim, 10, 500, 2000));
    }
}
