/*
 * What `weir explain` prints: that it says of a flow what would become of it, options of rules and modes included.
 */
#include "cmd/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

enum { WORDS_MAX = 24, SAYS_MAX = 6 };

#define FILES "allow_.files.example_tcp/80,443"
#define LIMITED "allow_.files.example_tcp/443_conns=20_rate=5_up=10M_down=1G"

/* '_' stands for a blank. Lines of the output are looked for in order; a leading "!" means: nowhere. */
static const struct {
    const char *why, *line;
    const char *says[SAYS_MAX];
} cases[] = {
    {"H11 the rule that decides", "--rule deny_a.example --allow any a.example",
     {"dns a.example\n         deny", "rule 1 (--rule #1): deny a.example"}},
    {"C17 a request, and those behind it", "--rule " FILES " --host files.example files.example:80",
     {"open     dial, and judge", "bytes    allow", "by the name files.example",
      "later    each further request of the connection is judged like the first"}},
    {"of a request that is denied there is no later", "--rule " FILES " --host evil.example files.example:80",
     {"bytes    deny", "reason name.mismatch", "!later"}},
    {"http=first", "--rule " FILES "_http=first --host files.example files.example:80",
     {"http=first", "bytes    allow", "later    further requests of the connection are not read"}},
    {"need=none reads none either", "--rule " FILES "_need=none --host files.example files.example:80",
     {"open     allow", "bytes    not read", "!later"}},
    {"T30 a hello, and the second one", "--rule " FILES " --sni files.example files.example",
     {"bytes    allow", "later    a second ClientHello (HelloRetryRequest) is judged like the first"}},
    {"a hello where a request belongs", "--rule " FILES " --sni files.example files.example:80",
     {"bytes    deny", "reason proto.unknown"}},
    {"nothing said yet", "--rule " FILES " files.example:80",
     {"silence  deny", "reason peek.timeout", "ask with --sni NAME or --host NAME"}},
    {"C23 QUIC that is read", "--rule allow_.files.example_quic=inspect --sni files.example udp files.example",
     {"datagram hold the guest's datagrams until the name in QUIC's ClientHello is read", "bytes    allow", "!later"}},
    {"C23 and of another name", "--rule allow_.files.example_quic=inspect --sni evil.example udp files.example",
     {"bytes    deny", "reason name.mismatch"}},
    {"C23 QUIC that is not", "--rule " LIMITED " --rule allow_.files.example_udp --sni files.example udp files.example",
     {"datagram deny", "reason quic.denied", "bytes    not read"}},
    {"datagrams have no silence", "--rule allow_.files.example_quic=inspect udp files.example",
     {"!silence", "ask with --sni NAME\n"}},
    {"C25 limits", "--rule " LIMITED " --sni files.example files.example",
     {"limits   of rule 1 (--rule #1), for each guest:\n         20 flows at a time, else limit.flows\n"
      "         5 new flows a second, else limit.rate\n         10485760 bytes up in each flow, then limit.bytes\n"
      "         1073741824 bytes down in each flow, then limit.bytes\n"}},
    {"C25 before the bytes", "--rule allow_.files.example_tcp/443_conns=3 files.example", {"3 flows at a time, else limit.flows"}},
    {"C25 of what is denied there are none", "--rule " LIMITED " --sni evil.example files.example", {"bytes    deny", "!limits"}},
    {"C25 of a rule without there are none", "--rule " FILES " --sni files.example files.example", {"bytes    allow", "!limits"}},
    {"C25 a ping's pace is of echoes", "--rule allow_any_icmp_rate=7 icmp 8.8.8.8", {"7 echoes a second, else limit.rate"}},
    {"D13 a name has an address of its own", "--dns-mode fake-ip --rule allow_.files.example_tcp/2222 files.example:2222",
     {"note     the guest dials an address that stands for this name alone", "by the name files.example",
      "silence  allow"}},
    {"D13 another name is not there then",
     "--dns-mode fake-ip --rule allow_a.example_tcp/2222 --rule allow_b.example_tcp/80 --name b.example a.example:2222",
     {"open     dial", "!dns b.example", "silence  allow"}},
    {"as it is with addresses that are shared",
     "--rule allow_a.example_tcp/2222 --rule allow_b.example_tcp/80 --name b.example a.example:2222",
     {"dns b.example", "open     wait for the guest's first bytes", "silence  deny", "reason name.ambiguous"}},
    {"T120 D13 an address of the pool that nobody was told", "--dns-mode fake-ip --allow .files.example 198.18.0.5:2222",
     {"open     deny", "reason name.unpinned"}},
    {"D13 and one that was", "--dns-mode fake-ip --allow .files.example --name files.example 198.18.0.5:2222",
     {"where the name leads, a public address is supposed", "by the name files.example"}},
    {"D13 a name that is denied was not told", "--dns-mode fake-ip --allow .files.example --name evil.example 198.18.0.5:2222",
     {"reason dns.denied", "reason name.unpinned"}},
    {"D13 real addresses are nobody's", "--dns-mode fake-ip --allow .files.example --name files.example 8.8.8.8:2222",
     {"note     real addresses have no names", "!dns files.example", "reason name.unpinned"}},
    {"without that mode the pool is no pool", "--allow .files.example --name files.example 198.18.0.5:2222",
     {"open     deny", "reason deny.floor.reserved"}},
};

/* Run `weir explain ...`. Return: its exit status; @out_text is the caller's. */
static int explain(const char *words, char **out_text)
{
    char line[512] = "weir explain ", *argv[WORDS_MAX + 1] = {NULL}, *save = NULL;
    struct problem problem;
    struct config config;
    struct args args;
    size_t len;
    int argc = 0, status;
    FILE *real = stdout;

    assert_true(strlen(line) + strlen(words) < sizeof(line));
    strcat(line, words);
    for (char *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        assert_true(argc < WORDS_MAX);
        for (char *c = word; *c != '\0'; c++)
            *c = *c == '_' ? ' ' : *c;
        argv[argc++] = word;
    }
    if (args_parse(argc, argv, &args, &problem) < 0 || args_config(&args, &config, &problem) < 0)
        fail_msg("%s: %s: %s", words, problem.where, problem.what);
    stdout = open_memstream(out_text, &len);
    assert_non_null(stdout);
    status = explain_command(&args, &config);
    (void)fclose(stdout);
    stdout = real;
    config_deinit(&config);
    args_deinit(&args);
    return status;
}

static void test_h11_c17_c25_d13_what_it_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *text = NULL;
        const char *at;

        assert_int_equal(explain(cases[i].line, &text), EXIT_DONE);
        at = text;
        for (size_t j = 0; j < SAYS_MAX && cases[i].says[j]; j++) {
            const char *says = cases[i].says[j];

            if (says[0] == '!' && strstr(text, says + 1))
                fail_msg("%s: '%s' in\n%s", cases[i].why, says + 1, text);
            if (says[0] == '!')
                continue;
            at = strstr(at, says);
            if (!at)
                fail_msg("%s: no '%s' in\n%s", cases[i].why, says, text);
        }
        free(text);
    }
}

static void test_h11_questions_that_make_no_sense(void **state)
{
    static const char *const questions[] = {
        "--host a.example udp a.example",
        "--sni a.example icmp a.example",
        "--host a.example --sni a.example a.example",
        "--host a..example a.example",
        "--name a..example 8.8.8.8",
        "icmp a.example:80",
        "sctp a.example",
        "a.example:0",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
        char *text = NULL;

        if (explain(questions[i], &text) != EXIT_USAGE)
            fail_msg("'%s' was answered:\n%s", questions[i], text);
        free(text);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h11_c17_c25_d13_what_it_says),
        cmocka_unit_test(test_h11_questions_that_make_no_sense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
