#include "datapath/link.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "datapath/instance.h"
#include "datapath/link_backend.h"
#include "policy_setup.h"

/* A kind of link that no text means, like one of a program that holds the virtqueue itself. */
struct held_link {
    struct link link;
    unsigned sent;
    struct link *reply_into; /* borrowed: during send() a frame is given to this link; NULL: none */
    int replied;             /* what link_input() said */
};

static uv_loop_t loop;
static struct instance *in;
static bool start_fails, instance_gone;
static unsigned closes;

static struct held_link *held(struct link *link)
{
    return CONTAINER_OF(link, struct held_link, link);
}

static struct buf *arp_request(struct instance *instance)
{
    static const uint8_t who_has_gateway[] = {
        255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 0x08, 0x06, /* Ethernet */
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 168, 127, 2, 0, 0, 0, 0, 0, 0, 192, 168, 127, 1,
    };
    struct buf *buf = pool_get(&instance->pool, sizeof(who_has_gateway));

    assert_non_null(buf);
    memcpy(buf->data, who_has_gateway, sizeof(who_has_gateway));
    buf->len = sizeof(who_has_gateway);
    return buf;
}

static int held_start(struct link *link, char error[static LINK_ERROR_MAX])
{
    if (start_fails) {
        strcpy(error, "as it was told");
        return -ENODEV;
    }
    link_came_up(link, &(struct link_caps){0});
    return 0;
}

static int held_send(struct link *link, const struct wire_frame *frame)
{
    struct held_link *h = held(link);
    struct frame_offload offload = {0};

    (void)frame;
    h->sent++;
    if (h->reply_into)
        h->replied = link_input(h->reply_into, arp_request(in), &offload);
    return 0;
}

static void held_close(struct link *link)
{
    closes++;
    link_closed(link);
}

static const struct link_ops held_ops = {.start = held_start, .send = held_send, .close = held_close};

static struct link *held_new(const struct link_spec *spec)
{
    struct held_link *h = calloc(1, sizeof(*h));

    (void)spec;
    assert_non_null(h);
    h->link.ops = &held_ops;
    return &h->link;
}

static const struct link_kind held_kind = {.new = held_new};

static int setup(void **state)
{
    struct instance_config config;

    (void)state;
    start_fails = instance_gone = false;
    closes = 0;
    instance_config_init(&config);
    config.limits.flows = 16;
    config.net6 = (struct addr_prefix){.base = {.family = ADDR_NONE}}; /* no frame that nobody asked for */
    config.limits.buffers = 1 << 20;
    strcpy(config.name, "vm");
    config.policy = setup_policy(NULL, "");
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(instance_new(&loop, &config, &in), 0);
    policy_unref(config.policy);
    return 0;
}

static void on_closed(void *ctx)
{
    (void)ctx;
    instance_gone = true;
}

static int teardown(void **state)
{
    (void)state;
    instance_close(in, on_closed, NULL);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_true(instance_gone);
    return uv_loop_close(&loop);
}

/* Open a held link; @ip NULL: the first free address. Return: the newest link, or NULL with *out_err set. */
static struct link *open_held(const char *ip, int *out_err)
{
    struct link_spec spec = {.kind = &held_kind};
    char error[LINK_ERROR_MAX] = "";

    if (ip)
        spec.ip = setup_addr(ip);
    *out_err = link_open(in, &spec, error);
    if (*out_err < 0) {
        assert_string_not_equal(error, "");
        return NULL;
    }
    return LIST_ENTRY(in->links.prev, struct link, node);
}

static void assert_addr(const struct link *link, const char *text)
{
    char has[ADDR_TEXT_MAX];

    assert_non_null(link);
    assert_string_equal(addr_format(&link->guest->config.guest4, has), text);
}

static void test_each_link_gets_the_first_free_address(void **state)
{
    struct link *second;
    int err;

    (void)state;
    assert_addr(open_held("192.168.127.3", &err), "192.168.127.3");
    second = open_held(NULL, &err);
    assert_addr(second, "192.168.127.2");
    assert_addr(open_held(NULL, &err), "192.168.127.4"); /* 3 is another's */
    link_close(second);
    assert_int_equal(closes, 1);
    assert_addr(open_held(NULL, &err), "192.168.127.2"); /* free again */
    assert_addr(open_held(NULL, &err), "192.168.127.5");
}

/* Addresses that a spec may name, and those it may not. */
static const struct {
    const char *why, *ip;
    int result;
} asked[] = {
    {"the network's own", "192.168.127.0", -EINVAL},
    {"the gateway", "192.168.127.1", -EINVAL},
    {"the first of the guests", "192.168.127.2", 0},
    {"which is taken now", "192.168.127.2", -EADDRINUSE},
    {"the last of the guests", "192.168.127.253", 0},
    {"the host alias", "192.168.127.254", -EINVAL},
    {"broadcast", "192.168.127.255", -EINVAL},
    {"one of another network", "192.168.128.2", -EINVAL},
    {"one below", "192.168.126.255", -EINVAL},
};

static void test_addresses_asked_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
        unsigned before = closes;
        int err;

        (void)open_held(asked[i].ip, &err);
        if (err != asked[i].result || closes != before + (err < 0))
            fail_msg("%s: %d, closed %u times", asked[i].why, err, closes - before);
    }
    assert_int_equal(in->link_count, 2);
}

static void test_a_full_network(void **state)
{
    int err;

    (void)state;
    assert_int_equal(addr_prefix_parse("192.168.127.0/29", &in->config.net4), 0);
    in->nets.v4 = network_plan(&in->config.net4);
    for (int i = 2; i <= 5; i++)
        assert_non_null(open_held(NULL, &err));
    assert_null(open_held(NULL, &err));
    assert_int_equal(err, -EADDRNOTAVAIL);
    link_close(LIST_ENTRY(in->links.next, struct link, node));
    assert_addr(open_held(NULL, &err), "192.168.127.2");
}

static void test_a_start_that_fails_leaves_no_link(void **state)
{
    int err;

    (void)state;
    start_fails = true;
    assert_null(open_held(NULL, &err));
    assert_int_equal(err, -ENODEV);
    assert_int_equal(closes, 1);
    assert_int_equal(in->link_count, 0);
}

/* lwIP is not re-entrant: a program that hands in a frame from inside send(), of whatever link, is told so. */
static void test_a_frame_from_inside_send_is_refused(void **state)
{
    struct frame_offload offload = {0};
    struct held_link *a, *b;
    int err;

    (void)state;
    a = held(open_held(NULL, &err));
    b = held(open_held(NULL, &err));
    for (int other = 0; other < 2; other++) {
        a->reply_into = other ? &b->link : &a->link;
        a->replied = 0;
        assert_int_equal(link_input(&a->link, arp_request(in), &offload), 0);
        assert_int_equal(a->sent, other + 1);
        assert_int_equal(a->replied, -EBUSY);
        assert_int_equal(in->counters.n[COUNTER_LINK_REENTERED], other + 1);
    }
    assert_int_equal(b->sent, 0);
    assert_int_equal(in->pool.bytes_used, 0); /* refused frames are let go of, too */
}

/* The same outside of any frame from the guest: a timer's retransmission, or what the resolver has for it. */
static void test_send_alone_refuses_frames_too(void **state)
{
    static const uint8_t packet[20] = {0};
    struct frame_offload offload = {0};
    struct held_link *a;
    int err;

    (void)state;
    a = held(open_held(NULL, &err));
    a->reply_into = &a->link;
    guest_send_packet(a->link.guest, 0x0800, packet, sizeof(packet), (const uint8_t[FRAME_MAC_BYTES]){2});
    assert_int_equal(a->sent, 1);
    assert_int_equal(a->replied, -EBUSY);
    a->reply_into = NULL;
    assert_int_equal(link_input(&a->link, arp_request(in), &offload), 0); /* and it is over with it */
    assert_int_equal(a->sent, 2);
}

static void test_names(void **state)
{
    struct link_spec spec = {.kind = &held_kind, .guest = "web"};
    char error[LINK_ERROR_MAX];
    int err;

    (void)state;
    assert_string_equal(link_guest_name(open_held(NULL, &err)), "vm");
    assert_int_equal(link_open(in, &spec, error), 0);
    assert_string_equal(link_guest_name(LIST_ENTRY(in->links.prev, struct link, node)), "web");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_link_gets_the_first_free_address, setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_network, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_start_that_fails_leaves_no_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_frame_from_inside_send_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_send_alone_refuses_frames_too, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
