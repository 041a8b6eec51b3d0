/*
 * weir-scale [FLOWS...]: what an open, silent flow costs, on simulated host sockets, so that a machine's limit of descriptors is
 * none. For each number of flows: anonymous memory and heap of weir's a flow (the simulation's own is taken off), the time to open
 * one, and the time of one request and answer over a random flow, timers included.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "datapath/instance.h"
#include "host/kernel.h"
#include "host/loop.h"
#include "host_stub.h"
#include "policy/policy.h"
#include "port.h"
#include "wire.h"

enum { BATCH = 64, ROUND_TRIPS = 50000, PORTS_EACH = 50000, FIRST_PORT = 10000, REQUEST_BYTES = 100, CASES_MAX = 8 };

struct flow_end {
    uint32_t seq, ack; /* of the guest's next segment */
    bool open;
};

static struct {
    uv_loop_t loop;
    struct instance *instance;
    struct flow_end *flows;
    unsigned count, opened, answered;
    bool closing;
    uint8_t gateway_mac[6];
} s;

/* ---- the other ends ---- */

static void on_connected(void *ctx)
{
    sock_connected(ctx);
}

static void on_connect(void *ctx, struct sock *sock)
{
    (void)ctx;
    sock->peer = &s;
    kernel_at(kernel_now_us(), on_connected, sock);
}

/* A server that sends back as much as it gets. */
static size_t on_take(void *ctx, struct sock *sock, const void *bytes, size_t len)
{
    (void)ctx;
    (void)bytes;
    sock_arrived(sock, len);
    return len;
}

static void on_make(void *ctx, struct sock *sock, void *out, size_t len)
{
    (void)ctx;
    (void)sock;
    memset(out, 'x', len);
}

static void on_fin(void *ctx, struct sock *sock)
{
    (void)ctx;
    (void)sock;
}

static void on_gone(void *ctx, struct sock *sock, bool reset)
{
    (void)ctx;
    (void)sock;
    (void)reset;
}

static int on_datagram(void *ctx, struct sock *sock, const struct addr *to, uint16_t port, const void *bytes, size_t len)
{
    (void)ctx;
    (void)sock;
    (void)to;
    (void)port;
    (void)bytes;
    (void)len;
    return 0;
}

/* ---- the guest ---- */

static struct packet segment_of(unsigned i, uint8_t flags)
{
    struct packet p = {.kind = WIRE_TCP, .src_port = (uint16_t)(FIRST_PORT + i % PORTS_EACH), .dst_port = 80, .ttl = 64,
                       .dont_fragment = true, .wscale = -1, .window = 65535, .flags = flags, .seq = s.flows[i].seq,
                       .ack = flags & WIRE_ACK ? s.flows[i].ack : 0};

    (void)addr_parse("192.168.127.2", &p.src);
    (void)addr_parse("203.0.113.0", &p.dst);
    p.dst.bytes[3] = (uint8_t)(10 + i / PORTS_EACH);
    memcpy(p.src_mac, "\x52\x54\0\x12\x34\x56", 6);
    memcpy(p.dst_mac, s.gateway_mac, 6);
    return p;
}

static void send_segment(struct packet *p)
{
    uint8_t frame[2048];

    port_push(frame, wire_build(p, frame), 0, 0);
}

static bool on_frame(void *ctx, const uint8_t *bytes, size_t len, const struct frame_offload *offload)
{
    struct packet p, reply;
    unsigned i;

    (void)ctx;
    wire_read(bytes, len, offload->needs_csum, &p);
    if (p.kind != WIRE_TCP)
        return true;
    CHECK(!(p.flags & WIRE_RST) || s.closing);
    i = (unsigned)(p.src.bytes[3] - 10) * PORTS_EACH + p.dst_port - FIRST_PORT;
    CHECK(i < s.count);
    if (p.flags & WIRE_SYN) {
        s.opened += !s.flows[i].open;
        s.flows[i].open = true;
        s.flows[i].ack = p.seq + 1;
    } else if (p.payload_bytes > 0) {
        s.answered += (unsigned)p.payload_bytes;
        s.flows[i].ack = p.seq + (uint32_t)p.payload_bytes;
    } else {
        return true;
    }
    reply = segment_of(i, WIRE_ACK);
    send_segment(&reply);
    return true;
}

/* ---- measuring ---- */

static double cpu_s(void)
{
    return (double)clock() / CLOCKS_PER_SEC; /* of this process; clock_gettime() is the simulation's */
}

static uint64_t anonymous_bytes(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    uint64_t kib = 0;

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "RssAnon: %" SCNu64, &kib) == 1)
            break;
    if (f)
        (void)fclose(f);
    return kib * 1024;
}

static void run_out(void)
{
    while (loop_turn(&s.loop, kernel_now_us()))
        ;
}

static void open_all(void)
{
    for (unsigned i = 0; i < s.count; i++) {
        struct packet p;

        s.flows[i].seq = i * 7919u;
        p = segment_of(i, WIRE_SYN);
        p.mss = 1460;
        p.wscale = 7;
        s.flows[i].seq++;
        send_segment(&p);
        if (i % BATCH == BATCH - 1)
            run_out();
    }
    run_out();
    CHECK(s.opened == s.count);
}

/* Real flows have pauses: 10 ms between requests, so that the timers of the stack run as well. */
static void talk(void)
{
    static const uint8_t request[REQUEST_BYTES];

    for (unsigned n = 0; n < ROUND_TRIPS; n++) {
        unsigned i = (unsigned)(kernel_random() % s.count);
        struct packet p = segment_of(i, WIRE_ACK | WIRE_PSH);

        p.payload = request;
        p.payload_bytes = sizeof(request);
        s.flows[i].seq += REQUEST_BYTES;
        send_segment(&p);
        (void)loop_turn(&s.loop, kernel_now_us() + 10000);
        while (loop_turn(&s.loop, kernel_now_us() + 1))
            ;
        kernel_advance(kernel_now_us() + 10000);
    }
    run_out();
    CHECK(s.answered == ROUND_TRIPS * (unsigned)REQUEST_BYTES);
}

static void on_closed(void *ctx)
{
    (void)ctx;
    s.instance = NULL;
}

static struct policy *open_policy(void)
{
    struct policy_config pc = {.layers[POLICY_LAYER_POLICY] = {.present = true, .allow_default = true}};
    struct addr_prefix net;

    (void)addr_prefix_parse("203.0.113.0/24", &net);
    CHECK(group_table_add(&pc.groups, &net, GROUP_PUBLIC) == 0);
    return policy_new(&pc);
}

static void measure_here(unsigned count)
{
    struct world world = {.connect = on_connect, .take = on_take, .make = on_make, .fin = on_fin, .gone = on_gone,
                          .datagram = on_datagram};
    struct port_owner owner = {.on_frame = on_frame};
    struct loop_device device = port_device();
    struct link_spec spec = port_spec();
    struct instance_config config;
    char error[LINK_ERROR_MAX];
    uint64_t memory, simulated;
    double from_s, opened_s;

    memset(&s, 0, sizeof(s));
    s.count = count;
    s.flows = calloc(count, sizeof(*s.flows));
    CHECK(s.flows);
    memset(s.flows, 1, count * sizeof(*s.flows)); /* touched: it is not weir's */
    memset(s.flows, 0, count * sizeof(*s.flows));
    instance_config_init(&config);
    config.policy = open_policy();
    config.limits.flows = count;
    config.limits.half_open = config.limits.dials = 65536;
    memcpy(s.gateway_mac, config.gateway_mac, 6);
    kernel_init(1, &world);
    host_stub_set(NULL, 0);
    port_setup(&owner, false);
    loop_start(&s.loop, &device);
    CHECK(instance_new(&s.loop, &config, &s.instance) == 0);
    policy_unref(config.policy);
    CHECK(link_open(s.instance, &spec, error) == 0);
    memory = anonymous_bytes();
    simulated = kernel_memory();
    from_s = cpu_s();
    open_all();
    opened_s = cpu_s() - from_s;
    (void)loop_turn(&s.loop, kernel_now_us() + 5000000);
    while (loop_turn(&s.loop, kernel_now_us() + 2000000))
        ;
    memory = anonymous_bytes() - memory;
    simulated = kernel_memory() - simulated;
    from_s = cpu_s();
    talk();
    (void)printf("%8u flows  %6.0f bytes a flow  %6.2f us to open one  %6.2f us a round trip over any of them\n", count,
                 memory > simulated ? (double)(memory - simulated) / count : 0.0, opened_s / count * 1e6,
                 (cpu_s() - from_s) / ROUND_TRIPS * 1e6);
    s.closing = true;
    instance_close(s.instance, on_closed, NULL);
    while (s.instance)
        (void)loop_turn(&s.loop, kernel_now_us() + 1000);
    loop_end();
    kernel_deinit();
    free(s.flows);
}

/* In a process of its own, whose memory nothing has touched before. */
static bool measure(unsigned count)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        measure_here(count);
        exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
    static const unsigned usual[] = {1000, 10000, 100000};
    bool good = true;

    for (int i = 1; i < argc; i++) {
        unsigned long n = strtoul(argv[i], NULL, 10);

        if (n < 1 || n > 200000) {
            (void)fprintf(stderr, "usage: weir-scale [FLOWS...]   1 to 200000; without: 1000 10000 100000\n");
            return 2;
        }
        good = measure((unsigned)n) && good;
    }
    for (size_t i = 0; argc == 1 && i < ARRAY_SIZE(usual); i++)
        good = measure(usual[i]) && good;
    return good ? 0 : 1;
}
