#include "stack/nd6.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/cursor.h"
#include "stack/icmp6.h"
#include "stack/ip6.h"

/* RFC 4861 sections 4.1 to 4.6, RFC 8106 section 5 */
enum {
    IP6_BYTES = 16,
    IP6_HOP_LIMIT_AT = 7,
    RESERVED_BYTES = 4,     /* of a solicitation, and the flags' word of an advertisement */
    OPTION_UNIT_BYTES = 8,
    OPTION_HEAD_BYTES = 2,
    OPTION_SOURCE_MAC = 1,
    OPTION_TARGET_MAC = 2,
    OPTION_PREFIX = 3,
    OPTION_MTU = 5,
    OPTION_RESOLVER = 25,
    OPTION_SEARCH = 31,
    MAC_OPTION_BYTES = OPTION_HEAD_BYTES + FRAME_MAC_BYTES,
    PREFIX_OPTION_BYTES = 32,
    MTU_OPTION_BYTES = 8,
    RESOLVER_OPTION_BYTES = 24,
    SEARCH_HEAD_BYTES = 8,
    SEARCH_UNITS_MAX = (SEARCH_HEAD_BYTES + GUEST_SEARCH_MAX + OPTION_UNIT_BYTES - 1) / OPTION_UNIT_BYTES,
    ADVERTISEMENT_BYTES = 16, /* the router's, without options */
    NA_ROUTER = 0x80,
    NA_SOLICITED = 0x40,
    NA_OVERRIDE = 0x20,
    RA_MANAGED = 0x80,
    RA_OTHER = 0x40,
    PREFIX_ON_LINK = 0x80,
    PREFIX_AUTONOMOUS = 0x40,
    INTERFACE_ID_AT = 8, /* RFC 4291 section 2.5.1: the last 64 bits */
};

_Static_assert((int)ND6_BYTES_MAX == (int)IP6_HEADER_BYTES + ADVERTISEMENT_BYTES + MAC_OPTION_BYTES +
               MTU_OPTION_BYTES + PREFIX_OPTION_BYTES + RESOLVER_OPTION_BYTES +
               SEARCH_UNITS_MAX * OPTION_UNIT_BYTES, "every option at its longest");
_Static_assert((int)ND6_BYTES_MAX <= (int)IP6_MTU_MIN, "never fragmented (RFC 6980)");

/* RFC 4861 section 4.6.2: prefix and resolver are there as long as the link is. */
static const uint32_t lifetime_for_ever = UINT32_MAX;

struct message {
    uint8_t type, flags;   /* flags: of a neighbour advertisement */
    bool names_source;     /* it carries a source link-layer address */
    struct addr target;    /* of neighbour messages */
};

/* ---- addresses ---- */

static const struct addr unspecified = {.family = ADDR_V6};

struct addr nd6_all_nodes(void)
{
    return (struct addr){.family = ADDR_V6, .bytes = {0xff, 2, [15] = 1}};
}

void nd6_group_mac(const struct addr *group, uint8_t out_mac[static FRAME_MAC_BYTES])
{
    out_mac[0] = 0x33;
    out_mac[1] = 0x33;
    memcpy(out_mac + 2, group->bytes + 12, 4);
}

/* RFC 4291 section 2.7.1 */
static struct addr solicited_node(const struct addr *a)
{
    struct addr group = {.family = ADDR_V6, .bytes = {0xff, 2, [11] = 1, [12] = 0xff}};

    memcpy(group.bytes + 13, a->bytes + 13, 3);
    return group;
}

static bool is_multicast(const struct addr *a)
{
    return a->bytes[0] == 0xff;
}

static bool is_link_multicast(const struct addr *a)
{
    return is_multicast(a) && a->bytes[1] == 2; /* RFC 4291 section 2.7: no flags, link-local scope */
}

bool nd6_is_link_local(const struct addr *a)
{
    static const uint8_t prefix[INTERFACE_ID_AT] = {0xfe, 0x80};

    return a->family == ADDR_V6 && memcmp(a->bytes, prefix, sizeof(prefix)) == 0;
}

static uint64_t interface_id(const struct addr *a)
{
    uint64_t id = 0;

    for (int i = INTERFACE_ID_AT; i < IP6_BYTES; i++)
        id = id << 8 | a->bytes[i];
    return id;
}

static bool is_ours(const struct guest_config *config, const struct addr *a)
{
    return addr_equal(a, &config->gateway6) || addr_equal(a, &config->router6) ||
           addr_equal(a, &config->alias6);
}

/* The alias exists for the guest only while a rule opens it. */
static bool answers_for(const struct guest *guest, const struct addr *a)
{
    return is_ours(&guest->config, a) && (guest->alias_open || !addr_equal(a, &guest->config.alias6));
}

bool nd6_may_claim(const struct guest_config *config, const struct addr *a)
{
    if (a->family != ADDR_V6 || is_ours(config, a))
        return false;
    if (addr_equal(a, &config->guest6))
        return true;
    if (nd6_is_link_local(a))
        return interface_id(a) != 0; /* RFC 4291 section 2.6.1: the routers' anycast */
    return config->slaac && addr_prefix_contains(&config->net6, a) &&
           interface_id(a) > GUEST_IID_STATIC_MAX;
}

/* ---- reading ---- */

/* RFC 4861 section 4.6: a unit is 8 bytes, none is an error. One of a MAC says the frame's own or lies. */
static bool read_options(struct cursor c, const struct frame *f, struct message *m)
{
    uint8_t type, units, mac[FRAME_MAC_BYTES];
    struct cursor body;

    while (cursor_left(&c) > 0) {
        if (!cursor_u8(&c, &type) || !cursor_u8(&c, &units) || units == 0 ||
            !cursor_sub(&c, (size_t)units * OPTION_UNIT_BYTES - OPTION_HEAD_BYTES, &body))
            return false;
        if (type != OPTION_SOURCE_MAC)
            continue;
        if (!cursor_bytes(&body, mac, sizeof(mac)) || cursor_left(&body) > 0 ||
            memcmp(mac, f->src_mac, sizeof(mac)) != 0)
            return false;
        m->names_source = true;
    }
    return true;
}

/* What every message must be (RFC 4861 sections 6.1.1, 7.1.1, 7.1.2); the checksum held before. */
static bool read_message(const struct frame *f, struct message *out)
{
    struct cursor c = cursor_of(f->l4, f->l4_bytes);
    struct message m = {0};
    uint8_t code, target[IP6_BYTES];
    uint16_t csum;

    if (f->ip[IP6_HOP_LIMIT_AT] != IP6_HOP_LIMIT_ND || !cursor_u8(&c, &m.type) || !cursor_u8(&c, &code) ||
        code != 0 || !cursor_u16(&c, &csum) || !cursor_u8(&c, &m.flags) ||
        !cursor_skip(&c, RESERVED_BYTES - 1))
        return false;
    if (m.type == ND6_NEIGHBOUR_SOLICITATION || m.type == ND6_NEIGHBOUR_ADVERTISEMENT) {
        if (!cursor_bytes(&c, target, sizeof(target)))
            return false;
        m.target = addr_from_v6(target);
        if (is_multicast(&m.target) || addr_equal(&m.target, &unspecified))
            return false;
    }
    if (is_multicast(&f->src) || !read_options(c, f, &m))
        return false;
    *out = m;
    return true;
}

/* ---- writing ---- */

static struct writer begin(uint8_t *out, uint8_t type)
{
    struct writer w = writer_of(out + IP6_HEADER_BYTES, ND6_BYTES_MAX - IP6_HEADER_BYTES);

    writer_u8(&w, type);
    writer_u8(&w, 0);  /* code */
    writer_u16(&w, 0); /* checksum, when all is written */
    return w;
}

static void put_mac(struct writer *w, uint8_t option, const uint8_t mac[static FRAME_MAC_BYTES])
{
    writer_u8(w, option);
    writer_u8(w, MAC_OPTION_BYTES / OPTION_UNIT_BYTES);
    writer_bytes(w, mac, FRAME_MAC_BYTES);
}

/* Return: length of the packet. */
static size_t finish(const struct writer *w, const struct addr *src, const struct addr *dst, uint8_t *out)
{
    struct ip6_header header = {
        .next = FRAME_PROTO_ICMPV6,
        .hop_limit = IP6_HOP_LIMIT_ND,
        .payload_bytes = (uint16_t)w->len,
        .src = *src,
        .dst = *dst,
    };

    CHECK(writer_done(w) > 0);
    ip6_write(&header, out);
    icmp6_put_sum(w->start, w->len, src, dst);
    return IP6_HEADER_BYTES + w->len;
}

/* RFC 4861 section 7.2.4: unsolicited, and to all, when the asker has no address to be told at. */
static size_t write_neighbour(const struct guest_config *config, const struct addr *target,
                              const struct addr *dst, uint8_t *out)
{
    struct writer w = begin(out, ND6_NEIGHBOUR_ADVERTISEMENT);

    writer_u8(&w, NA_ROUTER | NA_OVERRIDE | (is_multicast(dst) ? 0 : NA_SOLICITED));
    writer_bytes(&w, (const uint8_t[RESERVED_BYTES - 1]){0}, RESERVED_BYTES - 1);
    writer_bytes(&w, target->bytes, IP6_BYTES);
    put_mac(&w, OPTION_TARGET_MAC, config->gateway_mac);
    return finish(&w, is_ours(config, target) ? target : &config->router6, dst, out);
}

static void put_prefix(struct writer *w, const struct guest_config *config)
{
    writer_u8(w, OPTION_PREFIX);
    writer_u8(w, PREFIX_OPTION_BYTES / OPTION_UNIT_BYTES);
    writer_u8(w, config->net6.bits);
    writer_u8(w, PREFIX_ON_LINK | (config->slaac ? PREFIX_AUTONOMOUS : 0));
    writer_u32(w, lifetime_for_ever); /* valid, preferred */
    writer_u32(w, lifetime_for_ever);
    writer_u32(w, 0); /* reserved */
    writer_bytes(w, config->net6.base.bytes, IP6_BYTES);
}

static void put_mtu(struct writer *w, uint16_t mtu)
{
    writer_u8(w, OPTION_MTU);
    writer_u8(w, MTU_OPTION_BYTES / OPTION_UNIT_BYTES);
    writer_u16(w, 0); /* reserved */
    writer_u32(w, mtu);
}

static void put_resolver(struct writer *w, const struct addr *resolver)
{
    writer_u8(w, OPTION_RESOLVER);
    writer_u8(w, RESOLVER_OPTION_BYTES / OPTION_UNIT_BYTES);
    writer_u16(w, 0); /* reserved */
    writer_u32(w, lifetime_for_ever);
    writer_bytes(w, resolver->bytes, IP6_BYTES);
}

/* The names stand as in DHCP's form, zeros up to the unit behind them (RFC 8106 section 5.2). */
static void put_search(struct writer *w, const uint8_t *search, size_t len)
{
    size_t units = (SEARCH_HEAD_BYTES + len + OPTION_UNIT_BYTES - 1) / OPTION_UNIT_BYTES;

    writer_u8(w, OPTION_SEARCH);
    writer_u8(w, (uint8_t)units);
    writer_u16(w, 0); /* reserved */
    writer_u32(w, lifetime_for_ever);
    writer_bytes(w, search, len);
    for (size_t n = SEARCH_HEAD_BYTES + len; n < units * OPTION_UNIT_BYTES; n++)
        writer_u8(w, 0);
}

size_t nd6_advertisement(const struct guest_config *config, const struct addr *dst,
                         uint8_t out[static ND6_BYTES_MAX])
{
    struct writer w = begin(out, ND6_ROUTER_ADVERTISEMENT);

    CHECK(config->net6.base.family == ADDR_V6 && config->mtu >= IP6_MTU_MIN);
    writer_u8(&w, IP6_HOP_LIMIT);
    writer_u8(&w, RA_MANAGED | RA_OTHER);
    writer_u16(&w, ND6_ROUTER_LIFETIME_S);
    writer_u32(&w, 0); /* reachable time, retransmission timer: the guest's own */
    writer_u32(&w, 0);
    put_mac(&w, OPTION_SOURCE_MAC, config->gateway_mac);
    put_mtu(&w, config->mtu);
    put_prefix(&w, config);
    put_resolver(&w, &config->gateway6);
    if (config->search_len > 0)
        put_search(&w, config->search, config->search_len);
    return finish(&w, &config->router6, dst, out);
}

/* ---- judging ---- */

/* Where an answer to @f goes: back, or to all nodes when its sender has no address. */
static struct nd6_reply reply_to(const struct frame *f)
{
    struct nd6_reply reply = {.dst = f->src};

    if (addr_equal(&f->src, &unspecified)) {
        reply.dst = nd6_all_nodes();
        nd6_group_mac(&reply.dst, reply.dst_mac);
    } else {
        memcpy(reply.dst_mac, f->src_mac, sizeof(reply.dst_mac));
    }
    return reply;
}

void nd6_defend(const struct guest_config *config, const struct addr *target,
                uint8_t out[static ND6_BYTES_MAX], struct nd6_reply *out_reply)
{
    struct nd6_reply reply = {.dst = nd6_all_nodes()};

    nd6_group_mac(&reply.dst, reply.dst_mac);
    reply.len = write_neighbour(config, target, &reply.dst, out);
    *out_reply = reply;
}

/* RFC 4862 section 5.4: somebody without an address asks whether @m->target is free. */
static int answer_probe(const struct guest *guest, const struct frame *f, const struct message *m,
                        uint8_t *out, struct nd6_reply *out_reply)
{
    struct addr group = solicited_node(&m->target);

    if (m->names_source || !addr_equal(&f->dst, &group))
        return -EBADMSG;
    if (nd6_may_claim(&guest->config, &m->target)) {
        *out_reply = (struct nd6_reply){.claims = m->target};
        return 0;
    }
    nd6_defend(&guest->config, &m->target, out, out_reply);
    return 1;
}

static int answer_solicitation(const struct guest *guest, const struct frame *f, const struct message *m,
                               uint8_t *out, struct nd6_reply *out_reply)
{
    struct nd6_reply reply = reply_to(f);

    if (addr_equal(&f->src, &unspecified))
        return answer_probe(guest, f, m, out, out_reply);
    if (answers_for(guest, &m->target))
        reply.len = write_neighbour(&guest->config, &m->target, &reply.dst, out);
    *out_reply = reply;
    return reply.len > 0;
}

static int answer_router(const struct guest *guest, const struct frame *f, const struct message *m,
                         uint8_t *out, struct nd6_reply *out_reply)
{
    struct nd6_reply reply = reply_to(f);

    if (m->names_source && addr_equal(&f->src, &unspecified))
        return -EBADMSG;
    reply.len = nd6_advertisement(&guest->config, &reply.dst, out);
    *out_reply = reply;
    return 1;
}

/* The guest speaks of itself: its MAC is known from its frames. Of us it does not speak. */
static int take_advertisement(const struct guest *guest, const struct frame *f, const struct message *m,
                              struct nd6_reply *out_reply)
{
    if (is_ours(&guest->config, &m->target))
        return -EPERM;
    if (addr_equal(&f->src, &unspecified) || (is_multicast(&f->dst) && m->flags & NA_SOLICITED))
        return -EBADMSG;
    *out_reply = (struct nd6_reply){0};
    return 0;
}

int nd6_answer(const struct guest *guest, const struct frame *f, uint8_t out[static ND6_BYTES_MAX],
               struct nd6_reply *out_reply)
{
    struct message m;

    if (guest->config.net6.base.family != ADDR_V6) {
        *out_reply = (struct nd6_reply){0};
        return 0;
    }
    if (f->l4_bytes > 0 && (f->l4[0] == ND6_ROUTER_ADVERTISEMENT || f->l4[0] == ND6_REDIRECT))
        return -EPERM; /* whatever it says: there is one router */
    if (is_ours(&guest->config, &f->src))
        return -EPERM;
    if (!read_message(f, &m) || !(is_link_multicast(&f->dst) || is_ours(&guest->config, &f->dst)))
        return -EBADMSG;
    switch (m.type) {
    case ND6_NEIGHBOUR_SOLICITATION:
        return answer_solicitation(guest, f, &m, out, out_reply);
    case ND6_NEIGHBOUR_ADVERTISEMENT:
        return take_advertisement(guest, f, &m, out_reply);
    case ND6_ROUTER_SOLICITATION:
        return answer_router(guest, f, &m, out, out_reply);
    default:
        return -EBADMSG;
    }
}
