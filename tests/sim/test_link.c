/*
 * What the link itself answers: ARP, DHCP, ping, and whose frames count at all.
 */
#include "sim.h"

enum { ETHERTYPE_ARP_ = 0x0806, ARP_LEN = 28, BOOTP_BYTES = 240 };

static const uint8_t broadcast_mac[FRAME_MAC_BYTES] = {255, 255, 255, 255, 255, 255};
static const uint8_t other_mac[FRAME_MAC_BYTES] = {2, 0, 0, 0, 0, 9};

static void send_arp(struct sim *sim, const struct addr *sender, const struct addr *target)
{
    uint8_t arp[ARP_LEN] = {0, 1, 8, 0, 6, 4, 0, 1}, frame[FRAME_ETH_BYTES + ARP_LEN];

    memcpy(arp + 8, sim->guest_mac, FRAME_MAC_BYTES);
    memcpy(arp + 14, sender->bytes, 4);
    memcpy(arp + 24, target->bytes, 4);
    sim_send(sim, frame, sim_build_eth(sim, broadcast_mac, ETHERTYPE_ARP_, arp, sizeof(arp), frame), NULL);
    sim_turn(sim);
}

static void test_a03_arp(void **state)
{
    static const struct addr nobody = {ADDR_V4, {192, 168, 127, 77}};
    static const struct {
        const char *why;
        const struct addr *sender, *target;
        bool alias_open, answered;
    } cases[] = {
        {"the gateway", &sim_guest4, &sim_gateway4, false, true},
        {"the alias while no rule opens it", &sim_guest4, &sim_alias4, false, false},
        {"the alias while one does", &sim_guest4, &sim_alias4, true, true},
        {"another address of the net", &sim_guest4, &nobody, true, false},
        {"its own address: duplicate detection", &sim_guest4, &sim_guest4, true, false},
        {"A5: somebody else's sender address", &nobody, &sim_gateway4, true, false},
    };
    struct sim *sim = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sim_frame *f;

        sim->guest->alias_open = cases[i].alias_open;
        send_arp(sim, cases[i].sender, cases[i].target);
        f = sim_take(sim);
        if (!f == cases[i].answered)
            fail_msg("%s", cases[i].why);
        if (!f)
            continue;
        assert_memory_equal(f->bytes, sim_guest_mac, FRAME_MAC_BYTES);
        assert_int_equal(f->len, FRAME_ETH_BYTES + ARP_LEN);
        assert_memory_equal(f->bytes + 14, ((uint8_t[]){0, 1, 8, 0, 6, 4, 0, 2}), 8);
        assert_memory_equal(f->bytes + 22, sim_gateway_mac, FRAME_MAC_BYTES);
        assert_memory_equal(f->bytes + 28, cases[i].target->bytes, 4);
        assert_memory_equal(f->bytes + 32, sim_guest_mac, FRAME_MAC_BYTES);
    }
    assert_int_equal(sim_count(sim, COUNTER_SPOOF_SRC), 1);
}

/* A4: frames go to where the guest's last valid frame came from, unless the configuration says where. */
static void test_a04_mac_learned(void **state)
{
    for (int pinned = 0; pinned <= 1; pinned++) {
        struct sim_options options = {.mac_pinned = pinned, .seed = 71};
        struct sim *sim = *state = sim_start(&options);
        struct sim_frame *f;

        send_arp(sim, &sim_guest4, &sim_gateway4);
        assert_non_null(sim_take(sim));
        memcpy(sim->guest_mac, other_mac, FRAME_MAC_BYTES);
        send_arp(sim, &sim_guest4, &sim_gateway4);
        f = sim_take(sim);
        assert_int_equal(f != NULL, !pinned);
        if (f)
            assert_memory_equal(f->bytes, other_mac, FRAME_MAC_BYTES);
        assert_memory_equal(sim->guest->mac, pinned ? sim_guest_mac : other_mac, FRAME_MAC_BYTES);
        assert_int_equal(sim_count(sim, COUNTER_SPOOF_SRC), pinned);
        if (!pinned)
            sim_stop(sim);
    }
}

/* Nothing is learned from a frame that is not believed. */
static void test_a04_invalid_frames_teach_nothing(void **state)
{
    static const struct addr spoofed = {ADDR_V4, {10, 0, 0, 1}};
    static const uint8_t group_mac[FRAME_MAC_BYTES] = {3, 0, 0, 0, 0, 9};
    struct sim *sim = *state;

    send_arp(sim, &sim_guest4, &sim_gateway4);
    assert_memory_equal(sim->guest->mac, sim_guest_mac, FRAME_MAC_BYTES);
    memcpy(sim->guest_mac, other_mac, FRAME_MAC_BYTES);
    sim_send_udp(sim, &spoofed, 1000, &sim_server4, 53, "x", 1);
    sim_turn(sim);
    assert_memory_equal(sim->guest->mac, sim_guest_mac, FRAME_MAC_BYTES);
    send_arp(sim, &spoofed, &sim_gateway4);
    assert_memory_equal(sim->guest->mac, sim_guest_mac, FRAME_MAC_BYTES);
    memcpy(sim->guest_mac, group_mac, FRAME_MAC_BYTES);
    send_arp(sim, &sim_guest4, &sim_gateway4);
    assert_memory_equal(sim->guest->mac, sim_guest_mac, FRAME_MAC_BYTES);
    memcpy(sim->guest_mac, sim_gateway_mac, FRAME_MAC_BYTES);
    send_arp(sim, &sim_guest4, &sim_gateway4);
    assert_memory_equal(sim->guest->mac, sim_guest_mac, FRAME_MAC_BYTES);
}

static void test_a05_spoofed_sources(void **state)
{
    static const struct {
        const char *why;
        struct addr src;
    } cases[] = {
        {"another address of the net", {ADDR_V4, {192, 168, 127, 3}}},
        {"the gateway's", {ADDR_V4, {192, 168, 127, 1}}},
        {"the alias", {ADDR_V4, {192, 168, 127, 254}}},
        {"a public one", {ADDR_V4, {203, 0, 113, 1}}},
        {"loopback", {ADDR_V4, {127, 0, 0, 1}}},
        {"broadcast", {ADDR_V4, {255, 255, 255, 255}}},
        {"none, but not for DHCP", {ADDR_V4, {0, 0, 0, 0}}},
    };
    struct sim *sim = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sim_tcp syn = {
            .src = cases[i].src, .dst = sim_server4, .src_port = 1000, .dst_port = 80, .flags = FRAME_SYN};

        sim_send_udp(sim, &cases[i].src, 1000, &sim_server4, 53, "x", 1);
        sim_send_tcp(sim, &syn);
        sim_turn(sim);
        if (sim_count(sim, COUNTER_SPOOF_SRC) != 2 * (i + 1))
            fail_msg("%s", cases[i].why);
    }
    assert_int_equal(sim->datagrams, 0);
    assert_int_equal(sim->flow_count, 0);
    assert_null(sim_take(sim));
}

/* Frames for a MAC that is not the gateway's are somebody else's. */
static void test_frame_for_another_mac(void **state)
{
    struct sim *sim = *state;
    uint8_t frame[FRAME_ETH_BYTES + 40] = {0};
    uint8_t udp[9];
    size_t len = sim_build_ip(sim, &sim_guest4, &sim_server4, FRAME_PROTO_UDP, udp,
                              sim_build_udp(&sim_guest4, 1000, &sim_server4, 53, "x", 1, udp), frame);

    memcpy(frame, other_mac, FRAME_MAC_BYTES);
    sim_send(sim, frame, len, NULL);
    sim_turn(sim);
    assert_int_equal(sim->datagrams, 0);
    assert_int_equal(sim_count(sim, COUNTER_FRAME_ETHERTYPE), 1);
}

/* ---- DHCP ---- */

static void send_dhcp(struct sim *sim, const struct addr *src, const struct addr *dst, uint8_t type,
                      const uint8_t *requested)
{
    uint8_t m[BOOTP_BYTES + 60] = {1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef};
    uint8_t *o = m + BOOTP_BYTES;

    memcpy(m + 28, sim->guest_mac, FRAME_MAC_BYTES);
    if (src->bytes[0] != 0)
        memcpy(m + 12, src->bytes, 4);
    memcpy(m + 236, ((uint8_t[]){99, 130, 83, 99}), 4);
    memcpy(o, ((uint8_t[]){53, 1, type}), 3);
    o += 3;
    if (requested) {
        memcpy(o, ((uint8_t[]){50, 4, requested[0], requested[1], requested[2], requested[3]}), 6);
        memcpy(o + 6, ((uint8_t[]){54, 4, 192, 168, 127, 1}), 6);
        o += 12;
    }
    *o = 255;
    sim_send_udp(sim, src, 68, dst, 67, m, sizeof(m));
    sim_turn(sim);
}

/* The value of option @code with @len bytes in the reply; fails the test without it. */
static const uint8_t *dhcp_option(const struct sim_frame *f, uint8_t code, uint8_t len)
{
    const uint8_t *at = f->payload + BOOTP_BYTES, *end = f->payload + f->payload_bytes;

    while (at < end && *at != 255) {
        if (*at == 0) {
            at++;
            continue;
        }
        if (*at == code) {
            assert_int_equal(at[1], len);
            return at + 2;
        }
        at += 2 + at[1];
    }
    fail_msg("no option %u", code);
    return NULL;
}

static struct sim_frame *take_dhcp(struct sim *sim, uint8_t type)
{
    struct sim_frame *f = sim_take(sim);

    assert_non_null(f);
    assert_int_equal(f->src_port, 67);
    assert_int_equal(f->dst_port, 68);
    assert_true(addr_equal(&f->src, &sim_gateway4));
    assert_int_equal(*dhcp_option(f, 53, 1), type);
    assert_memory_equal(f->payload + 4, ((uint8_t[]){0xde, 0xad, 0xbe, 0xef}), 4);
    assert_int_equal(sim->seen_count, 0);
    return f;
}

static void test_a06_dhcp(void **state)
{
    static const struct addr none = {.family = ADDR_V4}, everybody = {ADDR_V4, {255, 255, 255, 255}};
    static const uint8_t foreign[4] = {10, 0, 0, 5};
    enum { DISCOVER = 1, OFFER, REQUEST, ACK = 5, NAK = 6 };
    struct sim *sim = *state;
    struct sim_frame *f;

    send_dhcp(sim, &none, &everybody, DISCOVER, NULL);
    f = take_dhcp(sim, OFFER);
    assert_memory_equal(f->payload + 16, sim_guest4.bytes, 4);
    send_dhcp(sim, &none, &everybody, REQUEST, sim_guest4.bytes);
    f = take_dhcp(sim, ACK);
    assert_memory_equal(f->payload + 16, sim_guest4.bytes, 4);
    assert_memory_equal(dhcp_option(f, 1, 4), ((uint8_t[]){255, 255, 255, 0}), 4);
    assert_memory_equal(dhcp_option(f, 3, 4), sim_gateway4.bytes, 4);
    assert_memory_equal(dhcp_option(f, 6, 4), sim_gateway4.bytes, 4);
    assert_memory_equal(dhcp_option(f, 26, 2), ((uint8_t[]){1500 >> 8, 1500 & 255}), 2);
    assert_memory_equal(dhcp_option(f, 51, 4), ((uint8_t[]){0, 0, 3600 >> 8, 3600 & 255}), 4);

    send_dhcp(sim, &sim_guest4, &sim_gateway4, REQUEST, NULL); /* renews, by unicast */
    f = take_dhcp(sim, ACK);
    assert_true(addr_equal(&f->dst, &sim_guest4));
    assert_memory_equal(f->payload + 16, sim_guest4.bytes, 4);

    send_dhcp(sim, &none, &everybody, REQUEST, foreign);
    (void)take_dhcp(sim, NAK);
    assert_int_equal(sim_count(sim, COUNTER_DHCP_NAK), 1);
    assert_int_equal(sim->datagrams, 0);
}

/* ---- ICMP and groups ---- */

static void send_ping(struct sim *sim, const struct addr *dst, size_t data)
{
    static uint8_t icmp[2048], frame[FRAME_BYTES_MAX];
    uint16_t sum;

    memset(icmp, 0, 8);
    memcpy(icmp, ((uint8_t[]){8, 0, 0, 0, 0x12, 0x34, 0, 7}), 8);
    memcpy(icmp + 8, sim_pattern(0), data);
    sum = sim_checksum(icmp, 8 + data, 0);
    icmp[2] = (uint8_t)(sum >> 8);
    icmp[3] = (uint8_t)sum;
    sim_send(sim, frame, sim_build_ip(sim, &sim_guest4, dst, FRAME_PROTO_ICMP, icmp, 8 + data, frame), NULL);
    sim_turn(sim);
}

static void test_a16_ping_gateway(void **state)
{
    struct sim *sim = *state;
    struct sim_frame *f;

    send_ping(sim, &sim_gateway4, 56);
    f = sim_take(sim);
    assert_non_null(f);
    assert_int_equal(f->proto, FRAME_PROTO_ICMP);
    assert_true(addr_equal(&f->src, &sim_gateway4) && addr_equal(&f->dst, &sim_guest4));
    assert_int_equal(f->l4[0], 0);
    assert_memory_equal(f->l4 + 4, ((uint8_t[]){0x12, 0x34, 0, 7}), 4);
    assert_int_equal(sim_compare(f->l4 + 8, f->l4_bytes - 8, 0), 0);
    assert_int_equal(sim->echoes, 0);
    send_ping(sim, &sim_server4, 56); /* others are the caller's to answer */
    assert_null(sim_take(sim));
    assert_int_equal(sim->echoes, 1);
}

static void test_ping_flood_is_bounded(void **state)
{
    struct sim *sim = *state;

    for (int i = 0; i < 2 * GUEST_ICMP_PER_S; i++)
        send_ping(sim, &sim_gateway4, 8);
    assert_int_equal(sim_drain(sim), GUEST_ICMP_PER_S);
    assert_int_equal(sim_count(sim, COUNTER_ICMP_IGNORED), GUEST_ICMP_PER_S);
    sim_run(sim, 1000);
    send_ping(sim, &sim_gateway4, 8);
    assert_int_equal(sim_drain(sim), 1);
}

static void send_solicitation(struct sim *sim, const struct addr *target)
{
    uint8_t nd[32] = {135}, frame[FRAME_BYTES_MAX];
    size_t len;
    uint16_t sum;

    memcpy(nd + 8, target->bytes, 16);
    nd[24] = nd[25] = 1; /* the sender's link-layer address */
    memcpy(nd + 26, sim->guest_mac, FRAME_MAC_BYTES);
    sum = sim_checksum(nd, sizeof(nd), sim_pseudo(&sim_guest6, target, FRAME_PROTO_ICMPV6, sizeof(nd)));
    nd[2] = (uint8_t)(sum >> 8);
    nd[3] = (uint8_t)sum;
    len = sim_build_ip(sim, &sim_guest6, target, FRAME_PROTO_ICMPV6, nd, sizeof(nd), frame);
    frame[FRAME_ETH_BYTES + 7] = 255; /* hop limit, RFC 4861 section 7.1.1 */
    sim_send(sim, frame, len, NULL);
    sim_turn(sim);
}

/* One program's flood of denied datagrams, or of pings, does not take the gateway from the others of the guest. */
static void test_a14_the_gateway_is_found_when_no_more_errors_are_sent(void **state)
{
    struct sim *sim = *state;

    send_arp(sim, &sim_guest4, &sim_gateway4);
    send_solicitation(sim, &sim_gateway6);
    assert_int_equal(sim_drain(sim), 2);
    for (int i = 0; i <= GUEST_ICMP_PER_S; i++)
        send_ping(sim, &sim_gateway4, 8);
    assert_int_equal(sim_drain(sim), GUEST_ICMP_PER_S);
    send_arp(sim, &sim_guest4, &sim_gateway4);
    assert_int_equal(sim_drain(sim), 1);
    send_solicitation(sim, &sim_gateway6);
    assert_int_equal(sim_drain(sim), 1);
}

static void test_group_destinations(void **state)
{
    static const struct addr groups[] = {
        {ADDR_V4, {224, 0, 0, 251}},
        {ADDR_V4, {239, 255, 255, 250}},
        {ADDR_V4, {255, 255, 255, 255}},
        {ADDR_V4, {192, 168, 127, 255}},
    };
    struct sim *sim = *state;

    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        struct sim_tcp syn = {
            .src = sim_guest4, .dst = groups[i], .src_port = 1, .dst_port = 80, .flags = FRAME_SYN};

        sim_send_udp(sim, &sim_guest4, 1000, &groups[i], 1900, "x", 1);
        send_ping(sim, &groups[i], 8);
        sim_send_tcp(sim, &syn);
        sim_turn(sim);
        assert_int_equal(sim_count(sim, COUNTER_MULTICAST), 3 * (i + 1));
    }
    assert_int_equal(sim->datagrams + sim->echoes + sim->flow_count, 0);
    assert_null(sim_take(sim));
}

/* A monitor that reconnects may bring another MAC, and nothing half-received. */
static void test_guest_reset(void **state)
{
    struct sim *sim = *state;
    struct wire wire = sim->guest->wire;

    send_arp(sim, &sim_guest4, &sim_gateway4);
    sim_send_fragment(sim, &sim_server4, FRAME_PROTO_UDP, 1, sim_pattern(0), 0, 800, true);
    sim_turn(sim);
    assert_true(sim->pool.bytes_used > 0);
    sim_drain(sim);
    guest_reset(sim->guest, &wire);
    assert_int_equal(sim->pool.bytes_used, 0);
    assert_false(sim->guest->mac_known);
    (void)stack_send_datagram(sim->stack, sim->guest, &(struct datagram){.src = sim_server4, .dst = sim_guest4,
                              .src_port = 53, .dst_port = 1000, .bytes = "x", .len = 1});
    sim_turn(sim);
    assert_null(sim_take(sim)); /* nobody is known to be there */
    memcpy(sim->guest_mac, other_mac, FRAME_MAC_BYTES);
    send_arp(sim, &sim_guest4, &sim_gateway4);
    assert_memory_equal(sim_take(sim)->bytes, other_mac, FRAME_MAC_BYTES);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
#define OWN(f) cmocka_unit_test_teardown(f, sim_teardown) /* starts its own sim */

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a03_arp),
        OWN(test_a04_mac_learned),
        CASE(test_a04_invalid_frames_teach_nothing),
        CASE(test_a05_spoofed_sources),
        CASE(test_frame_for_another_mac),
        CASE(test_a06_dhcp),
        CASE(test_a16_ping_gateway),
        CASE(test_ping_flood_is_bounded),
        CASE(test_a14_the_gateway_is_found_when_no_more_errors_are_sent),
        CASE(test_group_destinations),
        CASE(test_guest_reset),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
