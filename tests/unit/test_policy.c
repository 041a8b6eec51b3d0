/*
 * Verdicts of flows, row by row: what the rules, the pins and the guest's first bytes make of each other.
 */
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/policy_setup.h"

#define OK443 "allow ok.example tcp/443"
#define OK80 "allow ok.example tcp/80"
#define IP10 "tcp/443 203.0.113.10"
#define IP20 "tcp/443 203.0.113.20"
#define EVIL_IP "tcp/443 198.51.100.66"

enum { ALLOW = VERDICT_ALLOW, DENY = VERDICT_DENY, JUDGE = VERDICT_JUDGE, PEEK = VERDICT_PEEK };

struct flow_case {
    const char *why;
    const char *rules; /* after "floor | " those of the floor layer in front */
    const char *to;
    const char *names;
    const char *evidence; /* NULL: none yet; "silent": none came */
    int want;
    const char *reason; /* of ALLOW and DENY */
};

static void check(const struct flow_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct flow_case *c = &cases[i];
        const char *bar = strstr(c->rules, " | ");
        char floor[256] = "";
        struct policy *policy;
        struct setup_flow flow;
        struct verdict v;
        bool silent = c->evidence && strcmp(c->evidence, "silent") == 0;

        if (bar)
            snprintf(floor, sizeof(floor), "%.*s", (int)(bar - c->rules), c->rules);
        policy = setup_policy(bar ? floor : NULL, bar ? bar + 3 : c->rules);
        setup_flow(c->to, c->names, silent ? NULL : c->evidence, &flow);
        if (silent)
            policy_judge_silent(policy, &flow.facts, &v);
        else
            policy_judge(policy, &flow.facts, &v);
        policy_unref(policy);
        if ((int)v.action != c->want || (c->want <= DENY && strcmp(reason_text(v.reason), c->reason) != 0))
            fail_msg("%s [%s, %s, %s, %s]: %d %s", c->why, c->rules, c->to, c->names, c->evidence ? c->evidence : "open",
                     (int)v.action, reason_text(v.reason));
    }
}

/* --- names ------------------------------------------------------------------------------------- */

static const struct flow_case name_cases[] = {
    { "C5 nothing is allowed", "", IP10, "ok.example", NULL, DENY, "deny.default" },
    { "C5 the rule's name: dial at once", OK443, IP10, "ok.example", NULL, JUDGE, "" },
    { "C9 and its hello", OK443, IP10, "ok.example", "tls ok.example", ALLOW, "ok.rule" },
    { "C5 another port", OK443, "tcp/444 203.0.113.10", "ok.example", NULL, DENY, "deny.default" },
    { "C5 another protocol", OK443, "udp/443 203.0.113.10", "ok.example", NULL, DENY, "deny.default" },
    { "C11 T01 an address nobody was told", OK443, EVIL_IP, "", NULL, DENY, "name.unpinned" },
    { "C11 T01 whatever the hello says", OK443, EVIL_IP, "", "tls ok.example", DENY, "name.unpinned" },
    { "G5 T01 for suffix rules as well", "allow .ok.example tcp/443", EVIL_IP, "", "tls ok.example", DENY, "name.unpinned" },
    { "no name rule for this port", OK443, "tcp/22 198.51.100.66", "", NULL, DENY, "deny.default" },
    { "T02 no SNI", OK443, IP10, "ok.example", "tls", DENY, "name.missing" },
    { "T02 no SNI, but an address rule", OK443 ";allow 203.0.113.10 tcp/443", IP10, "ok.example", "tls", ALLOW, "ok.rule" },
    { "C9 T03 SNI of another name on a pinned address", OK443, IP10, "ok.example", "tls evil.example", DENY,
      "name.mismatch" },
    { "C12 T03 on an address both have: no dial yet", OK443, IP20, "ok.example evil.example", NULL, PEEK, "" },
    { "C12 the allowed one", OK443, IP20, "ok.example evil.example", "tls ok.example", ALLOW, "ok.rule" },
    { "C12 T03 the other", OK443, IP20, "ok.example evil.example", "tls evil.example", DENY, "name.mismatch" },
    { "C12 neither", OK443, IP20, "ok.example evil.example", "tls third.example", DENY, "name.mismatch" },
    { "C12 no name", OK443, IP20, "ok.example evil.example", "tls", DENY, "name.missing" },
    { "T05 the outer name of ECH", OK443, IP10, "ok.example", "tls cloudflare-ech.com ech", DENY, "name.mismatch" },
    { "T06 GREASE ECH", OK443, IP10, "ok.example", "tls ok.example ech", ALLOW, "ok.rule" },
    { "T05 ech=deny", OK443 " ech=deny", IP10, "ok.example", "tls ok.example ech", DENY, "ech.denied" },
    { "T05 ech=deny, and none", OK443 " ech=deny", IP10, "ok.example", "tls ok.example", ALLOW, "ok.rule" },
    { "T05 ech=deny where need=none", OK443 " ech=deny need=none", IP10, "ok.example", "tls - ech", DENY, "ech.denied" },
    { "T10 T19 unreadable", OK443, IP10, "ok.example", "bad tls.malformed", DENY, "tls.malformed" },
    { "T15 T18 no name", OK443, IP10, "ok.example", "bad name.invalid", DENY, "name.invalid" },
    { "T18 no name, but an address rule", OK443 ";allow 203.0.113.10 tcp/443", IP10, "ok.example", "bad name.invalid",
      ALLOW, "ok.rule" },
    { "T25 too big", OK443, IP10, "ok.example", "bad tls.too_big", DENY, "tls.too_big" },
    { "T27 SSLv2", OK443, IP10, "ok.example", "bad tls.sslv2", DENY, "tls.sslv2" },
    { "T28 other bytes on 443", OK443, IP10, "ok.example", "opaque", DENY, "proto.unknown" },
    { "T28 HTTP on 443", OK443, IP10, "ok.example", "http ok.example", DENY, "proto.unknown" },
    { "T28 unless the rule says so", OK443 " need=host", IP10, "ok.example", "http ok.example", ALLOW, "ok.rule" },
    { "T28 8443 and 853 are like 443", "allow ok.example tcp/8443", "tcp/8443 203.0.113.10", "ok.example", "opaque", DENY,
      "proto.unknown" },
    { "T28 853 named by the rule", "allow ok.example tcp/853", "tcp/853 203.0.113.10", "ok.example", "opaque", DENY,
      "proto.unknown" },
    { "T39 a name that ends like the rule's", "allow *.ok.example tcp/443", IP10, "evilok.example", NULL, DENY,
      "name.unpinned" },
    { "T40 the apex of *.", "allow *.ok.example tcp/443", IP10, "ok.example", NULL, DENY, "name.unpinned" },
    { "T40 below it", "allow *.ok.example tcp/443", IP10, "a.b.ok.example", "tls a.b.ok.example", ALLOW, "ok.rule" },
    { "the hello names another allowed name, that was not told for this address", OK443 ";allow b.example tcp/443", IP10,
      "ok.example", "tls b.example", DENY, "name.mismatch" },
    { "a suffix rule does not make up for that", "allow .ok.example tcp/443", IP10, "a.ok.example", "tls b.ok.example", DENY,
      "name.mismatch" },
    { "need=none: the pin decides whatever is said", OK443 " need=none", IP10, "ok.example", NULL, ALLOW, "ok.rule" },
    { "need=none: nor does it matter beside a deny for another name", "deny b.example;" OK443 " need=none", IP10,
      "ok.example", "bad tls.malformed", ALLOW, "ok.rule" },
    { "need=none: a denied name that can be read is denied", "deny b.example;" OK443 " need=none", IP10, "ok.example",
      "tls b.example", DENY, "deny.rule" },
    { "need=none: denied behind it is too late", OK443 " need=none;deny b.example;deny c.example tcp", IP10, "ok.example",
      "tls b.example", ALLOW, "ok.rule" },
    { "more names are pinned than are known", OK443, IP10, "ok.example +", NULL, PEEK, "" },
    { "... one of which is said", OK443, IP10, "ok.example +", "tls ok.example", ALLOW, "ok.rule" },
    { "... or none", OK443, IP10, "ok.example +", "tls", DENY, "name.missing" },
    { "... only unknown ones", OK443, IP10, "+", NULL, PEEK, "" },
};

static void test_c05_c09_c11_c12_t01_t40_names(void **state)
{
    (void)state;
    check(name_cases, ARRAY_SIZE(name_cases));
}

/* --- bytes that come late, or never ------------------------------------------------------------ */

#define DB "allow db.example tcp/5432"
#define DB_IP "tcp/5432 203.0.113.10"

static const struct flow_case wait_cases[] = {
    { "G2 only address rules: no wait", "allow public tcp/5432", DB_IP, "db.example", NULL, ALLOW, "ok.rule" },
    { "G2 the default allows", "default allow", DB_IP, "db.example", NULL, ALLOW, "ok.default" },
    { "T41 a server that speaks first, by address", "allow 203.0.113.10 tcp/22", "tcp/22 203.0.113.10", "", NULL, ALLOW,
      "ok.rule" },
    { "T41 by name: dial, and what it says goes down", "allow git.example tcp/22", "tcp/22 203.0.113.10", "git.example",
      NULL, JUDGE, "" },
    { "T41 the client's banner", "allow git.example tcp/22", "tcp/22 203.0.113.10", "git.example", "opaque", ALLOW,
      "ok.rule" },
    { "T41 the client stays silent", "allow git.example tcp/22", "tcp/22 203.0.113.10", "git.example", "silent", ALLOW,
      "ok.rule" },
    { "T44 STARTTLS and its like are not read", DB, DB_IP, "db.example", "opaque", ALLOW, "ok.rule" },
    { "T44 TLS from the first byte is", DB, DB_IP, "db.example", "tls evil.example", DENY, "name.mismatch" },
    { "T44 TLS of the right name", DB, DB_IP, "db.example", "tls db.example", ALLOW, "ok.rule" },
    { "TLS without a name, where the pin decides", DB, DB_IP, "db.example", "tls", DENY, "name.missing" },
    { "unreadable, where the pin decides", DB, DB_IP, "db.example", "bad tls.malformed", DENY, "tls.malformed" },
    { "T42 T46 nothing came where a hello must", OK443, IP10, "ok.example", "silent", DENY, "peek.timeout" },
    { "C10 T43 nothing came on a shared address", OK443, IP20, "ok.example evil.example", "silent", DENY,
      "name.ambiguous" },
    { "C10 T43 shared, on a port of its own", DB, DB_IP, "db.example evil.example", NULL, PEEK, "" },
    { "C10 T43 other bytes on it", DB, DB_IP, "db.example evil.example", "opaque", DENY, "name.ambiguous" },
    { "C10 T43 silence on it", DB, DB_IP, "db.example evil.example", "silent", DENY, "name.ambiguous" },
    { "T43 every name on it is allowed", DB ";allow two.example tcp/5432", DB_IP, "db.example two.example", "opaque", ALLOW,
      "ok.rule" },
    { "T43 need=sni", DB " need=sni", DB_IP, "db.example", "opaque", DENY, "proto.unknown" },
    { "T43 need=sni, silence", DB " need=sni", DB_IP, "db.example", "silent", DENY, "peek.timeout" },
    { "silence is never better than other bytes", "allow any tcp;deny evil.example", IP10, "evil.example", "silent", ALLOW,
      "ok.rule" },
};

static void test_c10_g02_t41_t46_waiting(void **state)
{
    (void)state;
    check(wait_cases, ARRAY_SIZE(wait_cases));
}

/* --- plain HTTP -------------------------------------------------------------------------------- */

#define WEB "tcp/80 203.0.113.10"

static const struct flow_case http_cases[] = {
    { "C10 Host of the rule", OK80, WEB, "ok.example", "http ok.example", ALLOW, "ok.rule" },
    { "C10 T61 Host of another", OK80, WEB, "ok.example", "http evil.example", DENY, "name.mismatch" },
    { "T61 Host of another allowed name, not told for this address", OK80 ";allow b.example tcp/80", WEB, "ok.example",
      "http b.example", DENY, "name.mismatch" },
    { "T62 two names", OK80, WEB, "ok.example", "bad host.mismatch", DENY, "host.mismatch" },
    { "T64 no Host", OK80, WEB, "ok.example", "http", DENY, "name.missing" },
    { "T66 ambiguous framing", OK80, WEB, "ok.example", "bad http.malformed", DENY, "http.malformed" },
    { "T67 HTTP/2 in clear", OK80, WEB, "ok.example", "bad proto.unknown", DENY, "proto.unknown" },
    { "other bytes on 80", OK80, WEB, "ok.example", "opaque", DENY, "proto.unknown" },
    { "TLS on 80", OK80, WEB, "ok.example", "tls ok.example", DENY, "proto.unknown" },
    { "8000, 8008 and 8080 are like 80", "allow ok.example tcp/8080", "tcp/8080 203.0.113.10", "ok.example", "opaque", DENY,
      "proto.unknown" },
    { "HTTP on a port of its own", DB, DB_IP, "db.example", "http db.example", ALLOW, "ok.rule" },
    { "HTTP for another there", DB, DB_IP, "db.example", "http evil.example", DENY, "name.mismatch" },
    { "T36 PROXY there", DB, DB_IP, "db.example", "bad proto.unknown", DENY, "proto.unknown" },
};

static void test_c10_t61_t67_http(void **state)
{
    (void)state;
    check(http_cases, ARRAY_SIZE(http_cases));
}

/* --- deny and audit ---------------------------------------------------------------------------- */

static const struct flow_case order_cases[] = {
    { "C7 the first match wins: allow", "allow public tcp/443;deny public", IP10, "", NULL, ALLOW, "ok.rule" },
    { "C7 the first match wins: deny", "deny 203.0.113.0/24;allow public", IP10, "", NULL, DENY, "deny.rule" },
    { "C7 another port of the deny", "deny public tcp/25;default allow", IP10, "", NULL, ALLOW, "ok.default" },
    { "C7 that port", "deny public tcp/25;default allow", "tcp/25 203.0.113.10", "", NULL, DENY, "deny.rule" },
    { "T162 SMTP under an allow for all", "deny any tcp/25,465,587;allow any", "tcp/587 203.0.113.10", "", NULL, DENY,
      "deny.rule" },
    { "G6 a denied name never delays what the default allows", "deny evil.example;default allow", IP20, "evil.example",
      NULL, JUDGE, "" },
    { "G6 the sibling's deny does not hit", "deny evil.example;default allow", IP20, "ok.example evil.example",
      "tls ok.example", ALLOW, "ok.default" },
    { "a denied name is denied by SNI alone, pinned or not", "deny evil.example;default allow", EVIL_IP, "",
      "tls evil.example", DENY, "deny.rule" },
    { "by Host as well", "deny .evil.example;default allow", "tcp/80 198.51.100.66", "", "http a.evil.example", DENY,
      "deny.rule" },
    { "anything else stands: no name", "deny evil.example;default allow", IP20, "evil.example", "tls", ALLOW, "ok.default" },
    { "anything else stands: unreadable", "deny evil.example;default allow", IP20, "evil.example", "bad tls.malformed",
      ALLOW, "ok.default" },
    { "anything else stands: silence", "deny evil.example;default allow", IP20, "evil.example", "silent", ALLOW,
      "ok.default" },
    { "a deny rule names it", OK443 ";deny evil.example", IP20, "ok.example evil.example", "tls evil.example", DENY,
      "deny.rule" },
    { "a deny in front of the suffix it is cut out of", "deny evil.ok.example;allow .ok.example tcp/443", IP10,
      "evil.ok.example", NULL, DENY, "name.unpinned" },
    { "and for its siblings", "deny evil.ok.example;allow .ok.example tcp/443", IP10, "ok.example", "tls ok.example", ALLOW,
      "ok.rule" },
    { "a deny behind the allow is too late", OK443 ";deny ok.example", IP10, "ok.example", "tls ok.example", ALLOW,
      "ok.rule" },
    { "a deny of everything in front of names", "deny any;" OK443, IP10, "ok.example", NULL, DENY, "deny.rule" },
    { "names in front of a deny of everything", OK443 ";deny any", IP10, "ok.example", "tls ok.example", ALLOW, "ok.rule" },
    { "an expired allow", OK443 " expires=2020-01-01T00:00:00Z", IP10, "ok.example", NULL, DENY, "deny.default" },
    { "one that has not", OK443 " expires=2099-01-01T00:00:00Z", IP10, "ok.example", "tls ok.example", ALLOW, "ok.rule" },
    { "rules for incoming flows open nothing outgoing", "allow in any", IP10, "ok.example", NULL, DENY, "deny.default" },
    { "audit passes", "audit ok.example tcp/443", IP10, "ok.example", "tls ok.example", ALLOW, "ok.rule" },
    { "audit passes by address", "audit public", IP10, "", NULL, ALLOW, "ok.rule" },
    { "audit is terminal: a deny behind it has no say", "audit public;deny public", IP10, "", NULL, ALLOW, "ok.rule" },
};

static void test_c07_g06_order(void **state)
{
    (void)state;
    check(order_cases, ARRAY_SIZE(order_cases));
}

/* --- UDP, ping, encrypted DNS ------------------------------------------------------------------ */

static const struct flow_case udp_cases[] = {
    { "C23 T78 QUIC of an allowed name is not read", "allow ok.example", "udp/443 203.0.113.10", "ok.example", NULL, DENY,
      "quic.denied" },
    { "C23 T79 to any other address", "allow ok.example", "udp/443 198.51.100.66", "", NULL, DENY, "quic.denied" },
    { "C23 no name rule for UDP: as everything", OK443, "udp/443 203.0.113.10", "ok.example", NULL, DENY, "deny.default" },
    { "QUIC by address", "allow public udp/443", "udp/443 203.0.113.10", "", NULL, ALLOW, "ok.rule" },
    { "QUIC by default, while some name is denied", "deny evil.example;default allow", "udp/443 203.0.113.10", "", NULL,
      DENY, "quic.denied" },
    { "while it is denied on TCP only", "deny evil.example tcp;default allow", "udp/443 203.0.113.10", "", NULL, ALLOW,
      "ok.default" },
    { "T92 other ports", OK443, "udp/51820 198.51.100.66", "", NULL, DENY, "deny.default" },
    { "T92 NTP by name: the pin decides", "allow time.example udp/123", "udp/123 203.0.113.10", "time.example", NULL, ALLOW,
      "ok.rule" },
    { "T92 on a shared address", "allow time.example udp/123", "udp/123 203.0.113.10", "time.example evil.example", NULL,
      DENY, "name.ambiguous" },
    { "T92 unpinned", "allow time.example udp/123", "udp/123 203.0.113.10", "", NULL, DENY, "name.unpinned" },
    { "UDP evidence is not asked for", "allow time.example udp/123", "udp/123 203.0.113.10", "time.example",
      "tls evil.example", ALLOW, "ok.rule" },
    { "ping by group", "allow public icmp", "icmp 203.0.113.10", "", NULL, ALLOW, "ok.rule" },
    { "ping by name", "allow ok.example icmp", "icmp 203.0.113.10", "ok.example", NULL, ALLOW, "ok.rule" },
    { "T147 ping otherwise", OK443, "icmp 203.0.113.10", "ok.example", NULL, DENY, "deny.default" },
    { "D3 T98 DoT under an allow for all", "allow any", "tcp/853 203.0.113.10", "", NULL, DENY, "dns.bypass" },
    { "D3 T98 DoT under a default of allow", "default allow", "tcp/853 203.0.113.10", "", NULL, DENY, "dns.bypass" },
    { "D3 T98 DoQ", "default allow", "udp/853 203.0.113.10", "", NULL, DENY, "dns.bypass" },
    { "T98 a range around it is no rule for it", "allow any tcp/800-900", "tcp/853 203.0.113.10", "", NULL, DENY,
      "dns.bypass" },
    { "T98 a rule for it", "allow 203.0.113.10 tcp/853", "tcp/853 203.0.113.10", "", NULL, ALLOW, "ok.rule" },
};

static void test_c23_d03_t78_t92_t98_unread(void **state)
{
    (void)state;
    check(udp_cases, ARRAY_SIZE(udp_cases));
}

/* --- what is kept with a verdict --------------------------------------------------------------- */

struct detail_case {
    const char *why;
    const char *floor, *rules, *to, *names, *evidence;
    enum policy_layer layer;
    int rule;
    const char *name;
    bool audited, strict;
};

static const struct detail_case detail_cases[] = {
    { "the rule, and the name it was decided by", NULL, "deny public tcp/25;" OK443, IP10, "ok.example", "tls ok.example",
      POLICY_LAYER_POLICY, 1, "ok.example", false, false },
    { "at open, too: strict where a hello must come", NULL, OK443, IP10, "ok.example", NULL, POLICY_LAYER_POLICY, 0,
      "ok.example", false, true },
    { "not strict where the pin may decide", NULL, DB, DB_IP, "db.example", NULL, POLICY_LAYER_POLICY, 0, "db.example",
      false, false },
    { "strict on a shared address", NULL, OK443, IP20, "evil.example ok.example", NULL, POLICY_LAYER_POLICY, 0,
      "ok.example", false, true },
    { "not strict where the default allows", NULL, "default allow;deny evil.example", IP20, "evil.example", NULL,
      POLICY_LAYER_POLICY, -1, "", false, false },
    { "the default", NULL, "default allow", IP10, "ok.example", NULL, POLICY_LAYER_POLICY, -1, "", false, false },
    { "a mismatch tells the name that was said", NULL, OK443, IP10, "ok.example", "tls evil.example", POLICY_LAYER_POLICY,
      -1, "evil.example", false, false },
    { "audited", NULL, "audit ok.example tcp/443", IP10, "ok.example", "tls ok.example", POLICY_LAYER_POLICY, 0,
      "ok.example", true, false },
    { "audited by the floor, allowed by the policy", "audit public", "allow public", IP10, "", NULL, POLICY_LAYER_POLICY, 0,
      "", true, false },
    { "audited by the floor, denied by the policy: it is a denial", "audit public", "", IP10, "", NULL, POLICY_LAYER_POLICY,
      -1, "", false, false },
    { "the floor denies", "deny public tcp/443;allow any", "allow any", IP10, "", NULL, POLICY_LAYER_FLOOR, 0, "", false,
      false },
    { "the floor's default denies", "", "allow any", IP10, "", NULL, POLICY_LAYER_FLOOR, -1, "", false, false },
    { "the policy denies what the floor allows", "allow any", "deny public", IP10, "", NULL, POLICY_LAYER_POLICY, 0, "",
      false, false },
};

static void test_c15_details(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(detail_cases); i++) {
        const struct detail_case *c = &detail_cases[i];
        struct policy *policy = setup_policy(c->floor, c->rules);
        struct setup_flow flow;
        struct verdict v;

        setup_flow(c->to, c->names, c->evidence, &flow);
        policy_judge(policy, &flow.facts, &v);
        policy_unref(policy);
        if (v.layer != c->layer || v.rule != c->rule || strcmp(v.name, c->name) != 0 || v.audited != c->audited ||
            v.strict != c->strict)
            fail_msg("%s: layer %d rule %d name '%s'%s%s", c->why, (int)v.layer, v.rule, v.name,
                     v.audited ? " audited" : "", v.strict ? " strict" : "");
    }
}

/* --- layers ------------------------------------------------------------------------------------ */

static const struct flow_case layer_cases[] = {
    { "C16 both allow", "allow public | allow any", IP10, "", NULL, ALLOW, "ok.rule" },
    { "C16 the floor does not", "allow ok.example | allow any", IP10, "", NULL, DENY, "name.unpinned" },
    { "C16 the policy does not", "default allow | ", IP10, "", NULL, DENY, "deny.default" },
    { "C16 an empty floor denies everything", " | allow any", IP10, "", NULL, DENY, "deny.default" },
    { "C16 a deny of the floor, behind an allow of the policy", "deny evil.example;default allow | default allow", IP20, "",
      "tls evil.example", DENY, "deny.rule" },
    { "C16 names in one layer, addresses in the other", OK443 " | allow public", IP10, "ok.example", "tls ok.example",
      ALLOW, "ok.rule" },
    { "C16 ... whatever the hello says", OK443 " | allow public", IP10, "ok.example", "tls evil.example", DENY,
      "name.mismatch" },
    { "C16 each layer has its own built-in floor", "allow private | allow any", "tcp/443 10.9.9.9", "", NULL, DENY,
      "deny.floor.private" },
    { "C16 opened by both", "allow private | allow 10.0.0.0/8", "tcp/443 10.9.9.9", "", NULL, ALLOW, "ok.rule" },
    { "C16 two names, one in each layer, one address", "allow a.example | allow b.example", IP20, "a.example b.example",
      "tls a.example", DENY, "name.unpinned" },
    { "C16 the other", "allow a.example | allow b.example", IP20, "a.example b.example", "tls b.example", DENY,
      "name.unpinned" },
    { "C16 bytes without a name", "allow a.example | allow b.example", "tcp/22 203.0.113.20", "a.example b.example",
      "opaque", DENY, "name.unpinned" },
};

static void test_c16_layers(void **state)
{
    (void)state;
    check(layer_cases, ARRAY_SIZE(layer_cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c05_c09_c11_c12_t01_t40_names),
        cmocka_unit_test(test_c10_g02_t41_t46_waiting),
        cmocka_unit_test(test_c10_t61_t67_http),
        cmocka_unit_test(test_c07_g06_order),
        cmocka_unit_test(test_c23_d03_t78_t92_t98_unread),
        cmocka_unit_test(test_c15_details),
        cmocka_unit_test(test_c16_layers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
