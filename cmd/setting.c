#include "cmd/setting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mac.h"
#include "cmd/endpoint.h"
#include "policy/distance.h"
#include "policy/dns_type.h"

enum { PORT_DNS = 53 };

/* Index of @text in @words, or -EINVAL with the problem set. */
static int choose(const char *text, const char *const *words, size_t count, const char *what, struct problem *p)
{
    char hint[PROBLEM_HINT_MAX], list[128] = "";

    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0)
            return (int)i;
        strcat(list, i == 0 ? "" : i + 1 < count ? ", " : " or ");
        strcat(list, words[i]);
    }
    return problem_set(p, problem_did_you_mean(text, words, count, hint), "'%s': %s is %s", text, what, list);
}

/* ---- the guest and its network ---- */

/* Names of guests and hosts: one label, so that they fit a record, DHCP option 12 and a shell alike. */
static int take_label(const char *text, char out[static GUEST_HOSTNAME_MAX + 1], const char *what, struct problem *p)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t len = strlen(text);

    if (len == 0 || len > GUEST_HOSTNAME_MAX || strspn(text, letters) != len)
        return problem_set(p, "use 1 to 63 letters, digits, '-', '_' and '.'", "'%s' is not a valid %s", text, what);
    memcpy(out, text, len + 1);
    return 0;
}

int setting_name(struct config *c, const char *text, struct problem *p)
{
    return take_label(text, c->instance.name, "guest's name", p);
}

int setting_hostname(struct config *c, const char *text, struct problem *p)
{
    int err = take_label(text, c->instance.hostname, "host name", p);

    if (err == 0)
        c->hostname_given = true;
    return err;
}

/* "off", or a network of that family in which guests can live. @like: an example of one */
static int take_network(const char *text, enum addr_family family, const char *like, struct addr_prefix *out_net,
                        struct problem *p)
{
    bool v4 = family == ADDR_V4;
    struct addr_prefix net = {.base = {.family = ADDR_NONE}};
    int err = strcmp(text, "off") == 0 ? 0 : addr_prefix_parse(text, &net);

    if (err == -ERANGE)
        return problem_set(p, "", "'%s': bits are set behind the prefix length", text);
    if (err < 0 || (net.base.family != ADDR_NONE && net.base.family != family))
        return problem_set(p, like, "'%s' is not an IPv%d network, nor off", text, v4 ? 4 : 6);
    err = net.base.family == ADDR_NONE ? 0 : network_check(&net);
    if (err == -ERANGE)
        return problem_set(p, "", "'%s': the guests' network is a /%d to /%d", text,
                           v4 ? NETWORK_BITS4_MIN : NETWORK_BITS6_MIN, v4 ? NETWORK_BITS4_MAX : NETWORK_BITS6_MAX);
    if (err < 0)
        return problem_set(p, like,
                           "'%s' holds loopback, link-local, metadata, multicast or reserved addresses", text);
    *out_net = net;
    return 0;
}

int setting_ipv4(struct config *c, const char *text, struct problem *p)
{
    return take_network(text, ADDR_V4, "write a private one, like 192.168.127.0/24", &c->instance.net4, p);
}

int setting_ipv6(struct config *c, const char *text, struct problem *p)
{
    int err = take_network(text, ADDR_V6, "write a private one, like fd77:6569:72::/48", &c->instance.net6, p);

    c->ipv6_given = err == 0 && c->instance.net6.base.family != ADDR_NONE;
    return err;
}

int setting_mtu(struct config *c, const char *text, struct problem *p)
{
    uint64_t n;

    if (setting_count(text, GUEST_MTU_MIN, GUEST_MTU_MAX, &n, p) < 0)
        return -EINVAL;
    c->instance.mtu = (uint16_t)n;
    return 0;
}

int setting_guest_mac(struct config *c, const char *text, struct problem *p)
{
    uint8_t mac[MAC_BYTES];

    if (mac_parse(text, mac) < 0)
        return problem_set(p, "write it like 52:54:00:12:34:56", "'%s' is not a MAC address", text);
    if (mac_is_group(mac))
        return problem_set(p, "", "'%s' is the address of a group, not of a guest", text);
    memcpy(c->guest_mac, mac, sizeof(mac));
    c->guest_mac_given = true;
    return 0;
}

int setting_link(struct config *c, const char *text, struct problem *p)
{
    char error[LINK_ERROR_MAX];
    struct link_spec spec;
    struct config_link *links;
    char *copy;

    if (link_spec_parse(text, &spec, error) < 0)
        return problem_set(p, "", "%s", error);
    if (c->link_count == INSTANCE_LINKS_MAX)
        return problem_set(p, "", "more than %d links", INSTANCE_LINKS_MAX);
    links = realloc(c->links, (c->link_count + 1) * sizeof(*links));
    if (!links)
        return problem_set(p, "", "out of memory");
    c->links = links;
    copy = strdup(text);
    if (!copy)
        return problem_set(p, "", "out of memory");
    c->links[c->link_count++] = (struct config_link){.spec = spec, .text = copy};
    return 0;
}

/* ---- names ---- */

static int take_name(const char *text, char out[static NAME_TEXT_MAX + 1], struct problem *p)
{
    if (name_canonical(text, strlen(text), out) < 0)
        return problem_set(p, "", "'%s' is not a valid name", text);
    return 0;
}

int setting_dns_mode(struct config *c, const char *text, struct problem *p)
{
    bool fake = strcmp(text, "fake-ip") == 0;

    if (!fake && strcmp(text, "pinned") != 0)
        return problem_set(p, "pinned, or fake-ip", "'%s' is not a mode of the resolver", text);
    c->instance.fake_ip = fake;
    return 0;
}

int setting_dns_key(struct config *c, const char *text, struct problem *p)
{
    if (*text == '\0' || strlen(text) >= sizeof(c->dns_key))
        return problem_set(p, "write a path", "'%s' is not a file for a key", text);
    strcpy(c->dns_key, text);
    return 0;
}

static int take_endpoint(const char *text, struct upstream_server *out)
{
    struct upstream_server server;
    char host[ADDR_TEXT_MAX];

    if (endpoint_split(text, host, sizeof(host), &server.port) < 0 || addr_parse(host, &server.addr) < 0)
        return -EINVAL;
    if (server.port == 0)
        server.port = PORT_DNS;
    *out = server;
    return 0;
}

int setting_dns_upstream(struct config *c, const char *text, struct problem *p)
{
    struct instance_config *in = &c->instance;
    struct upstream_server server;
    bool system = strcmp(text, "system") == 0;

    if (c->upstream_system || (system && in->resolver_count > 0))
        return problem_set(p, "", "'system' stands alone: the host's resolvers, or a list of others");
    if (system) {
        c->upstream_system = true;
        return 0;
    }
    if (take_endpoint(text, &server) < 0)
        return problem_set(p, "write it like 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53",
                           "'%s' is not a resolver's address", text);
    if (in->resolver_count == RESOLVCONF_SERVERS_MAX)
        return problem_set(p, "", "more than %d resolvers", RESOLVCONF_SERVERS_MAX);
    in->resolvers[in->resolver_count++] = server;
    return 0;
}

int setting_dns_search(struct config *c, const char *text, struct problem *p)
{
    struct instance_config *in = &c->instance;
    char name[NAME_TEXT_MAX + 1];
    size_t need;
    uint8_t *at = in->search + in->search_len;

    if (take_name(text, name, p) < 0)
        return -EINVAL;
    need = strlen(name) + 2; /* RFC 1035 section 3.1: a length before each label, and the root */
    if (in->search_len + need > GUEST_SEARCH_MAX)
        return problem_set(p, "", "the search list does not fit the %d bytes DHCP has for it", GUEST_SEARCH_MAX);
    for (const char *label = name; label;) {
        const char *dot = strchr(label, '.');
        size_t len = dot ? (size_t)(dot - label) : strlen(label);

        *at++ = (uint8_t)len;
        memcpy(at, label, len);
        at += len;
        label = dot ? dot + 1 : NULL;
    }
    *at = 0;
    in->search_len = (uint8_t)(in->search_len + need);
    return 0;
}

int setting_dns_type(struct config *c, const char *text, struct problem *p)
{
    uint16_t type;
    int err;

    if (dns_type_parse(text, &type) < 0)
        return problem_set(p, "write it like MX, SRV or TYPE257", "'%s' is not a record type", text);
    err = dns_types_add(&c->instance.dns_types, type);
    if (err == -EPERM)
        return problem_set(p, "", "questions of type %s never go upstream under default deny", text);
    if (err < 0)
        return problem_set(p, "", "more than %d record types", DNS_TYPES_MAX);
    return 0;
}

int setting_dns_rebind(struct config *c, const char *text, struct problem *p)
{
    static const char *const words[] = {"strip", "refuse"};
    int n = choose(text, words, ARRAY_SIZE(words), "rebind", p);

    if (n < 0)
        return n;
    c->instance.rebind_strip = n == 0;
    return 0;
}

int setting_dns_unrouted(struct config *c, const char *text, struct problem *p)
{
    static const char *const words[] = {"strip", "keep"};
    int n = choose(text, words, ARRAY_SIZE(words), "unrouted", p);

    if (n < 0)
        return n;
    c->instance.unrouted_strip = n == 0;
    return 0;
}

int setting_dns_host(struct config *c, const char *name, const char *text, struct problem *p)
{
    struct instance_config *in = &c->instance;
    struct instance_host host;

    if (take_name(name, host.name, p) < 0)
        return -EINVAL;
    if (addr_parse(text, &host.addr) < 0)
        return problem_set(p, "", "'%s' is not an address", text);
    for (unsigned i = 0; i < in->host_count; i++)
        if (strcmp(in->hosts[i].name, host.name) == 0)
            return problem_set(p, "", "'%s' is given twice", host.name);
    if (in->host_count == INSTANCE_HOSTS_MAX)
        return problem_set(p, "", "more than %d static names", INSTANCE_HOSTS_MAX);
    in->hosts[in->host_count++] = host;
    return 0;
}

int setting_host_alias(struct config *c, const char *text, struct problem *p)
{
    struct instance_config *in = &c->instance;
    char name[NAME_TEXT_MAX + 1];

    if (take_name(text, name, p) < 0)
        return -EINVAL;
    if (!c->aliases_given)
        in->alias_count = 0;
    c->aliases_given = true;
    if (in->alias_count == INSTANCE_ALIASES_MAX)
        return problem_set(p, "", "more than %d names of the host", INSTANCE_ALIASES_MAX);
    strcpy(in->aliases[in->alias_count++], name);
    return 0;
}

/* ---- policy ---- */

static int take_default(struct config *c, enum policy_layer layer, const char *text, struct problem *p)
{
    static const char *const words[] = {"allow", "deny"};
    int n = choose(text, words, ARRAY_SIZE(words), "default", p);

    if (n < 0)
        return n;
    c->layers[layer].allow_default = n == 0;
    return 0;
}

int setting_policy_default(struct config *c, const char *text, struct problem *p)
{
    return take_default(c, POLICY_LAYER_POLICY, text, p);
}

int setting_floor_default(struct config *c, const char *text, struct problem *p)
{
    return take_default(c, POLICY_LAYER_FLOOR, text, p);
}

static int take_rule(struct config *c, enum policy_layer which, const char *text, struct problem *p)
{
    struct config_layer *layer = &c->layers[which];
    struct rule_error error;
    struct rule rule;
    void *grown;

    if (rule_parse(text, &rule, &error) < 0) {
        (void)problem_set(p, error.hint, "%s", error.message);
        p->column = error.column;
        return -EINVAL;
    }
    if (rule.direction == RULE_IN)
        return problem_set(p, "", "rules for incoming connections need published ports, "
                           "which this version does not have");
    if (layer->count == POLICY_RULES_MAX)
        return problem_set(p, "", "more than %d rules", POLICY_RULES_MAX);
    grown = realloc(layer->rules, (layer->count + 1) * sizeof(*layer->rules));
    if (!grown)
        return problem_set(p, "", "out of memory");
    layer->rules = grown;
    grown = realloc(layer->places, (layer->count + 1) * sizeof(*layer->places));
    if (!grown)
        return problem_set(p, "", "out of memory");
    layer->places = grown;
    layer->rules[layer->count] = rule;
    layer->places[layer->count++] = c->place;
    return 0;
}

int setting_policy_rule(struct config *c, const char *text, struct problem *p)
{
    return take_rule(c, POLICY_LAYER_POLICY, text, p);
}

int setting_floor_rule(struct config *c, const char *text, struct problem *p)
{
    return take_rule(c, POLICY_LAYER_FLOOR, text, p);
}

int setting_policy_refuse(struct config *c, const char *text, struct problem *p)
{
    static const char *const words[] = {"rst", "icmp"};
    int n = choose(text, words, ARRAY_SIZE(words), "refuse", p);

    if (n < 0)
        return n;
    c->instance.refuse_icmp = n == 1;
    return 0;
}

int setting_group_member(struct config *c, const char *name, const char *text, struct problem *p)
{
    struct addr_prefix prefix;
    enum group group;
    int err = addr_prefix_parse(text, &prefix);

    if (group_parse(name, &group) < 0) {
        const char *words[GROUP_COUNT];
        char hint[PROBLEM_HINT_MAX];
        size_t count = 0;

        for (unsigned i = 0; i < GROUP_COUNT; i++)
            if (i != GROUP_UNSPECIFIED) /* no word of the language */
                words[count++] = group_name((enum group)i);
        return problem_set(p, problem_did_you_mean(name, words, count, hint), "'%s' is not a group", name);
    }
    if (err == -ERANGE)
        return problem_set(p, "", "'%s': bits are set behind the prefix length", text);
    if (err < 0)
        return problem_set(p, "", "'%s' is not an address or network", text);
    err = group_table_add(&c->groups, &prefix, group);
    if (err == -EPERM)
        return problem_set(p, "", "'%s': loopback, link-local, metadata and multicast addresses cannot be moved", text);
    if (err < 0)
        return problem_set(p, "", "more than %d entries of groups", GROUP_ENTRIES_MAX);
    return 0;
}

int setting_group(struct config *c, const char *text, struct problem *p)
{
    const char *equals = strchr(text, '=');
    char name[32];

    if (!equals || (size_t)(equals - text) >= sizeof(name))
        return problem_set(p, "write it like public=203.0.113.0/24", "'%s' is not NAME=CIDR", text);
    memcpy(name, text, (size_t)(equals - text));
    name[equals - text] = '\0';
    return setting_group_member(c, name, equals + 1, p);
}

/* ---- log ---- */

int setting_log_flows(struct config *c, const char *text, struct problem *p)
{
    if (*text == '\0' || strlen(text) >= sizeof(c->log))
        return problem_set(p, "write a path, or - for standard output", "'%s' is not a file to log to", text);
    strcpy(c->log, text);
    return 0;
}

int setting_log_open(struct config *c, const char *text, struct problem *p)
{
    static const char *const words[] = {"no", "yes"};
    int n = choose(text, words, ARRAY_SIZE(words), "open", p);

    if (n < 0)
        return n;
    c->instance.log_open = n == 1;
    return 0;
}

int setting_log_level(struct config *c, const char *text, struct problem *p)
{
    static const char *const words[] = {"error", "info", "debug"};
    int n = choose(text, words, ARRAY_SIZE(words), "level", p);

    if (n < 0)
        return n;
    c->level = (enum config_level)n;
    return 0;
}
