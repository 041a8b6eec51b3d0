/*
 * What a DHCPv6 client is told, and what is refused.
 */
#include "stack/dhcp6.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/dhcp6_client.h"

/* ---- the four messages of a first lease, and the two of a hurried one ---- */

static void test_a14_lease(void **state)
{
    struct guest_config config = make_config();
    struct message m = begin(SOLICIT), out;
    struct dhcp6_reply reply;

    (void)state;
    add(&m, CLIENT_ID, client_id, sizeof(client_id));
    add_ia(&m, IA_NA, 7, NULL, 0);
    assert_int_equal(ask(&config, &m, &out, &reply), 1);
    assert_int_equal(out.bytes[0], ADVERTISE);
    assert_option(&out, CLIENT_ID, client_id, sizeof(client_id));
    assert_option(&out, PREFERENCE, "\xff", 1);
    assert_lease(find(&out, IA_NA), 7, NULL);
    assert_network(&out, &config);
    assert_null(find(&out, RAPID));
    assert_false(reply.refused);

    m.bytes[0] = REQUEST;
    add(&m, SERVER_ID, server_id, sizeof(server_id));
    assert_int_equal(ask(&config, &m, &out, &reply), 1);
    assert_int_equal(out.bytes[0], REPLY);
    assert_option(&out, CLIENT_ID, client_id, sizeof(client_id));
    assert_lease(find(&out, IA_NA), 7, NULL);
    assert_network(&out, &config);
    assert_null(find(&out, PREFERENCE));
    assert_null(find(&out, STATUS));

    m = begin(SOLICIT);
    add(&m, RAPID, NULL, 0);
    add_ia(&m, IA_NA, 0xfffffffe, NULL, 0);
    add(&m, CLIENT_ID, client_id, sizeof(client_id));
    assert_int_equal(ask(&config, &m, &out, &reply), 1);
    assert_int_equal(out.bytes[0], REPLY);
    assert_option(&out, RAPID, NULL, 0);
    assert_null(find(&out, PREFERENCE));
    assert_lease(find(&out, IA_NA), 0xfffffffe, NULL);
    assert_network(&out, &config);
}

static void test_a14_information(void **state)
{
    struct guest_config config = make_config();
    struct message m = begin(INFORMATION), out;
    struct dhcp6_reply reply;

    (void)state;
    add(&m, ORO, "\0\x17\0\x18", 4);
    assert_int_equal(ask(&config, &m, &out, &reply), 1); /* RFC 8415 section 16.12: a client id is optional */
    assert_int_equal(out.bytes[0], REPLY);
    assert_null(find(&out, CLIENT_ID));
    assert_null(find(&out, IA_NA));
    assert_network(&out, &config);

    add(&m, CLIENT_ID, client_id, sizeof(client_id));
    config.search_len = 0;
    assert_int_equal(ask(&config, &m, &out, &reply), 1);
    assert_option(&out, CLIENT_ID, client_id, sizeof(client_id));
    assert_option(&out, DNS, config.gateway6.bytes, 16);
    assert_null(find(&out, SEARCH));
}

/* ---- who is answered what ---- */

enum { OURS = 1, THEIRS = 2 };

struct answer_case {
    const char *why;
    uint8_t type;
    bool client;
    uint8_t server;      /* OURS, THEIRS; 0: not there */
    uint16_t ia;         /* option; 0: none */
    const char *addrs[2];
    uint8_t want;        /* the answer's type; 0: silence */
    uint8_t want_status; /* the message's; NONE */
    uint8_t want_ia;     /* NONE: guest6; NO_IA: not in the answer; else its status */
    const char *ended;   /* an address with lifetimes 0 */
    bool refused;
};

enum { NO_IA = 254 };

static const struct answer_case answer_cases[] = {
    { "A14 solicit", SOLICIT, true, 0, IA_NA, {0}, ADVERTISE, NONE, NONE, NULL, false },
    { "solicit that would like another address", SOLICIT, true, 0, IA_NA, {OFF_LINK}, ADVERTISE, NONE, NONE, NULL, false },
    { "solicit without a wish", SOLICIT, true, 0, 0, {0}, ADVERTISE, NONE, NO_IA, NULL, false },
    { "T146 solicit for a temporary address", SOLICIT, true, 0, IA_TA, {0}, ADVERTISE, NONE, NO_ADDRS, NULL, true },
    { "T146 solicit for a prefix", SOLICIT, true, 0, IA_PD, {0}, ADVERTISE, NONE, NO_PREFIX, NULL, true },
    { "A14 request of what was offered", REQUEST, true, OURS, IA_NA, {GUEST}, REPLY, NONE, NONE, NULL, false },
    { "request of the neighbour's address", REQUEST, true, OURS, IA_NA, {OTHER}, REPLY, NONE, NONE, NULL, false },
    { "request of an address from elsewhere", REQUEST, true, OURS, IA_NA, {OFF_LINK}, REPLY, NONE, NOT_ON_LINK, NULL, true },
    { "request of one here and one elsewhere", REQUEST, true, OURS, IA_NA, {GUEST, OFF_LINK}, REPLY, NONE, NOT_ON_LINK, NULL, true },
    { "request to another server", REQUEST, true, THEIRS, IA_NA, {GUEST}, 0, 0, 0, NULL, false },
    { "A14 renew", RENEW, true, OURS, IA_NA, {GUEST}, REPLY, NONE, NONE, NULL, false },
    { "renew of nothing: it gets what there is", RENEW, true, OURS, IA_NA, {0}, REPLY, NONE, NONE, NULL, false },
    { "T146 renew of the neighbour's address", RENEW, true, OURS, IA_NA, {OTHER}, REPLY, NONE, NONE, OTHER, true },
    { "renew after another network", RENEW, true, OURS, IA_NA, {GUEST, OFF_LINK}, REPLY, NONE, NONE, OFF_LINK, true },
    { "renew of a prefix", RENEW, true, OURS, IA_PD, {0}, REPLY, NONE, NO_PREFIX, NULL, true },
    { "renew to another server", RENEW, true, THEIRS, IA_NA, {GUEST}, 0, 0, 0, NULL, false },
    { "A14 rebind", REBIND, true, 0, IA_NA, {GUEST}, REPLY, NONE, NONE, NULL, false },
    { "rebind after another network", REBIND, true, 0, IA_NA, {OFF_LINK, GUEST}, REPLY, NONE, NONE, OFF_LINK, true },
    { "A14 confirm", CONFIRM, true, 0, IA_NA, {GUEST}, REPLY, SUCCESS, NO_IA, NULL, false },
    { "confirm after another network", CONFIRM, true, 0, IA_NA, {OFF_LINK}, REPLY, NOT_ON_LINK, NO_IA, NULL, true },
    { "confirm of one of two", CONFIRM, true, 0, IA_NA, {GUEST, OFF_LINK}, REPLY, NOT_ON_LINK, NO_IA, NULL, true },
    { "T146 confirm of the neighbour's address", CONFIRM, true, 0, IA_NA, {OTHER}, REPLY, NOT_ON_LINK, NO_IA, NULL, true },
    { "confirm of nothing", CONFIRM, true, 0, IA_NA, {0}, 0, 0, 0, NULL, false },
    { "release", RELEASE, true, OURS, IA_NA, {GUEST}, REPLY, SUCCESS, NO_IA, NULL, false },
    { "release of a prefix it never had", RELEASE, true, OURS, IA_PD, {0}, REPLY, SUCCESS, NO_BINDING, NULL, false },
    { "release to another server", RELEASE, true, THEIRS, IA_NA, {GUEST}, 0, 0, 0, NULL, false },
    { "decline", DECLINE, true, OURS, IA_NA, {GUEST}, REPLY, SUCCESS, NO_IA, NULL, false },
    { "decline of a temporary address", DECLINE, true, OURS, IA_TA, {GUEST}, REPLY, SUCCESS, NO_BINDING, NULL, false },
    { "A14 information", INFORMATION, false, 0, 0, {0}, REPLY, NONE, NO_IA, NULL, false },
    { "information from us", INFORMATION, true, OURS, 0, {0}, REPLY, NONE, NO_IA, NULL, false },
    { "information from another server", INFORMATION, true, THEIRS, 0, {0}, 0, 0, 0, NULL, false },
};

static void assert_ia(const struct answer_case *c, const struct message *out)
{
    const uint8_t *ia = c->ia ? find(out, c->ia) : NULL;
    size_t fixed = c->ia == IA_TA ? 4 : 12;

    if (c->want_ia == NO_IA) {
        assert_null(ia);
        return;
    }
    if (c->want_ia == NONE) {
        assert_lease(ia, 7, c->ended);
        return;
    }
    assert_non_null(ia);
    assert_int_equal(be32(ia + 2), 7);
    for (size_t i = 4; i < fixed; i++)
        assert_int_equal(ia[2 + i], 0);
    assert_null(find_in(ia + 2 + fixed, be16(ia) - fixed, IA_ADDR));
    if (status_in(ia + 2 + fixed, be16(ia) - fixed) != c->want_ia)
        fail_msg("%s: status of the association", c->why);
}

static void test_a14_t146_answers(void **state)
{
    struct guest_config config = make_config();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(answer_cases); i++) {
        const struct answer_case *c = &answer_cases[i];
        struct message m = begin(c->type), out;
        struct dhcp6_reply reply = {0};
        int r;

        if (c->client)
            add(&m, CLIENT_ID, client_id, sizeof(client_id));
        if (c->server)
            add(&m, SERVER_ID, c->server == OURS ? server_id : other_id, sizeof(server_id));
        if (c->ia)
            add_ia(&m, c->ia, 7, c->addrs, ARRAY_SIZE(c->addrs));
        r = ask(&config, &m, &out, &reply);
        if (r != (c->want != 0) || (r == 1 && out.bytes[0] != c->want))
            fail_msg("%s: %d, type %d", c->why, r, r == 1 ? out.bytes[0] : 0);
        if (r != 1)
            continue;
        if (status_in(out.bytes + OPTIONS_AT, out.len - OPTIONS_AT) != c->want_status)
            fail_msg("%s: status", c->why);
        if (reply.refused != c->refused)
            fail_msg("%s: refused %d", c->why, reply.refused);
        assert_ia(c, &out);
        if (c->type == CONFIRM || c->type == RELEASE || c->type == DECLINE)
            assert_null(find(&out, DNS));
        else
            assert_network(&out, &config);
    }
}

/* ---- several associations, several clients ---- */

static void test_t146_one_address_whatever_is_asked(void **state)
{
    struct guest_config config = make_config();
    struct message m = begin(SOLICIT), out;
    struct dhcp6_reply reply;
    unsigned got = 0, refused = 0;
    uint32_t id;

    (void)state;
    add(&m, CLIENT_ID, client_id, sizeof(client_id));
    add_ia(&m, IA_PD, 0, NULL, 0);
    for (id = 0; id + 1 < DHCP6_IAS_MAX; id++)
        add_ia(&m, IA_NA, id, (const char *const[]){GUEST}, 1);
    assert_int_equal(ask(&config, &m, &out, &reply), 1);
    assert_true(reply.refused);
    assert_lease(find(&out, IA_NA), 0, NULL); /* the first that asks for one, behind what asks for a prefix */
    for (const uint8_t *at = out.bytes + OPTIONS_AT; at < out.bytes + out.len; at += 4 + be16(at + 2)) {
        if (be16(at) != IA_NA)
            continue;
        assert_int_equal(be32(at + 4), got + refused);
        if (status_in(at + 16, be16(at + 2) - 12) == NO_ADDRS)
            refused++;
        else
            got++;
    }
    assert_int_equal(got, 1);
    assert_int_equal(refused, DHCP6_IAS_MAX - 2);

    add_ia(&m, IA_NA, id, NULL, 0); /* one too many */
    assert_int_equal(ask(&config, &m, &out, &reply), -EBADMSG);
}

/* T146: whatever the client calls itself, there is one address and nothing grows. */
static void test_t146_starvation(void **state)
{
    struct guest_config config = make_config();

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        const uint8_t id[] = {0, 4, (uint8_t)i, (uint8_t)(i >> 8), 7};
        struct message m = begin(SOLICIT), out;
        struct dhcp6_reply reply;

        m.bytes[3] = (uint8_t)i;
        add(&m, CLIENT_ID, id, sizeof(id));
        add_ia(&m, IA_NA, i, NULL, 0);
        assert_int_equal(ask(&config, &m, &out, &reply), 1);
        assert_option(&out, CLIENT_ID, id, sizeof(id));
        assert_lease(find(&out, IA_NA), i, NULL);
    }
}

/* The most that can be said fits the smallest link. */
static void test_t146_the_longest_answer(void **state)
{
    struct guest_config config = make_config();
    struct message m = begin(RENEW), out;
    struct dhcp6_reply reply;
    const char *addrs[DHCP6_ADDRS_MAX + 1];
    uint8_t id[DHCP6_DUID_BYTES_MAX + 1];

    (void)state;
    memset(id, 'd', sizeof(id));
    memset(config.search, 's', sizeof(config.search));
    config.search_len = GUEST_SEARCH_MAX;
    for (size_t i = 0; i < ARRAY_SIZE(addrs); i++)
        addrs[i] = OTHER;
    add(&m, CLIENT_ID, id, DHCP6_DUID_BYTES_MAX);
    add(&m, SERVER_ID, server_id, sizeof(server_id));
    for (uint32_t i = 1; i < DHCP6_IAS_MAX; i++)
        add_ia(&m, i == 1 ? IA_NA : IA_PD, i, addrs, i == 1 ? DHCP6_ADDRS_MAX : 0);
    add_ia(&m, IA_NA, 99, NULL, 0);
    assert_int_equal(ask(&config, &m, &out, &reply), 1);
    assert_option(&out, CLIENT_ID, id, DHCP6_DUID_BYTES_MAX);
    assert_int_equal(be16(find(&out, IA_NA)), 12 + 28 * (1 + DHCP6_ADDRS_MAX));
    assert_network(&out, &config);

    m = begin(REBIND);
    add(&m, CLIENT_ID, id, DHCP6_DUID_BYTES_MAX);
    add_ia(&m, IA_NA, 1, addrs, DHCP6_ADDRS_MAX + 1);
    assert_int_equal(ask(&config, &m, &out, &reply), -EBADMSG);
}

static void test_a14_a_lease_without_end(void **state)
{
    struct guest_config config = make_config();
    struct message m = begin(SOLICIT), out;
    struct dhcp6_reply reply;
    const uint8_t *ia;

    (void)state;
    config.lease_s = UINT32_MAX;
    add(&m, CLIENT_ID, client_id, sizeof(client_id));
    add_ia(&m, IA_NA, 7, NULL, 0);
    assert_int_equal(ask(&config, &m, &out, &reply), 1);
    ia = find(&out, IA_NA);
    assert_int_equal(be32(ia + 6), UINT32_MAX);
    assert_int_equal(be32(ia + 10), UINT32_MAX);
    assert_address(ia + 18, GUEST, UINT32_MAX);
}

/* ---- malformed ---- */

struct bad_case {
    const char *why;
    uint8_t type;
    uint8_t bytes[64];
    size_t len;
    int want;
};

#define BYTES(...) {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})
#define CLIENT 0, 1, 0, 3, 0, 4, 9
#define SERVER 0, 2, 0, 10, 0, 3, 0, 1, 0x52, 0x55, 0x0a, 0, 0, 1
#define IA(id, more) 0, 3, 0, 12 + (more), 0, 0, 0, id, 0, 0, 0, 0, 0, 0, 0, 0

static const struct bad_case bad_cases[] = {
    { "a good one", SOLICIT, BYTES(CLIENT, IA(1, 0)), 1 },
    { "T146 no client id: solicit", SOLICIT, BYTES(IA(1, 0)), -EBADMSG },
    { "T146 no client id: request", REQUEST, BYTES(SERVER, IA(1, 0)), -EBADMSG },
    { "T146 no client id: renew", RENEW, BYTES(SERVER, IA(1, 0)), -EBADMSG },
    { "T146 no client id: rebind", REBIND, BYTES(IA(1, 0)), -EBADMSG },
    { "T146 no client id: confirm", CONFIRM, BYTES(IA(1, 0)), -EBADMSG },
    { "T146 no client id: release", RELEASE, BYTES(SERVER, IA(1, 0)), -EBADMSG },
    { "T146 no client id: decline", DECLINE, BYTES(SERVER, IA(1, 0)), -EBADMSG },
    { "no server id: request", REQUEST, BYTES(CLIENT, IA(1, 0)), -EBADMSG },
    { "no server id: renew", RENEW, BYTES(CLIENT, IA(1, 0)), -EBADMSG },
    { "no server id: release", RELEASE, BYTES(CLIENT, IA(1, 0)), -EBADMSG },
    { "no server id: decline", DECLINE, BYTES(CLIENT, IA(1, 0)), -EBADMSG },
    { "a server id: solicit", SOLICIT, BYTES(CLIENT, SERVER, IA(1, 0)), -EBADMSG },
    { "a server id: confirm", CONFIRM, BYTES(CLIENT, SERVER, IA(1, 0)), -EBADMSG },
    { "a server id: rebind", REBIND, BYTES(CLIENT, SERVER, IA(1, 0)), -EBADMSG },
    { "information for an association", INFORMATION, BYTES(CLIENT, IA(1, 0)), -EBADMSG },
    { "T146 the guest as server: advertise", ADVERTISE, BYTES(CLIENT, SERVER, IA(1, 0)), -EBADMSG },
    { "T146 the guest as server: reply", REPLY, BYTES(CLIENT, SERVER, IA(1, 0)), -EBADMSG },
    { "T146 the guest as server: reconfigure", RECONFIGURE, BYTES(CLIENT, SERVER, 0, 19, 0, 1, 5), -EBADMSG },
    { "T146 the guest as relay", RELAY_FORW, BYTES(CLIENT), -EBADMSG },
    { "T146 the relay's way back", RELAY_REPL, BYTES(CLIENT), -EBADMSG },
    { "type 0", 0, BYTES(CLIENT, IA(1, 0)), -EBADMSG },
    { "type 36, which is later RFCs' business", 36, BYTES(CLIENT, IA(1, 0)), -EBADMSG },
    { "a client id of two bytes", SOLICIT, BYTES(0, 1, 0, 2, 0, 4), -EBADMSG },
    { "two client ids", SOLICIT, BYTES(CLIENT, CLIENT), -EBADMSG },
    { "two server ids", REQUEST, BYTES(CLIENT, SERVER, SERVER), -EBADMSG },
    { "rapid commit with a value", SOLICIT, BYTES(CLIENT, 0, 14, 0, 1, 1), -EBADMSG },
    { "rapid commit twice", SOLICIT, BYTES(CLIENT, 0, 14, 0, 0, 0, 14, 0, 0), -EBADMSG },
    { "rapid commit where it means nothing", REQUEST, BYTES(CLIENT, SERVER, 0, 14, 0, 0), 1 },
    { "T146 an option beyond the message", SOLICIT, BYTES(CLIENT, 0, 6, 0, 2, 0), -EBADMSG },
    { "T146 an option far beyond it", SOLICIT, BYTES(CLIENT, 0, 6, 0xff, 0xff, 0), -EBADMSG },
    { "half an option's head", SOLICIT, BYTES(CLIENT, 0, 6, 0), -EBADMSG },
    { "an unknown option", SOLICIT, BYTES(CLIENT, 0xff, 0xff, 0, 2, 1, 2), 1 },
    { "an association of 11 bytes", SOLICIT, BYTES(CLIENT, 0, 3, 0, 11, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0), -EBADMSG },
    { "a temporary one of 3", SOLICIT, BYTES(CLIENT, 0, 4, 0, 3, 0, 0, 0), -EBADMSG },
    { "a temporary one of 4", SOLICIT, BYTES(CLIENT, 0, 4, 0, 4, 0, 0, 0, 1), 1 },
    { "a prefix' one of 4", SOLICIT, BYTES(CLIENT, 0, 25, 0, 4, 0, 0, 0, 1), -EBADMSG },
    { "two of one id", SOLICIT, BYTES(CLIENT, IA(1, 0), IA(1, 0)), -EBADMSG },
    { "two of one id but of two kinds", SOLICIT, BYTES(CLIENT, IA(1, 0), 0, 4, 0, 4, 0, 0, 0, 1), 1 },
    { "T146 an address that leaves its association", SOLICIT, BYTES(CLIENT, IA(1, 6), 0, 5, 0, 24, 0xfd, 0), -EBADMSG },
    { "an address of 23 bytes", SOLICIT, BYTES(CLIENT, IA(1, 27), 0, 5, 0, 23, 0xfd, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
                                               0, 0, 0, 0, 0, 0, 0), -EBADMSG },
    { "half an option within an association", SOLICIT, BYTES(CLIENT, IA(1, 3), 0, 5, 0), -EBADMSG },
    { "an address within a prefix' one is not read", SOLICIT,
      BYTES(CLIENT, 0, 25, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0), 1 },
    { "a status within an association is not read", SOLICIT, BYTES(CLIENT, IA(1, 6), 0, 13, 0, 2, 0, 2), 1 },
};

static void test_t146_malformed(void **state)
{
    struct guest_config config = make_config();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad_cases); i++) {
        const struct bad_case *c = &bad_cases[i];
        struct message m = begin(c->type), out;
        struct dhcp6_reply reply;
        int r;

        memcpy(m.bytes + m.len, c->bytes, c->len);
        m.len += c->len;
        r = ask(&config, &m, &out, &reply);
        if (r != c->want)
            fail_msg("%s: %d, not %d", c->why, r, c->want);
    }
}

static void test_t146_client_ids_of_every_length(void **state)
{
    struct guest_config config = make_config();
    uint8_t id[DHCP6_DUID_BYTES_MAX + 2];

    (void)state;
    memset(id, 'd', sizeof(id));
    for (size_t n = 0; n <= sizeof(id); n++) {
        bool fits = n >= DHCP6_DUID_BYTES_MIN && n <= DHCP6_DUID_BYTES_MAX;
        struct message m = begin(SOLICIT), out;
        struct dhcp6_reply reply;

        add(&m, CLIENT_ID, id, n);
        assert_int_equal(ask(&config, &m, &out, &reply), fits ? 1 : -EBADMSG);
        if (fits)
            assert_option(&out, CLIENT_ID, id, n);
    }
}

static const struct {
    const char *why, *src;
    int want;
} source_cases[] = {
    { "A14 its link-local address", GUEST_LINK, 1 },
    { "the address it was given", GUEST, -EBADMSG },
    { "T146 the router's", ROUTER, -EBADMSG },
    { "nobody", "::", -EBADMSG },
    { "beyond the link", OFF_LINK, -EBADMSG },
};

static void test_t146_sources(void **state)
{
    struct guest_config config = make_config();
    struct message m = begin(SOLICIT), out;
    struct dhcp6_reply reply;

    (void)state;
    add(&m, CLIENT_ID, client_id, sizeof(client_id));
    for (size_t i = 0; i < ARRAY_SIZE(source_cases); i++)
        if (ask_from(source_cases[i].src, &config, &m, &out, &reply) != source_cases[i].want)
            fail_msg("%s", source_cases[i].why);
    config.net6.base.family = ADDR_NONE;
    assert_int_equal(ask(&config, &m, &out, &reply), 0); /* IPv6 is off */
}

/* A message cut between two options is a whole one with fewer; anywhere else it is none. */
static void test_t146_every_cut_of_a_message(void **state)
{
    struct guest_config config = make_config();
    struct message m = begin(REQUEST), out;
    struct dhcp6_reply reply;
    size_t whole, with_both;

    (void)state;
    add(&m, CLIENT_ID, client_id, sizeof(client_id));
    add(&m, SERVER_ID, server_id, sizeof(server_id));
    with_both = m.len;
    add_ia(&m, IA_NA, 7, (const char *const[]){GUEST}, 1);
    whole = m.len;
    for (m.len = 0; m.len < whole; m.len++)
        assert_int_equal(ask(&config, &m, &out, &reply), m.len == with_both ? 1 : -EBADMSG);
    assert_int_equal(ask(&config, &m, &out, &reply), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a14_lease),
        cmocka_unit_test(test_a14_information),
        cmocka_unit_test(test_a14_t146_answers),
        cmocka_unit_test(test_t146_one_address_whatever_is_asked),
        cmocka_unit_test(test_t146_starvation),
        cmocka_unit_test(test_t146_the_longest_answer),
        cmocka_unit_test(test_a14_a_lease_without_end),
        cmocka_unit_test(test_t146_malformed),
        cmocka_unit_test(test_t146_client_ids_of_every_length),
        cmocka_unit_test(test_t146_sources),
        cmocka_unit_test(test_t146_every_cut_of_a_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
