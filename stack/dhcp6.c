/*
 * A question is read whole before any of it is believed; the answer follows from the configuration alone.
 */
#include "stack/dhcp6.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/cursor.h"
#include "stack/nd6.h"

/* RFC 8415 section 7.3. Those of servers and relays have no business coming from a guest. */
enum message_type {
    SOLICIT = 1,
    ADVERTISE = 2,
    REQUEST = 3,
    CONFIRM = 4,
    RENEW = 5,
    REBIND = 6,
    REPLY = 7,
    RELEASE = 8,
    DECLINE = 9,
    INFORMATION_REQUEST = 11,
};

/* RFC 8415 section 21; 23 and 24 are RFC 3646 */
enum {
    OPTION_CLIENT_ID = 1,
    OPTION_SERVER_ID = 2,
    OPTION_IA_NA = 3,
    OPTION_IA_TA = 4,
    OPTION_IA_ADDR = 5,
    OPTION_PREFERENCE = 7,
    OPTION_STATUS = 13,
    OPTION_RAPID_COMMIT = 14,
    OPTION_DNS = 23,
    OPTION_SEARCH = 24,
    OPTION_IA_PD = 25,
    PREFERENCE_MAX = 255, /* section 18.2.1: the client waits for no other server */
};

/* RFC 8415 section 21.13 */
enum status {
    STATUS_SUCCESS = 0,
    STATUS_NO_ADDRS_AVAIL = 2,
    STATUS_NO_BINDING = 3,
    STATUS_NOT_ON_LINK = 4,
    STATUS_NO_PREFIX_AVAIL = 6,
};

enum {
    HEAD_BYTES = 4,         /* type and transaction id */
    OPTION_HEAD_BYTES = 4,
    IP6_BYTES = 16,
    IA_TIMES_BYTES = 8,     /* T1 and T2, which IA_TA has not */
    IA_ADDR_FIXED_BYTES = IP6_BYTES + 8,
    DUID_LL = 3,            /* RFC 8415 section 11.4 */
    HTYPE_ETHERNET = 1,
    SERVER_ID_BYTES = 4 + FRAME_MAC_BYTES,
};

struct ia {
    uint16_t option; /* OPTION_IA_* */
    uint32_t id;
    uint8_t first_addr, addr_count; /* of question.addrs */
};

struct question {
    uint8_t type;
    const uint8_t *id;               /* the transaction's, borrowed: 3 bytes */
    struct cursor client, server;    /* DUIDs, borrowed; at == NULL: not there */
    bool rapid_commit;
    struct ia ias[DHCP6_IAS_MAX];
    uint8_t ia_count;
    struct addr addrs[DHCP6_ADDRS_MAX];
    uint8_t addr_count;
};

/* ---- reading ---- */

static bool next_option(struct cursor *c, uint16_t *out_code, struct cursor *out_body)
{
    uint16_t len;

    return cursor_u16(c, out_code) && cursor_u16(c, &len) && cursor_sub(c, len, out_body);
}

static bool take_duid(struct cursor body, struct cursor *out_duid)
{
    size_t len = cursor_left(&body);

    if (out_duid->at || len < DHCP6_DUID_BYTES_MIN || len > DHCP6_DUID_BYTES_MAX)
        return false;
    *out_duid = body;
    return true;
}

/* Its lifetimes are the client's wishes, its own options say how it went elsewhere. */
static bool take_addr(struct cursor body, struct question *q)
{
    uint8_t bytes[IP6_BYTES];

    if (q->addr_count == DHCP6_ADDRS_MAX || cursor_left(&body) < IA_ADDR_FIXED_BYTES ||
        !cursor_bytes(&body, bytes, sizeof(bytes)))
        return false;
    q->addrs[q->addr_count++] = addr_from_v6(bytes);
    return true;
}

/* An id names one association of its kind (RFC 8415 section 12.1): of two, either could be meant. */
static bool id_is_new(const struct question *q, uint16_t option, uint32_t id)
{
    for (unsigned i = 0; i < q->ia_count; i++)
        if (q->ias[i].option == option && q->ias[i].id == id)
            return false;
    return true;
}

static bool take_ia(uint16_t option, struct cursor body, struct question *q)
{
    struct ia ia = {.option = option, .first_addr = q->addr_count};
    struct cursor inner;
    uint16_t code;

    if (q->ia_count == DHCP6_IAS_MAX || !cursor_u32(&body, &ia.id) || !id_is_new(q, option, ia.id) ||
        (option != OPTION_IA_TA && !cursor_skip(&body, IA_TIMES_BYTES)))
        return false;
    while (cursor_left(&body) > 0) {
        if (!next_option(&body, &code, &inner))
            return false;
        if (code == OPTION_IA_ADDR && option != OPTION_IA_PD && !take_addr(inner, q))
            return false;
    }
    ia.addr_count = (uint8_t)(q->addr_count - ia.first_addr);
    q->ias[q->ia_count++] = ia;
    return true;
}

/* Options we go by have one right length and come once: of two, another reader could take the other. */
static bool read_option(uint16_t code, struct cursor body, struct question *q)
{
    switch (code) {
    case OPTION_CLIENT_ID:
        return take_duid(body, &q->client);
    case OPTION_SERVER_ID:
        return take_duid(body, &q->server);
    case OPTION_IA_NA:
    case OPTION_IA_TA:
    case OPTION_IA_PD:
        return take_ia(code, body, q);
    case OPTION_RAPID_COMMIT:
        if (q->rapid_commit || cursor_left(&body) > 0)
            return false;
        q->rapid_commit = true;
        return true;
    default:
        return true;
    }
}

static bool read_question(const uint8_t *bytes, size_t len, struct question *q)
{
    struct cursor c = cursor_of(bytes, len), body;
    uint16_t code;

    if (!cursor_u8(&c, &q->type) || !cursor_skip(&c, HEAD_BYTES - 1))
        return false;
    q->id = bytes + 1;
    while (cursor_left(&c) > 0)
        if (!next_option(&c, &code, &body) || !read_option(code, body, q))
            return false;
    return true;
}

/* ---- judging ---- */

static void write_server_id(const struct guest_config *config, uint8_t out[static SERVER_ID_BYTES])
{
    struct writer w = writer_of(out, SERVER_ID_BYTES);

    writer_u16(&w, DUID_LL);
    writer_u16(&w, HTYPE_ETHERNET);
    writer_bytes(&w, config->gateway_mac, FRAME_MAC_BYTES);
}

static bool is_for_us(const struct guest_config *config, const struct question *q)
{
    uint8_t id[SERVER_ID_BYTES];

    write_server_id(config, id);
    return cursor_left(&q->server) == sizeof(id) && memcmp(q->server.at, id, sizeof(id)) == 0;
}

/*
 * Who must name whom (RFC 8415 section 16): a client asks any server, or the one it named before.
 *
 * Return: the type of the answer; 0 none; -EBADMSG.
 */
static int judge(const struct guest_config *config, const struct question *q)
{
    switch (q->type) {
    case SOLICIT:
        if (!q->client.at || q->server.at)
            return -EBADMSG;
        return q->rapid_commit ? REPLY : ADVERTISE;
    case CONFIRM:
        if (!q->client.at || q->server.at)
            return -EBADMSG;
        return q->addr_count > 0 ? REPLY : 0; /* section 18.3.3: nothing to confirm */
    case REBIND:
        return q->client.at && !q->server.at ? REPLY : -EBADMSG;
    case REQUEST:
    case RENEW:
    case RELEASE:
    case DECLINE:
        if (!q->client.at || !q->server.at)
            return -EBADMSG;
        return is_for_us(config, q) ? REPLY : 0;
    case INFORMATION_REQUEST:
        if (q->ia_count > 0)
            return -EBADMSG; /* section 16.12 */
        return !q->server.at || is_for_us(config, q) ? REPLY : 0;
    default:
        return -EBADMSG;
    }
}

/* Whether @ia is the one that holds guest6: the first that asks for an address to keep. */
static bool holds_address(const struct question *q, const struct ia *ia)
{
    const struct ia *first = q->ias;

    while (first < ia && first->option != OPTION_IA_NA)
        first++;
    return first == ia && ia->option == OPTION_IA_NA;
}

static bool has_addr_off_link(const struct guest_config *config, const struct question *q,
                              const struct ia *ia)
{
    for (unsigned i = 0; i < ia->addr_count; i++)
        if (!addr_prefix_contains(&config->net6, &q->addrs[ia->first_addr + i]))
            return true;
    return false;
}

/* The guest has one address of the link: to confirm another would leave it with what it may not use. */
static enum status judge_confirm(const struct guest_config *config, const struct question *q)
{
    for (unsigned i = 0; i < q->addr_count; i++)
        if (!addr_equal(&q->addrs[i], &config->guest6))
            return STATUS_NOT_ON_LINK;
    return STATUS_SUCCESS;
}

/* Of an association that asks, RFC 8415 sections 18.3.1 to 18.3.5. Success: it gets guest6. */
static enum status judge_ia(const struct guest_config *config, const struct question *q, const struct ia *ia)
{
    if (ia->option == OPTION_IA_PD)
        return STATUS_NO_PREFIX_AVAIL;
    if (q->type == REQUEST && has_addr_off_link(config, q, ia))
        return STATUS_NOT_ON_LINK;
    return holds_address(q, ia) ? STATUS_SUCCESS : STATUS_NO_ADDRS_AVAIL;
}

/* ---- writing ---- */

static void put_bytes(struct writer *w, uint16_t code, const void *bytes, size_t len)
{
    writer_u16(w, code);
    writer_u16(w, (uint16_t)len);
    writer_bytes(w, bytes, len);
}

/* Without text: the number says it. */
static void put_status(struct writer *w, enum status status)
{
    writer_u16(w, OPTION_STATUS);
    writer_u16(w, sizeof(uint16_t));
    writer_u16(w, (uint16_t)status);
}

static void put_addr(struct writer *w, const struct addr *a, uint32_t lifetime_s)
{
    writer_u16(w, OPTION_IA_ADDR);
    writer_u16(w, IA_ADDR_FIXED_BYTES);
    writer_bytes(w, a->bytes, IP6_BYTES);
    writer_u32(w, lifetime_s); /* preferred */
    writer_u32(w, lifetime_s); /* valid */
}

/* RFC 8415 section 21.4: T1 half, T2 four fifths; a lease without end is never renewed. */
static void put_times(struct writer *w, uint32_t lease_s)
{
    bool endless = lease_s == UINT32_MAX;

    writer_u32(w, endless ? lease_s : lease_s / 2);
    writer_u32(w, endless ? lease_s : lease_s - lease_s / 5);
}

/* guest6, and the end of any other address a renewal names (RFC 8415 section 18.3.4). Return: one ended. */
static bool put_addrs(struct writer *w, const struct guest_config *config, const struct question *q,
                      const struct ia *ia)
{
    bool ended = false;

    put_addr(w, &config->guest6, config->lease_s);
    if (q->type != RENEW && q->type != REBIND)
        return false;
    for (unsigned i = 0; i < ia->addr_count; i++) {
        const struct addr *a = &q->addrs[ia->first_addr + i];

        if (addr_equal(a, &config->guest6))
            continue;
        put_addr(w, a, 0);
        ended = true;
    }
    return ended;
}

/* Begin an association's option. Return: where its length is, for end_ia(). */
static size_t begin_ia(struct writer *w, const struct ia *ia)
{
    writer_u16(w, ia->option);
    writer_u16(w, 0);
    writer_u32(w, ia->id);
    return w->len - sizeof(ia->id) - sizeof(uint16_t);
}

static void end_ia(struct writer *w, size_t len_at)
{
    writer_patch_u16(w, len_at, (uint16_t)(w->len - len_at - sizeof(uint16_t)));
}

/* Return: whether something was refused. */
static bool put_ia(struct writer *w, const struct guest_config *config, const struct question *q,
                   const struct ia *ia)
{
    enum status status = judge_ia(config, q, ia);
    size_t len_at = begin_ia(w, ia);
    bool refused = status != STATUS_SUCCESS;

    if (ia->option != OPTION_IA_TA)
        put_times(w, refused ? 0 : config->lease_s);
    if (refused)
        put_status(w, status);
    else
        refused = put_addrs(w, config, q, ia);
    end_ia(w, len_at);
    return refused;
}

/* RFC 8415 sections 18.3.7 and 18.3.8: of what was given back, only what nobody had is named. */
static void put_ia_returned(struct writer *w, const struct question *q, const struct ia *ia)
{
    size_t len_at;

    if (holds_address(q, ia))
        return;
    len_at = begin_ia(w, ia);
    if (ia->option != OPTION_IA_TA)
        put_times(w, 0);
    put_status(w, STATUS_NO_BINDING);
    end_ia(w, len_at);
}

static void put_network(struct writer *w, const struct guest_config *config)
{
    put_bytes(w, OPTION_DNS, config->gateway6.bytes, IP6_BYTES);
    if (config->search_len > 0)
        put_bytes(w, OPTION_SEARCH, config->search, config->search_len);
}

static void put_head(struct writer *w, const struct guest_config *config, const struct question *q,
                     uint8_t type)
{
    uint8_t id[SERVER_ID_BYTES];

    write_server_id(config, id);
    writer_u8(w, type);
    writer_bytes(w, q->id, HEAD_BYTES - 1);
    put_bytes(w, OPTION_SERVER_ID, id, sizeof(id));
    if (q->client.at)
        put_bytes(w, OPTION_CLIENT_ID, q->client.at, cursor_left(&q->client));
}

/* Return: whether something was refused. */
static bool put_body(struct writer *w, const struct guest_config *config, const struct question *q)
{
    enum status status;
    bool refused = false;

    switch (q->type) {
    case CONFIRM:
        status = judge_confirm(config, q);
        put_status(w, status);
        return status != STATUS_SUCCESS;
    case RELEASE:
    case DECLINE:
        put_status(w, STATUS_SUCCESS);
        for (unsigned i = 0; i < q->ia_count; i++)
            put_ia_returned(w, q, &q->ias[i]);
        return false;
    case SOLICIT:
        if (q->rapid_commit)
            put_bytes(w, OPTION_RAPID_COMMIT, NULL, 0);
        else
            put_bytes(w, OPTION_PREFERENCE, (const uint8_t[]){PREFERENCE_MAX}, 1);
        break;
    }
    for (unsigned i = 0; i < q->ia_count; i++)
        refused |= put_ia(w, config, q, &q->ias[i]);
    put_network(w, config);
    return refused;
}

int dhcp6_answer(const struct guest_config *config, const uint8_t *bytes, size_t len,
                 const struct addr *src, uint8_t *out, struct dhcp6_reply *out_reply)
{
    struct writer w = writer_of(out, DHCP6_REPLY_BYTES_MAX);
    struct question q = {0};
    bool refused;
    int type;

    if (config->net6.base.family != ADDR_V6)
        return 0;
    if (!nd6_is_link_local(src) || addr_equal(src, &config->router6) || !read_question(bytes, len, &q))
        return -EBADMSG;
    type = judge(config, &q);
    if (type <= 0)
        return type;
    put_head(&w, config, &q, (uint8_t)type);
    refused = put_body(&w, config, &q);
    CHECK(writer_done(&w) > 0); /* the longest ids and search list, all associations and addresses fit */
    *out_reply = (struct dhcp6_reply){.len = w.len, .dst = *src, .refused = refused};
    return 1;
}
