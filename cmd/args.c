#include "cmd/args.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cmd/args_options.h"
#include "cmd/setting.h"
#include "policy/distance.h"

static const char *const command_words[] = {
    [COMMAND_HELP] = "--help", [COMMAND_VERSION] = "--version", [COMMAND_RUN] = "run",
    [COMMAND_EXEC] = "exec",   [COMMAND_CHECK] = "check",       [COMMAND_EXPLAIN] = "explain",
};

/* ---- reading ---- */

static int fail(struct problem *problem, const char *where)
{
    return problem_at(problem, "%s", where);
}

static int read_command(const char *word, struct args *out, struct problem *problem)
{
    char hint[PROBLEM_HINT_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(command_words); i++) {
        if (strcmp(word, command_words[i]) == 0) {
            out->command = (enum command)i;
            return 0;
        }
    }
    if (strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        out->command = COMMAND_HELP;
        return 0;
    }
    (void)problem_did_you_mean(word, command_words, ARRAY_SIZE(command_words), hint);
    (void)problem_set(problem, hint[0] != '\0' ? hint : "the commands are run, exec, check, explain and replay",
                      "unknown command");
    return fail(problem, word);
}

/* The options of a command, as getopt_long() wants them. `flag` is unused: `val` is the index plus VALUE_BASE. */
enum { VALUE_BASE = 256 };

static int list_options(enum command command, struct option out[static ARGS_OPTIONS + 1])
{
    int n = 0;

    for (size_t i = 0; i < ARGS_OPTIONS; i++)
        if (args_options[i].commands & 1u << command)
            out[n++] = (struct option){
                .name = args_options[i].name,
                .has_arg = args_options[i].value ? required_argument : no_argument,
                .val = VALUE_BASE + (int)i,
            };
    out[n] = (struct option){0};
    return n;
}

static int fail_option(const struct option *known, int known_count, const char *word, struct problem *problem)
{
    const char *names[ARGS_OPTIONS], *nearest = NULL;
    char hint[PROBLEM_HINT_MAX] = "weir --help lists the options", bare[64];
    size_t len = strcspn(word, "=");

    (void)snprintf(bare, sizeof(bare), "%.*s", (int)(len < 60 ? len : 60), word);
    for (int i = 0; i < known_count; i++) {
        names[i] = known[i].name;
        if (strncmp(bare, "--", 2) == 0 && strcmp(bare + 2, known[i].name) == 0) {
            (void)problem_set(problem, "",
                              known[i].has_arg == required_argument ? "a value is missing" : "takes no value");
            return fail(problem, bare);
        }
    }
    if (strncmp(bare, "--", 2) == 0)
        nearest = distance_nearest(bare + 2, strlen(bare + 2), names, (size_t)known_count);
    if (nearest)
        (void)snprintf(hint, sizeof(hint), "did you mean '--%s'?", nearest);
    (void)problem_set(problem, hint, "unknown option");
    return fail(problem, bare);
}

/* getopt_long() takes the beginning of an option for it; a script that relies on that breaks with the next option. */
static bool is_spelled_out(const char *word, const char *name)
{
    size_t len = strcspn(word, "=");

    return strncmp(word, "--", 2) != 0 || (len == strlen(name) + 2 && strncmp(word + 2, name, len - 2) == 0);
}

static int take_option(struct args *out, const struct args_option *option, const char *value, struct problem *problem)
{
    unsigned nth = 1;
    char where[64];

    for (unsigned i = 0; i < out->given_count; i++)
        nth += out->given[i].option == option;
    (void)snprintf(where, sizeof(where), "--%s", option->name);
    if (nth > 1 && !option->repeats) {
        (void)problem_set(problem, "", "the option is given twice");
        return fail(problem, where);
    }
    for (const char *c = value ? value : ""; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            (void)problem_set(problem, "", "a control character in the value");
            return fail(problem, where);
        }
    out->given[out->given_count++] = (struct args_given){option, value, nth};
    switch (option->kind) {
    case OPTION_SETTING:
    case OPTION_RULE:
        return 0;
    case OPTION_CONFIG:
        out->file = value;
        return 0;
    case OPTION_VERBOSE:
        out->verbose = true;
        return 0;
    case OPTION_ROOT:
        out->root = true;
        return 0;
    case OPTION_HELP:
        out->command = COMMAND_HELP;
        return 0;
    case OPTION_SHARE:
        if (out->share_count < ARGS_SHARES_MAX) {
            out->shares[out->share_count++] = value;
            return 0;
        }
        break;
    case OPTION_PIN:
        if (out->name_count < ARGS_NAMES_MAX) {
            out->names[out->name_count++] = value;
            return 0;
        }
        break;
    case OPTION_SNI:
        out->sni = value;
        return 0;
    case OPTION_HOST:
        out->host = value;
        return 0;
    }
    (void)problem_set(problem, "", "given more than %u times", nth - 1);
    return fail(problem, where);
}

static int read_options(int argc, char **argv, struct args *out, struct problem *problem)
{
    struct option known[ARGS_OPTIONS + 1];
    enum command command = out->command;
    int known_count = list_options(command, known), c;
    bool verbose = command == COMMAND_RUN || command == COMMAND_EXEC;
    /* '+': exec's options end where CMD begins. ':' : a missing value is told apart. */
    const char *letters = command == COMMAND_EXEC ? "+:hv" : verbose ? ":hv" : ":h";

    optind = 0; /* glibc: start anew */
    opterr = 0;
    while ((c = getopt_long(argc, argv, letters, known, NULL)) != -1) {
        const char *word = optarg && optarg == argv[optind - 1] ? argv[optind - 2] : argv[optind - 1];
        const struct args_option *option = NULL;

        if (c == '?' || c == ':')
            return fail_option(known, known_count, word, problem);
        for (size_t i = 0; i < ARGS_OPTIONS; i++)
            if (c == VALUE_BASE + (int)i ||
                (c < VALUE_BASE && args_options[i].kind == (c == 'v' ? OPTION_VERBOSE : OPTION_HELP)))
                option = &args_options[i];
        CHECK(option);
        if (c >= VALUE_BASE && !is_spelled_out(word, option->name))
            return fail_option(known, known_count, word, problem);
        if (take_option(out, option, optarg, problem) < 0)
            return -EINVAL;
    }
    out->rest = argv + optind;
    out->rest_count = argc - optind;
    return 0;
}

static int check_rest(struct args *out, struct problem *problem)
{
    switch (out->command) {
    case COMMAND_RUN:
        if (out->rest_count > 0) {
            (void)problem_set(problem, "run takes options only", "an unexpected word");
            return fail(problem, out->rest[0]);
        }
        return 0;
    case COMMAND_EXEC:
        if (out->rest_count == 0) {
            (void)problem_set(problem, "write weir exec [options] -- CMD [ARG...]", "a command is missing");
            return fail(problem, "exec");
        }
        return 0;
    case COMMAND_CHECK:
        if (out->rest_count > 1 || (out->rest_count == 1 && out->file)) {
            (void)problem_set(problem, "check reads one file", "an unexpected word");
            return fail(problem, out->rest[out->rest_count - 1]);
        }
        if (out->rest_count == 1)
            out->file = out->rest[0];
        return 0;
    case COMMAND_EXPLAIN:
        if (out->rest_count < 1 || out->rest_count > 2) {
            (void)problem_set(problem, "write weir explain [options] [tcp|udp|icmp] DEST[:PORT]",
                              out->rest_count == 0 ? "a destination is missing" : "too many words");
            return fail(problem, "explain");
        }
        return 0;
    case COMMAND_HELP:
    case COMMAND_VERSION:
        return 0;
    }
    CHECK(!"a command");
    return -EINVAL;
}

int args_parse(int argc, char **argv, struct args *out, struct problem *problem)
{
    *out = (struct args){0};
    if (argc < 2) {
        (void)problem_set(problem, "weir --help lists them", "a command is missing");
        return fail(problem, "weir");
    }
    if (read_command(argv[1], out, problem) < 0)
        return -EINVAL;
    if (out->command == COMMAND_HELP || out->command == COMMAND_VERSION)
        return 0;
    out->given = calloc((size_t)argc, sizeof(*out->given));
    if (!out->given)
        return problem_set(problem, "", "out of memory");
    if (read_options(argc - 1, argv + 1, out, problem) < 0)
        return -EINVAL;
    return check_rest(out, problem);
}

void args_deinit(struct args *args)
{
    free(args->given);
    args->given = NULL;
    args->given_count = 0;
}

/* ---- applying ---- */

static int fail_given(const struct args_given *given, unsigned shift, struct problem *problem)
{
    const char *name = given->option->name;
    unsigned column = problem->column > shift ? problem->column - shift : 1;

    if (problem->column > 0)
        return problem_at(problem, "--%s #%u, column %u", name, given->nth, column);
    if (given->option->repeats)
        return problem_at(problem, "--%s #%u", name, given->nth);
    return problem_at(problem, "--%s", name);
}

static const char *rule_option_name(const struct args_option *option)
{
    return option->action[0] == 'a' ? "--allow" : option->action[0] == 'd' ? "--deny" : "--rule";
}

static int apply_rule(const struct args_given *given, struct config *c, struct problem *problem)
{
    const char *action = given->option->action;
    char text[RULE_TEXT_MAX + 8];

    (void)snprintf(text, sizeof(text), "%s%s", action, given->value);
    c->place = (struct config_place){.option = rule_option_name(given->option), .line = given->nth};
    if (setting_policy_rule(c, text, problem) < 0)
        return fail_given(given, (unsigned)strlen(action), problem);
    return 0;
}

static int apply_setting(const struct args_given *given, struct config *c, struct problem *problem)
{
    if (given->option->set == setting_dns_upstream && given->nth == 1) {
        c->instance.resolver_count = 0; /* instead of the file's */
        c->upstream_system = false;
    }
    c->place = (struct config_place){.option = "--link", .line = given->nth};
    if (given->option->set(c, given->value, problem) < 0)
        return fail_given(given, 0, problem);
    return 0;
}

int args_config(const struct args *args, struct config *out, struct problem *problem)
{
    config_init(out);
    for (unsigned i = 0; i < args->given_count; i++)
        if (args->given[i].option->kind == OPTION_RULE && apply_rule(&args->given[i], out, problem) < 0)
            return -EINVAL;
    if (args->file && config_read_file(args->file, out, problem) < 0)
        return -EINVAL;
    for (unsigned i = 0; i < args->given_count; i++)
        if (args->given[i].option->kind == OPTION_SETTING && apply_setting(&args->given[i], out, problem) < 0)
            return -EINVAL;
    if (args->verbose)
        out->level = CONFIG_LEVEL_DEBUG;
    return config_finish(out, problem);
}
