/*
 * A DHCPv6 client for tests, at the level of bytes: fd00:77::2 behind the gateway fd00:77::1. Replies are read
 * by a reader of this file's own.
 */
#ifndef WEIR_TESTS_UNIT_DHCP6_CLIENT_H
#define WEIR_TESTS_UNIT_DHCP6_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stack/dhcp6.h"

#define GATEWAY "fd00:77::1"
#define GUEST "fd00:77::2"
#define OTHER "fd00:77::3"
#define OFF_LINK "2001:db8::2"
#define ROUTER "fe80::5055:aff:fe00:1"
#define GUEST_LINK "fe80::5894:efff:fee4:cee"

enum { SOLICIT = 1, ADVERTISE, REQUEST, CONFIRM, RENEW, REBIND, REPLY, RELEASE, DECLINE, RECONFIGURE,
       INFORMATION, RELAY_FORW, RELAY_REPL };
enum { CLIENT_ID = 1, SERVER_ID, IA_NA, IA_TA, IA_ADDR, ORO, PREFERENCE, STATUS = 13, RAPID = 14, DNS = 23,
       SEARCH, IA_PD };
enum { SUCCESS = 0, NO_ADDRS = 2, NO_BINDING, NOT_ON_LINK, NO_PREFIX = 6, NONE = 255 };
enum { OPTIONS_AT = 4, LEASE_S = 3600 };

static const uint8_t client_id[] = {0, 1, 0, 1, 0x2a, 0x2a, 0x2a, 0x2a, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee};
static const uint8_t server_id[] = {0, 3, 0, 1, 0x52, 0x55, 0x0a, 0, 0, 1};
static const uint8_t other_id[] = {0, 3, 0, 1, 0x52, 0x55, 0x0a, 0, 0, 2};

struct message {
    uint8_t bytes[4096];
    size_t len;
};

/* ---- the client ---- */

static inline struct addr ip(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static inline uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

static inline void add(struct message *m, uint16_t code, const void *bytes, size_t len)
{
    const uint8_t head[] = {(uint8_t)(code >> 8), (uint8_t)code, (uint8_t)(len >> 8), (uint8_t)len};

    assert_true(m->len + sizeof(head) + len <= sizeof(m->bytes));
    memcpy(m->bytes + m->len, head, sizeof(head));
    if (len > 0)
        memcpy(m->bytes + m->len + sizeof(head), bytes, len);
    m->len += sizeof(head) + len;
}

static inline struct message begin(uint8_t type)
{
    return (struct message){.bytes = {type, 0xca, 0xfe, 0x42}, .len = OPTIONS_AT};
}

/* An association; @addrs: texts up to the first NULL. */
static inline void add_ia(struct message *m, uint16_t code, uint32_t id, const char *const *addrs,
                          size_t addrs_max)
{
    struct message ia = {.bytes = {(uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id},
                         .len = code == IA_TA ? 4 : 12};

    for (size_t i = 0; i < addrs_max && addrs[i]; i++) {
        struct addr a = ip(addrs[i]);
        uint8_t body[24];

        memset(body, 0x11, sizeof(body));
        memcpy(body, a.bytes, 16);
        add(&ia, IA_ADDR, body, sizeof(body));
    }
    add(m, code, ia.bytes, ia.len);
}

static inline struct guest_config make_config(void)
{
    struct guest_config config = {
        .gateway_mac = {0x52, 0x55, 0x0a, 0, 0, 1},
        .gateway6 = ip(GATEWAY),
        .guest6 = ip(GUEST),
        .router6 = ip(ROUTER),
        .mtu = 1500,
        .search = {3, 'l', 'a', 'b', 4, 't', 'e', 's', 't', 0},
        .search_len = 10,
        .lease_s = LEASE_S,
    };

    assert_int_equal(addr_prefix_parse("fd00:77::/64", &config.net6), 0);
    return config;
}

/* ---- what it hears ---- */

/* The first option of @code within @len bytes: its length field, its value behind it; or NULL. */
static const uint8_t *find_in(const uint8_t *at, size_t len, uint16_t code)
{
    const uint8_t *end = at + len, *found = NULL;

    while (at < end) {
        assert_true(at + 4 <= end && at + 4 + be16(at + 2) <= end);
        if (!found && be16(at) == code)
            found = at + 2;
        at += 4 + be16(at + 2);
    }
    return found;
}

static const uint8_t *find(const struct message *m, uint16_t code)
{
    return find_in(m->bytes + OPTIONS_AT, m->len - OPTIONS_AT, code);
}

static inline void assert_option(const struct message *m, uint16_t code, const void *value, size_t len)
{
    const uint8_t *option = find(m, code);

    if (!option)
        fail_msg("option %u is missing", code);
    assert_int_equal(be16(option), len);
    assert_memory_equal(option + 2, value, len);
}

/* The status in @len bytes of options; NONE: none. */
static inline unsigned status_in(const uint8_t *options, size_t len)
{
    const uint8_t *status = find_in(options, len, STATUS);

    if (!status)
        return NONE;
    assert_in_range(be16(status), 2, 64);
    return be16(status + 2);
}

/* From an allocation of exactly its size, so that the sanitizer sees a read beyond it. */
static inline int ask_from(const char *src, const struct guest_config *config, const struct message *m,
                    struct message *out, struct dhcp6_reply *reply)
{
    struct addr from = ip(src);
    uint8_t *bytes = malloc(m->len > 0 ? m->len : 1);
    int r;

    assert_non_null(bytes);
    memcpy(bytes, m->bytes, m->len);
    memset(out->bytes, 0xee, sizeof(out->bytes));
    r = dhcp6_answer(config, bytes, m->len, &from, out->bytes, reply);
    free(bytes);
    out->len = r == 1 ? reply->len : 0;
    if (r == 1) {
        assert_in_range(out->len, OPTIONS_AT, DHCP6_REPLY_BYTES_MAX);
        assert_int_equal(out->bytes[out->len], 0xee);
        assert_memory_equal(out->bytes + 1, m->bytes + 1, 3);
        assert_true(addr_equal(&reply->dst, &from));
        assert_option(out, SERVER_ID, server_id, sizeof(server_id));
    }
    return r;
}

static inline int ask(const struct guest_config *config, const struct message *m, struct message *out,
               struct dhcp6_reply *reply)
{
    return ask_from(GUEST_LINK, config, m, out, reply);
}

static inline void assert_address(const uint8_t *body, const char *text, uint32_t lifetime)
{
    struct addr want = ip(text);

    assert_memory_equal(body, want.bytes, 16);
    assert_int_equal(be32(body + 16), lifetime);
    assert_int_equal(be32(body + 20), lifetime);
}

/* An IA_NA that holds guest6 for the lease, and after it @ended, if any, with lifetimes 0. */
static inline void assert_lease(const uint8_t *ia, uint32_t id, const char *ended)
{
    assert_non_null(ia);
    assert_int_equal(be16(ia), 12 + 28 + (ended ? 28 : 0));
    assert_int_equal(be32(ia + 2), id);
    assert_int_equal(be32(ia + 6), LEASE_S / 2);
    assert_int_equal(be32(ia + 10), LEASE_S * 4 / 5);
    assert_int_equal(be32(ia + 14), IA_ADDR << 16 | 24);
    assert_address(ia + 18, GUEST, LEASE_S);
    if (ended) {
        assert_int_equal(be32(ia + 42), IA_ADDR << 16 | 24);
        assert_address(ia + 46, ended, 0);
    }
}

static inline void assert_network(const struct message *m, const struct guest_config *config)
{
    assert_option(m, DNS, config->gateway6.bytes, 16);
    assert_option(m, SEARCH, config->search, config->search_len);
}

#endif
