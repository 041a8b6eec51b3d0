/*
 * F15: a frame that is dropped at the edge moves one counter by one, and no other; and it goes nowhere.
 */
#include "sim.h"

enum { IP = FRAME_ETH_BYTES, PATCHES = 5, FRAME_MAX = 600, DATA_BYTES = 24 };

/* One UDP datagram from the guest to a server, with some bytes changed. */
struct drop_case {
    const char *why;
    enum counter counter;
    struct {
        int at; /* 0: none */
        uint8_t value;
    } patch[PATCHES];
    int grow;   /* bytes of the frame; fewer with < 0 */
    bool again; /* the same frame once more is what is dropped */
    bool trusted; /* the channel vouches for the checksum */
};

static const struct drop_case cases4[] = {
    {"a runt", COUNTER_FRAME_BAD, .grow = -60},
    {"a length beyond the frame", COUNTER_FRAME_BAD, .grow = -1},
    {"a group as its source MAC", COUNTER_FRAME_BAD, .patch = {{6, 3}}},
    {"TTL 0", COUNTER_FRAME_BAD, .patch = {{IP + 8, 0}}},
    {"the length of UDP", COUNTER_FRAME_BAD, .patch = {{IP + 25, 7}}},
    {"the checksum of UDP", COUNTER_FRAME_CSUM, .patch = {{IP + 28, 1}}},
    {"an unknown ethertype", COUNTER_FRAME_ETHERTYPE, .patch = {{12, 0x88}}},
    {"a VLAN", COUNTER_FRAME_ETHERTYPE, .patch = {{12, 0x81}, {13, 0}}},
    {"another MAC's", COUNTER_FRAME_ETHERTYPE, .patch = {{5, 9}}},
    {"another source", COUNTER_SPOOF_SRC, .patch = {{IP + 15, 3}}},
    {"the gateway's MAC as its source", COUNTER_SPOOF_SRC, .patch = {{11, 1}}},
    {"options", COUNTER_IP_OPTIONS, .patch = {{IP, 0x46}}},
    {"a router alert of no report", COUNTER_IP_OPTIONS, .patch = {{IP, 0x46}, {IP + 20, 0x94}, {IP + 21, 4}}},
    {"a last fragment that is more than a datagram", COUNTER_IP_FRAG, .patch = {{IP + 6, 0x1f}, {IP + 7, 0xff}}},
    {"a fragment that comes twice", COUNTER_IP_FRAG, .patch = {{IP + 6, 0x20}}, .again = true},
    {"a protocol nobody has", COUNTER_PROTO_L3, .patch = {{IP + 9, 132}}},
    {"IPv6 in IPv4", COUNTER_PROTO_L3, .patch = {{IP + 9, 41}}},
    {"multicast", COUNTER_MULTICAST, .patch = {{IP + 16, 224}}, .trusted = true},
};

static const struct drop_case cases6[] = {
    {"a runt", COUNTER_FRAME_BAD, .grow = -80},
    {"a length beyond the frame", COUNTER_FRAME_BAD, .grow = -1},
    {"a group as its source MAC", COUNTER_FRAME_BAD, .patch = {{6, 3}}},
    {"hop limit 0", COUNTER_FRAME_BAD, .patch = {{IP + 7, 0}}},
    {"no destination", COUNTER_FRAME_BAD, .patch = {{IP + 24, 0}, {IP + 25, 0}, {IP + 26, 0}, {IP + 27, 0}, {IP + 39, 0}}},
    {"the length of UDP", COUNTER_FRAME_BAD, .patch = {{IP + 45, 7}}},
    {"the checksum of UDP", COUNTER_FRAME_CSUM, .patch = {{IP + 48, 1}}},
    {"no checksum of UDP", COUNTER_FRAME_CSUM, .patch = {{IP + 46, 0}, {IP + 47, 0}}},
    {"an unknown ethertype", COUNTER_FRAME_ETHERTYPE, .patch = {{12, 0x88}}},
    {"another MAC's", COUNTER_FRAME_ETHERTYPE, .patch = {{5, 9}}},
    {"another source", COUNTER_SPOOF_SRC, .patch = {{IP + 8, 0x20}}},
    {"the gateway's MAC as its source", COUNTER_SPOOF_SRC, .patch = {{11, 1}}},
    {"hop-by-hop options", COUNTER_IP_OPTIONS, .patch = {{IP + 6, 0}}},
    {"a routing header", COUNTER_IP_OPTIONS, .patch = {{IP + 6, 43}}},
    {"destination options to a group", COUNTER_IP_OPTIONS, .patch = {{IP + 6, 60}, {IP + 24, 0xff}}},
    {"an atomic fragment", COUNTER_IP_FRAG, .patch = {{IP + 6, 44}, {IP + 42, 0}, {IP + 43, 0}}},
    {"a fragment that comes twice", COUNTER_IP_FRAG, .patch = {{IP + 6, 44}, {IP + 40, 17}, {IP + 42, 0}, {IP + 43, 1}}, .again = true},
    {"a protocol nobody has", COUNTER_PROTO_L3, .patch = {{IP + 6, 132}}},
    {"IPv4 in IPv6", COUNTER_PROTO_L3, .patch = {{IP + 6, 4}}},
    {"IPv4's ICMP", COUNTER_PROTO_L3, .patch = {{IP + 6, 1}}},
    {"multicast", COUNTER_MULTICAST, .patch = {{IP + 24, 0xff}}, .trusted = true},
};

static void mend4(uint8_t *frame)
{
    size_t header = (frame[IP] & 15u) * 4;
    uint16_t sum;

    frame[IP + 10] = frame[IP + 11] = 0;
    sum = sim_checksum(frame + IP, header, 0);
    frame[IP + 10] = (uint8_t)(sum >> 8);
    frame[IP + 11] = (uint8_t)sum;
}

static void send_case(struct sim *sim, const struct drop_case *c)
{
    struct frame_offload offload = {.csum_trusted = c->trusted};
    uint8_t l4[100], frame[FRAME_MAX] = {0};
    size_t n = sim_build_udp(&sim_guest, 5000, &sim_server, 53, sim_pattern(0), DATA_BYTES, l4);

    n = sim_build_ip(sim, &sim_guest, &sim_server, FRAME_PROTO_UDP, l4, n, frame);
    for (int i = 0; i < PATCHES; i++)
        if (c->patch[i].at > 0)
            frame[c->patch[i].at] = c->patch[i].value;
    if (sim_guest.family == ADDR_V4)
        mend4(frame);
    for (int i = 0; i <= c->again; i++)
        sim_send(sim, frame, (size_t)((int)n + c->grow), &offload);
    sim_turn(sim);
}

static void test_f15_one_counter_each(void **state)
{
    bool v6 = sim_guest.family == ADDR_V6;
    const struct drop_case *cases = v6 ? cases6 : cases4;
    size_t count = v6 ? sizeof(cases6) / sizeof(cases6[0]) : sizeof(cases4) / sizeof(cases4[0]);
    struct sim *sim = *state;

    for (size_t i = 0; i < count; i++) {
        struct counters before = sim->counters;

        send_case(sim, &cases[i]);
        for (enum counter c = 0; c < COUNTER_COUNT; c++) {
            uint64_t more = sim_count(sim, c) - before.n[c];
            uint64_t want = c == COUNTER_FRAMES_IN ? 1u + cases[i].again : c == cases[i].counter;

            if (more != want)
                fail_msg("%s: %s went up by %u", cases[i].why, counter_name(c), (unsigned)more);
        }
        if (sim->datagrams + sim->echoes + sim->refusals + sim->flow_count > 0 || sim_take(sim))
            fail_msg("%s: it went somewhere", cases[i].why);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_f15_one_counter_each, sim_setup, sim_teardown),
    };

    sim_family(argc, argv);
    return cmocka_run_group_tests_name("drops", tests, NULL, NULL);
}
