/*
 * How much of bulk data is taken in one turn of the loop: on a real one, with servers that always have more.
 */
#include "datapath/instance.h"

#include <sys/socket.h>
#include <unistd.h>

#include "policy_setup.h"
#include "real_loop.h"

enum {
    FLOWS = 32,
    ASKING = FLOWS,                /* the one on which the guest asks something */
    GUEST_PORT = 40000,            /* of the first flow; the others' follow */
    GUEST_ISN = 1000,
    WINDOW = 65535,
    ONE_READ = 256 * 1024,         /* by so much a turn may be too long */
};

static struct real_loop real;

static struct {
    enum addr_family family;
    int servers[FLOWS + 1];
    unsigned accepted, established;
    uint32_t isn[FLOWS + 1];       /* weir's; 0: no SYN-ACK yet */
    uint32_t received[FLOWS + 1], wanted;
} t;

/* ---- the guest ---- */

static void on_packet(const struct packet *p)
{
    unsigned n = (unsigned)p->dst_port - GUEST_PORT;
    uint32_t end;

    if (p->kind != WIRE_TCP || n > FLOWS)
        return;
    if (p->flags & WIRE_SYN) {
        t.isn[n] = p->seq;
        t.established++;
    }
    end = p->seq + (uint32_t)p->payload_bytes - t.isn[n] - 1;
    if (p->payload_bytes > 0 && end > t.received[n])
        t.received[n] = end; /* none gets lost; some come again, for nobody acknowledges them for a while */
}

static void give(unsigned n, uint8_t flags, uint32_t seq, uint32_t ack)
{
    real_loop_give_segment(&real, t.family, (uint16_t)(GUEST_PORT + n), flags, GUEST_ISN + seq,
                           flags & WIRE_ACK ? t.isn[n] + ack : 0);
}

static void ask(void)
{
    struct packet p = {
        .kind = WIRE_TCP, .dst = guest_alias(real.link->guest, t.family), .src_port = GUEST_PORT + ASKING,
        .dst_port = real.port, .flags = WIRE_ACK | WIRE_PSH, .seq = GUEST_ISN + 1, .ack = t.isn[ASKING] + 1,
        .window = WINDOW, .wscale = -1, .payload = (const uint8_t *)"?", .payload_bytes = 1,
    };

    real_loop_give(&real, &p);
}

/* All that is there is acknowledged at once, and so everybody has room. */
static void acknowledge(void)
{
    for (unsigned n = 0; n < FLOWS; n++)
        give(n, WIRE_ACK, 1, 1 + t.received[n]);
}

/* ---- the servers ---- */

static void speak(void)
{
    static const uint8_t bytes[64 * 1024];

    for (unsigned i = 0; i < t.accepted; i++)
        while (send(t.servers[i], bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            ;
}

static bool all_established(void)
{
    return t.established == FLOWS + 1;
}

static bool all_accepted(void)
{
    int server = accept(real.listener, NULL, NULL);

    if (server >= 0)
        t.servers[t.accepted++] = server;
    return t.accepted == FLOWS + 1;
}

/* Nobody can have more for now: windows and queues are full. */
static bool all_is_full(void)
{
    const struct flow *flows = real.instance->flows.flows; /* the asking one came last */

    speak();
    for (unsigned n = 0; n < FLOWS; n++)
        if (t.received[n] < t.wanted || flows[n].as.bridge.reading || !flows[n].as.bridge.more)
            return false;
    return real.instance->turn_bytes == 0;
}

/* ---- cases ---- */

static int set_up(void **state)
{
    struct instance_config config;

    memset(&t, 0, sizeof(t));
    t.family = *(const enum addr_family *)*state;
    instance_config_init(&config);
    config.policy = setup_policy(NULL, "allow host tcp");
    if (real_loop_init(&real, on_packet) < 0 || real_loop_start(&real, &config) < 0)
        return -1;
    policy_unref(config.policy);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < t.accepted; i++)
        (void)close(t.servers[i]);
    return real_loop_deinit(&real);
}

static void fill(void)
{
    t.wanted += WINDOW - 1440; /* less than a segment may be left */
    real_loop_run_until(&real, all_is_full, "full windows");
}

static void test_a_turn_is_shorter_while_the_guest_waits_for_an_answer(void **state)
{
    uint32_t taken;

    (void)state;
    for (unsigned n = 0; n <= FLOWS; n++)
        give(n, WIRE_SYN, 0, 0);
    real_loop_run_until(&real, all_established, "SYN-ACKs");
    for (unsigned n = 0; n <= FLOWS; n++)
        give(n, WIRE_ACK, 1, 1);
    real_loop_run_until(&real, all_accepted, "connections");

    fill();
    acknowledge();
    taken = real.instance->turn_bytes;
    assert_in_range(taken, 1024 * 1024, 1024 * 1024 + ONE_READ);

    fill();
    ask();
    acknowledge();
    taken = real.instance->turn_bytes;
    assert_in_range(taken, 256 * 1024, 256 * 1024 + ONE_READ);
}

int main(void)
{
    static enum addr_family v4 = ADDR_V4, v6 = ADDR_V6;
    static const struct CMUnitTest tests[] = {
        {"a turn is shorter while the guest waits for an answer, IPv4",
         test_a_turn_is_shorter_while_the_guest_waits_for_an_answer, set_up, tear_down, &v4},
        {"a turn is shorter while the guest waits for an answer, IPv6",
         test_a_turn_is_shorter_while_the_guest_waits_for_an_answer, set_up, tear_down, &v6},
    };

    return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
}
