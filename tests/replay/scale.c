/*
 * weir-scale [--json] [--family 4|6] [FLOWS...]: what an open, silent flow costs, on simulated host sockets, so that a machine's limit
 * of descriptors is none. For each number of flows: anonymous memory and heap of weir's a flow (the simulation's own is taken off), and
 * CPU time of this process, the simulation's share included: to open a flow, for a packet in requests and answers over random flows,
 * for a turn of the loop while all are silent, and for a pass of the stack's timers while one guest's answer is missing.
 *
 * A figure that grows with the number of flows is work done for flows that have none. That all of them open, that the next one is
 * refused, and that every request is answered is checked: that much is a test, the figures need an optimised build.
 */
#include <getopt.h>
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

enum {
    BATCH = 64,
    ROUND_TRIPS = 50000,
    TURNS = 50000,
    PASSES = 400,
    PASS_MS = 250, /* lwIP's timer; PASSES of them are less than guest_timeout */
    PORTS_EACH = 50000,
    FIRST_PORT = 10000,
    REQUEST_BYTES = 100,
    FLOWS_MAX = 200000,
    CASES_MAX = 8,
    SERVER_FIRST = 10, /* the last byte of the first server's address */
};

/* Where the flows are from and to, on either family. */
static const struct ends {
    const char *guest, *servers, *servers_net;
} ends4 = {"192.168.127.2", "203.0.113.0", "203.0.113.0/24"}, ends6 = {"fd77:6569:72::2", "2001:db8:113::", "2001:db8:113::/48"};

/* What one number of flows came to. Times are nanoseconds. */
struct figures {
    double bytes, open_ns, packet_ns, turn_ns, pass_ns;
};

struct flow_end {
    uint32_t seq, ack; /* of the guest's next segment */
    bool open;
};

static struct {
    uv_loop_t loop;
    struct instance *instance;
    struct flow_end *flows;
    unsigned count, opened, refused, answered, packets;
    bool silent; /* the guest acknowledges nothing */
    bool closing;
    uint8_t gateway_mac[6];
    struct addr guest, servers; /* parsed once: opening and packets are what is measured */
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

static uint8_t *last_byte(struct addr *a)
{
    return a->bytes + addr_size(a) - 1;
}

static struct packet segment_of(unsigned i, uint8_t flags)
{
    struct packet p = {.kind = WIRE_TCP, .src_port = (uint16_t)(FIRST_PORT + i % PORTS_EACH), .dst_port = 80, .ttl = 64,
                       .dont_fragment = true, .wscale = -1, .window = 65535, .flags = flags, .seq = s.flows[i].seq,
                       .ack = flags & WIRE_ACK ? s.flows[i].ack : 0};

    p.src = s.guest;
    p.dst = s.servers;
    *last_byte(&p.dst) = (uint8_t)(SERVER_FIRST + i / PORTS_EACH);
    memcpy(p.src_mac, "\x52\x54\0\x12\x34\x56", 6);
    memcpy(p.dst_mac, s.gateway_mac, 6);
    return p;
}

static void send_segment(struct packet *p)
{
    uint8_t frame[2048];

    s.packets++;
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
    i = (unsigned)(*last_byte(&p.src) - SERVER_FIRST) * PORTS_EACH + p.dst_port - FIRST_PORT;
    s.packets++;
    if (p.flags & WIRE_RST) {
        CHECK(i == s.count || s.closing);
        s.refused += i == s.count;
        return true;
    }
    CHECK(i < s.count);
    if (s.silent)
        return true;
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

static void send_syn(unsigned i)
{
    struct packet p;

    s.flows[i].seq = i * 7919u;
    p = segment_of(i, WIRE_SYN);
    p.mss = s.guest.family == ADDR_V6 ? 1440 : 1460;
    p.wscale = 7;
    s.flows[i].seq++;
    send_segment(&p);
}

/* All there may be; then one more, which is refused and costs none of them its place. */
static double open_all(void)
{
    double from_s = cpu_s(), took_s;

    for (unsigned i = 0; i < s.count; i++) {
        send_syn(i);
        if (i % BATCH == BATCH - 1)
            run_out();
    }
    run_out();
    took_s = cpu_s() - from_s;
    CHECK(s.opened == s.count);
    send_syn(s.count);
    run_out();
    CHECK(s.refused == 1);
    return took_s / s.count * 1e9;
}

static void request(unsigned i)
{
    static const uint8_t bytes[REQUEST_BYTES];
    struct packet p = segment_of(i, WIRE_ACK | WIRE_PSH);

    p.payload = bytes;
    p.payload_bytes = sizeof(bytes);
    s.flows[i].seq += REQUEST_BYTES;
    send_segment(&p);
}

/* Real flows have pauses: 10 ms between requests, so that the timers of the stack run as well. */
static double talk(void)
{
    double from_s = cpu_s();
    unsigned packets = s.packets;

    for (unsigned n = 0; n < ROUND_TRIPS; n++) {
        request((unsigned)(kernel_random() % s.count));
        (void)loop_turn(&s.loop, kernel_now_us() + 10000);
        while (loop_turn(&s.loop, kernel_now_us() + 1))
            ;
        kernel_advance(kernel_now_us() + 10000);
    }
    run_out();
    CHECK(s.answered == ROUND_TRIPS * (unsigned)REQUEST_BYTES);
    return (cpu_s() - from_s) / (s.packets - packets) * 1e9;
}

static double be_silent(void)
{
    double from_s = cpu_s();

    for (unsigned n = 0; n < TURNS; n++)
        (void)loop_turn(&s.loop, kernel_now_us() + 1000);
    return (cpu_s() - from_s) / TURNS * 1e9;
}

/* An answer that is not acknowledged keeps the timers of the stack running; they resend it, seldom. */
static double wait_for_guest(void)
{
    unsigned i = s.count / 2, packets, passes = 0;
    double from_s, took_s;
    struct packet ack;

    s.silent = true;
    request(i);
    while (loop_turn(&s.loop, kernel_now_us() + 1))
        ;
    from_s = cpu_s();
    for (unsigned n = 0; n < PASSES; n++)
        passes += loop_turn(&s.loop, kernel_now_us() + PASS_MS * 1000);
    took_s = cpu_s() - from_s;
    CHECK(passes > PASSES / 2);
    s.silent = false;
    s.flows[i].ack += REQUEST_BYTES;
    ack = segment_of(i, WIRE_ACK);
    send_segment(&ack);
    run_out();
    packets = s.packets;
    (void)loop_turn(&s.loop, kernel_now_us() + PASSES * PASS_MS * 1000);
    CHECK(s.packets == packets); /* and all is silent again */
    return took_s / passes * 1e9;
}

static struct policy *open_policy(const struct ends *ends)
{
    struct policy_config pc = {.layers[POLICY_LAYER_POLICY] = {.present = true, .allow_default = true}};
    struct addr_prefix net;

    (void)addr_prefix_parse(ends->servers_net, &net);
    CHECK(group_table_add(&pc.groups, &net, GROUP_PUBLIC) == 0);
    return policy_new(&pc);
}

static void start(unsigned count, const struct ends *ends, struct port_owner *owner)
{
    static struct world world = {.connect = on_connect, .take = on_take, .make = on_make, .fin = on_fin, .gone = on_gone,
                                 .datagram = on_datagram};
    struct loop_device device = port_device();
    struct link_spec spec = port_spec();
    struct instance_config config;
    char error[LINK_ERROR_MAX];

    memset(&s, 0, sizeof(s));
    s.count = count;
    (void)addr_parse(ends->guest, &s.guest);
    (void)addr_parse(ends->servers, &s.servers);
    s.flows = malloc((count + 1) * sizeof(*s.flows));
    CHECK(s.flows);
    memset(s.flows, 0, (count + 1) * sizeof(*s.flows)); /* touched: it is not weir's */
    instance_config_init(&config);
    config.policy = open_policy(ends);
    config.limits.flows = count;
    config.limits.half_open = config.limits.dials = 65536;
    memcpy(s.gateway_mac, config.gateway_mac, 6);
    kernel_init(1, &world);
    host_stub_set(NULL, 0);
    port_setup(owner, false);
    loop_start(&s.loop, &device);
    CHECK(instance_new(&s.loop, &config, &s.instance) == 0);
    policy_unref(config.policy);
    CHECK(link_open(s.instance, &spec, error) == 0);
}

static void on_closed(void *ctx)
{
    (void)ctx;
    s.instance = NULL;
}

static void stop(void)
{
    s.closing = true;
    instance_close(s.instance, on_closed, NULL);
    while (s.instance)
        (void)loop_turn(&s.loop, kernel_now_us() + 1000);
    loop_end();
    kernel_deinit();
    free(s.flows);
}

static struct figures measure_here(unsigned count, const struct ends *ends)
{
    struct port_owner owner = {.on_frame = on_frame};
    struct figures f;
    uint64_t memory, simulated;

    start(count, ends, &owner);
    memory = anonymous_bytes();
    simulated = kernel_memory();
    f.open_ns = open_all();
    (void)loop_turn(&s.loop, kernel_now_us() + 5000000);
    while (loop_turn(&s.loop, kernel_now_us() + 2000000))
        ;
    memory = anonymous_bytes() - memory;
    simulated = kernel_memory() - simulated;
    f.bytes = memory > simulated ? (double)(memory - simulated) / count : 0.0;
    f.packet_ns = talk();
    f.turn_ns = be_silent();
    f.pass_ns = wait_for_guest();
    stop();
    return f;
}

static void print(unsigned count, int family, const struct figures *f, bool json)
{
    if (json)
        (void)printf("{\"family\": %d, \"flows\": %u, \"bytes_a_flow\": %.0f, \"open_ns\": %.0f, \"packet_ns\": %.0f, "
                     "\"turn_ns\": %.1f, \"pass_ns\": %.0f}\n", family, count, f->bytes, f->open_ns, f->packet_ns, f->turn_ns, f->pass_ns);
    else
        (void)printf("%10u  %12.0f  %10.0f  %11.0f  %15.1f  %15.0f\n", count, f->bytes, f->open_ns, f->packet_ns, f->turn_ns,
                     f->pass_ns);
}

/* In a process of its own, whose memory nothing has touched before. */
static bool measure(unsigned count, int family, bool json)
{
    pid_t child;
    int status;

    (void)fflush(stdout);
    child = fork();
    if (child == 0) {
        struct figures f = measure_here(count, family == 6 ? &ends6 : &ends4);

        print(count, family, &f, json);
        exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: weir-scale [--json] [--family 4|6] [FLOWS...]   up to %d numbers, 1 to %d; without: 1000 10000 100000\n",
                  CASES_MAX, FLOWS_MAX);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {"family", required_argument, NULL, 'f'}, {0}};
    unsigned long counts[CASES_MAX] = {1000, 10000, 100000}; /* the last is more than a process has descriptors for */
    bool json = false, good = true;
    int family = 4, count = 3;

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (option == 'j')
            json = true;
        else if (option == 'f' && (strcmp(optarg, "4") == 0 || strcmp(optarg, "6") == 0))
            family = optarg[0] - '0';
        else
            return usage();
    if (argc - optind > CASES_MAX)
        return usage();
    for (int i = optind; i < argc; i++) {
        count = i - optind + 1;
        counts[count - 1] = strtoul(argv[i], NULL, 10);
        if (counts[count - 1] < 1 || counts[count - 1] > FLOWS_MAX)
            return usage();
    }
    if (!json)
        (void)printf("%10s  %12s  %10s  %11s  %15s  %15s\n", "flows", "bytes a flow", "ns to open", "ns a packet", "ns a quiet turn",
                     "ns a timer pass");
    for (int i = 0; i < count; i++)
        if (!measure((unsigned)counts[i], family, json)) {
            (void)fprintf(stderr, "%s: %lu of them\n", "H12 not every flow was opened and answered", counts[i]);
            good = false;
        }
    return good ? 0 : 1;
}
