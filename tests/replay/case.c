#include "case.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "datapath/network.h"
#include "datapath/policy_build.h"
#include "family.h"
#include "host/kernel.h"
#include "host/loop.h"
#include "host_stub.h"
#include "port.h"

enum { SEED = 1, STATUS_USAGE = 2, CLOSING_TURNS_MAX = 100000, BUSY_TURNS_MAX = 200000, YAML_BYTES_MAX = 65536 };

void case_fail(struct replay *r, const struct line *line, const char *format, ...)
{
    va_list args;

    r->failures++;
    va_start(args, format);
    (void)fprintf(stderr, "%s:%u: ", line->file, line->number);
    (void)vfprintf(stderr, format, args);
    (void)fprintf(stderr, "\n    expected: %s\n", line->text + strspn(line->text, " \t"));
    va_end(args);
}

/* ---- setting up ---- */

/* The configuration in the family's words, in memory. Return: its descriptor, or -1: there is none. */
static int open_config(const char *path)
{
    static char bytes[YAML_BYTES_MAX + 1];
    FILE *f = fopen(path, "re");
    char *text;
    int fd;

    if (!f)
        return -1;
    bytes[fread(bytes, 1, YAML_BYTES_MAX, f)] = '\0';
    (void)fclose(f);
    text = family_text(bytes);
    fd = memfd_create(path, MFD_CLOEXEC);
    if (!text) {
        (void)fprintf(stderr, "%s: an address that has no counterpart in IPv6 (family.c)\n", path);
        exit(STATUS_USAGE);
    }
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    free(text);
    return fd;
}

static void read_config_file(const struct replay *r, const char *name, struct config *out_config)
{
    struct problem problem;
    char path[4096], own[32];
    int fd, err;

    config_init(out_config);
    (void)snprintf(path, sizeof(path), "%s/%s", r->dir, name);
    fd = open_config(path);
    (void)snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
    err = fd >= 0 ? config_read_file(own, out_config, &problem) : 0;
    if (fd >= 0)
        (void)close(fd);
    if (err < 0 || config_finish(out_config, &problem) < 0) {
        problem_print(&problem);
        exit(STATUS_USAGE);
    }
}

/* The guest's script has come to `policy FILE`. */
static void set_policy(void *ctx, const char *file)
{
    struct replay *r = ctx;
    struct config config;
    struct policy *policy;

    read_config_file(r, file, &config);
    policy = config_policy(&config);
    CHECK(policy && instance_set_policy(r->instance, policy) >= 0);
    instance_set_limits(r->instance, &config.instance.limits);
    policy_unref(policy);
    config_deinit(&config);
}

static void read_config(struct replay *r)
{
    read_config_file(r, "weir.yaml", &r->config);
    if (r->config.instance.resolver_count == 0) { /* this machine's resolv.conf is no part of a case */
        char *resolver = family_text("192.0.2.53");

        CHECK(resolver && addr_parse(resolver, &r->config.instance.resolvers[0].addr) == 0);
        free(resolver);
        r->config.instance.resolvers[0].port = 53;
        r->config.instance.resolver_count = 1;
    }
}

static void make_instance(struct replay *r)
{
    struct instance_config ic = r->config.instance;
    char error[LINK_ERROR_MAX];
    struct link_spec spec = port_spec();
    int err;

    ic.policy = config_policy(&r->config);
    CHECK(ic.policy);
    ic.log_fd = r->log_fd;
    embedder_load(&r->embedder, r->dir, &ic.hook);
    ic.fake_ip_key = (struct siphash_key){{1, 1}}; /* scripts name the addresses it gives */
    err = instance_new(&r->loop, &ic, &r->instance);
    policy_unref(ic.policy);
    r->embedder.instance = r->instance;
    if (err == 0)
        err = link_open(r->instance, &spec, error);
    if (err < 0) {
        (void)fprintf(stderr, "%s: no instance: %s\n", r->dir, strerror(-err));
        exit(STATUS_USAGE);
    }
}

static uint64_t end_of(const struct replay *r, uint64_t last_us)
{
    for (unsigned i = 0; i < r->expect.count; i++)
        if (line_is(&r->expect.lines[i], 0, "end"))
            return word_time_us(&r->expect.lines[i], line_word(&r->expect.lines[i], 1));
    return last_us + CASE_GRACE_US;
}

static bool expects_advertisements(const struct replay *r)
{
    for (unsigned i = 0; i < r->expect.count; i++) {
        const char *type = line_get(&r->expect.lines[i], 1, "type");

        if (type && line_is(&r->expect.lines[i], 1, "icmp") && word_number(&r->expect.lines[i], type) == WIRE_ROUTER_ADVERTISEMENT)
            return true;
    }
    return false;
}

static void set_up(struct replay *r)
{
    struct port_owner owner = {.ctx = &r->vm, .on_frame = vm_on_frame};
    struct loop_device device = port_device();
    struct networks nets;
    const struct network *net;
    struct addr own;

    r->log_fd = memfd_create("flows", MFD_CLOEXEC);
    CHECK(r->log_fd >= 0);
    read_config(r);
    r->world = peers_world(&r->peers);
    kernel_init(SEED, &r->world);
    peers_load(&r->peers, r->dir);
    host_stub_set(r->peers.host_addrs, r->peers.host_addr_count);
    port_setup(&owner, vm_wants_offload(r->dir));
    loop_start(&r->loop, &device);
    nets = networks_plan(&r->config.instance.net4, &r->config.instance.net6);
    net = family_now() == ADDR_V6 ? &nets.v6 : &nets.v4;
    own = network_guest(net, 0);
    vm_init(&r->vm, &own, &net->gateway, r->config.instance.gateway_mac);
    r->vm.advertisements = expects_advertisements(r);
    r->vm.set_policy = set_policy;
    r->vm.ctx = r;
    r->vm.offload = vm_wants_offload(r->dir);
    make_instance(r);
    r->end_us = end_of(r, vm_load(&r->vm, r->dir));
}

/* ---- running ---- */

/* Until nothing is due before the end. Turns in which time does not pass are bounded: no case is busy for so long. */
static void run(struct replay *r)
{
    uint64_t last_us = 0;
    unsigned turns = 0;

    while (loop_turn(&r->loop, KERNEL_START_US + r->end_us)) {
        turns = kernel_now_us() == last_us ? turns + 1 : 0;
        last_us = kernel_now_us();
        if (turns < BUSY_TURNS_MAX)
            continue;
        r->failures++;
        (void)fprintf(stderr, "%s: at %.6f s weir comes to no rest\n", r->dir, (double)(last_us - KERNEL_START_US) / 1e6);
        return;
    }
}

static void read_records(struct replay *r)
{
    off_t len = lseek(r->log_fd, 0, SEEK_END);
    char *text, *at;

    CHECK(len >= 0);
    r->records = json_array();
    text = calloc(1, (size_t)len + 1);
    CHECK(text && pread(r->log_fd, text, (size_t)len, 0) == len);
    for (at = text; *at;) {
        char *end = strchr(at, '\n');
        json_t *o;

        if (!end)
            break;
        *end = '\0';
        o = json_loads(at, 0, NULL);
        CHECK(o && json_array_append_new(r->records, o) == 0);
        at = end + 1;
    }
    free(text);
}

static void on_closed(void *ctx)
{
    struct replay *r = ctx;

    r->instance = NULL;
}

static void tear_down(struct replay *r)
{
    int turns = 0;

    instance_close(r->instance, on_closed, r);
    while (r->instance) {
        CHECK(turns++ < CLOSING_TURNS_MAX);
        (void)loop_turn(&r->loop, kernel_now_us() + 1000000);
    }
    loop_end();
    if (kernel_fds() > 0) {
        r->failures++;
        (void)fprintf(stderr, "%s: %u host sockets were left open\n", r->dir, kernel_fds());
    }
    vm_deinit(&r->vm);
    peers_deinit(&r->peers);
    embedder_deinit(&r->embedder);
    kernel_deinit();
    config_deinit(&r->config);
    json_decref(r->records);
    (void)close(r->log_fd);
    script_free(&r->expect);
}

static void print_frames(const struct replay *r)
{
    char text[WIRE_TEXT_MAX];

    for (size_t i = 0; i < r->vm.seen_count && i < 200; i++)
        (void)fprintf(stderr, "    %11.6f < %s\n", (double)r->vm.seen[i].packet.at_us / 1e6,
                      wire_format(&r->vm.seen[i].packet, text));
    if (r->vm.seen_count > 200)
        (void)fprintf(stderr, "    ... and %zu more\n", r->vm.seen_count - 200);
}

/* What happened, for whoever has to find out why it is not what was expected. */
static void print_story(const struct replay *r)
{
    char path[] = "/tmp/weir-replay-XXXXXX";
    size_t i;
    json_t *o;
    int fd;

    (void)fprintf(stderr, "  frames of weir's:\n");
    print_frames(r);
    (void)fprintf(stderr, "  flow records:\n");
    json_array_foreach(r->records, i, o) {
        char *text = json_dumps(o, JSON_COMPACT);

        (void)fprintf(stderr, "    %s\n", text);
        free(text);
    }
    (void)fprintf(stderr, "  counters:\n");
    for (unsigned c = 0; c < COUNTER_COUNT; c++)
        if (r->instance->counters.n[c] > 0)
            (void)fprintf(stderr, "    %s %llu\n", counter_name((enum counter)c),
                          (unsigned long long)r->instance->counters.n[c]);
    fd = mkstemp(path);
    if (fd < 0)
        return;
    (void)close(fd);
    if (vm_write_pcap(&r->vm, path))
        (void)fprintf(stderr, "  frames of weir's, for a packet analyser: %s\n", path);
}

bool case_run(const char *dir, bool show)
{
    struct replay r = {.dir = dir, .show = show};

    if (!script_read(&r.expect, dir, "expect.txt")) {
        (void)fprintf(stderr, "%s: there is no expect.txt\n", dir);
        return false;
    }
    for (unsigned i = 0; i < r.expect.count; i++)
        if (line_is(&r.expect.lines[i], 0, "family") && word_number(&r.expect.lines[i], line_word(&r.expect.lines[i], 1)) != family_now()) {
            script_free(&r.expect);
            return true;
        }
    set_up(&r);
    run(&r);
    read_records(&r);
    expect_check(&r);
    if (r.failures > 0 || show)
        print_story(&r);
    tear_down(&r);
    return r.failures == 0;
}
