#include "cmd/service.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/counters.h"
#include "cmd/key_file.h"
#include "cmd/say.h"
#include "stack/ip6.h"

/* ---- the flow log ---- */

/*
 * "-": a description of our own for the standard descriptor, so that O_NONBLOCK does not change what the shell and CMD
 * share. A socket cannot be reopened; it is nobody's terminal either.
 */
static int open_standard(int standard)
{
    char path[32];
    struct stat st;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", standard);
    fd = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0)
        return fd;
    fd = fcntl(standard, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); /* without: a slow reader is waited for */
    return fd;
}

static int open_log(struct service *s, int standard)
{
    const char *path = s->config->log;
    int fd;

    if (path[0] == '\0')
        return 0;
    fd = strcmp(path, "-") == 0
             ? open_standard(standard)
             : open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0) {
        int err = errno;

        say_error("log", "cannot open '%s': %s%s", path, strerror(err),
                  err == ENXIO ? "; a FIFO needs its reader first" : "");
        return -err;
    }
    s->log_fd = fd;
    return 0;
}

/* ---- the host's addresses ---- */

static void say_host_error(int err)
{
    if (err == -E2BIG)
        say_error("host", "its interfaces have more than %d addresses, more than this version can close to guests",
                  GROUP_HOST_ADDRS_MAX);
    else
        say_error("host", "cannot read its interfaces' addresses: %s", strerror(-err));
}

static void on_warning(void *ctx, const char *text)
{
    struct service *s = ctx;

    say(s->config, CONFIG_LEVEL_INFO, "%s", text);
}

static void on_host_addrs(void *ctx, int err)
{
    struct service *s = ctx;

    if (err < 0) {
        /* The instance allows nothing any more: a program that serves nobody ends, so that somebody looks. */
        say_host_error(err);
        s->failed = true;
        service_close(s);
        return;
    }
    say(s->config, CONFIG_LEVEL_DEBUG, "the host's addresses changed: %zu are closed to guests",
        instance_host_addrs(s->instance)->count);
}

/* ---- opening ---- */

void service_raise_limits(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files); /* the limit as it was serves fewer flows */
}

static void describe_network(const struct config *c, const struct network *n, const char *option)
{
    char net[ADDR_PREFIX_TEXT_MAX], gateway[ADDR_TEXT_MAX], alias[ADDR_TEXT_MAX];

    if (n->net.base.family == ADDR_NONE)
        say(c, CONFIG_LEVEL_DEBUG, "%s is off", option);
    else
        say(c, CONFIG_LEVEL_DEBUG, "network %s, gateway and resolver %s, host alias %s, MTU %u",
            addr_prefix_format(&n->net, net), addr_format(&n->gateway, gateway), addr_format(&n->alias, alias),
            c->instance.mtu);
}

static void describe(const struct service *s)
{
    const struct config *c = s->config;
    const struct host_addrs *host = instance_host_addrs(s->instance);
    struct networks nets = networks_plan(&c->instance.net4, &c->instance.net6);
    char net[ADDR_PREFIX_TEXT_MAX], a[ADDR_TEXT_MAX];

    if (config_rule_count(c) == 0 && !c->layers[POLICY_LAYER_POLICY].allow_default)
        say(c, CONFIG_LEVEL_INFO, "there is no rule, so everything is denied; add --allow NAME, or --default allow");
    if (c->ipv6_mtu_off)
        say(c, CONFIG_LEVEL_INFO, "guests have no IPv6: it wants an MTU of at least %d, and theirs is %u", IP6_MTU_MIN,
            c->instance.mtu);
    for (size_t i = 0; i < host->count; i++) {
        const struct addr *own = &host->addrs[i];
        const struct network *n = own->family == ADDR_V6 ? &nets.v6 : &nets.v4;

        if (addr_prefix_contains(&n->net, own))
            say(c, CONFIG_LEVEL_INFO, "the host's own address %s lies in the guests' network %s, which hides it; "
                "choose another with --ipv%d", addr_format(own, a), addr_prefix_format(&n->net, net), own->family);
    }
    describe_network(c, &nets.v4, "ipv4");
    describe_network(c, &nets.v6, "ipv6");
    say(c, CONFIG_LEVEL_DEBUG, "%zu rules, default %s; %zu of the host's addresses are closed", config_rule_count(c),
        c->layers[POLICY_LAYER_POLICY].allow_default ? "allow" : "deny", host->count);
}

/* A key that cannot be had is an error: another one would send guests that remember addresses to names not meant. */
static int read_dns_key(const struct config *c, struct siphash_key *out_key)
{
    int err;

    if (!c->instance.fake_ip || c->dns_key[0] == '\0')
        return 0;
    err = key_file_read(c->dns_key, out_key);
    if (err == -EINVAL)
        say_error("dns.key", "'%s' is not a key (a file of %d bytes): remove it, and a new one is made", c->dns_key,
                  KEY_FILE_BYTES);
    else if (err < 0)
        say_error("dns.key", "cannot have a key in '%s': %s", c->dns_key, strerror(-err));
    return err;
}

static int make_instance(struct service *s)
{
    struct instance_config ic = s->config->instance;
    int err = read_dns_key(s->config, &ic.fake_ip_key);

    if (err < 0)
        return err;
    ic.policy = config_policy(s->config);
    if (!ic.policy) {
        say_error("policy", "out of memory");
        return -ENOMEM;
    }
    ic.log_fd = s->log_fd;
    ic.on_host_addrs = on_host_addrs;
    ic.on_warning = on_warning;
    ic.ctx = s;
    err = instance_new(&s->loop, &ic, &s->instance);
    policy_unref(ic.policy);
    if (err == -E2BIG)
        say_host_error(err);
    else if (err < 0)
        say_error("instance", "cannot be made: %s", strerror(-err));
    return err;
}

int service_open(struct service *s, const struct config *config, int log_standard)
{
    int err;

    *s = (struct service){.config = config, .log_fd = -1};
    (void)signal(SIGPIPE, SIG_IGN); /* a write to a socket or log whose reader is gone says EPIPE */
    err = uv_loop_init(&s->loop);
    if (err < 0) {
        say_error("loop", "cannot be made: %s", uv_strerror(err));
        return err;
    }
    s->loop_open = true;
    err = open_log(s, log_standard);
    if (err == 0)
        err = make_instance(s);
    if (err == 0)
        describe(s);
    return err;
}

/* ---- ending ---- */

static void say_counters(const struct service *s)
{
    const struct counters *counters = instance_counters(s->instance);

    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        if (counters->n[i] > 0)
            say(s->config, CONFIG_LEVEL_DEBUG, "%s %" PRIu64, counter_name((enum counter)i), counters->n[i]);
}

static void on_instance_closed(void *ctx)
{
    struct service *s = ctx;

    s->instance = NULL;
}

void service_close(struct service *s)
{
    if (s->closing)
        return;
    s->closing = true;
    if (s->instance) {
        say_counters(s);
        instance_close(s->instance, on_instance_closed, s);
    }
    if (s->on_closing)
        s->on_closing(s);
}

int service_run(struct service *s)
{
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    return s->failed ? -EIO : 0;
}

void service_deinit(struct service *s)
{
    service_close(s);
    if (s->loop_open) {
        (void)uv_run(&s->loop, UV_RUN_DEFAULT);
        CHECK(uv_loop_close(&s->loop) == 0);
    }
    s->loop_open = false;
    if (s->log_fd >= 0)
        (void)close(s->log_fd);
    s->log_fd = -1;
}
