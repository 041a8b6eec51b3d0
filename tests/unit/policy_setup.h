/*
 * Policies and facts from short texts, for the tests of verdicts.
 *
 * The world is the one the attack list describes: ok.example is 203.0.113.10 and .20, evil.example shares .20, the
 * attacker's own machine is 198.51.100.66 (both networks count as public here); the guest's network is
 * 192.168.127.0/24, the host alias its .254, the host has 10.1.2.3 and 203.0.113.99 itself.
 */
#ifndef WEIR_TESTS_POLICY_SETUP_H
#define WEIR_TESTS_POLICY_SETUP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "policy/policy.h"

enum { SETUP_RULES_MAX = 80 };

#define SETUP_NOW_S 1900000000

static inline struct addr setup_addr(const char *text)
{
    struct addr a;

    if (addr_parse(text, &a) < 0)
        fail_msg("'%s' is no address", text);
    return a;
}

static inline struct group_table setup_groups(void)
{
    static const char *const opened[] = {"203.0.113.0/24", "198.51.100.0/24"};
    struct group_table t = {.host_addr_count = 2};

    for (size_t i = 0; i < ARRAY_SIZE(opened); i++) {
        struct addr_prefix p;

        assert_int_equal(addr_prefix_parse(opened[i], &p), 0);
        assert_int_equal(group_table_add(&t, &p, GROUP_PUBLIC), 0);
    }
    assert_int_equal(addr_prefix_parse("192.168.127.0/24", &t.guest4), 0);
    assert_int_equal(addr_prefix_parse("fd77::/64", &t.guest6), 0);
    t.alias4 = setup_addr("192.168.127.254");
    t.alias6 = setup_addr("fd77::ffff:ffff:ffff:fffe");
    t.host_addrs[0] = setup_addr("10.1.2.3");
    t.host_addrs[1] = setup_addr("2600::5");
    return t;
}

/* Rules separated by ';'. A first rule "default allow" sets the default. NULL: no such layer. */
static inline void setup_layer(const char *text, struct rule rules[static SETUP_RULES_MAX],
                               struct policy_layer_config *out_layer)
{
    *out_layer = (struct policy_layer_config){.present = text != NULL, .rules = rules};
    for (const char *at = text ? text : ""; *at != '\0';) {
        size_t len = strcspn(at, ";");
        struct rule_error error;
        char one[256];

        assert_true(len < sizeof(one) && out_layer->rule_count < SETUP_RULES_MAX);
        memcpy(one, at, len);
        one[len] = '\0';
        if (strcmp(one, "default allow") == 0)
            out_layer->allow_default = true;
        else if (rule_parse(one, &rules[out_layer->rule_count++], &error) < 0)
            fail_msg("'%s': %s", one, error.message);
        at += len;
        at += strspn(at, "; ");
    }
}

static inline struct policy *setup_policy(const char *floor, const char *rules)
{
    static struct rule storage[POLICY_LAYERS][SETUP_RULES_MAX];
    struct policy_config config = {.groups = setup_groups()};
    struct policy *policy;

    setup_layer(floor, storage[POLICY_LAYER_FLOOR], &config.layers[POLICY_LAYER_FLOOR]);
    setup_layer(rules, storage[POLICY_LAYER_POLICY], &config.layers[POLICY_LAYER_POLICY]);
    policy = policy_new(&config);
    assert_non_null(policy);
    return policy;
}

static inline enum reason setup_reason(const char *text)
{
    for (unsigned i = 0; i < REASON_COUNT; i++)
        if (strcmp(text, reason_text((enum reason)i)) == 0)
            return (enum reason)i;
    fail_msg("'%s' is no reason", text);
    return REASON_COUNT;
}

/* "tls [NAME|- [ech]]", "http [NAME]", "opaque", "bad REASON" */
static inline struct evidence setup_evidence(const char *text)
{
    char kind[16] = "", word[NAME_TEXT_MAX + 1] = "", ech[8] = "";
    struct evidence e = {.kind = EVIDENCE_OPAQUE};

    sscanf(text, "%15s %253s %7s", kind, word, ech);
    if (strcmp(kind, "bad") == 0) {
        e.kind = EVIDENCE_BAD;
        e.bad = setup_reason(word);
        return e;
    }
    if (strcmp(kind, "opaque") != 0)
        e.kind = strcmp(kind, "tls") == 0 ? EVIDENCE_TLS : EVIDENCE_HTTP;
    if (strcmp(word, "-") != 0)
        snprintf(e.name, sizeof(e.name), "%s", word);
    e.ech = strcmp(ech, "ech") == 0;
    return e;
}

/* Facts, and what they point at. */
struct setup_flow {
    struct facts facts;
    struct evidence evidence;
    const char *names[POLICY_WORLDS_MAX + 8];
    char text[512];
};

/* @to: "tcp/443 203.0.113.10"; @names: pinned ones, '+' for more than fit; @evidence: NULL for none yet. */
static inline void setup_flow(const char *to, const char *names, const char *evidence, struct setup_flow *out_flow)
{
    struct facts *f = &out_flow->facts;
    char proto[8], addr[64];
    unsigned port = 0;

    memset(out_flow, 0, sizeof(*out_flow));
    if (sscanf(to, "icmp %63s", addr) == 1)
        strcpy(proto, "icmp");
    else
        assert_int_equal(sscanf(to, "%7[a-z]/%u %63s", proto, &port, addr), 3);
    f->proto = strcmp(proto, "tcp") == 0 ? RULE_TCP : strcmp(proto, "udp") == 0 ? RULE_UDP : RULE_ICMP;
    f->port = (uint16_t)port;
    f->dst = setup_addr(addr);
    f->wall_s = SETUP_NOW_S;
    f->names = out_flow->names;
    snprintf(out_flow->text, sizeof(out_flow->text), "%s", names);
    for (char *word = strtok(out_flow->text, " "); word; word = strtok(NULL, " ")) {
        if (strcmp(word, "+") == 0)
            f->names_more = true;
        else
            out_flow->names[f->name_count++] = word;
    }
    if (evidence) {
        out_flow->evidence = setup_evidence(evidence);
        f->evidence = &out_flow->evidence;
    }
}

#endif
