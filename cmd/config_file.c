/*
 * The configuration file: which keys there are, and how each is read. Everything else in the file is an error with its
 * place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "cmd/config.h"
#include "cmd/document.h"
#include "cmd/setting.h"

enum { KEYS_MAX = 32 }; /* of one mapping of the table below */

enum key_kind {
    KEY_TEXT,   /* one value */
    KEY_LIST,   /* a list of values, each one more */
    KEY_MAP,    /* a mapping with keys of its own */
    KEY_HOSTS,  /* NAME: ADDRESS */
    KEY_GROUPS, /* NAME: [CIDR, ...] */
    KEY_COUNT,
    KEY_BYTES,
    KEY_TIME,
    KEY_ABSENT, /* known, and not in this version */
};

struct key {
    const char *name;
    enum key_kind kind;
    setting_fn *set;        /* KEY_TEXT, KEY_LIST */
    const struct key *keys; /* KEY_MAP; ends with a name of NULL */
    size_t offset, size;    /* numbers: in struct instance_limits */
    uint64_t min, max;
    const char *why;        /* KEY_ABSENT */
};

#define TEXT(key, fn) {.name = key, .kind = KEY_TEXT, .set = fn}
#define LIST_OF(key, fn) {.name = key, .kind = KEY_LIST, .set = fn}
#define NUMBER(key, k, field, lo, hi) \
    {.name = key, .kind = k, .offset = offsetof(struct instance_limits, field), \
     .size = sizeof(((struct instance_limits *)0)->field), .min = lo, .max = hi}
#define ABSENT(key, text) {.name = key, .kind = KEY_ABSENT, .why = text}
#define END {.name = NULL}

static const struct key network_keys[] = {
    TEXT("ipv4", setting_ipv4),
    TEXT("ipv6", setting_ipv6),
    TEXT("mtu", setting_mtu),
    TEXT("guest_mac", setting_guest_mac),
    TEXT("hostname", setting_hostname),
    END,
};

static const struct key dns_keys[] = {
    TEXT("mode", setting_dns_mode),
    TEXT("key", setting_dns_key),
    LIST_OF("upstream", setting_dns_upstream),
    {.name = "hosts", .kind = KEY_HOSTS},
    LIST_OF("search", setting_dns_search),
    TEXT("rebind", setting_dns_rebind),
    TEXT("unrouted", setting_dns_unrouted),
    LIST_OF("types", setting_dns_type),
    END,
};

static const struct key policy_keys[] = {
    TEXT("default", setting_policy_default),
    TEXT("refuse", setting_policy_refuse),
    LIST_OF("rules", setting_policy_rule),
    ABSENT("ingress", "it is about published ports"),
    END,
};

static const struct key floor_keys[] = {
    TEXT("default", setting_floor_default),
    LIST_OF("rules", setting_floor_rule),
    END,
};

static const struct key limit_keys[] = {
    NUMBER("flows", KEY_COUNT, flows, 1, 262144),
    NUMBER("half_open", KEY_COUNT, half_open, 1, 65536),
    NUMBER("dials", KEY_COUNT, dials, 1, 65536),
    NUMBER("buffers", KEY_BYTES, buffers, 1u << 20, UINT64_C(64) << 30),
    NUMBER("flow_buffer", KEY_BYTES, flow_buffer, 64u << 10, 4u << 20),
    NUMBER("dial_timeout", KEY_TIME, dial_timeout_ms, 100, 600000),
    NUMBER("idle", KEY_TIME, idle_ms, 0, 604800000),
    NUMBER("lifetime", KEY_TIME, lifetime_ms, 0, 2419200000),
    NUMBER("keepalive", KEY_TIME, keepalive_ms, 0, 86400000),
    NUMBER("guest_timeout", KEY_TIME, guest_timeout_ms, 1000, 86400000),
    NUMBER("dns_qps", KEY_COUNT, dns_qps, 1, 1000000),
    NUMBER("udp_flows", KEY_COUNT, udp_flows, 1, 1000000),
    NUMBER("udp_idle", KEY_TIME, udp_idle_ms, 1000, 86400000),
    NUMBER("udp_idle_dns", KEY_TIME, udp_idle_dns_ms, 1000, 86400000),
    NUMBER("udp_idle_quic", KEY_TIME, udp_idle_quic_ms, 1000, 86400000),
    END,
};

static const struct key log_keys[] = {
    TEXT("flows", setting_log_flows),
    TEXT("level", setting_log_level),
    TEXT("open", setting_log_open),
    END,
};

static const struct key top_keys[] = {
    TEXT("name", setting_name),
    {.name = "network", .kind = KEY_MAP, .keys = network_keys},
    {.name = "dns", .kind = KEY_MAP, .keys = dns_keys},
    {.name = "policy", .kind = KEY_MAP, .keys = policy_keys},
    {.name = "floor", .kind = KEY_MAP, .keys = floor_keys},
    {.name = "groups", .kind = KEY_GROUPS},
    LIST_OF("host_alias", setting_host_alias),
    {.name = "limits", .kind = KEY_MAP, .keys = limit_keys},
    {.name = "log", .kind = KEY_MAP, .keys = log_keys},
    LIST_OF("links", setting_link),
    ABSENT("host_proxy", "flows are dialled directly"),
    ABSENT("proxies", "flows are dialled directly"),
    ABSENT("no_proxy", "flows are dialled directly"),
    ABSENT("publish", "no port of the guest is published"),
    ABSENT("control", "a running instance takes no commands"),
    END,
};

struct reader {
    struct document doc;
    struct config *config;   /* borrowed */
    struct problem *problem; /* borrowed */
};

static int read_map(struct reader *r, const struct key *keys, const char *what, const yaml_node_t *node);

static int fail(struct reader *r, const yaml_node_t *node, const char *hint, const char *name, const char *what)
{
    (void)problem_set(r->problem, hint, "%s: %s", name, what);
    return document_fail(&r->doc, node);
}

static const char *need_text(struct reader *r, const char *name, const yaml_node_t *node)
{
    const char *text = document_text(node);

    if (!text)
        (void)fail(r, node, "", name, "one value is expected here, not a list or mapping");
    return text;
}

static int set_text(struct reader *r, const struct key *key, const yaml_node_t *node)
{
    const char *text = need_text(r, key->name, node);

    if (!text)
        return -EINVAL;
    r->config->place = (struct config_place){
        .line = (unsigned)node->start_mark.line + 1,
        .column = (unsigned)node->start_mark.column + 1,
    };
    if (key->set(r->config, text, r->problem) < 0)
        return document_fail_within(&r->doc, node, r->problem->column);
    return 0;
}

static int read_list(struct reader *r, const struct key *key, const yaml_node_t *node)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return fail(r, node, "write [A, B], or one '- A' a line", key->name, "a list is expected here");
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++)
        if (set_text(r, key, document_node(&r->doc, *item)) < 0)
            return -EINVAL;
    return 0;
}

static int read_number(struct reader *r, const struct key *key, const yaml_node_t *node)
{
    const char *text = need_text(r, key->name, node);
    char *at = (char *)&r->config->instance.limits + key->offset;
    uint64_t n;
    int err;

    if (!text)
        return -EINVAL;
    if (key->kind == KEY_COUNT)
        err = setting_count(text, key->min, key->max, &n, r->problem);
    else if (key->kind == KEY_BYTES)
        err = setting_bytes(text, key->min, key->max, &n, r->problem);
    else
        err = setting_time(text, key->min, key->max, &n, r->problem);
    if (err < 0)
        return document_fail(&r->doc, node);
    CHECK(key->size == sizeof(uint64_t) || (key->size == sizeof(uint32_t) && n <= UINT32_MAX));
    if (key->size == sizeof(uint64_t))
        memcpy(at, &n, sizeof(n));
    else
        memcpy(at, &(uint32_t){(uint32_t)n}, sizeof(uint32_t));
    return 0;
}

static int set_pair(struct reader *r, const char *name, const yaml_node_t *node,
                    int (*set)(struct config *c, const char *name, const char *text, struct problem *p))
{
    const char *text = need_text(r, name, node);

    if (!text)
        return -EINVAL;
    if (set(r->config, name, text, r->problem) < 0)
        return document_fail(&r->doc, node);
    return 0;
}

static int read_group(struct reader *r, const char *name, const yaml_node_t *node)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return fail(r, node, "write [203.0.113.0/24]", name, "a list of networks is expected here");
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++)
        if (set_pair(r, name, document_node(&r->doc, *item), setting_group_member) < 0)
            return -EINVAL;
    return 0;
}

/* Mappings whose keys are the user's own. */
static int read_pairs(struct reader *r, const struct key *key, const yaml_node_t *node)
{
    if (node->type != YAML_MAPPING_NODE)
        return fail(r, node, "", key->name, "a mapping is expected here");
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = document_node(&r->doc, pair->key), *value = document_node(&r->doc, pair->value);
        const char *text = need_text(r, key->name, name);
        int err;

        if (!text)
            return -EINVAL;
        for (yaml_node_pair_t *other = node->data.mapping.pairs.start; other < pair; other++)
            if (strcmp(document_text(document_node(&r->doc, other->key)), text) == 0)
                return fail(r, name, "", text, "the key is given twice");
        err = key->kind == KEY_GROUPS ? read_group(r, text, value) : set_pair(r, text, value, setting_dns_host);
        if (err < 0)
            return err;
    }
    return 0;
}

static int read_value(struct reader *r, const struct key *key, const yaml_node_t *name, const yaml_node_t *value)
{
    switch (key->kind) {
    case KEY_TEXT:
        return set_text(r, key, value);
    case KEY_LIST:
        return read_list(r, key, value);
    case KEY_MAP:
        return read_map(r, key->keys, key->name, value);
    case KEY_HOSTS:
    case KEY_GROUPS:
        return read_pairs(r, key, value);
    case KEY_COUNT:
    case KEY_BYTES:
    case KEY_TIME:
        return read_number(r, key, value);
    case KEY_ABSENT:
        (void)problem_set(r->problem, key->why, "'%s' is not in this version", key->name);
        return document_fail(&r->doc, name);
    }
    CHECK(!"a kind of key");
    return -EINVAL;
}

static int fail_unknown(struct reader *r, const struct key *keys, const char *what, const yaml_node_t *name)
{
    const char *known[KEYS_MAX];
    char hint[PROBLEM_HINT_MAX];
    size_t count = 0;

    for (; keys[count].name; count++) {
        CHECK(count < KEYS_MAX);
        known[count] = keys[count].name;
    }
    (void)problem_set(r->problem, problem_did_you_mean(document_text(name), known, count, hint),
                      "'%s' is not a key%s%s", document_text(name), what ? " of " : "", what ? what : "");
    return document_fail(&r->doc, name);
}

static int read_map(struct reader *r, const struct key *keys, const char *what, const yaml_node_t *node)
{
    uint32_t seen = 0;

    if (node->type != YAML_MAPPING_NODE)
        return fail(r, node, "write KEY: VALUE", what ? what : "the file", "a mapping is expected here");
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = document_node(&r->doc, pair->key);
        const char *text = need_text(r, what ? what : "the file", name);
        size_t i = 0;

        if (!text)
            return -EINVAL;
        while (keys[i].name && strcmp(keys[i].name, text) != 0)
            i++;
        if (!keys[i].name)
            return fail_unknown(r, keys, what, name);
        CHECK(i < KEYS_MAX);
        if (seen & 1u << i)
            return fail(r, name, "", text, "the key is given twice");
        seen |= 1u << i;
        if (keys[i].keys == floor_keys)
            r->config->layers[POLICY_LAYER_FLOOR].present = true;
        if (read_value(r, &keys[i], name, document_node(&r->doc, pair->value)) < 0)
            return -EINVAL;
    }
    return 0;
}

int config_parse(const char *text, size_t len, const char *filename, struct config *c, struct problem *problem)
{
    struct reader r = {.config = c, .problem = problem};
    const yaml_node_t *root;
    int err;

    c->file = filename;
    if (len > CONFIG_BYTES_MAX) {
        (void)problem_set(problem, "", "the file is bigger than %d KiB", CONFIG_BYTES_MAX / 1024);
        return problem_at(problem, "%s", filename);
    }
    err = document_load(text, len, filename, &r.doc, problem);
    if (err == 0) {
        root = document_root(&r.doc);
        err = root ? read_map(&r, top_keys, NULL, root) : 0; /* an empty file says nothing */
    }
    document_deinit(&r.doc);
    return err;
}

int config_read_file(const char *path, struct config *c, struct problem *problem)
{
    char *text = malloc(CONFIG_BYTES_MAX + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
    size_t len = 0;
    ssize_t n = fd < 0 || !text ? -1 : 1;

    while (n > 0 && len <= CONFIG_BYTES_MAX) {
        n = read(fd, text + len, CONFIG_BYTES_MAX + 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (n < 0) {
        (void)problem_set(problem, "", "cannot be read: %s", strerror(errno));
        err = problem_at(problem, "%s", path);
    } else {
        err = config_parse(text, len, path, c, problem);
    }
    if (fd >= 0)
        (void)close(fd);
    free(text);
    return err;
}
