/*
 * weir-bench-policy judge | read HELLOS: what the policy costs, on this processor and nothing else.
 *
 *   judge        a verdict, by what it turns on and by the number of rules
 *   read HELLOS  first bytes: a ClientHello (the first one of a file of tests/corpus/tls), a request head, QUIC's Initials
 *
 * Prints a line of JSON for each: its label, and nanoseconds (the median of rounds).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "policy/policy.h"
#include "policy/quic.h"
#include "tests/fixtures/quic_chromium.h"

enum {
    ROUNDS = 9,
    ROUND_NS = 10 * 1000 * 1000,
    CALLS_FIRST = 64,
    RULES_FEW = 20,
    HELLO_BYTES_MAX = 4096,
    LINE_BYTES_MAX = 64 * 1024,
};

#define WALL_S 1900000000

static volatile unsigned sink; /* of what is measured, so that it is done */

/* ---- measuring ---- */

struct job {
    unsigned (*run)(const struct job *job);
    const struct policy *policy;
    const struct facts *facts;
    const char *name;
    const uint8_t *bytes;
    size_t len;
};

static double now_ns(void)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double take(const struct job *job, unsigned calls)
{
    double from_ns = now_ns();
    unsigned sum = 0;

    for (unsigned i = 0; i < calls; i++)
        sum += job->run(job);
    sink = sum;
    return now_ns() - from_ns;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Nanoseconds a call. */
static double measure(const struct job *job)
{
    double took_ns[ROUNDS];
    unsigned calls = CALLS_FIRST;

    while (take(job, calls) < ROUND_NS / 2.0)
        calls *= 2;
    for (unsigned i = 0; i < ROUNDS; i++)
        took_ns[i] = take(job, calls) / calls;
    qsort(took_ns, ROUNDS, sizeof(took_ns[0]), compare);
    return took_ns[ROUNDS / 2];
}

/* ---- rules ---- */

/* Kinds of rules take turns in a set; these are what questions are about. */
enum { KINDS = 10, HOST = 0, NET4 = 1, AREA = 2, HOST4 = 7, NET6 = 9, NO_RULE = -1 };

/* Rule number @i of a set. */
static void rule_text(unsigned i, char *out, size_t size)
{
    unsigned high = i / 256, low = i % 256;

    switch (i % KINDS) {
    case HOST:
        (void)snprintf(out, size, "allow host%u.site.example tcp/443", i);
        break;
    case NET4:
        (void)snprintf(out, size, "allow 20.%u.%u.0/24 tcp", high, low);
        break;
    case AREA:
        (void)snprintf(out, size, "allow .area%u.example tcp/80,443", i);
        break;
    case 3:
        (void)snprintf(out, size, "allow www%u.test any/443 quic=inspect", i);
        break;
    case 4:
        (void)snprintf(out, size, "deny 30.%u.0.0/16", low);
        break;
    case 5:
        (void)snprintf(out, size, "deny tracker%u.example", i);
        break;
    case 6:
        (void)snprintf(out, size, "allow *.cdn%u.site.example tcp/443 need=sni", i);
        break;
    case HOST4:
        (void)snprintf(out, size, "allow 40.0.%u.%u tcp/443", high, low);
        break;
    case 8:
        (void)snprintf(out, size, "allow db%u.corp.example tcp/5432 private=10.0.0.0/8", i);
        break;
    case NET6:
        (void)snprintf(out, size, "allow 2a00:%x::/32 any/443", i);
        break;
    }
}

static struct policy *policy_of(unsigned count)
{
    struct policy_config config = {.layers[POLICY_LAYER_POLICY] = {.present = true, .rule_count = count}};
    struct rule *rules = calloc(count, sizeof(*rules));
    struct policy *policy;

    CHECK(rules);
    for (unsigned i = 0; i < count; i++) {
        struct rule_error error;
        char text[128];

        rule_text(i, text, sizeof(text));
        CHECK(rule_parse(text, &rules[i], &error) == 0);
    }
    config.layers[POLICY_LAYER_POLICY].rules = rules;
    CHECK(addr_prefix_parse("192.168.127.0/24", &config.groups.guest4) == 0);
    CHECK(addr_parse("192.168.127.254", &config.groups.alias4) == 0);
    policy = policy_new(&config);
    CHECK(policy);
    free(rules);
    return policy;
}

/* ---- verdicts ---- */

static unsigned judge(const struct job *job)
{
    struct verdict v;

    policy_judge(job->policy, job->facts, &v);
    return (unsigned)v.action;
}

static unsigned judge_name(const struct job *job)
{
    struct verdict v;

    policy_judge_name(job->policy, job->name, WALL_S, &v);
    return (unsigned)v.action;
}

struct question {
    const char *label;
    int kind;           /* of the rule that decides */
    bool late;          /* it is one of the last of the set; else one of the first */
    bool said;          /* the guest has said the name, in a ClientHello */
    bool query;         /* of DNS, for the name */
    unsigned names;     /* pinned to the address, the name among them */
    enum verdict_action want;
};

static const struct question questions[] = {
    {"address, one of the first rules", NET4, false, false, false, 0, VERDICT_ALLOW},
    {"address, one of the last rules", HOST4, true, false, false, 0, VERDICT_JUDGE},
    {"IPv6 address, one of the last rules", NET6, true, false, false, 0, VERDICT_JUDGE},
    {"address, no rule", NO_RULE, false, false, false, 0, VERDICT_DENY},
    {"name before the first byte, one of the last rules", HOST, true, false, false, 1, VERDICT_JUDGE},
    {"name and ClientHello, one of the first rules", HOST, false, true, false, 1, VERDICT_ALLOW},
    {"name and ClientHello, one of the last rules", HOST, true, true, false, 1, VERDICT_ALLOW},
    {"name and ClientHello, a suffix of the last rules", AREA, true, true, false, 1, VERDICT_ALLOW},
    {"name and ClientHello, no rule", NO_RULE, false, true, false, 1, VERDICT_DENY},
    {"name and ClientHello, an address of 64 names", AREA, false, true, false, POLICY_WORLDS_MAX, VERDICT_ALLOW},
    {"query for a name, one of the first rules", HOST, false, false, true, 1, VERDICT_ALLOW},
    {"query for a name, one of the last rules", HOST, true, false, true, 1, VERDICT_ALLOW},
    {"query for a name, no rule", NO_RULE, false, false, true, 1, VERDICT_DENY},
};

/* What a question's facts point at. */
struct pinned {
    char texts[POLICY_WORLDS_MAX][NAME_TEXT_MAX + 1];
    const char *names[POLICY_WORLDS_MAX];
    struct evidence evidence;
};

/* The rule's name where it names one, else names below it. */
static void pin(const struct question *q, const struct rule *rule, struct pinned *pinned)
{
    const char *name = rule && rule_is_by_name(rule) ? rule->name : "www.else.where.example";
    char below[32] = "";

    for (unsigned i = 0; i < q->names; i++) {
        if (q->kind == AREA)
            (void)snprintf(below, sizeof(below), "a%u.b.", i);
        (void)snprintf(pinned->texts[i], sizeof(pinned->texts[i]), "%s%.200s", below, name);
        pinned->names[i] = pinned->texts[i];
    }
    pinned->evidence = (struct evidence){.kind = EVIDENCE_TLS};
    if (q->said)
        strcpy(pinned->evidence.name, pinned->texts[q->names - 1]);
}

static double ask(const struct question *q, const struct policy *policy, unsigned count)
{
    static struct pinned pinned;
    unsigned i = q->late ? count - KINDS + (unsigned)q->kind : (unsigned)q->kind;
    const struct rule *rule = q->kind == NO_RULE ? NULL : policy_rule(policy, POLICY_LAYER_POLICY, i);
    struct facts facts = {.proto = RULE_TCP, .port = 443, .wall_s = WALL_S, .names = pinned.names, .name_count = q->names};
    struct job job = {.run = q->query ? judge_name : judge, .policy = policy, .facts = &facts, .name = pinned.texts[0]};

    CHECK(addr_parse("50.1.2.3", &facts.dst) == 0);
    if (rule && rule->target == RULE_PREFIX)
        facts.dst = addr_prefix_nth(&rule->prefix, rule->prefix.bits < 32 ? 9 : 0);
    pin(q, rule, &pinned);
    if (q->said)
        facts.evidence = &pinned.evidence;
    CHECK(job.run(&job) == (unsigned)q->want);
    return measure(&job);
}

static void measure_verdicts(void)
{
    static const unsigned counts[] = {RULES_FEW, 1000, POLICY_RULES_MAX / KINDS * KINDS};
    struct policy *policies[ARRAY_SIZE(counts)];

    for (unsigned n = 0; n < ARRAY_SIZE(counts); n++)
        policies[n] = policy_of(counts[n]);
    for (unsigned i = 0; i < ARRAY_SIZE(questions); i++) {
        (void)printf("{\"label\": \"%s\"", questions[i].label);
        for (unsigned n = 0; n < ARRAY_SIZE(counts); n++)
            (void)printf(", \"rules_%u\": %.1f", counts[n], ask(&questions[i], policies[n], counts[n]));
        (void)printf("}\n");
    }
    for (unsigned n = 0; n < ARRAY_SIZE(counts); n++)
        policy_unref(policies[n]);
}

/* ---- first bytes ---- */

static unsigned read_stream(const struct job *job)
{
    struct evidence e;

    evidence_read(job->bytes, job->len, false, &e);
    return (unsigned)e.kind;
}

static unsigned read_quic(const struct job *job)
{
    static struct quic_reader reader;
    enum quic_take taken = QUIC_MORE;
    struct evidence e;

    (void)job;
    quic_reader_init(&reader);
    for (unsigned i = 0; i < CHROMIUM_DATAGRAMS && taken == QUIC_MORE; i++)
        taken = quic_read(&reader, chromium_datagrams[i], CHROMIUM_DATAGRAM_BYTES, &e);
    return (unsigned)taken;
}

/* The bytes of the first "hex" in a file of lines of JSON. Return: how many; 0 when there are none. */
static size_t hello_of(const char *path, uint8_t out[static HELLO_BYTES_MAX])
{
    static char line[LINE_BYTES_MAX];
    FILE *file = fopen(path, "re");
    const char *hex = file && fgets(line, sizeof(line), file) ? strstr(line, "\"hex\": \"") : NULL;
    size_t len = 0;
    unsigned byte;

    if (file)
        (void)fclose(file);
    if (hex)
        for (hex += strlen("\"hex\": \""); len < HELLO_BYTES_MAX && sscanf(hex, "%2x", &byte) == 1; hex += 2)
            out[len++] = (uint8_t)byte;
    return len;
}

static void print_read(const char *what, size_t bytes, const struct job *job, unsigned want)
{
    CHECK(job->run(job) == want);
    (void)printf("{\"label\": \"%s\", \"bytes\": %zu, \"ns\": %.0f}\n", what, bytes, measure(job));
}

static int measure_readers(const char *hellos)
{
    static const char head[] = "GET /api/v1/items?page=2&size=50 HTTP/1.1\r\nHost: www.ok.example\r\nUser-Agent: curl/8.5.0\r\n"
                               "Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\nAuthorization: Bearer 0123456789abcdef\r\n"
                               "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";
    static uint8_t hello[HELLO_BYTES_MAX];
    struct job tls = {.run = read_stream, .bytes = hello, .len = hello_of(hellos, hello)};
    struct job http = {.run = read_stream, .bytes = (const uint8_t *)head, .len = sizeof(head) - 1};
    struct job quic = {.run = read_quic};

    if (tls.len == 0) {
        (void)fprintf(stderr, "weir-bench-policy: %s: no hello in it\n", hellos);
        return 1;
    }
    print_read("ClientHello", tls.len, &tls, EVIDENCE_TLS);
    print_read("request head", http.len, &http, EVIDENCE_HTTP);
    print_read("ClientHello in two datagrams of QUIC, opened", 2 * CHROMIUM_DATAGRAM_BYTES, &quic, QUIC_HELLO);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "judge") == 0) {
        measure_verdicts();
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "read") == 0)
        return measure_readers(argv[2]);
    (void)fprintf(stderr, "usage: weir-bench-policy judge | read HELLOS\n");
    return 2;
}
