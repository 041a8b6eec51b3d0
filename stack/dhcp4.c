/*
 * A question is read whole before any of it is believed; the answer follows from the configuration alone.
 */
#include "stack/dhcp4.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/cursor.h"

/* RFC 2131 section 2, figure 1 */
enum {
    OP_REQUEST = 1,
    OP_REPLY = 2,
    HTYPE_ETHERNET = 1,
    FLAGS_AT = 10,
    CIADDR_AT = 12,
    YIADDR_AT = 16,
    CHADDR_AT = 28,
    CHADDR_BYTES = 16,
    SNAME_AT = 44,
    SNAME_BYTES = 64,
    FILE_AT = 108,
    FILE_BYTES = 128,
    FIXED_BYTES = 236,
    COOKIE = 0x63825363,
    OPTIONS_AT = FIXED_BYTES + 4,
    FLAG_BROADCAST = 0x8000,
    MESSAGE_BYTES_MIN = 300, /* BOOTP's size (RFC 951): relays and clients exist that want it */
    IP_UDP_BYTES = 28,
    CLIENT_BYTES_MIN = 576,  /* what every client takes, IP header included */
};

/* RFC 2132; 119 is RFC 3397 */
enum {
    OPTION_PAD = 0,
    OPTION_MASK = 1,
    OPTION_ROUTER = 3,
    OPTION_DNS = 6,
    OPTION_HOSTNAME = 12,
    OPTION_MTU = 26,
    OPTION_BROADCAST = 28,
    OPTION_REQUESTED_IP = 50,
    OPTION_LEASE = 51,
    OPTION_OVERLOAD = 52,
    OPTION_TYPE = 53,
    OPTION_SERVER = 54,
    OPTION_MAX_SIZE = 57,
    OPTION_T1 = 58,
    OPTION_T2 = 59,
    OPTION_SEARCH = 119,
    OPTION_END = 255,
    OVERLOAD_FILE = 1,
    OVERLOAD_SNAME = 2,
};

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };

struct question {
    const uint8_t *fixed;      /* borrowed: FIXED_BYTES */
    struct addr client;        /* ciaddr */
    struct addr asked, server; /* options; family ADDR_NONE: not there */
    uint16_t flags, size_max;
    uint8_t type, overload;    /* 0: not there */
};

/* ---- reading ---- */

static bool take_u8(struct cursor *body, uint8_t *out_v)
{
    return *out_v == 0 && cursor_u8(body, out_v) && *out_v != 0 && cursor_left(body) == 0;
}

static bool take_u16(struct cursor *body, uint16_t *out_v)
{
    return *out_v == 0 && cursor_u16(body, out_v) && *out_v != 0 && cursor_left(body) == 0;
}

static bool take_addr(struct cursor *body, struct addr *out_addr)
{
    uint8_t bytes[4];

    if (out_addr->family != ADDR_NONE || !cursor_bytes(body, bytes, sizeof(bytes)) || cursor_left(body) > 0)
        return false;
    *out_addr = addr_from_v4(bytes);
    return true;
}

/* Options we go by have one right length and come once: of two, another reader could take the other. */
static bool read_option(uint8_t code, struct cursor body, struct question *q)
{
    switch (code) {
    case OPTION_TYPE:
        return take_u8(&body, &q->type);
    case OPTION_OVERLOAD:
        return take_u8(&body, &q->overload) && q->overload <= (OVERLOAD_FILE | OVERLOAD_SNAME);
    case OPTION_REQUESTED_IP:
        return take_addr(&body, &q->asked);
    case OPTION_SERVER:
        return take_addr(&body, &q->server);
    case OPTION_MAX_SIZE:
        return take_u16(&body, &q->size_max);
    default:
        return true;
    }
}

/* One area of options (RFC 2132 section 2), which must say where it ends. */
static bool read_area(struct cursor c, struct question *q)
{
    struct cursor body;
    uint8_t code = OPTION_PAD, len;

    while (cursor_u8(&c, &code) && code != OPTION_END) {
        if (code == OPTION_PAD)
            continue;
        if (!cursor_u8(&c, &len) || !cursor_sub(&c, len, &body) || !read_option(code, body, q))
            return false;
    }
    return code == OPTION_END;
}

/* Only the options field may overload (RFC 2131 section 4.1): elsewhere it is a second one, and refused. */
static bool read_options(const uint8_t *bytes, size_t len, struct question *q)
{
    if (!read_area(cursor_of(bytes + OPTIONS_AT, len - OPTIONS_AT), q))
        return false;
    if (q->overload & OVERLOAD_FILE && !read_area(cursor_of(bytes + FILE_AT, FILE_BYTES), q))
        return false;
    return !(q->overload & OVERLOAD_SNAME) || read_area(cursor_of(bytes + SNAME_AT, SNAME_BYTES), q);
}

static bool read_question(const uint8_t *bytes, size_t len, const uint8_t src_mac[static FRAME_MAC_BYTES],
                          struct question *out)
{
    struct question q = {.fixed = bytes};
    struct cursor c = cursor_of(bytes, len);
    uint8_t op, htype, hlen, client[4];
    uint32_t relay, cookie;

    if (len < OPTIONS_AT)
        return false;
    if (!cursor_u8(&c, &op) || !cursor_u8(&c, &htype) || !cursor_u8(&c, &hlen) || op != OP_REQUEST ||
        htype != HTYPE_ETHERNET || hlen != FRAME_MAC_BYTES)
        return false;
    /* hops, xid, secs; flags and ciaddr; yiaddr, siaddr; giaddr */
    if (!cursor_skip(&c, 7) || !cursor_u16(&c, &q.flags) || !cursor_bytes(&c, client, sizeof(client)) ||
        !cursor_skip(&c, 8) || !cursor_u32(&c, &relay) || relay != 0)
        return false;
    if (memcmp(bytes + CHADDR_AT, src_mac, FRAME_MAC_BYTES) != 0)
        return false;
    if (!cursor_skip(&c, FIXED_BYTES - CHADDR_AT) || !cursor_u32(&c, &cookie) || cookie != COOKIE)
        return false;
    q.client = addr_from_v4(client);
    if (!read_options(bytes, len, &q))
        return false;
    *out = q;
    return true;
}

/* ---- judging ---- */

static bool is_set(const struct addr *a)
{
    return a->family == ADDR_V4 && addr_to_v4(a) != 0;
}

/* RFC 2131 section 4.3.2: option 50 names the address when selecting or rebooting, ciaddr when renewing. */
static int judge_request(const struct guest_config *config, const struct question *q)
{
    if (q->server.family != ADDR_NONE && !addr_equal(&q->server, &config->gateway4))
        return 0; /* it chose another server */
    if (q->asked.family == ADDR_NONE && !is_set(&q->client))
        return -EBADMSG;
    if (q->asked.family != ADDR_NONE && !addr_equal(&q->asked, &config->guest4))
        return NAK;
    if (is_set(&q->client) && !addr_equal(&q->client, &config->guest4))
        return NAK;
    return ACK;
}

/* Return: the type of the answer; 0 none; -EBADMSG. */
static int judge(const struct guest_config *config, const struct question *q)
{
    switch (q->type) {
    case DISCOVER:
        return OFFER;
    case REQUEST:
        return judge_request(config, q);
    case INFORM:
        return addr_equal(&q->client, &config->guest4) ? ACK : 0;
    case DECLINE:
    case RELEASE:
        return 0; /* there is no other address to give, and none to take back */
    default:
        return -EBADMSG; /* no type (BOOTP), or a server's message from a guest */
    }
}

/* ---- writing ---- */

static void put_bytes(struct writer *w, uint8_t code, const void *bytes, uint8_t len)
{
    writer_u8(w, code);
    writer_u8(w, len);
    writer_bytes(w, bytes, len);
}

static void put_u8(struct writer *w, uint8_t code, uint8_t v)
{
    put_bytes(w, code, &v, sizeof(v));
}

static void put_u32(struct writer *w, uint8_t code, uint32_t v)
{
    writer_u8(w, code);
    writer_u8(w, sizeof(v));
    writer_u32(w, v);
}

static void put_addr(struct writer *w, uint8_t code, const struct addr *a)
{
    put_bytes(w, code, a->bytes, 4);
}

/* RFC 2131 section 4.4.5: T1 half, T2 seven eighths; a lease without end has neither. */
static void put_times(struct writer *w, struct writer *more, uint32_t lease_s)
{
    put_u32(w, OPTION_LEASE, lease_s);
    if (lease_s == UINT32_MAX)
        return;
    put_u32(more, OPTION_T1, lease_s / 2);
    put_u32(more, OPTION_T2, lease_s - lease_s / 8);
}

/* What a guest is told about its network. The mask stands before the router (RFC 2132 section 3.3). */
static void put_network(struct writer *w, struct writer *more, const struct guest_config *config)
{
    uint8_t bits = config->net4.bits;
    uint32_t mask = bits == 0 ? 0 : UINT32_MAX << (32 - bits);
    size_t name = strnlen(config->hostname, GUEST_HOSTNAME_MAX);

    put_u32(w, OPTION_MASK, mask);
    put_addr(more, OPTION_ROUTER, &config->gateway4);
    put_addr(more, OPTION_DNS, &config->gateway4);
    writer_u8(more, OPTION_MTU);
    writer_u8(more, sizeof(config->mtu));
    writer_u16(more, config->mtu);
    if (bits < 31)
        put_u32(more, OPTION_BROADCAST, addr_to_v4(&config->net4.base) | ~mask);
    if (name > 0)
        put_bytes(more, OPTION_HOSTNAME, config->hostname, (uint8_t)name);
    if (config->search_len > 0)
        put_bytes(w, OPTION_SEARCH, config->search, config->search_len);
}

static void put_fixed(const struct guest_config *config, const struct question *q, uint8_t type, uint8_t *out)
{
    memset(out, 0, FIXED_BYTES);
    out[0] = OP_REPLY;
    out[1] = HTYPE_ETHERNET;
    out[2] = FRAME_MAC_BYTES;
    memcpy(out + 4, q->fixed + 4, 4); /* xid */
    memcpy(out + FLAGS_AT, q->fixed + FLAGS_AT, sizeof(q->flags));
    memcpy(out + CHADDR_AT, q->fixed + CHADDR_AT, CHADDR_BYTES);
    if (type == ACK)
        memcpy(out + CIADDR_AT, q->client.bytes, 4);
    if (type != NAK && q->type != INFORM)
        memcpy(out + YIADDR_AT, config->guest4.bytes, 4);
}

/*
 * Write the answer into @room bytes. With @overload most options stand in the file field (RFC 2132 section
 * 9.3): a long search list and host name fit that way only.
 *
 * Return: bytes written, or -1 when it does not fit.
 */
static long write_answer(const struct guest_config *config, const struct question *q, uint8_t type,
                         size_t room, bool overload, uint8_t *out)
{
    struct writer main_area = writer_of(out + FIXED_BYTES, room - FIXED_BYTES - 1); /* END always fits */
    struct writer file_area = writer_of(out + FILE_AT, FILE_BYTES - 1);
    struct writer *w = &main_area, *more = overload ? &file_area : w;
    size_t len;

    put_fixed(config, q, type, out);
    writer_u32(w, COOKIE);
    put_u8(w, OPTION_TYPE, type);
    put_addr(w, OPTION_SERVER, &config->gateway4);
    if (overload)
        put_u8(w, OPTION_OVERLOAD, OVERLOAD_FILE);
    if (type != NAK && q->type != INFORM)
        put_times(w, more, config->lease_s);
    if (type != NAK)
        put_network(w, more, config);
    if (writer_done(&main_area) < 0 || writer_done(&file_area) < 0)
        return -1;
    if (overload)
        out[FILE_AT + file_area.len] = OPTION_END;
    len = FIXED_BYTES + main_area.len;
    out[len++] = OPTION_END;
    while (len < MESSAGE_BYTES_MIN)
        out[len++] = OPTION_PAD;
    return (long)len;
}

/* The client's limit counts the IP header (RFC 2132 section 9.10), and so does the link's. */
static size_t answer_room(const struct guest_config *config, const struct question *q)
{
    size_t room = q->size_max > CLIENT_BYTES_MIN ? q->size_max : CLIENT_BYTES_MIN;

    CHECK(config->mtu >= GUEST_MTU_MIN);
    if (room > config->mtu)
        room = config->mtu;
    room -= IP_UDP_BYTES;
    return room < DHCP4_REPLY_BYTES_MAX ? room : DHCP4_REPLY_BYTES_MAX;
}

/* RFC 2131 section 4.1: where an answer goes that no relay asked for. */
static struct addr answer_to(const struct guest_config *config, const struct question *q, int type)
{
    if (type == NAK)
        return addr_v4(UINT32_MAX);
    if (type == ACK && is_set(&q->client))
        return q->client;
    return q->flags & FLAG_BROADCAST ? addr_v4(UINT32_MAX) : config->guest4;
}

int dhcp4_answer(const struct guest_config *config, const uint8_t *bytes, size_t len,
                 const struct addr *src, const uint8_t src_mac[static FRAME_MAC_BYTES],
                 uint8_t *out, struct dhcp4_reply *out_reply)
{
    struct question q;
    size_t room;
    long n;
    int type;

    if (config->net4.base.family != ADDR_V4)
        return 0;
    if (!read_question(bytes, len, src_mac, &q))
        return -EBADMSG;
    if (is_set(src) && is_set(&q.client) && !addr_equal(src, &q.client))
        return -EBADMSG; /* a client that has an address sends from it */
    type = judge(config, &q);
    if (type <= 0)
        return type;
    room = answer_room(config, &q);
    n = write_answer(config, &q, (uint8_t)type, room, false, out);
    if (n < 0)
        n = write_answer(config, &q, (uint8_t)type, room, true, out);
    CHECK(n > 0); /* the longest host name and search list fit into the smallest room */
    *out_reply = (struct dhcp4_reply){
        .len = (size_t)n,
        .dst = answer_to(config, &q, type),
        .nak = type == NAK,
    };
    return 1;
}
