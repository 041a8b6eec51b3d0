#include "stack/arp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/unit/packets.h"

/* 192.168.127.0/24 */
#define NET 0xc0a87f00u
#define GATEWAY (NET + 1)
#define GUEST (NET + 2)
#define OTHER_GUEST (NET + 3)
#define ALIAS (NET + 254)

enum { SENDER_AT = IP + 14, TARGET_AT = IP + 24 };

static const uint8_t gateway_mac[FRAME_MAC_BYTES] = {0x52, 0x55, 0x0a, 0, 0, 1};

struct arp_case {
    const char *why;
    uint32_t sender, target;
    struct {
        int at; /* 0: none */
        uint8_t value;
    } patch[2];
    int grow;
    bool alias_open;
    int want;
};

static const struct arp_case cases[] = {
    { "A3 who-has the gateway", GUEST, GATEWAY, .want = 1 },
    { "A3 with Ethernet padding", GUEST, GATEWAY, .grow = 18, .want = 1 },
    { "A3 who-has the alias while a rule opens it", GUEST, ALIAS, .alias_open = true, .want = 1 },
    { "A3 who-has the alias otherwise", GUEST, ALIAS, .want = -ENOENT },
    { "A3 who-has another guest", GUEST, OTHER_GUEST, .want = -ENOENT },
    { "T144 who-has 169.254.169.254", GUEST, 0xa9fea9fe, .want = -ENOENT },
    { "who-has the network's address", GUEST, NET, .want = -ENOENT },
    { "a probe for its own address finds no conflict", 0, GUEST, .want = 0 },
    { "a probe for the gateway's address sees the conflict", 0, GATEWAY, .want = 1 },
    { "a gratuitous announcement of its own", GUEST, GUEST, .want = 0 },
    { "a gratuitous reply of its own", GUEST, GUEST, {{IP + 7, 2}}, .want = 0 },
    { "T144 a gratuitous announcement of the gateway's", GATEWAY, GATEWAY, .want = -EPERM },
    { "T144 a reply for the gateway", GATEWAY, GUEST, {{IP + 7, 2}}, .want = -EPERM },
    { "T144 another guest as sender", OTHER_GUEST, GATEWAY, .want = -EPERM },
    { "T144 the alias as sender", ALIAS, GATEWAY, .alias_open = true, .want = -EPERM },
    { "T144 a link-local sender", 0xa9fe0001, GATEWAY, .want = -EPERM },
    { "T144 a reply of the guest's, unasked", GUEST, GATEWAY, {{IP + 7, 2}}, .want = -ENOENT },
    { "T144 a sender MAC that is not the frame's", GUEST, GATEWAY, {{IP + 13, 9}}, .want = -EBADMSG },
    { "one byte short", GUEST, GATEWAY, .grow = -1, .want = -EBADMSG },
    { "no body", GUEST, GATEWAY, .grow = -28, .want = -EBADMSG },
    { "hardware type IEEE 802", GUEST, GATEWAY, {{IP + 1, 6}}, .want = -EBADMSG },
    { "protocol IPv6", GUEST, GATEWAY, {{IP + 2, 0x86}, {IP + 3, 0xdd}}, .want = -EBADMSG },
    { "hardware addresses of 8 bytes", GUEST, GATEWAY, {{IP + 4, 8}}, .want = -EBADMSG },
    { "protocol addresses of 16 bytes", GUEST, GATEWAY, {{IP + 5, 16}}, .want = -EBADMSG },
    { "operation 0", GUEST, GATEWAY, {{IP + 7, 0}}, .want = -EBADMSG },
    { "operation 3 (RARP)", GUEST, GATEWAY, {{IP + 7, 3}}, .want = -EBADMSG },
};

static struct guest make_guest(bool alias_open)
{
    struct guest guest = {
        .alias_open = alias_open,
        .config = {
            .net4 = {.base = addr_v4(NET), .bits = 24},
            .gateway4 = addr_v4(GATEWAY),
            .guest4 = addr_v4(GUEST),
            .alias4 = addr_v4(ALIAS),
        },
    };

    memcpy(guest.config.gateway_mac, gateway_mac, sizeof(gateway_mac));
    return guest;
}

static void put_be32(uint8_t *p, uint32_t v)
{
    struct addr a = addr_v4(v);

    memcpy(p, a.bytes, 4);
}

static void assert_is_reply(const uint8_t *out, const struct packet *question)
{
    static const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0, 2};

    assert_memory_equal(out, head, sizeof(head));
    assert_memory_equal(out + 8, gateway_mac, FRAME_MAC_BYTES);
    assert_memory_equal(out + 14, question->bytes + TARGET_AT, 4);
    assert_memory_equal(out + 18, question->bytes + 6, FRAME_MAC_BYTES);
    assert_memory_equal(out + 24, question->bytes + SENDER_AT, 4);
}

static void test_a03_t144_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        static const struct frame_offload plain;
        const struct arp_case *c = &cases[i];
        struct guest guest = make_guest(c->alias_open);
        struct packet p = arp_packet();
        uint8_t out[ARP_BYTES] = {0xee};
        struct frame f;
        int r;

        memcpy(p.bytes + IP + 8, p.bytes + 6, FRAME_MAC_BYTES);
        put_be32(p.bytes + SENDER_AT, c->sender);
        put_be32(p.bytes + TARGET_AT, c->target);
        for (size_t j = 0; j < ARRAY_SIZE(c->patch); j++)
            if (c->patch[j].at > 0)
                p.bytes[c->patch[j].at] = c->patch[j].value;
        p.len = (size_t)((int)p.len + c->grow);
        assert_int_equal(frame_read(p.bytes, p.len, &plain, &f), 0);
        r = arp_answer(&guest, &f, out);
        if (r != c->want)
            fail_msg("%s: %d, not %d", c->why, r, c->want);
        if (r == 1)
            assert_is_reply(out, &p);
        else
            assert_int_equal(out[0], 0xee);
    }
}

/* Without IPv4 there is no address to answer for, nor one that may ask. */
static void test_ipv4_off(void **state)
{
    static const struct frame_offload plain;
    struct guest guest = {.alias_open = true};
    struct packet p = arp_packet();
    uint8_t out[ARP_BYTES];
    struct frame f;

    (void)state;
    memcpy(p.bytes + IP + 8, p.bytes + 6, FRAME_MAC_BYTES);
    assert_int_equal(frame_read(p.bytes, p.len, &plain, &f), 0);
    assert_int_equal(arp_answer(&guest, &f, out), -ENOENT);
    put_be32(p.bytes + SENDER_AT, GUEST);
    assert_int_equal(arp_answer(&guest, &f, out), -EPERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a03_t144_answers),
        cmocka_unit_test(test_ipv4_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
