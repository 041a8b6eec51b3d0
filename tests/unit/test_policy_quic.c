/*
 * Verdicts of QUIC: refused under name rules, or read (quic=inspect) and judged by the name that its hello says.
 */
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/policy_setup.h"

#define READ "allow ok.example udp/443 quic=inspect"
#define IP10 "udp/443 203.0.113.10"
#define IP20 "udp/443 203.0.113.20"
#define EVIL_IP "udp/443 198.51.100.66"

enum { ALLOW = VERDICT_ALLOW, DENY = VERDICT_DENY, PEEK = VERDICT_PEEK };

struct quic_case {
    const char *why;
    const char *rules; /* after "floor | " those of the floor layer in front */
    const char *to;
    const char *names;
    const char *evidence; /* NULL: none yet */
    int want;
    const char *reason; /* of ALLOW and DENY */
};

static struct policy *policy_of(const char *rules)
{
    const char *bar = strstr(rules, " | ");
    char floor[256] = "";

    if (!bar)
        return setup_policy(NULL, rules);
    snprintf(floor, sizeof(floor), "%.*s", (int)(bar - rules), rules);
    return setup_policy(floor, bar + 3);
}

static void check(const struct quic_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct quic_case *c = &cases[i];
        struct policy *policy = policy_of(c->rules);
        struct setup_flow flow;
        struct verdict v;

        setup_flow(c->to, c->names, c->evidence, &flow);
        policy_judge(policy, &flow.facts, &v);
        policy_unref(policy);
        if ((int)v.action != c->want || (c->want <= DENY && strcmp(reason_text(v.reason), c->reason) != 0))
            fail_msg("%s [%s, %s, %s, %s]: %d %s", c->why, c->rules, c->to, c->names, c->evidence ? c->evidence : "open",
                     (int)v.action, reason_text(v.reason));
    }
}

/* --- a name rule, read or not ------------------------------------------------------------------ */

static const struct quic_case name_cases[] = {
    { "T78 not read: refused, pinned or not", "allow ok.example", IP10, "ok.example", NULL, DENY, "quic.denied" },
    { "T78 refuse is what a rule without the word does", "allow ok.example udp/443 quic=refuse", IP10, "ok.example", NULL, DENY,
      "quic.denied" },
    { "T78 read: nothing leaves before the hello", READ, IP10, "ok.example", NULL, PEEK, "" },
    { "the rule's name", READ, IP10, "ok.example", "tls ok.example", ALLOW, "ok.rule" },
    { "T80 GREASE ECH denies nothing", READ, IP10, "ok.example", "tls ok.example ech", ALLOW, "ok.rule" },
    { "T78 another name", READ, IP10, "ok.example", "tls evil.example", DENY, "name.mismatch" },
    { "no name", READ, IP10, "ok.example", "tls", DENY, "name.missing" },
    { "T79 an address nobody was told", READ, EVIL_IP, "", NULL, DENY, "name.unpinned" },
    { "T79 whatever the hello says", READ, EVIL_IP, "", "tls ok.example", DENY, "name.unpinned" },
    { "an address of somebody else's", READ, EVIL_IP, "evil.example", "tls ok.example", DENY, "name.unpinned" },
    { "an allowed name that was not told for this address", READ ";allow b.example udp/443 quic=inspect", IP10, "ok.example",
      "tls b.example", DENY, "name.mismatch" },
    { "a suffix rule does not make up for that", "allow .ok.example udp/443 quic=inspect", IP10, "a.ok.example",
      "tls b.ok.example", DENY, "name.mismatch" },
    { "below a suffix", "allow .ok.example udp/443 quic=inspect", IP10, "a.ok.example", "tls a.ok.example", ALLOW, "ok.rule" },
    { "C12 a shared address", READ, IP20, "ok.example evil.example", NULL, PEEK, "" },
    { "C12 the allowed name on it", READ, IP20, "ok.example evil.example", "tls ok.example", ALLOW, "ok.rule" },
    { "C12 the other", READ, IP20, "ok.example evil.example", "tls evil.example", DENY, "name.mismatch" },
    { "C12 both are allowed, but one is not to be read", READ ";allow b.example udp/443", IP20, "ok.example b.example",
      "tls b.example", DENY, "quic.denied" },
    { "C12 ... nor before it says so", READ ";allow b.example udp/443", IP20, "b.example", NULL, DENY, "quic.denied" },
    { "more names are pinned than are known", READ, IP10, "+", NULL, PEEK, "" },
    { "... one of which is said", READ, IP10, "ok.example +", "tls ok.example", ALLOW, "ok.rule" },
    { "... or none", READ, IP10, "ok.example +", "tls", DENY, "name.missing" },
    { "need=none asks for no name: QUIC has one all the same", "allow ok.example udp/443 need=none quic=inspect", IP10,
      "ok.example", "tls evil.example", DENY, "name.mismatch" },
    { "need=none does not let QUIC pass unread", "allow ok.example udp/443 need=none", IP10, "ok.example", NULL, DENY,
      "quic.denied" },
    { "T05 ech=deny", READ " ech=deny", IP10, "ok.example", "tls ok.example ech", DENY, "ech.denied" },
    { "T05 ech=deny, and none", READ " ech=deny", IP10, "ok.example", "tls ok.example", ALLOW, "ok.rule" },
    { "a private address without private=", READ, "udp/443 10.9.9.9", "ok.example", "tls ok.example", DENY, "deny.floor.private" },
    { "with it", READ " private=10.9.0.0/16", "udp/443 10.9.9.9", "ok.example", "tls ok.example", ALLOW, "ok.rule" },
    { "expired", READ " expires=2020-01-01T00:00:00Z", IP10, "ok.example", NULL, DENY, "deny.default" },
    { "audit passes", "audit ok.example udp/443 quic=inspect", IP10, "ok.example", "tls ok.example", ALLOW, "ok.rule" },
};

static void test_c23_t78_t79_read_names(void **state)
{
    (void)state;
    check(name_cases, ARRAY_SIZE(name_cases));
}

/* --- what cannot be read ----------------------------------------------------------------------- */

/* What the reader says is the reason, whichever rules there are. */
static void test_t80_t82_unreadable_by_its_reason(void **state)
{
    static const char *const reasons[] = {"quic.version", "quic.malformed", "quic.noinitial", "quic.incomplete",
                                          "tls.malformed", "tls.too_big",    "name.invalid"};
    static const char *const rules[] = {READ, READ ";allow b.example udp/443", "allow .ok.example quic=inspect need=none"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
        char evidence[64];

        snprintf(evidence, sizeof(evidence), "bad %s", reasons[i]);
        for (size_t j = 0; j < ARRAY_SIZE(rules); j++) {
            struct quic_case c = {"unreadable", rules[j], IP10, "ok.example", evidence, DENY, reasons[i]};

            check(&c, 1);
        }
    }
}

/* --- ports ------------------------------------------------------------------------------------- */

static const struct quic_case port_cases[] = {
    { "a rule has its ports read", "allow ok.example udp/8443 quic=inspect", "udp/8443 203.0.113.10", "ok.example", NULL, PEEK, "" },
    { "... which is what decides there", "allow ok.example udp/8443 quic=inspect", "udp/8443 203.0.113.10", "ok.example",
      "tls ok.example", ALLOW, "ok.rule" },
    { "... not the pin", "allow ok.example udp/8443 quic=inspect", "udp/8443 203.0.113.10", "ok.example", "bad quic.noinitial",
      DENY, "quic.noinitial" },
    { "others are not", "allow ok.example udp/8443 quic=inspect", "udp/8444 203.0.113.10", "ok.example", NULL, DENY,
      "deny.default" },
    { "without a port: QUIC's own alone", "allow ok.example quic=inspect", "udp/123 203.0.113.10", "ok.example", NULL,
      ALLOW, "ok.rule" },
    { "a rule that reads one port leaves the others to the pin", READ ";allow ok.example udp", "udp/123 203.0.113.10",
      "ok.example", NULL, ALLOW, "ok.rule" },
    { "the word says nothing about TCP", "allow ok.example quic=inspect", "tcp/443 203.0.113.10", "ok.example", "opaque", DENY,
      "proto.unknown" },
    { "nor about ping", "allow ok.example quic=inspect", "icmp 203.0.113.10", "ok.example", NULL, ALLOW, "ok.rule" },
    { "DoQ needs a rule for its port", "allow ok.example quic=inspect", "udp/853 203.0.113.10", "ok.example", NULL, DENY,
      "dns.bypass" },
    { "... and is read then", "allow ok.example udp/853 quic=inspect", "udp/853 203.0.113.10", "ok.example", "tls ok.example",
      ALLOW, "ok.rule" },
};

static void test_c23_ports(void **state)
{
    (void)state;
    check(port_cases, ARRAY_SIZE(port_cases));
}

/* --- order and defaults ------------------------------------------------------------------------ */

#define WATCH "deny evil.example udp/443 quic=inspect;default allow"

static const struct quic_case order_cases[] = {
    { "G6 a denied name, not read: refused", "deny evil.example udp/443;default allow", IP20, "", NULL, DENY, "quic.denied" },
    { "G6 read", WATCH, IP20, "", NULL, PEEK, "" },
    { "G6 ... it is denied by what is said, pinned or not", WATCH, EVIL_IP, "", "tls evil.example", DENY, "deny.rule" },
    { "G6 ... another name stands", WATCH, IP20, "evil.example", "tls ok.example", ALLOW, "ok.default" },
    { "G6 the same over an address rule", "deny evil.example quic=inspect;allow public udp", EVIL_IP, "", "tls evil.example", DENY,
      "deny.rule" },
    { "an address rule in front has the last word", "allow public udp;deny evil.example quic=inspect", EVIL_IP, "", NULL, ALLOW,
      "ok.rule" },
    { "no names at all", "allow public udp/443", IP10, "", NULL, ALLOW, "ok.rule" },
    { "the default, and a name that may be read", READ ";default allow", IP20, "", NULL, ALLOW, "ok.default" },
    { "a deny in front of the suffix it is cut out of", "deny evil.ok.example;allow .ok.example udp/443 quic=inspect", IP10,
      "a.ok.example evil.ok.example", "tls evil.ok.example", DENY, "deny.rule" },
    { "... its siblings", "deny evil.ok.example;allow .ok.example udp/443 quic=inspect", IP10, "a.ok.example evil.ok.example",
      "tls a.ok.example", ALLOW, "ok.rule" },
    { "... where only it is pinned", "deny evil.ok.example;allow .ok.example udp/443 quic=inspect", IP10, "evil.ok.example", NULL,
      DENY, "name.unpinned" },
    { "a deny behind it is too late", READ ";deny ok.example", IP10, "ok.example", "tls ok.example", ALLOW, "ok.rule" },
    { "a deny of everything in front", "deny any;" READ, IP10, "ok.example", NULL, DENY, "deny.rule" },
    { "a deny of everything behind", READ ";deny any", IP10, "ok.example", "tls ok.example", ALLOW, "ok.rule" },
    { "... another name runs into it", READ ";deny any", IP10, "ok.example", "tls evil.example", DENY, "name.mismatch" },
    { "an unread rule in front is passed over", "allow ok.example;" READ, IP10, "ok.example", "tls ok.example", ALLOW, "ok.rule" },
};

static void test_c23_g06_order(void **state)
{
    (void)state;
    check(order_cases, ARRAY_SIZE(order_cases));
}

/* --- layers ------------------------------------------------------------------------------------ */

static const struct quic_case layer_cases[] = {
    { "C16 both read", READ " | " READ, IP10, "ok.example", "tls ok.example", ALLOW, "ok.rule" },
    { "C16 the floor by address", "allow public | " READ, IP10, "ok.example", "tls ok.example", ALLOW, "ok.rule" },
    { "C16 ... is no help to another name", "allow public | " READ, IP10, "ok.example", "tls evil.example", DENY, "name.mismatch" },
    { "C16 the floor does not read that name", "allow ok.example | " READ, IP10, "ok.example", NULL, DENY, "quic.denied" },
    { "C16 the policy does not", READ " | allow ok.example", IP10, "ok.example", NULL, DENY, "quic.denied" },
    { "C16 two names, one in each layer", READ " | allow b.example quic=inspect", IP20, "ok.example b.example", "tls b.example",
      DENY, "name.unpinned" },
    { "C16 the floor refuses QUIC while it denies a name: the policy's word does not have it read", "deny evil.example;default allow | "
      READ, IP10, "ok.example", NULL, DENY, "quic.denied" },
    { "C16 ... but where it is not refused it may be read", "deny evil.example;default allow | allow ok.example udp/8443 quic=inspect",
      "udp/8443 203.0.113.10", "ok.example", "tls ok.example", ALLOW, "ok.rule" },
    { "C16 the floor's denied name, read", WATCH " | " READ ";allow evil.example udp/443 quic=inspect", IP20,
      "ok.example evil.example", "tls evil.example", DENY, "deny.rule" },
};

static void test_c16_layers(void **state)
{
    (void)state;
    check(layer_cases, ARRAY_SIZE(layer_cases));
}

/* --- what is kept with a verdict --------------------------------------------------------------- */

static void test_c15_details(void **state)
{
    static const struct {
        const char *why, *rules, *names, *evidence;
        int rule;
        const char *name;
        bool audited;
    } cases[] = {
        { "the rule and the name", "deny public udp/25;" READ, "ok.example", "tls ok.example", 1, "ok.example", false },
        { "a mismatch tells the name that was said", READ, "ok.example", "tls evil.example", -1, "evil.example", false },
        { "audited", "audit ok.example udp/443 quic=inspect", "ok.example", "tls ok.example", 0, "ok.example", true },
        { "audited in front of a default that allows", "audit ok.example udp/443 quic=inspect;default allow", "ok.example",
          "tls ok.example", 0, "ok.example", true },
        { "... another name", "audit ok.example udp/443 quic=inspect;default allow", "ok.example", "tls b.example", -1, "", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct policy *policy = setup_policy(NULL, cases[i].rules);
        struct setup_flow flow;
        struct verdict v;

        setup_flow(IP10, cases[i].names, cases[i].evidence, &flow);
        policy_judge(policy, &flow.facts, &v);
        policy_unref(policy);
        if (v.rule != cases[i].rule || strcmp(v.name, cases[i].name) != 0 || v.audited != cases[i].audited)
            fail_msg("%s: rule %d name '%s'%s", cases[i].why, v.rule, v.name, v.audited ? " audited" : "");
    }
}

/* --- against a model --------------------------------------------------------------------------- */

/*
 * Random rules in two layers, and what they come to when the hello has been read, told in a few lines: the first rule
 * that says something about the name that was said (an allow: if it is pinned here and is to be read) or the address.
 */
enum { MODEL_RULES = 5, MODEL_POLICIES = 4000, MODEL_FLOWS = 12 };

static const char *const names[] = {"ok.example", "a.ok.example", "evil.example"};

static const struct {
    const char *text;
    unsigned covers; /* a bit for each of names[]; 0: by address */
} targets[] = {
    { "ok.example", 1 }, { ".ok.example", 3 }, { "*.ok.example", 2 }, { "evil.example", 4 }, { "203.0.113.0/24", 0 },
};

struct model_rule {
    bool deny, inspect, reads_8443;
    unsigned covers;
};

struct model_layer {
    bool allow_default;
    unsigned count;
    struct model_rule rules[MODEL_RULES];
    char text[512];
};

static uint64_t seed;

static unsigned draw(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

static void draw_layer(struct model_layer *layer)
{
    size_t at = 0;

    *layer = (struct model_layer){.allow_default = draw(3) == 0, .count = draw(MODEL_RULES + 1)};
    if (layer->allow_default)
        at = (size_t)snprintf(layer->text, sizeof(layer->text), "default allow;");
    for (unsigned i = 0; i < layer->count; i++) {
        unsigned target = draw(ARRAY_SIZE(targets));
        struct model_rule *r = &layer->rules[i];

        *r = (struct model_rule){.deny = draw(3) == 0, .covers = targets[target].covers};
        r->inspect = r->covers && draw(3) > 0;
        r->reads_8443 = draw(2) == 0; /* all of UDP, not 443 alone */
        at += (size_t)snprintf(layer->text + at, sizeof(layer->text) - at, "%s %s udp%s%s;", r->deny ? "deny" : "allow",
                               targets[target].text, r->reads_8443 ? "" : "/443", r->inspect ? " quic=inspect" : "");
    }
    assert_true(at < sizeof(layer->text));
}

static bool model_covers_port(const struct model_rule *r, unsigned port)
{
    return port == 443 || r->reads_8443;
}

/* What a layer says about a hello with the name @said (a bit) to an address where @pinned (bits) are. */
static bool model_allows(const struct model_layer *layer, unsigned port, unsigned pinned, unsigned said)
{
    for (unsigned i = 0; i < layer->count; i++) {
        const struct model_rule *r = &layer->rules[i];

        if (!model_covers_port(r, port))
            continue;
        if (!r->covers)
            return !r->deny;
        if (r->deny && r->covers & said)
            return false;
        if (!r->deny && r->inspect && r->covers & said & pinned)
            return true;
    }
    return layer->allow_default;
}

/* Whether a layer by itself would have QUIC refused unread: it denies names, and lets the rest pass. */
static bool model_refuses(const struct model_layer *layer, unsigned port)
{
    bool denies = false, reads = false;

    for (unsigned i = 0; i < layer->count; i++) {
        const struct model_rule *r = &layer->rules[i];

        if (!model_covers_port(r, port))
            continue;
        if (!r->covers)
            return denies && !reads && !r->deny;
        denies = denies || r->deny;
        reads = reads || r->inspect;
    }
    return denies && !reads && layer->allow_default;
}

static void draw_quic(unsigned port, unsigned pinned, unsigned said, bool readable, struct setup_flow *out_flow)
{
    char to[64], text[128] = "", evidence[64] = "bad quic.malformed";

    snprintf(to, sizeof(to), "udp/%u 203.0.113.10", port);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (pinned & 1u << i)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s", names[i]);
    if (readable)
        snprintf(evidence, sizeof(evidence), "tls %s", names[said]);
    setup_flow(to, text, evidence, out_flow);
}

static void test_c23_as_the_model_says(void **state)
{
    unsigned allowed = 0, by_name = 0;

    (void)state;
    seed = 23;
    for (unsigned i = 0; i < MODEL_POLICIES; i++) {
        struct model_layer floor, own;
        struct policy *policy;

        draw_layer(&floor);
        draw_layer(&own);
        policy = setup_policy(floor.text, own.text);
        for (unsigned j = 0; j < MODEL_FLOWS; j++) {
            unsigned pinned = draw(8), said = draw(ARRAY_SIZE(names));
            struct setup_flow flow;
            struct verdict v;
            bool want = model_allows(&floor, 443, pinned, 1u << said) && model_allows(&own, 443, pinned, 1u << said) &&
                        !model_refuses(&floor, 443) && !model_refuses(&own, 443);

            draw_quic(443, pinned, said, true, &flow);
            policy_judge(policy, &flow.facts, &v);
            if ((v.action == VERDICT_ALLOW) != want || v.action == VERDICT_PEEK)
                fail_msg("%d %s: floor [%s] rules [%s] pinned %x said %s", (int)v.action, reason_text(v.reason), floor.text,
                         own.text, pinned, names[said]);
            allowed += want;
            by_name += want && v.name[0] != '\0';
        }
        policy_unref(policy);
    }
    assert_true(allowed > 2000 && by_name > 1000);
}

/* What cannot be read is allowed by no name, on no port where something is read: only as what the rules give to anybody. */
static void test_c23_t82_unreadable_is_allowed_by_no_name(void **state)
{
    unsigned denied = 0;

    (void)state;
    seed = 82;
    for (unsigned i = 0; i < MODEL_POLICIES; i++) {
        unsigned port = draw(2) ? 443 : 8443;
        struct model_layer own;
        struct policy *policy;

        draw_layer(&own);
        policy = setup_policy(NULL, own.text);
        for (unsigned pinned = 0; pinned < 8; pinned++) {
            struct setup_flow flow;
            struct verdict open, v;

            draw_quic(port, pinned, 0, false, &flow);
            policy_judge(policy, &flow.facts, &v);
            flow.facts.evidence = NULL;
            policy_judge(policy, &flow.facts, &open);
            denied += v.action == VERDICT_DENY;
            if (v.action == VERDICT_PEEK || (open.action == VERDICT_PEEK && v.action == VERDICT_ALLOW &&
                                             (v.name[0] != '\0' || !model_allows(&own, port, 0, 0))))
                fail_msg("%d for '%s': rules [%s] pinned %x port %u", (int)v.action, v.name, own.text, pinned, port);
        }
        policy_unref(policy);
    }
    assert_true(denied > 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c23_t78_t79_read_names),
        cmocka_unit_test(test_t80_t82_unreadable_by_its_reason),
        cmocka_unit_test(test_c23_ports),
        cmocka_unit_test(test_c23_g06_order),
        cmocka_unit_test(test_c16_layers),
        cmocka_unit_test(test_c15_details),
        cmocka_unit_test(test_c23_as_the_model_says),
        cmocka_unit_test(test_c23_t82_unreadable_is_allowed_by_no_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
