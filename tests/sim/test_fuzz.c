/*
 * A hostile guest, A13: mutated frames of a real session, and segments made to hit what lwIP asserts, while an
 * application reads, writes, closes and aborts. Nothing may reach a CHECK, and memory stays below its ceilings.
 *
 * WEIR_FUZZ_FRAMES and WEIR_FUZZ_SEED run more and other frames than the 100,000 of the suite.
 */
#include "peer.h"

#include <stdlib.h>

#include "stack/heap.h"

enum {
    FRAMES_DEFAULT = 100000,
    FRAMES_A_ROUND = 2000,
    FLOWS_MAX = 400,
    PEERS = 4,
    CORPUS_MAX = 512,
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

static void record_session(void)
{
    static const struct sim_options options = {.csum_offload = true, .tso = true, .seed = 91};
    static const uint8_t arp[28] = {0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 192, 168, 127, 2,
                                    0, 0, 0, 0, 0, 0, 192, 168, 127, 1};
    static const uint8_t ping[16] = {8, 0, 0xf7, 0xff};
    static const uint8_t dhcp[300] = {1,  1,   6,  [28] = 2, [33] = 2, [236] = 99, 130, 83, 99, 53, 1,
                                      1,  55,  3,  1,        3,        6,          57,  2,  2,  64, 255};
    struct sim_peer_options super = PEER_DEFAULT, plain = PEER_DEFAULT;
    struct sim *sim = sim_start(&options);
    struct sim_peer *a, *b;
    uint8_t frame[400];

    sim->on_input = record;
    sim->app = SIM_ECHO;
    sim_send(sim, frame, sim_build_eth(sim, sim_gateway_mac, 0x0806, arp, sizeof(arp), frame), NULL);
    sim_send(sim, frame,
             sim_build_ip(sim, &sim_guest4, &sim_gateway4, FRAME_PROTO_ICMP, ping, sizeof(ping), frame), NULL);
    sim_send_udp(sim, &sim_guest4, 68, &sim_gateway4, 67, dhcp, sizeof(dhcp));
    sim_send_udp(sim, &sim_guest4, 5000, &sim_server4, 53, sim_pattern(0), 100);
    sim_send_fragment(sim, &sim_server4, FRAME_PROTO_UDP, 7, sim_pattern(0), 0, 800, true);
    sim_send_fragment(sim, &sim_server4, FRAME_PROTO_UDP, 7, sim_pattern(0), 800, 400, false);
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

static uint32_t pick(struct sim *sim, const uint32_t *values, size_t n)
{
    return values[sim_random(sim, (uint32_t)n)];
}

#define PICK(sim, ...)                                                                                \
    pick(sim, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

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
        .src = sim_guest4,
        .dst = sim_server4,
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

static void run_round(uint64_t seed, unsigned frames)
{
    struct sim_options options = {
        .pool_bytes = POOL_BYTES,
        .csum_offload = true,
        .tso = seed & 1,
        .flows_max = FLOWS_MAX,
        .seed = seed,
    };
    struct sim *sim = sim_start(&options);
    struct sim_peer *peers[PEERS];

    sim->app = SIM_HOLD;
    for (int i = 0; i < PEERS; i++)
        peers[i] = open_one(sim);
    while (frames-- > 0) {
        struct sim_peer **peer = &peers[sim_random(sim, PEERS)];

        if (sim_random(sim, 3) == 0)
            send_mutated(sim);
        else
            send_segment(sim, *peer);
        if (sim_random(sim, 2) == 0)
            sim_turn(sim);
        if (sim_random(sim, 8) == 0)
            sim_run(sim, PICK(sim, 10, 10, 10, 250, 1000, 5000));
        look_at_answers(sim, peers);
        if ((*peer)->flow && tcp_conn_live(&(*peer)->flow->conn))
            act_on_host_side(sim, (*peer)->flow);
        else if (sim->flow_count < FLOWS_MAX - 1)
            *peer = open_one(sim);
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
    record_session();
    assert_true(corpus_count > 50);
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
