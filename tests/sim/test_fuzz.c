/*
 * A hostile guest, A13: mutated frames of a real session, segments made to hit what lwIP asserts, and packets that are nearly right
 * (hostile.h), of both families, while an application reads, writes, closes and aborts, and datagrams come back. Nothing may reach a
 * CHECK, every frame for the guest is a right one (packet.c), and memory stays below its ceilings.
 *
 * WEIR_FUZZ_FRAMES and WEIR_FUZZ_SEED run more and other frames than the 100,000 of the suite.
 */
#include "hostile.h"
#include "peer.h"

#include <stdlib.h>

#include "stack/heap.h"

enum {
    FRAMES_DEFAULT = 100000,
    FRAMES_A_ROUND = 2000,
    FLOWS_MAX = 400,
    PEERS = 4,
    CORPUS_MAX = 1024,
    POOL_BYTES = 8 * 1024 * 1024,
};

/* ---- the corpus: what a decent guest sends ---- */

struct recorded {
    struct frame_offload offload;
    size_t len;
    uint8_t *bytes; /* owned */
};

static struct recorded corpus[CORPUS_MAX];
static size_t corpus_count;

static void record(struct sim *sim, const uint8_t *bytes, size_t len, const struct frame_offload *offload)
{
    struct recorded *r = &corpus[corpus_count];

    (void)sim;
    if (corpus_count == CORPUS_MAX || len > FRAME_BYTES_MAX)
        return;
    r->bytes = malloc(len);
    assert_non_null(r->bytes);
    memcpy(r->bytes, bytes, len);
    r->len = len;
    r->offload = *offload;
    corpus_count++;
}

/* Once a family: the same flows, and what the link itself answers. */
static void record_link4(struct sim *sim)
{
    static const uint8_t arp[28] = {0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 192, 168, 127, 2,
                                    0, 0, 0, 0, 0, 0, 192, 168, 127, 1};
    static const uint8_t ping[16] = {8, 0, 0xf7, 0xff};
    static const uint8_t dhcp[300] = {1,  1,   6,  [28] = 2, [33] = 2, [236] = 99, 130, 83, 99, 53, 1,
                                      1,  55,  3,  1,        3,        6,          57,  2,  2,  64, 255};
    uint8_t frame[400];

    sim_send(sim, frame, sim_build_eth(sim, sim_gateway_mac, 0x0806, arp, sizeof(arp), frame), NULL);
    sim_send(sim, frame,
             sim_build_ip(sim, &sim_guest4, &sim_gateway4, FRAME_PROTO_ICMP, ping, sizeof(ping), frame), NULL);
    sim_send_udp(sim, &sim_guest4, 68, &sim_gateway4, 67, dhcp, sizeof(dhcp));
}

static void record_link6(struct sim *sim)
{
    static const struct addr link_local = {ADDR_V6, {0xfe, 0x80, [15] = 2}}, all_routers = {ADDR_V6, {0xff, 2, [15] = 2}};
    static const struct addr dhcp_servers = {ADDR_V6, {0xff, 2, [13] = 1, [15] = 2}};
    static const uint8_t dhcp[] = {1, 1, 2, 3, 0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 2,  0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
    uint8_t icmp[32] = {133, [8] = 1, 1, 2, 0, 0, 0, 0, 2}, frame[400];

    for (uint8_t type = 133; type <= 135; type += 2) {
        size_t n = type == 133 ? 16 : 32, len;

        icmp[0] = type;
        if (type == 135) {
            memcpy(icmp + 8, sim_gateway6.bytes, 16);
            memcpy(icmp + 24, ((uint8_t[]){1, 1, 2, 0, 0, 0, 0, 2}), 8);
        }
        len = sim_build_ip(sim, &link_local, &all_routers, FRAME_PROTO_ICMPV6, icmp, n, frame);
        frame[FRAME_ETH_BYTES + 7] = 255;
        sim_send(sim, frame, len, NULL);
    }
    sim_send_udp(sim, &link_local, 546, &dhcp_servers, 547, dhcp, sizeof(dhcp));
}

static void record_session(enum addr_family family)
{
    struct sim_options options = {.family = family, .csum_offload = true, .tso = true, .seed = 91};
    struct sim_peer_options super = PEER_DEFAULT, plain = PEER_DEFAULT;
    struct sim *sim = sim_start(&options);
    struct sim_peer *a, *b;

    sim->on_input = record;
    sim->app = SIM_ECHO;
    if (family == ADDR_V6)
        record_link6(sim);
    else
        record_link4(sim);
    sim_send_udp(sim, &sim_guest, 5000, &sim_server, 53, sim_pattern(0), 100);
    sim_send_fragment(sim, &sim_server, FRAME_PROTO_UDP, 7, sim_pattern(0), 0, 800, true);
    sim_send_fragment(sim, &sim_server, FRAME_PROTO_UDP, 7, sim_pattern(0), 800, 400, false);
    super.super_segments = true;
    a = peer_connect(sim, &super);
    b = peer_connect(sim, &plain);
    peer_source(a, 200000, true);
    peer_source(b, 50000, true);
    assert_true(sim_run_until(sim, peer_saw_fin, a, 1000));
    sim_run(sim, 100);
    sim_stop(sim);
}

/* ---- one hostile frame ---- */

#define PICK HOSTILE_PICK

static void mend_ip_checksum(uint8_t *frame, size_t len)
{
    size_t header = len > 34 && frame[12] == 8 && frame[13] == 0 ? (frame[14] & 15u) * 4 : 0;
    uint16_t sum;

    if (header < 20 || 14 + header > len)
        return;
    frame[24] = frame[25] = 0;
    sum = sim_checksum(frame + 14, header, 0);
    frame[24] = (uint8_t)(sum >> 8);
    frame[25] = (uint8_t)sum;
}

static void send_mutated(struct sim *sim)
{
    static uint8_t frame[FRAME_BYTES_MAX + 1];
    const struct recorded *r = &corpus[sim_random(sim, (uint32_t)corpus_count)];
    struct frame_offload offload = r->offload;
    size_t len = r->len;

    memcpy(frame, r->bytes, len);
    for (uint32_t n = 1 + sim_random(sim, 4); n > 0; n--) {
        /* Headers are where the meaning is. */
        uint32_t at = sim_random(sim, (uint32_t)(sim_random(sim, 4) > 0 && len > 80 ? 80 : len));

        switch (sim_random(sim, 5)) {
        case 0:
            frame[at] ^= (uint8_t)(1 << sim_random(sim, 8));
            break;
        case 1:
            frame[at] = (uint8_t)PICK(sim, 0, 1, 2, 127, 128, 254, 255);
            break;
        case 2:
            frame[at] = (uint8_t)sim_random(sim, 256);
            break;
        case 3:
            len = 1 + sim_random(sim, (uint32_t)len);
            break;
        default:
            memmove(frame + at, frame + at + (len - at) / 2, (len - at) / 2);
        }
    }
    if (sim_random(sim, 10) > 0)
        mend_ip_checksum(frame, len);
    offload.csum_trusted = sim_random(sim, 10) > 0;
    if (sim_random(sim, 20) == 0)
        offload = (struct frame_offload){
            .needs_csum = sim_random(sim, 2),
            .gso_type = (uint8_t)sim_random(sim, 6),
            .gso_size = (uint16_t)PICK(sim, 0, 1, 88, 1460, 65535),
            .hdr_len = (uint16_t)PICK(sim, 0, 54, 66, 65535),
            .csum_start = (uint16_t)PICK(sim, 0, 34, 65535),
            .csum_offset = (uint16_t)PICK(sim, 0, 6, 16, 65535),
        };
    sim_send(sim, frame, len, &offload);
}

/* A segment of a live connection, near what the stack expects next in every respect. */
static void send_segment(struct sim *sim, struct sim_peer *peer)
{
    uint8_t options[40];
    struct sim_tcp tcp = {
        .src = sim_guest,
        .dst = sim_server,
        .src_port = peer->port,
        .dst_port = 80,
        .seq = peer->seq + (sim_random(sim, 4) ? 0 : sim_random(sim, 3000)) +
               PICK(sim, 0, 0, 0, 0, 1, 2, 100, 1460, 60000, 65000, 65534, 65535, 65536, (uint32_t)-1,
                    (uint32_t)-100, (uint32_t)-65000),
        .ack = peer->ack + PICK(sim, 0, 0, 0, 1, (uint32_t)-1, (uint32_t)-1460, (uint32_t)-60000, 100000) -
               (sim_random(sim, 4) ? 0 : sim_random(sim, 5000)),
        .flags = (uint8_t)PICK(sim, FRAME_ACK, FRAME_ACK, FRAME_ACK, FRAME_ACK | FRAME_PSH,
                               FRAME_ACK | FRAME_FIN, 0, FRAME_SYN, FRAME_SYN | FRAME_ACK, FRAME_FIN,
                               FRAME_ACK | FRAME_SYN | FRAME_PSH),
        .window = (uint16_t)PICK(sim, 0, 0, 1, 2, 7, 100, 511, 512, 1460, 65535),
        .payload = sim_pattern(0),
        .payload_bytes = PICK(sim, 0, 0, 0, 1, 1, 2, 100, 1460, 5535, 30000, 65000, 65400),
    };

    if (sim_random(sim, 200) == 0)
        tcp.flags = FRAME_RST;
    if (sim_random(sim, 5) == 0) {
        tcp.options = options;
        tcp.options_bytes = 4 * sim_random(sim, 11);
        for (size_t i = 0; i < tcp.options_bytes; i++)
            options[i] = (uint8_t)PICK(sim, 0, 1, 2, 3, 4, 5, 8, 10, 255);
    }
    if (tcp.payload_bytes + tcp.options_bytes > 65400)
        tcp.payload_bytes -= tcp.options_bytes;
    if (tcp.payload_bytes > 1460)
        tcp.gso_size = 1460;
    sim_send_tcp(sim, &tcp);
}

/* ---- the other side of it ---- */

static struct sim_peer *open_one(struct sim *sim)
{
    struct sim_peer_options options = PEER_SCRIPTED;
    struct sim_peer *peer;

    options.wscale = (int)PICK(sim, 0, 7, 14) - (sim_random(sim, 4) == 0);
    options.mss = (uint16_t)PICK(sim, 0, 1, 88, 536, 1460, 65535);
    options.window = PICK(sim, 0, 1, 2, 1000, 60000, 1000000);
    options.sack = sim_random(sim, 2);
    peer = peer_new(sim, &options);
    peer_syn(peer);
    sim_turn(sim);
    peer->flow = sim->flows_by_port[peer->port];
    return peer;
}

/* Learn from the stack's frames what it expects next. */
static void look_at_answers(struct sim *sim, struct sim_peer **peers)
{
    struct sim_frame *f;

    while ((f = sim_take(sim)))
        for (int i = 0; i < PEERS; i++)
            if (f->proto == FRAME_PROTO_TCP && f->dst_port == peers[i]->port) {
                peers[i]->seq = f->ack;
                peers[i]->ack = f->seq + (uint32_t)f->payload_bytes + !!(f->flags & (FRAME_SYN | FRAME_FIN));
            }
}

static void act_on_host_side(struct sim *sim, struct sim_flow *flow)
{
    struct tcp_conn *conn = &flow->conn;

    switch (sim_random(sim, 12)) {
    case 0:
    case 1:
        tcp_conn_consume(conn, conn->held_bytes > 0 ? sim_random(sim, conn->held_bytes) + 1u : 0);
        break;
    case 2:
        tcp_conn_pin(conn, conn->held_bytes > 0 ? sim_random(sim, conn->held_bytes) : 0);
        break;
    case 3:
    case 4:
    case 5:
        sim_source(flow, flow->to_send + PICK(sim, 1, 2, 100, 5000, 300000), false);
        break;
    case 6:
        if (sim_random(sim, 10) == 0)
            tcp_conn_shutdown(conn);
        break;
    case 7:
        if (sim_random(sim, 20) == 0)
            tcp_conn_abort(conn);
        break;
    case 8:
        flow->write_max = PICK(sim, 0, 0, 1, 1000);
        break;
    case 9:
        sim->wire_room = sim_random(sim, 4);
        break;
    default:
        sim_wire_writable(sim);
    }
}

/* Answers to nobody's question, errors about nobody's datagram, to an address of the guest's or to another. */
static void speak_to_guest(struct sim *sim)
{
    bool v6 = sim_random(sim, 2);
    struct addr server = v6 ? sim_server6 : sim_server4, guest = v6 ? sim_guest6 : sim_guest4;
    uint16_t mtu = (uint16_t)PICK(sim, 0, 576, 1280, 1500);
    struct datagram d = {.src = server, .dst = guest, .src_port = 53, .dst_port = 5000, .bytes = sim_pattern(0),
                         .len = PICK(sim, 0, 1, 100, 1452, 1453, 1472, 1473, 9000, 65507, 65508)};
    struct echo e = {.src = server, .dst = guest, .bytes = sim_pattern(0), .len = sim_random(sim, STACK_ECHO_BYTES_MAX + 1)};

    if (v6 && sim->guest->addr6_count > 0)
        d.dst = sim->guest->addrs6[sim_random(sim, sim->guest->addr6_count)].addr;
    switch (sim_random(sim, 6)) {
    case 0:
        (void)stack_send_datagram(sim->stack, sim->guest, &d); /* what it drops, it counts */
        break;
    case 1:
        (void)stack_send_echo_reply(sim->guest, &e);
        break;
    case 2:
        d.src = guest;
        d.dst = server;
        stack_send_datagram_error(sim->guest, &d, (enum unreachable)sim_random(sim, UNREACHABLE_TOO_BIG + 1), mtu);
        break;
    case 3:
        e.src = guest;
        e.dst = server;
        stack_send_echo_error(sim->guest, &e, (enum unreachable)sim_random(sim, UNREACHABLE_TOO_BIG + 1), mtu);
        break;
    case 4:
        guest_advertise(sim->guest);
        break;
    default:
        sim->guest->alias_open = sim_random(sim, 2);
    }
}

/* One frame of the guest's, or a few. */
static void send_something(struct sim *sim, struct sim_peer *peer)
{
    switch (sim_random(sim, 12)) {
    case 0:
    case 1:
    case 2:
        send_mutated(sim);
        break;
    case 3:
    case 4:
        hostile_send6(sim);
        break;
    case 5:
        hostile_send4(sim);
        break;
    case 6:
        if (sim_random(sim, 4) == 0)
            hostile_send_fragments(sim, sim_random(sim, 2) ? ADDR_V6 : ADDR_V4);
        break;
    default:
        send_segment(sim, peer);
    }
}

static void run_round(uint64_t seed, unsigned frames)
{
    struct sim_options options = {
        .family = seed & 2 ? ADDR_V6 : ADDR_V4,
        .pool_bytes = POOL_BYTES,
        .csum_offload = true,
        .tso = seed & 1,
        .flows_max = FLOWS_MAX,
        .seed = seed,
    };
    struct sim *sim = sim_start(&options);
    struct sim_peer *peers[PEERS];

    sim->app = SIM_HOLD;
    sim->guest->config.slaac = seed & 4;
    for (int i = 0; i < PEERS; i++)
        peers[i] = open_one(sim);
    while (frames-- > 0) {
        struct sim_peer **peer = &peers[sim_random(sim, PEERS)];

        send_something(sim, *peer);
        if (sim_random(sim, 16) == 0)
            speak_to_guest(sim);
        if (sim_random(sim, 2) == 0)
            sim_turn(sim);
        if (sim_random(sim, 8) == 0)
            sim_run(sim, PICK(sim, 10, 10, 10, 250, 1000, 5000));
        look_at_answers(sim, peers);
        if ((*peer)->flow && tcp_conn_live(&(*peer)->flow->conn))
            act_on_host_side(sim, (*peer)->flow);
        else if (sim->flow_count < FLOWS_MAX - 1)
            *peer = open_one(sim);
        assert_true(sim->guest->addr6_count <= GUEST_ADDRS6_MAX);
        assert_true(sim->pool.bytes_used <= POOL_BYTES);
        assert_true(heap_bytes_used() <= STACK_HEAP_FLOOR_BYTES + FLOWS_MAX * STACK_HEAP_PER_FLOW_BYTES);
    }
    sim_stop(sim); /* CHECKs that everything comes back */
}

static uint64_t number(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);

    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void test_a13_hostile_frames(void **state)
{
    uint64_t frames = number("WEIR_FUZZ_FRAMES", FRAMES_DEFAULT), seed = number("WEIR_FUZZ_SEED", 1);

    (void)state;
    record_session(ADDR_V4);
    record_session(ADDR_V6);
    assert_true(corpus_count > 100 && corpus_count < CORPUS_MAX);
    for (; frames > 0; seed++) {
        unsigned n = frames < FRAMES_A_ROUND ? (unsigned)frames : FRAMES_A_ROUND;

        run_round(seed, n);
        frames -= n;
    }
    for (size_t i = 0; i < corpus_count; i++)
        free(corpus[i].bytes);
    corpus_count = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a13_hostile_frames),
    };

    return cmocka_run_group_tests_name("fuzz", tests, NULL, NULL);
}
