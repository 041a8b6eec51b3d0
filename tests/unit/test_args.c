/*
 * The command line: which command takes what, in which order things apply, and where an error points.
 */
#include "cmd/args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"

enum { WORDS_MAX = 24 };

/* A command line cut at blanks; '_' in a word stands for a blank. */
struct line {
    char text[1024];
    char *argv[WORDS_MAX + 1];
    int argc;
};

static void cut(const char *text, struct line *line)
{
    char *save = NULL;

    assert_true(strlen(text) < sizeof(line->text));
    strcpy(line->text, text);
    line->argc = 0;
    for (char *word = strtok_r(line->text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        assert_true(line->argc < WORDS_MAX);
        for (char *c = word; *c != '\0'; c++)
            if (*c == '_')
                *c = ' ';
        line->argv[line->argc++] = word;
    }
    line->argv[line->argc] = NULL;
}

static void expect_args(const char *text, struct line *line, struct args *args)
{
    struct problem p;

    cut(text, line);
    if (args_parse(line->argc, line->argv, args, &p) < 0)
        fail_msg("%s: refused: %s: %s", text, p.where, p.what);
}

/* ---- commands ---- */

static void test_commands(void **state)
{
    static const struct {
        const char *text;
        enum command command;
        int rest;
        const char *first; /* of the rest */
    } cases[] = {
        {"weir --help", COMMAND_HELP, 0, NULL},
        {"weir -h", COMMAND_HELP, 0, NULL},
        {"weir help", COMMAND_HELP, 0, NULL},
        {"weir run --help", COMMAND_HELP, 0, NULL},
        {"weir exec -h", COMMAND_HELP, 0, NULL},
        {"weir --version", COMMAND_VERSION, 0, NULL},
        {"weir run --link tap,name=t0", COMMAND_RUN, 0, NULL},
        {"weir exec -- true", COMMAND_EXEC, 1, "true"},
        {"weir exec true", COMMAND_EXEC, 1, "true"},
        {"weir exec -v --root -- ls --help -v", COMMAND_EXEC, 3, "ls"}, /* CMD's options are its own */
        {"weir exec ls --root", COMMAND_EXEC, 2, "ls"},
        {"weir exec -- -odd", COMMAND_EXEC, 1, "-odd"},
        {"weir check", COMMAND_CHECK, 0, NULL},
        {"weir check f.yaml --mtu 1400", COMMAND_CHECK, 1, "f.yaml"},
        {"weir explain example.org", COMMAND_EXPLAIN, 1, "example.org"},
        {"weir explain udp --name a.b 10.0.0.1:53 --name c.d", COMMAND_EXPLAIN, 2, "udp"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct line line;
        struct args args;

        expect_args(cases[i].text, &line, &args);
        if (args.command != cases[i].command)
            fail_msg("%s: another command", cases[i].text);
        if (args.command != COMMAND_HELP) {
            assert_int_equal(args.rest_count, cases[i].rest);
            if (cases[i].first)
                assert_string_equal(args.rest[0], cases[i].first);
        }
        args_deinit(&args);
    }
}

static void test_values_of_commands(void **state)
{
    struct line line;
    struct args args;

    (void)state;
    expect_args("weir exec --share /run/a --root --share /run/b -v -- true", &line, &args);
    assert_true(args.root && args.verbose);
    assert_int_equal(args.share_count, 2);
    assert_string_equal(args.shares[1], "/run/b");
    args_deinit(&args);

    expect_args("weir explain --name a.b --sni c.d --host g.h 10.0.0.1 --name=e.f", &line, &args);
    assert_int_equal(args.name_count, 2);
    assert_string_equal(args.names[1], "e.f");
    assert_string_equal(args.sni, "c.d");
    assert_string_equal(args.host, "g.h");
    args_deinit(&args);

    expect_args("weir check f.yaml", &line, &args);
    assert_string_equal(args.file, "f.yaml");
    args_deinit(&args);
}

/* ---- refusals ---- */

static const struct {
    const char *text;
    const char *where, *what, *hint; /* hint: NULL: any */
} bad[] = {
    {"weir", "weir", "a command is missing", NULL},
    {"weir rn", "rn", "unknown command", "'run'"},
    {"weir frobnicate", "frobnicate", "unknown command", "explain"},
    {"weir --allow any", "--allow", "unknown command", NULL},
    {"weir run --alow any", "--alow", "unknown option", "'--allow'"},
    {"weir run --alow=any", "--alow", "unknown option", "'--allow'"},
    {"weir run --allo any", "--allo", "unknown option", "'--allow'"}, /* no beginnings */
    {"weir run --allo=any", "--allo", "unknown option", "'--allow'"},
    {"weir run --d allow", "--d", "unknown option", NULL},
    {"weir run --verb", "--verb", "unknown option", NULL},
    {"weir run -x", "-x", "unknown option", NULL},
    {"weir run --mtu", "--mtu", "a value is missing", NULL},
    {"weir exec --root=yes -- true", "--root", "takes no value", NULL},
    {"weir run --mtu 1400 --mtu 1500", "--mtu", "twice", NULL},
    {"weir run --config a --config b", "--config", "twice", NULL},
    {"weir run extra", "extra", "unexpected word", NULL},
    {"weir exec", "exec", "a command is missing", NULL},
    {"weir exec --root --", "exec", "a command is missing", NULL},
    {"weir check a b", "b", "unexpected word", NULL},
    {"weir check --config a b", "b", "unexpected word", NULL},
    {"weir explain", "explain", "a destination is missing", NULL},
    {"weir explain tcp a.b 443", "explain", "too many words", NULL},
    /* what a command has no use for, it does not take */
    {"weir run --root", "--root", "unknown option", NULL},
    {"weir run --share /run/a", "--share", "unknown option", NULL},
    {"weir run --sni a.b", "--sni", "unknown option", NULL},
    {"weir run --host a.b", "--host", "unknown option", NULL},
    {"weir exec --link tap,name=t0 -- true", "--link", "unknown option", NULL},
    {"weir explain --log - a.b", "--log", "unknown option", NULL},
    {"weir check -v", "-v", "unknown option", NULL},
    /* what is not there yet */
    {"weir run --publish 80:80", "--publish", "unknown option", NULL},
    {"weir run --proxy a=b", "--proxy", "unknown option", NULL},
    {"weir run --pcap f", "--pcap", "unknown option", NULL},
    {"weir run --no-sandbox", "--no-sandbox", "unknown option", NULL},
    {"weir run --control s", "--control", "unknown option", NULL},
    /* values */
    {"weir run --rule allow_a.example --rule allow_a.example_tpc", "--rule #2, column 17", "'tpc'", "'tcp'"},
    {"weir run --allow a.example_tpc", "--allow #1, column 11", "'tpc'", "'tcp'"},
    {"weir run --deny a.example --deny a..b", "--deny #2, column 1", "'a..b'", NULL},
    {"weir run --rule allow_in_any", "--rule #1", "published ports", NULL},
    {"weir run --default maybe", "--default", "'maybe'", NULL},
    {"weir run --dns 192.0.2.1 --dns x", "--dns #2", "'x'", NULL},
    {"weir run --group public", "--group #1", "NAME=CIDR", NULL},
    {"weir run --group public=127.0.0.1", "--group #1", "cannot be moved", NULL},
    {"weir run --mtu 9", "--mtu", "out of range", NULL},
    {"weir run --ipv6 fd00::/65", "--ipv6", "/48 to /64", NULL},
    {"weir run --ipv6 10.0.0.0/24", "--ipv6", "IPv6", "fd77"},
    {"weir run --mtu 1279 --ipv6 fd00::/64", "network", "1280", NULL},
    {"weir run --ipv4 off --ipv6 off", "network", "both off", NULL},
    {"weir run --dns-mode fakeip", "--dns-mode", "'fakeip'", "fake-ip"},
    {"weir run --link tap", "--link #1", "name", NULL},
    {"weir run --config /nonexistent/f.yaml", "/nonexistent/f.yaml", "cannot be read", NULL},
    {"weir run --config /", "/", "cannot be read", NULL},
};

static void test_c13_what_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct config config;
        struct problem p;
        struct line line;
        struct args args;
        int err;

        cut(bad[i].text, &line);
        err = args_parse(line.argc, line.argv, &args, &p);
        if (err == 0) {
            err = args_config(&args, &config, &p);
            config_deinit(&config);
        }
        args_deinit(&args);
        if (err == 0)
            fail_msg("%s: taken", bad[i].text);
        if (strcmp(p.where, bad[i].where) != 0 || !strstr(p.what, bad[i].what) ||
            (bad[i].hint && !strstr(p.hint, bad[i].hint)))
            fail_msg("%s: at '%s': '%s'; '%s'", bad[i].text, p.where, p.what, p.hint);
    }
}

static void test_control_characters_are_refused(void **state)
{
    char value[] = "any\n", *argv[] = {"weir", "run", "--allow", value, NULL};
    struct problem p;
    struct args args;

    (void)state;
    assert_int_not_equal(args_parse(4, argv, &args, &p), 0);
    assert_string_equal(p.where, "--allow");
    args_deinit(&args);
}

/* ---- what comes of it ---- */

static char path[] = "/tmp/weir-test-args-XXXXXX";

static void write_file(const char *text)
{
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
}

static void expect_config(const char *text, struct config *config)
{
    static struct line line; /* the configuration borrows the file's name from it */
    struct problem p;
    struct args args;

    expect_args(text, &line, &args);
    if (args_config(&args, config, &p) < 0)
        fail_msg("%s: refused: %s: %s", text, p.where, p.what);
    args_deinit(&args);
}

static void test_options_and_file(void **state)
{
    char text[512], rule[RULE_TEXT_MAX], where[PROBLEM_WHERE_MAX];
    const struct config_layer *layer;
    struct config c;

    (void)state;
    write_file("policy: {default: allow, rules: [deny c.example]}\n"
               "network: {mtu: 1400}\n"
               "dns: {upstream: [192.0.2.1, 192.0.2.2]}\n"
               "links: [\"stream,path=/a\"]\n");
    (void)snprintf(text, sizeof(text),
                   "weir run --deny b.example --config %s --rule allow_a.example --mtu 9000 --dns 192.0.2.9:54 "
                   "--dns 192.0.2.8 --link stream,path=/b -v", path);
    expect_config(text, &c);
    (void)unlink(path);
    layer = &c.layers[POLICY_LAYER_POLICY];
    /* rules: the options' first, among themselves in the order given */
    assert_int_equal(layer->count, 3);
    assert_string_equal(rule_format(&layer->rules[0], rule), "deny b.example");
    assert_string_equal(rule_format(&layer->rules[1], rule), "allow a.example");
    assert_string_equal(rule_format(&layer->rules[2], rule), "deny c.example");
    assert_string_equal(config_place_format(&c, &layer->places[0], where), "--deny #1");
    assert_string_equal(config_place_format(&c, &layer->places[1], where), "--rule #1");
    (void)snprintf(text, sizeof(text), "%s:1:34", path);
    assert_string_equal(config_place_format(&c, &layer->places[2], where), text);
    /* single values: the option wins; resolvers: instead of the file's; links: in addition */
    assert_true(layer->allow_default);
    assert_int_equal(c.instance.mtu, 9000);
    assert_int_equal(c.instance.resolver_count, 2);
    assert_int_equal(c.instance.resolvers[0].port, 54);
    assert_int_equal(c.link_count, 2);
    assert_int_equal(c.level, CONFIG_LEVEL_DEBUG);
    config_deinit(&c);
}

static void test_c05_nothing_given_denies(void **state)
{
    struct config c;

    (void)state;
    expect_config("weir run", &c);
    assert_false(c.layers[POLICY_LAYER_POLICY].allow_default);
    assert_int_equal(config_rule_count(&c), 0);
    assert_string_equal(c.instance.name, "guest");
    assert_string_equal(c.instance.hostname, "guest");
    config_deinit(&c);
}

static void test_every_option_is_in_the_help(void **state)
{
    static const char *const options[] = {
        "--config", "--rule", "--allow", "--deny", "--default", "--refuse", "--group", "--dns ", "--dns-mode", "--ipv4",
        "--ipv6",   "--mtu",  "--name GUEST", "--log", "--link", "--root", "--share", "-v", "--name NAME", "--sni", "--host",
    };
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    (void)state;
    args_print_help(out);
    (void)fclose(out);
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (!strstr(text, options[i]))
            fail_msg("%s is not in the help", options[i]);
    assert_non_null(strstr(text, "Options of run and exec:"));
    assert_non_null(strstr(text, "Options of run, exec and check:"));
    free(text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_values_of_commands),
        cmocka_unit_test(test_c13_what_is_refused),
        cmocka_unit_test(test_control_characters_are_refused),
        cmocka_unit_test(test_options_and_file),
        cmocka_unit_test(test_c05_nothing_given_denies),
        cmocka_unit_test(test_every_option_is_in_the_help),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
