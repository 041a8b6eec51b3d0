#include "cmd/config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mac.h"
#include "stack/ip6.h"

void config_init(struct config *c)
{
    memset(c, 0, sizeof(*c));
    instance_config_init(&c->instance);
    strcpy(c->instance.name, "guest");
    c->layers[POLICY_LAYER_POLICY].present = true;
    c->level = CONFIG_LEVEL_INFO;
}

void config_deinit(struct config *c)
{
    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        free(c->layers[i].rules);
        free(c->layers[i].places);
        c->layers[i] = (struct config_layer){0};
    }
    for (unsigned i = 0; i < c->link_count; i++)
        free(c->links[i].text);
    free(c->links);
    c->links = NULL;
    c->link_count = 0;
}

/* RFC 8200 section 5: no IPv6 link has a smaller MTU than 1280. */
static int finish_networks(struct config *c, struct problem *problem)
{
    struct instance_config *in = &c->instance;

    if (in->mtu < IP6_MTU_MIN && in->net6.base.family != ADDR_NONE) {
        if (c->ipv6_given)
            return problem_set(problem, "leave one of them out", "an MTU of %u is too small for IPv6, which wants %d",
                               in->mtu, IP6_MTU_MIN);
        in->net6 = (struct addr_prefix){.base = {.family = ADDR_NONE}};
        c->ipv6_mtu_off = true;
    }
    if (in->net4.base.family == ADDR_NONE && in->net6.base.family == ADDR_NONE)
        return problem_set(problem, "leave one of them on", "ipv4 and ipv6 are both off");
    return 0;
}

int config_finish(struct config *c, struct problem *problem)
{
    if (!c->hostname_given)
        strcpy(c->instance.hostname, c->instance.name);
    if (finish_networks(c, problem) < 0)
        return problem_at(problem, "%s", c->file ? c->file : "network");
    if (c->guest_mac_given && c->link_count > 1) {
        (void)problem_set(problem, "give each link its own mac=", "guest_mac is for a single link, and there are %u",
                          c->link_count);
        return problem_at(problem, "%s", c->file ? c->file : "links");
    }
    if (c->guest_mac_given && c->link_count == 1 && !c->links[0].spec.mac_pinned) {
        memcpy(c->links[0].spec.mac, c->guest_mac, sizeof(c->guest_mac));
        c->links[0].spec.mac_pinned = true;
    }
    for (unsigned i = 0; i < c->link_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (strcmp(c->links[i].text, c->links[j].text) == 0) {
                (void)problem_set(problem, "", "the link '%s' is given twice", c->links[i].text);
                return problem_at(problem, "%s", c->file ? c->file : "--link");
            }
    return 0;
}

struct policy *config_policy(const struct config *c)
{
    struct policy_config pc = {.groups = c->groups};

    for (unsigned i = 0; i < POLICY_LAYERS; i++) {
        pc.layers[i] = (struct policy_layer_config){
            .present = c->layers[i].present,
            .allow_default = c->layers[i].allow_default,
            .rules = c->layers[i].rules,
            .rule_count = c->layers[i].count,
        };
    }
    return policy_new(&pc);
}

size_t config_rule_count(const struct config *c)
{
    return c->layers[POLICY_LAYER_FLOOR].count + c->layers[POLICY_LAYER_POLICY].count;
}

char *config_place_format(const struct config *c, const struct config_place *place,
                          char out[static PROBLEM_WHERE_MAX])
{
    if (place->option)
        (void)snprintf(out, PROBLEM_WHERE_MAX, "%s #%u", place->option, place->line);
    else
        (void)snprintf(out, PROBLEM_WHERE_MAX, "%s:%u:%u", c->file ? c->file : "-", place->line, place->column);
    return out;
}

/* ---- printing ---- */

/* A double-quoted scalar (YAML 1.2 section 7.3.1); values hold no control characters. */
static void print_quoted(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            (void)fputc('\\', out);
        (void)fputc(*c, out);
    }
    (void)fputc('"', out);
}

static const char *network_text(const struct addr_prefix *net, char out[static ADDR_PREFIX_TEXT_MAX])
{
    return net->base.family == ADDR_NONE ? "off" : addr_prefix_format(net, out);
}

static void print_network(const struct config *c, FILE *out)
{
    char net4[ADDR_PREFIX_TEXT_MAX], net6[ADDR_PREFIX_TEXT_MAX], mac[MAC_TEXT_MAX];

    (void)fprintf(out, "network:\n  ipv4: \"%s\"\n  ipv6: \"%s\"\n  mtu: %u\n  hostname: ",
                  network_text(&c->instance.net4, net4), network_text(&c->instance.net6, net6), c->instance.mtu);
    print_quoted(out, c->instance.hostname);
    if (c->guest_mac_given)
        (void)fprintf(out, "\n  guest_mac: \"%s\"", mac_format(c->guest_mac, mac));
    (void)fputc('\n', out);
}

static void print_search(const struct instance_config *in, FILE *out)
{
    const uint8_t *at = in->search, *end = in->search + in->search_len;

    (void)fputs("  search: [", out);
    while (at < end) {
        (void)fputs(at == in->search ? "\"" : ", \"", out);
        for (bool first = true; *at != 0; at += 1 + *at, first = false)
            (void)fprintf(out, "%s%.*s", first ? "" : ".", (int)*at, (const char *)at + 1);
        (void)fputc('"', out);
        at++;
    }
    (void)fputs("]\n", out);
}

static void print_dns(const struct config *c, FILE *out)
{
    const struct instance_config *in = &c->instance;
    char text[ADDR_ENDPOINT_TEXT_MAX];

    (void)fprintf(out, "dns:\n  mode: %s\n", in->fake_ip ? "fake-ip" : "pinned");
    if (c->dns_key[0] != '\0') {
        (void)fputs("  key: ", out);
        print_quoted(out, c->dns_key);
        (void)fputc('\n', out);
    }
    (void)fputs("  upstream: [", out);
    for (unsigned i = 0; i < in->resolver_count; i++)
        (void)fprintf(out, "%s\"%s\"", i == 0 ? "" : ", ",
                      addr_endpoint_format(&in->resolvers[i].addr, in->resolvers[i].port, text));
    (void)fprintf(out, "%s]\n", in->resolver_count == 0 ? "system" : "");
    if (in->search_len > 0)
        print_search(in, out);
    (void)fputs("  types: [\"A\", \"AAAA\"", out); /* always */
    for (unsigned i = 0; i < in->dns_types.count; i++)
        (void)fprintf(out, ", \"%s\"", dns_type_format(in->dns_types.listed[i], text));
    (void)fputs("]\n", out);
    if (in->host_count > 0)
        (void)fputs("  hosts:\n", out);
    for (unsigned i = 0; i < in->host_count; i++)
        (void)fprintf(out, "    \"%s\": \"%s\"\n", in->hosts[i].name, addr_format(&in->hosts[i].addr, text));
    (void)fprintf(out, "  rebind: %s\n  unrouted: %s\n", in->rebind_strip ? "strip" : "refuse",
                  in->unrouted_strip ? "strip" : "keep");
}

static void print_layer(const struct config *c, enum policy_layer which, FILE *out)
{
    const struct config_layer *layer = &c->layers[which];
    char text[RULE_TEXT_MAX];

    (void)fprintf(out, "%s:\n  default: %s\n", which == POLICY_LAYER_FLOOR ? "floor" : "policy",
                  layer->allow_default ? "allow" : "deny");
    if (which == POLICY_LAYER_POLICY)
        (void)fprintf(out, "  refuse: %s\n", c->instance.refuse_icmp ? "icmp" : "rst");
    (void)fputs(layer->count == 0 ? "  rules: []\n" : "  rules:\n", out);
    for (size_t i = 0; i < layer->count; i++) {
        (void)fputs("    - ", out);
        print_quoted(out, rule_format(&layer->rules[i], text));
        (void)fprintf(out, " # rule %zu\n", i + 1);
    }
}

static void print_groups(const struct config *c, FILE *out)
{
    char text[ADDR_PREFIX_TEXT_MAX];

    if (c->groups.entry_count > 0)
        (void)fputs("groups:\n", out);
    for (unsigned g = 0; g < GROUP_COUNT; g++) {
        bool any = false;

        for (size_t i = 0; i < c->groups.entry_count; i++) {
            const struct group_entry *entry = &c->groups.entries[i];

            if (entry->group != (enum group)g)
                continue;
            if (!any)
                (void)fprintf(out, "  %s:\n", group_name(entry->group));
            any = true;
            (void)fprintf(out, "    - \"%s\"\n", addr_prefix_format(&entry->prefix, text));
        }
    }
}

static void print_time_or_never(const char *key, uint32_t ms, FILE *out)
{
    (void)fprintf(out, "  %s: %" PRIu32 "%s\n", key, ms, ms == 0 ? "" : "ms");
}

static void print_limits(const struct instance_limits *l, FILE *out)
{
    (void)fprintf(out, "limits:\n  flows: %" PRIu32 "\n  half_open: %" PRIu32 "\n  dials: %" PRIu32 "\n",
                  l->flows, l->half_open, l->dials);
    (void)fprintf(out, "  buffers: %" PRIu64 "B\n  flow_buffer: %" PRIu32 "B\n", l->buffers, l->flow_buffer);
    (void)fprintf(out, "  dial_timeout: %" PRIu32 "ms\n  guest_timeout: %" PRIu32 "ms\n", l->dial_timeout_ms,
                  l->guest_timeout_ms);
    (void)fprintf(out, "  udp_flows: %" PRIu32 "\n  udp_idle: %" PRIu32 "ms\n  udp_idle_dns: %" PRIu32
                  "ms\n  udp_idle_quic: %" PRIu32 "ms\n", l->udp_flows, l->udp_idle_ms, l->udp_idle_dns_ms,
                  l->udp_idle_quic_ms);
    (void)fprintf(out, "  dns_qps: %" PRIu32 "\n", l->dns_qps);
    print_time_or_never("idle", l->idle_ms, out);
    print_time_or_never("lifetime", l->lifetime_ms, out);
    print_time_or_never("keepalive", l->keepalive_ms, out);
}

void config_print(const struct config *c, FILE *out)
{
    static const char *const levels[] = {
        [CONFIG_LEVEL_ERROR] = "error", [CONFIG_LEVEL_INFO] = "info", [CONFIG_LEVEL_DEBUG] = "debug",
    };

    (void)fputs("name: ", out);
    print_quoted(out, c->instance.name);
    (void)fputc('\n', out);
    print_network(c, out);
    print_dns(c, out);
    if (c->layers[POLICY_LAYER_FLOOR].present)
        print_layer(c, POLICY_LAYER_FLOOR, out);
    print_layer(c, POLICY_LAYER_POLICY, out);
    print_groups(c, out);
    (void)fputs("host_alias: [", out);
    for (unsigned i = 0; i < c->instance.alias_count; i++)
        (void)fprintf(out, "%s\"%s\"", i == 0 ? "" : ", ", c->instance.aliases[i]);
    (void)fputs("]\n", out);
    print_limits(&c->instance.limits, out);
    (void)fprintf(out, "log:\n  level: %s\n  open: %s\n", levels[c->level], c->instance.log_open ? "yes" : "no");
    if (c->log[0] != '\0') {
        (void)fputs("  flows: ", out);
        print_quoted(out, c->log);
        (void)fputc('\n', out);
    }
    if (c->link_count > 0)
        (void)fputs("links:\n", out);
    for (unsigned i = 0; i < c->link_count; i++) {
        (void)fputs("  - ", out);
        print_quoted(out, c->links[i].text);
        (void)fputc('\n', out);
    }
}
