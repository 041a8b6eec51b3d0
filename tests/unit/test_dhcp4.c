/*
 * A client at the level of bytes. Replies are read by a reader of this file's own, which knows overloading.
 */
#include "stack/dhcp4.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

/* 192.168.127.0/24 */
#define NET 0xc0a87f00u
#define GATEWAY (NET + 1)
#define GUEST (NET + 2)
#define FOREIGN 0x0a000005u
#define BROADCAST 0xffffffffu

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };
enum { FLAGS_AT = 10, CIADDR_AT = 12, YIADDR_AT = 16, SIADDR_AT = 20, GIADDR_AT = 24, CHADDR_AT = 28,
       SNAME_AT = 44, FILE_AT = 108, COOKIE_AT = 236, OPTIONS_AT = 240 };

static const uint8_t guest_mac[FRAME_MAC_BYTES] = {0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee};

struct message {
    uint8_t bytes[1500];
    size_t len;
};

/* ---- the client ---- */

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_be32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void add(struct message *m, const void *bytes, size_t len)
{
    assert_true(m->len + len <= sizeof(m->bytes));
    memcpy(m->bytes + m->len, bytes, len);
    m->len += len;
}

static void add_addr(struct message *m, uint8_t code, uint32_t v)
{
    uint8_t option[6] = {code, 4};

    put_be32(option + 2, v);
    add(m, option, sizeof(option));
}

/* A message up to and with its type; the caller adds options and the end. */
static struct message begin(uint8_t type)
{
    struct message m = {
        .bytes = {1, 1, 6, 0, 0xca, 0xfe, 0xba, 0xbe},
        .len = OPTIONS_AT,
    };
    const uint8_t option[] = {53, 1, type};

    memcpy(m.bytes + CHADDR_AT, guest_mac, sizeof(guest_mac));
    put_be32(m.bytes + COOKIE_AT, 0x63825363);
    add(&m, option, sizeof(option));
    return m;
}

static void end(struct message *m)
{
    add(m, "\xff", 1);
}

static struct guest_config make_config(void)
{
    struct guest_config config = {
        .hostname = "vm1",
        .net4 = {.base = addr_v4(NET), .bits = 24},
        .gateway4 = addr_v4(GATEWAY),
        .guest4 = addr_v4(GUEST),
        .mtu = 1500,
        .search = {3, 'l', 'a', 'b', 4, 't', 'e', 's', 't', 0},
        .search_len = 10,
        .lease_s = 3600,
    };

    return config;
}

/* From an allocation of exactly its size, so that the sanitizer sees a read beyond it. */
static int ask(const struct guest_config *config, const struct message *m, uint32_t src, struct message *out,
               struct dhcp4_reply *reply)
{
    struct addr from = addr_v4(src);
    uint8_t *bytes = malloc(m->len > 0 ? m->len : 1);
    int r;

    assert_non_null(bytes);
    memcpy(bytes, m->bytes, m->len);
    memset(out->bytes, 0xee, sizeof(out->bytes));
    r = dhcp4_answer(config, bytes, m->len, &from, guest_mac, out->bytes, reply);
    free(bytes);
    out->len = r == 1 ? reply->len : 0;
    if (r == 1) {
        assert_in_range(out->len, 300, DHCP4_REPLY_BYTES_MAX);
        assert_int_equal(out->bytes[out->len], 0xee);
        assert_int_equal(out->bytes[0], 2);
        assert_memory_equal(out->bytes + 4, m->bytes + 4, 4);
        assert_memory_equal(out->bytes + FLAGS_AT, m->bytes + FLAGS_AT, 2);
        assert_memory_equal(out->bytes + CHADDR_AT, m->bytes + CHADDR_AT, 16);
        assert_int_equal(be32(out->bytes + SIADDR_AT), 0);
        assert_int_equal(be32(out->bytes + GIADDR_AT), 0);
        assert_int_equal(be32(out->bytes + COOKIE_AT), 0x63825363);
    }
    return r;
}

static const uint8_t *find_in(const uint8_t *at, const uint8_t *area_end, uint8_t code)
{
    while (at < area_end && *at != 255) {
        if (*at == 0) {
            at++;
            continue;
        }
        assert_true(at + 2 + at[1] <= area_end);
        if (*at == code)
            return at + 1;
        at += 2 + at[1];
    }
    assert_true(at < area_end); /* every area ends with END */
    return NULL;
}

/* The length byte of an option, its value behind it; or NULL. */
static const uint8_t *find(const struct message *m, uint8_t code)
{
    const uint8_t *found = find_in(m->bytes + OPTIONS_AT, m->bytes + m->len, code);
    const uint8_t *overload = find_in(m->bytes + OPTIONS_AT, m->bytes + m->len, 52);

    if (!found && overload && overload[1] & 1)
        found = find_in(m->bytes + FILE_AT, m->bytes + COOKIE_AT, code);
    if (!found && overload && overload[1] & 2)
        found = find_in(m->bytes + SNAME_AT, m->bytes + FILE_AT, code);
    return found;
}

static void assert_option(const struct message *m, uint8_t code, const void *value, uint8_t len)
{
    const uint8_t *option = find(m, code);

    if (!option)
        fail_msg("option %u is missing", code);
    assert_int_equal(option[0], len);
    assert_memory_equal(option + 1, value, len);
}

static void assert_option32(const struct message *m, uint8_t code, uint32_t want)
{
    uint8_t bytes[4];

    put_be32(bytes, want);
    assert_option(m, code, bytes, sizeof(bytes));
}

static uint8_t type_of(const struct message *m)
{
    const uint8_t *option = find(m, 53);

    assert_true(option && option[0] == 1);
    return option[1];
}

/* ---- what a guest is told ---- */

static void assert_network(const struct message *m, const struct guest_config *config)
{
    const uint8_t mtu[2] = {(uint8_t)(config->mtu >> 8), (uint8_t)config->mtu};

    assert_option32(m, 54, GATEWAY);
    assert_option32(m, 1, 0xffffff00);
    assert_option32(m, 3, GATEWAY);
    assert_option32(m, 6, GATEWAY);
    assert_option32(m, 28, NET + 255);
    assert_option(m, 26, mtu, sizeof(mtu));
    assert_option(m, 12, config->hostname, (uint8_t)strlen(config->hostname));
    assert_option(m, 119, config->search, config->search_len);
}

static void assert_lease(const struct message *m)
{
    assert_option32(m, 51, 3600);
    assert_option32(m, 58, 1800);
    assert_option32(m, 59, 3150);
}

static void test_a06_lease(void **state)
{
    struct guest_config config = make_config();
    struct message m = begin(DISCOVER), out;
    struct dhcp4_reply reply;

    (void)state;
    end(&m);
    assert_int_equal(ask(&config, &m, 0, &out, &reply), 1);
    assert_int_equal(type_of(&out), OFFER);
    assert_int_equal(be32(out.bytes + YIADDR_AT), GUEST);
    assert_network(&out, &config);
    assert_lease(&out);

    m = begin(REQUEST);
    add_addr(&m, 50, GUEST);
    add_addr(&m, 54, GATEWAY);
    end(&m);
    assert_int_equal(ask(&config, &m, 0, &out, &reply), 1);
    assert_int_equal(type_of(&out), ACK);
    assert_int_equal(be32(out.bytes + YIADDR_AT), GUEST);
    assert_network(&out, &config);
    assert_lease(&out);

    m = begin(INFORM);
    put_be32(m.bytes + CIADDR_AT, GUEST);
    end(&m);
    assert_int_equal(ask(&config, &m, GUEST, &out, &reply), 1);
    assert_int_equal(type_of(&out), ACK);
    assert_int_equal(be32(out.bytes + YIADDR_AT), 0);
    assert_network(&out, &config);
    assert_null(find(&out, 51)); /* RFC 2131 section 4.3.5: no lease, no times */
    assert_null(find(&out, 58));
    assert_null(find(&out, 59));
}

struct answer_case {
    const char *why;
    uint8_t type;
    uint32_t asked, server, client; /* options 50 and 54, ciaddr; 0: not there */
    uint32_t src;
    bool broadcast;
    uint8_t want; /* the answer's type; 0: silence */
    uint32_t want_dst;
};

static const struct answer_case answer_cases[] = {
    { "discover", DISCOVER, 0, 0, 0, 0, false, OFFER, GUEST },
    { "discover by one that cannot take unicast yet", DISCOVER, 0, 0, 0, 0, true, OFFER, BROADCAST },
    { "discover that would like another address", DISCOVER, FOREIGN, 0, 0, 0, true, OFFER, BROADCAST },
    { "request of what was offered", REQUEST, GUEST, GATEWAY, 0, 0, true, ACK, BROADCAST },
    { "the same, unicast", REQUEST, GUEST, GATEWAY, 0, 0, false, ACK, GUEST },
    { "init-reboot", REQUEST, GUEST, 0, 0, 0, false, ACK, GUEST },
    { "A6 renewing", REQUEST, 0, 0, GUEST, GUEST, false, ACK, GUEST },
    { "A6 renewing: unicast whatever the flag says", REQUEST, 0, 0, GUEST, GUEST, true, ACK, GUEST },
    { "A6 rebinding from no address", REQUEST, 0, 0, GUEST, 0, false, ACK, GUEST },
    { "A6 init-reboot after another network", REQUEST, FOREIGN, 0, 0, 0, false, NAK, BROADCAST },
    { "A6 the neighbour's address", REQUEST, NET + 3, GATEWAY, 0, 0, false, NAK, BROADCAST },
    { "A6 the gateway's address", REQUEST, GATEWAY, GATEWAY, 0, 0, false, NAK, BROADCAST },
    { "A6 renewing a foreign one", REQUEST, 0, 0, FOREIGN, 0, false, NAK, BROADCAST },
    { "two different addresses", REQUEST, GUEST, 0, FOREIGN, 0, false, NAK, BROADCAST },
    { "request to another server", REQUEST, GUEST, FOREIGN, 0, 0, false, 0, 0 },
    { "a foreign address of another server", REQUEST, FOREIGN, FOREIGN, 0, 0, false, 0, 0 },
    { "inform", INFORM, 0, 0, GUEST, GUEST, false, ACK, GUEST },
    { "inform by one that has another address", INFORM, 0, 0, FOREIGN, 0, false, 0, 0 },
    { "inform by nobody", INFORM, 0, 0, 0, 0, false, 0, 0 },
    { "release", RELEASE, 0, GATEWAY, GUEST, GUEST, false, 0, 0 },
    { "decline", DECLINE, GUEST, GATEWAY, 0, 0, false, 0, 0 },
};

static void test_a06_answers(void **state)
{
    struct guest_config config = make_config();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(answer_cases); i++) {
        const struct answer_case *c = &answer_cases[i];
        struct message m = begin(c->type), out;
        struct dhcp4_reply reply = {0};
        int r;

        if (c->asked)
            add_addr(&m, 50, c->asked);
        if (c->server)
            add_addr(&m, 54, c->server);
        put_be32(m.bytes + CIADDR_AT, c->client);
        m.bytes[FLAGS_AT] = c->broadcast ? 0x80 : 0;
        end(&m);
        r = ask(&config, &m, c->src, &out, &reply);
        if (r != (c->want != 0) || (r == 1 && type_of(&out) != c->want))
            fail_msg("%s: %d, type %d", c->why, r, r == 1 ? type_of(&out) : 0);
        if (r != 1)
            continue;
        if (addr_to_v4(&reply.dst) != c->want_dst || reply.nak != (c->want == NAK))
            fail_msg("%s: to %08x, nak %d", c->why, addr_to_v4(&reply.dst), reply.nak);
        assert_int_equal(be32(out.bytes + CIADDR_AT), c->want == ACK ? c->client : 0);
        if (c->want == NAK) { /* RFC 2131 table 3: nothing but who says no */
            assert_int_equal(be32(out.bytes + YIADDR_AT), 0);
            assert_option32(&out, 54, GATEWAY);
            assert_null(find(&out, 51));
            assert_null(find(&out, 1));
        }
    }
}

/* T146: whatever the client calls itself, there is one address and nothing grows. */
static void test_t146_starvation(void **state)
{
    struct guest_config config = make_config();

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        const uint8_t client_id[] = {61, 5, 0, (uint8_t)i, (uint8_t)(i >> 8), 7, 7};
        struct message m = begin(DISCOVER), out;
        struct dhcp4_reply reply;

        m.bytes[5] = (uint8_t)i;
        add(&m, client_id, sizeof(client_id));
        end(&m);
        assert_int_equal(ask(&config, &m, 0, &out, &reply), 1);
        assert_int_equal(be32(out.bytes + YIADDR_AT), GUEST);
    }
}

/* ---- malformed ---- */

struct bad_case {
    const char *why;
    struct {
        int at; /* 0: op */
        uint8_t value;
    } patch[2];
    size_t patches;
    uint8_t options[16]; /* instead of type and end */
    size_t option_bytes;
    int cut;
    int want;
};

#define OPTIONS(...) {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})
#define WHOLE OPTIONS(53, 1, DISCOVER, 255)

static const struct bad_case bad_cases[] = {
    { "a right one", {{0}}, 0, WHOLE, 0, 1 },
    { "pads between options", {{0}}, 0, OPTIONS(0, 0, 53, 1, DISCOVER, 0, 255, 0, 9), 0, 1 },
    { "T146 op reply: the guest as a server", {{0, 2}}, 1, WHOLE, 0, -EBADMSG },
    { "T146 an offer from the guest", {{0}}, 0, OPTIONS(53, 1, OFFER, 255), 0, -EBADMSG },
    { "T146 an ACK from the guest", {{0}}, 0, OPTIONS(53, 1, ACK, 255), 0, -EBADMSG },
    { "T146 a NAK from the guest", {{0}}, 0, OPTIONS(53, 1, NAK, 255), 0, -EBADMSG },
    { "an unknown type", {{0}}, 0, OPTIONS(53, 1, 13, 255), 0, -EBADMSG },
    { "type 0", {{0}}, 0, OPTIONS(53, 1, 0, 255), 0, -EBADMSG },
    { "no type: BOOTP", {{0}}, 0, OPTIONS(255), 0, -EBADMSG },
    { "no options at all", {{0}}, 0, WHOLE, 4, -EBADMSG },
    { "cookie cut", {{0}}, 0, WHOLE, 5, -EBADMSG },
    { "no bytes", {{0}}, 0, WHOLE, OPTIONS_AT + 4, -EBADMSG },
    { "wrong cookie", {{COOKIE_AT, 1}}, 1, WHOLE, 0, -EBADMSG },
    { "hardware type 6", {{1, 6}}, 1, WHOLE, 0, -EBADMSG },
    { "hardware address of 16 bytes", {{2, 16}}, 1, WHOLE, 0, -EBADMSG },
    { "T146 another chaddr than the frame's", {{CHADDR_AT + 5, 1}}, 1, WHOLE, 0, -EBADMSG },
    { "through a relay", {{GIADDR_AT, 10}}, 1, WHOLE, 0, -EBADMSG },
    { "no end", {{0}}, 0, OPTIONS(53, 1, DISCOVER), 0, -EBADMSG },
    { "no end, but pads", {{0}}, 0, OPTIONS(53, 1, DISCOVER, 0, 0), 0, -EBADMSG },
    { "T146 an option beyond the message", {{0}}, 0, OPTIONS(53, 1, DISCOVER, 12, 200, 255), 0, -EBADMSG },
    { "an option without length", {{0}}, 0, OPTIONS(53, 1, DISCOVER, 12), 0, -EBADMSG },
    { "a type of two bytes", {{0}}, 0, OPTIONS(53, 2, DISCOVER, 0, 255), 0, -EBADMSG },
    { "a type of no byte", {{0}}, 0, OPTIONS(53, 0, 255), 0, -EBADMSG },
    { "two types", {{0}}, 0, OPTIONS(53, 1, REQUEST, 53, 1, DISCOVER, 255), 0, -EBADMSG },
    { "a server of three bytes", {{0}}, 0, OPTIONS(53, 1, DISCOVER, 54, 3, 1, 2, 3, 255), 0, -EBADMSG },
    { "an address of five bytes", {{0}}, 0, OPTIONS(53, 1, DISCOVER, 50, 5, 1, 2, 3, 4, 5, 255), 0,
      -EBADMSG },
    { "two sizes", {{0}}, 0, OPTIONS(53, 1, DISCOVER, 57, 2, 5, 0, 57, 2, 5, 0, 255), 0, -EBADMSG },
    { "request without an address", {{0}}, 0, OPTIONS(53, 1, REQUEST, 255), 0, -EBADMSG },
    { "overload 4", {{0}}, 0, OPTIONS(53, 1, DISCOVER, 52, 1, 4, 255), 0, -EBADMSG },
    { "overload 0", {{0}}, 0, OPTIONS(53, 1, DISCOVER, 52, 1, 0, 255), 0, -EBADMSG },
    { "overloaded file without end", {{0}}, 0, OPTIONS(53, 1, DISCOVER, 52, 1, 1, 255), 0, -EBADMSG },
    { "overloaded file, empty", {{FILE_AT, 255}}, 1, OPTIONS(53, 1, DISCOVER, 52, 1, 1, 255), 0, 1 },
    { "overloaded sname without end", {{FILE_AT, 255}}, 1, OPTIONS(53, 1, DISCOVER, 52, 1, 3, 255), 0,
      -EBADMSG },
    { "both, empty", {{FILE_AT, 255}, {SNAME_AT, 255}}, 2, OPTIONS(53, 1, DISCOVER, 52, 1, 3, 255), 0, 1 },
    { "an option that leaves sname for file", {{SNAME_AT, 12}, {SNAME_AT + 1, 63}}, 2,
      OPTIONS(53, 1, DISCOVER, 52, 1, 2, 255), 0, -EBADMSG },
    { "a file nobody overloads is not read", {{FILE_AT, 53}}, 1, WHOLE, 0, 1 },
};

static void test_t146_malformed(void **state)
{
    struct guest_config config = make_config();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad_cases); i++) {
        const struct bad_case *c = &bad_cases[i];
        struct message m = begin(DISCOVER), out;
        struct dhcp4_reply reply;
        int r;

        m.len = OPTIONS_AT;
        add(&m, c->options, c->option_bytes);
        for (size_t j = 0; j < c->patches; j++)
            m.bytes[c->patch[j].at] = c->patch[j].value;
        m.len -= (size_t)c->cut;
        r = ask(&config, &m, 0, &out, &reply);
        if (r != c->want)
            fail_msg("%s: %d, not %d", c->why, r, c->want);
    }
}

/* Options in an overloaded field count like any other, and only the options field may overload. */
static void test_overloaded_question(void **state)
{
    static const uint8_t overload[] = {52, 1, 1}, type[] = {53, 1, REQUEST};
    struct guest_config config = make_config();
    struct message m = begin(DISCOVER), out;
    struct dhcp4_reply reply;

    (void)state;
    m.len = OPTIONS_AT;
    add(&m, overload, sizeof(overload));
    end(&m);
    memcpy(m.bytes + FILE_AT, type, sizeof(type));
    m.bytes[FILE_AT + 3] = 50;
    m.bytes[FILE_AT + 4] = 4;
    put_be32(m.bytes + FILE_AT + 5, GUEST);
    m.bytes[FILE_AT + 9] = 255;
    assert_int_equal(ask(&config, &m, 0, &out, &reply), 1);
    assert_int_equal(type_of(&out), ACK);
    memcpy(m.bytes + FILE_AT + 9, "\x34\x01\x02\xff", 4);
    assert_int_equal(ask(&config, &m, 0, &out, &reply), -EBADMSG);
}

static void test_source_that_contradicts_ciaddr(void **state)
{
    struct guest_config config = make_config();
    struct message m = begin(REQUEST), out;
    struct dhcp4_reply reply;

    (void)state;
    put_be32(m.bytes + CIADDR_AT, FOREIGN);
    end(&m);
    assert_int_equal(ask(&config, &m, GUEST, &out, &reply), -EBADMSG);
}

static void test_every_cut_of_a_message(void **state)
{
    struct guest_config config = make_config();
    struct message m = begin(REQUEST), out;
    struct dhcp4_reply reply;
    size_t whole;

    (void)state;
    add_addr(&m, 50, GUEST);
    add_addr(&m, 54, GATEWAY);
    end(&m);
    whole = m.len;
    for (m.len = 0; m.len < whole; m.len++)
        assert_int_equal(ask(&config, &m, 0, &out, &reply), -EBADMSG);
    assert_int_equal(ask(&config, &m, 0, &out, &reply), 1);
}

/* ---- room ---- */

static const struct {
    const char *why;
    size_t name, search;
    uint16_t mtu, size; /* option 57; 0: not there */
    size_t want_max;
} room_cases[] = {
    { "short ones", 3, 10, 1500, 0, 313 },
    { "all that fits without overload", 63, 185, 1500, 0, 548 },
    { "one byte more", 63, 186, 1500, 0, 548 },
    { "what only a roomy client takes", 63, 200, 1500, 1500, 563 },
    { "the same on a link that does not", 63, 200, 576, 1500, 548 },
    { "the longest of both, smallest link", 63, 255, 576, 1500, 548 },
    { "the longest of both, no limit named", 63, 255, 1500, 0, 548 },
    { "the longest of both, a roomy client", 63, 255, 1500, 1500, 576 },
    { "a client that says less than it must take", 63, 255, 1500, 100, 548 },
};

static void test_a06_a07_long_names_fit_every_link(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(room_cases); i++) {
        struct guest_config config = make_config();
        const uint8_t size[] = {57, 2, (uint8_t)(room_cases[i].size >> 8), (uint8_t)room_cases[i].size};
        struct message m = begin(DISCOVER), out;
        struct dhcp4_reply reply;

        memset(config.hostname, 'h', room_cases[i].name);
        config.hostname[room_cases[i].name] = '\0';
        memset(config.search, 's', room_cases[i].search);
        config.search_len = (uint8_t)room_cases[i].search;
        config.mtu = room_cases[i].mtu;
        if (room_cases[i].size > 0)
            add(&m, size, sizeof(size));
        end(&m);
        assert_int_equal(ask(&config, &m, 0, &out, &reply), 1);
        if (reply.len > room_cases[i].want_max || reply.len + 28 > config.mtu)
            fail_msg("%s: %zu bytes", room_cases[i].why, reply.len);
        assert_network(&out, &config);
        assert_lease(&out);
    }
}

static void test_options_that_have_no_value(void **state)
{
    struct guest_config config = make_config();
    struct message m = begin(DISCOVER), out;
    struct dhcp4_reply reply;

    (void)state;
    config.hostname[0] = '\0';
    config.search_len = 0;
    config.net4.bits = 31; /* RFC 3021: no broadcast address */
    config.lease_s = UINT32_MAX;
    end(&m);
    assert_int_equal(ask(&config, &m, 0, &out, &reply), 1);
    assert_null(find(&out, 12));
    assert_null(find(&out, 119));
    assert_null(find(&out, 28));
    assert_option32(&out, 1, 0xfffffffe);
    assert_option32(&out, 51, UINT32_MAX); /* RFC 2131 section 3.3: without end, so without renewal */
    assert_null(find(&out, 58));
    assert_null(find(&out, 59));

    config.net4.base.family = ADDR_NONE;
    assert_int_equal(ask(&config, &m, 0, &out, &reply), 0); /* IPv4 is off */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a06_lease),
        cmocka_unit_test(test_a06_answers),
        cmocka_unit_test(test_t146_starvation),
        cmocka_unit_test(test_t146_malformed),
        cmocka_unit_test(test_overloaded_question),
        cmocka_unit_test(test_source_that_contradicts_ciaddr),
        cmocka_unit_test(test_every_cut_of_a_message),
        cmocka_unit_test(test_a06_a07_long_names_fit_every_link),
        cmocka_unit_test(test_options_that_have_no_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
