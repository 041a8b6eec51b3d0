/*
 * The host's own addresses: read, followed, and closed to guests, by an instance as by hand. When they cannot be told,
 * nothing is open. The host is a made-up one: getifaddrs() is this file's, and notices are written into the watch's
 * descriptor.
 */
#include "datapath/host_addrs.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/sockaddr.h"
#include "datapath/instance.h"
#include "datapath/policy_build.h"

enum { MADE_MAX = 300 };

/* ---- the made-up host ---- */

static struct ifaddrs made[MADE_MAX];
static struct sockaddr_storage made_addrs[MADE_MAX];
static unsigned made_count;
static int made_error;

int getifaddrs(struct ifaddrs **out)
{
    if (made_error != 0) {
        errno = made_error;
        return -1;
    }
    for (unsigned i = 0; i < made_count; i++)
        made[i].ifa_next = i + 1 < made_count ? &made[i + 1] : NULL;
    *out = made_count > 0 ? made : NULL;
    return 0;
}

void freeifaddrs(struct ifaddrs *list)
{
    (void)list;
}

static struct addr addr(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static void host_has(const struct addr *a)
{
    (void)sockaddr_from(a, 0, &made_addrs[made_count]);
    made[made_count].ifa_addr = (struct sockaddr *)&made_addrs[made_count];
    made_count++;
}

static void host_has_text(const char *text)
{
    struct addr a = addr(text);

    host_has(&a);
}

static int reset(void **state)
{
    (void)state;
    made_count = 0;
    made_error = 0;
    return 0;
}

/* ---- reading ---- */

static void test_c08_the_host_s_addresses(void **state)
{
    static const char *const texts[] = {
        "203.0.113.9", "127.0.0.1", "fe80::1", "10.0.0.1", "::1", "203.0.113.9", "2001:db8::1",
    };
    struct host_addrs h;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        host_has_text(texts[i]);
    made[made_count++].ifa_addr = NULL; /* an interface without addresses */
    made_addrs[made_count].ss_family = AF_PACKET;
    made[made_count].ifa_addr = (struct sockaddr *)&made_addrs[made_count];
    made_count++;
    assert_int_equal(host_addrs_read(&h), 0);
    assert_int_equal(h.count, 3); /* loopback and link-local are closed anyway; none is there twice */
    for (size_t i = 1; i < h.count; i++)
        assert_true(memcmp(&h.addrs[i - 1], &h.addrs[i], sizeof(h.addrs[0])) < 0);
}

static void test_c08_too_many_are_an_error(void **state)
{
    struct host_addrs h = {.count = 7};

    (void)state;
    for (uint32_t i = 0; i < GROUP_HOST_ADDRS_MAX; i++) {
        struct addr a = addr_v4(0x0a010000 + i);

        host_has(&a);
    }
    assert_int_equal(host_addrs_read(&h), 0);
    assert_int_equal(h.count, GROUP_HOST_ADDRS_MAX);
    host_has_text("203.0.113.9");
    assert_int_equal(host_addrs_read(&h), -E2BIG); /* said, not left out in silence: it would be open */
    made_error = EMFILE;
    assert_int_equal(host_addrs_read(&h), -EMFILE);
    assert_int_equal(h.count, GROUP_HOST_ADDRS_MAX); /* written only on success */
}

/* ---- what a policy is made of it ---- */

static struct policy *allow_all(void)
{
    static const struct policy_config config = {
        .layers[POLICY_LAYER_POLICY] = {.present = true, .allow_default = true},
    };
    struct policy *policy = policy_new(&config);

    assert_non_null(policy);
    return policy;
}

static enum verdict_action judge(const struct policy *policy, const char *dst)
{
    struct facts facts = {.proto = RULE_UDP, .dst = addr(dst), .port = 7000};
    struct verdict v;

    policy_judge(policy, &facts, &v);
    return v.action;
}

static void test_c08_a_policy_is_completed(void **state)
{
    struct policy *given = allow_all(), *first, *second;
    struct addr_prefix net;
    struct networks nets = {0};
    struct host_addrs host = {.count = 1};
    struct addr a;

    (void)state;
    assert_int_equal(addr_prefix_parse("9.9.1.0/24", &net), 0);
    nets.v4 = network_plan(&net);
    host.addrs[0] = addr("9.9.9.9");
    first = policy_build(given, &nets, &host);
    host.addrs[0] = addr("9.9.9.10");
    second = policy_build(first, &nets, &host); /* of one that was completed before */
    policy_unref(given);
    assert_int_equal(judge(first, "9.9.9.9"), VERDICT_DENY);
    assert_int_equal(judge(first, "9.9.9.10"), VERDICT_ALLOW);
    policy_unref(first);
    assert_int_equal(judge(second, "9.9.9.9"), VERDICT_ALLOW); /* the host has it no more */
    assert_int_equal(judge(second, "9.9.9.10"), VERDICT_DENY);
    a = addr("9.9.1.7");
    assert_int_equal(policy_group(second, &a), GROUP_GUEST);
    a = addr("9.9.1.254");
    assert_int_equal(policy_group(second, &a), GROUP_HOST); /* the alias */
    policy_unref(second);
}

/* ---- an instance follows it ---- */

struct fixture {
    uv_loop_t loop;
    struct instance *instance;
    uv_async_t busy; /* a loop without work would not turn, and the watch is no work */
    int notices; /* our end of what the watch reads */
    int told[8];
    unsigned told_count;
    bool closed;
};

static void on_host_addrs(void *ctx, int err)
{
    struct fixture *f = ctx;

    assert_true(f->told_count < ARRAY_SIZE(f->told));
    f->told[f->told_count++] = err;
}

static void on_closed(void *ctx)
{
    struct fixture *f = ctx;

    f->closed = true;
}

static int make(struct fixture *f, const char *net)
{
    struct instance_config config;
    struct policy *policy = allow_all();
    int ends[2], err;

    memset(f, 0, sizeof(*f));
    assert_int_equal(uv_loop_init(&f->loop), 0);
    instance_config_init(&config);
    assert_int_equal(addr_prefix_parse(net, &config.net4), 0);
    config.limits.flows = 16;
    config.limits.buffers = 1 << 20;
    config.policy = policy;
    config.on_host_addrs = on_host_addrs;
    config.ctx = f;
    err = instance_new(&f->loop, &config, &f->instance);
    policy_unref(policy);
    if (err < 0) {
        assert_int_equal(uv_loop_close(&f->loop), 0); /* nothing was started */
        return err;
    }
    assert_int_equal(uv_async_init(&f->loop, &f->busy, NULL), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends), 0);
    assert_true(dup2(ends[0], f->instance->host.fd) >= 0); /* before the loop first looks at it */
    assert_int_equal(close(ends[0]), 0);
    f->notices = ends[1];
    return 0;
}

/* The kernel says that something changed, and the loop has a turn. */
static void notice(struct fixture *f)
{
    char byte;

    assert_int_equal(write(f->notices, "x", 1), 1);
    assert_true(uv_run(&f->loop, UV_RUN_NOWAIT) != 0);
    assert_true(recv(f->instance->host.fd, &byte, 1, MSG_DONTWAIT) < 0); /* it was read */
}

static void finish(struct fixture *f)
{
    instance_close(f->instance, on_closed, f);
    uv_close((uv_handle_t *)&f->busy, NULL);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_true(f->closed);
    assert_int_equal(close(f->notices), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static void test_c08_an_instance_follows_the_host(void **state)
{
    struct fixture f;

    (void)state;
    host_has_text("9.9.9.9");
    assert_int_equal(make(&f, "192.168.127.0/24"), 0);
    assert_int_equal(judge(f.instance->policy, "9.9.9.9"), VERDICT_DENY);
    assert_int_equal(judge(f.instance->policy, "8.8.8.8"), VERDICT_ALLOW);
    notice(&f);
    assert_int_equal(f.told_count, 0); /* something else about an interface */
    host_has_text("8.8.8.8");
    notice(&f);
    assert_int_equal(f.told_count, 1);
    assert_int_equal(f.told[0], 0);
    assert_int_equal(instance_host_addrs(f.instance)->count, 2);
    assert_int_equal(judge(f.instance->policy, "8.8.8.8"), VERDICT_DENY);
    finish(&f);
}

static void test_c08_nothing_is_open_while_the_host_is_unknown(void **state)
{
    struct policy *other = allow_all();
    struct fixture f;

    (void)state;
    host_has_text("9.9.9.9");
    assert_int_equal(make(&f, "192.168.127.0/24"), 0);
    made_error = EMFILE;
    notice(&f);
    notice(&f);
    assert_int_equal(f.told_count, 1); /* once */
    assert_int_equal(f.told[0], -EMFILE);
    assert_int_equal(judge(f.instance->policy, "1.1.1.1"), VERDICT_DENY);
    assert_int_equal(instance_set_policy(f.instance, other), 0);
    policy_unref(other);
    assert_int_equal(judge(f.instance->policy, "1.1.1.1"), VERDICT_DENY); /* another policy opens it no sooner */
    made_error = 0;
    notice(&f);
    assert_int_equal(f.told_count, 2);
    assert_int_equal(f.told[1], 0);
    assert_int_equal(judge(f.instance->policy, "1.1.1.1"), VERDICT_ALLOW);
    assert_int_equal(judge(f.instance->policy, "9.9.9.9"), VERDICT_DENY);
    finish(&f);
}

static void test_c08_an_instance_is_refused(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f, "10.0.0.0/31"), -EINVAL); /* nobody could live there */
    assert_int_equal(make(&f, "127.0.0.0/24"), -EINVAL);
    for (uint32_t i = 0; i <= GROUP_HOST_ADDRS_MAX; i++) {
        struct addr a = addr_v4(0x0a010000 + i);

        host_has(&a);
    }
    assert_int_equal(make(&f, "192.168.127.0/24"), -E2BIG);
    made_count--;
    assert_int_equal(make(&f, "192.168.127.0/24"), 0);
    finish(&f);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_c08_the_host_s_addresses, reset),
        cmocka_unit_test_setup(test_c08_too_many_are_an_error, reset),
        cmocka_unit_test(test_c08_a_policy_is_completed),
        cmocka_unit_test_setup(test_c08_an_instance_follows_the_host, reset),
        cmocka_unit_test_setup(test_c08_nothing_is_open_while_the_host_is_unknown, reset),
        cmocka_unit_test_setup(test_c08_an_instance_is_refused, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
