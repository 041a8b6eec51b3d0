/*
 * What a decent guest says while it starts, in the order a Linux kernel and its clients say it: none of it is a drop.
 */
#include "sim.h"

enum {
    ARP_BYTES = 28,
    ETHERTYPE_ARP_ = 0x0806,
    IGMP = 2,
    HOP_BY_HOP = 0,
    ALERT_BYTES = 8,
    BOOTP_BYTES = 240,
    ND_HOP_LIMIT = 255,
};

static const struct addr none4 = {.family = ADDR_V4}, none6 = {.family = ADDR_V6};
static const struct addr link_local = {ADDR_V6, {0xfe, 0x80, [8] = 2, [11] = 0xff, 0xfe, [15] = 2}};
static const struct addr own = {ADDR_V6, {0xfd, 0x77, 0x65, 0x69, 0, 0x72, [8] = 2, [11] = 0xff, 0xfe, [15] = 2}}; /* by SLAAC */
static const struct addr all_routers = {ADDR_V6, {0xff, 2, [15] = 2}}, all_nodes = {ADDR_V6, {0xff, 2, [15] = 1}};
static const struct addr mld_routers = {ADDR_V6, {0xff, 2, [15] = 0x16}}, dhcp_servers = {ADDR_V6, {0xff, 2, [13] = 1, [15] = 2}};
static const struct addr igmp_routers = {ADDR_V4, {224, 0, 0, 22}}, everybody = {ADDR_V4, {255, 255, 255, 255}};

/* Counters that say of something that it happened, not that it was dropped or refused. */
static bool is_no_drop(enum counter c)
{
    return c == COUNTER_FRAMES_IN || c == COUNTER_FRAMES_OUT || c == COUNTER_GROUP_REPORT;
}

static void no_drop(const struct sim *sim, const char *after)
{
    for (enum counter c = 0; c < COUNTER_COUNT; c++)
        if (sim_count(sim, c) > 0 && !is_no_drop(c))
            fail_msg("%s: %s", after, counter_name(c));
}

static void send_packet(struct sim *sim, const struct addr *src, const struct addr *dst, uint8_t proto, uint8_t hop_limit,
                        const uint8_t *bytes, size_t len)
{
    uint8_t frame[512];
    size_t n = sim_build_ip(sim, src, dst, proto, bytes, len, frame);

    frame[FRAME_ETH_BYTES + 7] = hop_limit; /* of IPv6 */
    if (dst->bytes[0] == 0xff)
        memcpy(frame, ((uint8_t[]){0x33, 0x33, dst->bytes[12], dst->bytes[13], dst->bytes[14], dst->bytes[15]}), FRAME_MAC_BYTES);
    sim_send(sim, frame, n, NULL);
    sim_turn(sim);
}

/* A message of ICMPv6 at @icmp, its checksum made. */
static void send_icmp6(struct sim *sim, const struct addr *src, const struct addr *dst, uint8_t *icmp, size_t len)
{
    uint16_t sum = sim_checksum(icmp, len, sim_pseudo(src, dst, FRAME_PROTO_ICMPV6, len));

    icmp[2] = (uint8_t)(sum >> 8);
    icmp[3] = (uint8_t)sum;
    send_packet(sim, src, dst, FRAME_PROTO_ICMPV6, ND_HOP_LIMIT, icmp, len);
}

static struct addr solicited_node(const struct addr *a)
{
    struct addr group = {ADDR_V6, {0xff, 2, [11] = 1, 0xff}};

    memcpy(group.bytes + 13, a->bytes + 13, 3);
    return group;
}

/* RFC 4861 section 4.3; @src none: a probe for a twin. */
static void send_solicitation(struct sim *sim, const struct addr *src, const struct addr *target)
{
    uint8_t icmp[32] = {135};
    struct addr group = solicited_node(target);
    bool probe = addr_equal(src, &none6);

    memcpy(icmp + 8, target->bytes, 16);
    memcpy(icmp + 24, ((uint8_t[]){1, 1}), 2);
    memcpy(icmp + 26, sim->guest_mac, FRAME_MAC_BYTES);
    send_icmp6(sim, src, &group, icmp, probe ? 24 : 32);
}

/* RFC 3810 section 5.2: one record, "change to exclude nobody", for the group of @listens. */
static void send_mld(struct sim *sim, const struct addr *src, const struct addr *listens)
{
    uint8_t bytes[ALERT_BYTES + 28] = {FRAME_PROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0, 143, [15] = 1, 4};
    uint8_t *mld = bytes + ALERT_BYTES;
    struct addr group = solicited_node(listens);
    uint16_t sum;

    memcpy(mld + 12, group.bytes, 16);
    sum = sim_checksum(mld, 28, sim_pseudo(src, &mld_routers, FRAME_PROTO_ICMPV6, 28));
    mld[2] = (uint8_t)(sum >> 8);
    mld[3] = (uint8_t)sum;
    send_packet(sim, src, &mld_routers, HOP_BY_HOP, 1, bytes, sizeof(bytes));
}

static void send_arp(struct sim *sim, const struct addr *sender, const struct addr *target)
{
    static const uint8_t everyone[FRAME_MAC_BYTES] = {255, 255, 255, 255, 255, 255};
    uint8_t arp[ARP_BYTES] = {0, 1, 8, 0, 6, 4, 0, 1}, frame[FRAME_ETH_BYTES + ARP_BYTES];

    memcpy(arp + 8, sim->guest_mac, FRAME_MAC_BYTES);
    memcpy(arp + 14, sender->bytes, 4);
    memcpy(arp + 24, target->bytes, 4);
    sim_send(sim, frame, sim_build_eth(sim, everyone, ETHERTYPE_ARP_, arp, sizeof(arp), frame), NULL);
    sim_turn(sim);
}

/* RFC 3376 section 4.2, with its router alert; @src none: before DHCP. */
static void send_igmp(struct sim *sim, const struct addr *src)
{
    uint8_t packet[40] = {0x46, 0xc0, 0, 40, 0, 0, 0x40, 0, 1, IGMP, [20] = 0x94, 4, 0, 0, 0x22, [31] = 1, 4, [36] = 224, 0, 0, 251};
    static const uint8_t mac[FRAME_MAC_BYTES] = {1, 0, 0x5e, 0, 0, 22};
    uint8_t frame[FRAME_ETH_BYTES + sizeof(packet)];
    uint16_t sum;

    memcpy(packet + 12, src->bytes, 4);
    memcpy(packet + 16, igmp_routers.bytes, 4);
    sum = sim_checksum(packet, 24, 0);
    memcpy(packet + 10, ((uint8_t[]){(uint8_t)(sum >> 8), (uint8_t)sum}), 2);
    sum = sim_checksum(packet + 24, 16, 0);
    memcpy(packet + 26, ((uint8_t[]){(uint8_t)(sum >> 8), (uint8_t)sum}), 2);
    sim_send(sim, frame, sim_build_eth(sim, mac, 0x0800, packet, sizeof(packet), frame), NULL);
    sim_turn(sim);
}

static void send_dhcp4(struct sim *sim, uint8_t type)
{
    uint8_t m[BOOTP_BYTES + 16] = {1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef, [236] = 99, 130, 83, 99, 53, 1, type, 255};

    memcpy(m + 28, sim->guest_mac, FRAME_MAC_BYTES);
    if (type == 3) {
        memcpy(m + BOOTP_BYTES + 3, ((uint8_t[]){50, 4}), 2);
        memcpy(m + BOOTP_BYTES + 5, sim_guest4.bytes, 4);
        m[BOOTP_BYTES + 9] = 255;
    }
    sim_send_udp(sim, &none4, 68, &everybody, 67, m, sizeof(m));
    sim_turn(sim);
}

/* RFC 8415 section 18.2.1: a solicitation with a client id and one association. */
static void send_dhcp6(struct sim *sim)
{
    static const uint8_t m[] = {1, 1, 2, 3, 0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 2,  0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
                                0, 8, 0, 2, 0, 0};

    sim_send_udp(sim, &link_local, 546, &dhcp_servers, 547, m, sizeof(m));
    sim_turn(sim);
}

/* F15, A5, A14: every answer is there, and no counter but those that say how much there was. */
static void test_a14_f15_a_start_without_a_drop(void **state)
{
    uint8_t solicitation[16] = {133, [8] = 1, 1}, advertisement[32] = {136, [4] = 0x20, [24] = 2, 1};
    struct sim *sim = *state;

    sim->guest->config.slaac = true;
    memcpy(solicitation + 10, sim->guest_mac, FRAME_MAC_BYTES);
    send_mld(sim, &none6, &link_local);
    send_solicitation(sim, &none6, &link_local);
    no_drop(sim, "looking for a twin of its link-local address");
    assert_null(sim_take(sim));
    send_mld(sim, &link_local, &link_local);
    send_icmp6(sim, &link_local, &all_routers, solicitation, sizeof(solicitation));
    no_drop(sim, "asking for a router");
    assert_int_equal(sim_drain(sim), 1);
    send_mld(sim, &link_local, &own);
    send_solicitation(sim, &none6, &own);
    no_drop(sim, "looking for a twin of its own address");
    send_dhcp6(sim);
    assert_int_equal(sim_drain(sim), 1);
    send_mld(sim, &link_local, &sim_guest6);
    send_solicitation(sim, &none6, &sim_guest6);
    no_drop(sim, "DHCPv6");
    memcpy(advertisement + 8, own.bytes, 16);
    memcpy(advertisement + 26, sim->guest_mac, FRAME_MAC_BYTES);
    send_icmp6(sim, &own, &all_nodes, advertisement, sizeof(advertisement));
    send_solicitation(sim, &own, &sim_router6);
    no_drop(sim, "saying where it is, and asking where the router is");
    assert_int_equal(sim_drain(sim), 1);

    send_igmp(sim, &none4);
    send_dhcp4(sim, 1);
    send_dhcp4(sim, 3);
    assert_int_equal(sim_drain(sim), 2);
    no_drop(sim, "DHCP");
    send_arp(sim, &none4, &sim_guest4);
    send_arp(sim, &sim_guest4, &sim_guest4);
    send_igmp(sim, &sim_guest4);
    no_drop(sim, "saying whose address it is");
    send_arp(sim, &sim_guest4, &sim_gateway4);
    assert_int_equal(sim_drain(sim), 1);
    no_drop(sim, "asking where the gateway is");
    assert_int_equal(sim_count(sim, COUNTER_GROUP_REPORT), 6);
}

/* A report is believed no more than other frames are. */
static void test_a05_reports_of_somebody_else(void **state)
{
    static const struct addr foreign4 = {ADDR_V4, {192, 168, 127, 3}}, foreign6 = {ADDR_V6, {0xfd, 0x99, [15] = 2}};
    struct sim *sim = *state;

    send_igmp(sim, &foreign4);
    send_mld(sim, &foreign6, &own);
    assert_int_equal(sim_count(sim, COUNTER_SPOOF_SRC), 2);
    assert_int_equal(sim_count(sim, COUNTER_GROUP_REPORT), 0);
    assert_false(sim->guest->mac_known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a14_f15_a_start_without_a_drop, sim_setup, sim_teardown),
        cmocka_unit_test_setup_teardown(test_a05_reports_of_somebody_else, sim_setup, sim_teardown),
    };

    return cmocka_run_group_tests_name("startup", tests, NULL, NULL);
}
