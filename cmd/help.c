#include "cmd/args.h"

#include "base/check.h"
#include "cmd/args_options.h"

static const char head[] =
    "weir - the network of a microVM in user space: default deny, by name\n"
    "\n"
    "  weir run [options]                     serve links until SIGTERM\n"
    "  weir exec [options] -- CMD [ARG...]    run CMD in namespaces whose only network is weir\n"
    "  weir check [options] [FILE]            validate a configuration and print what it comes to\n"
    "  weir explain [options] [tcp|udp|icmp] DEST[:PORT]\n"
    "                                         which rule decides, and why; nothing is sent\n"
    "  weir replay DIR...                     run recorded cases on a simulated clock and host\n"
    "  weir --version | --help\n";

static const char tail[] =
    "\n"
    "A rule: allow|deny|audit TARGET [tcp|udp|icmp|any[/PORTS]] [key=value...]\n"
    "    --allow 'example.org tcp/443' --allow '.example.net tcp/443' --rule 'allow host tcp/5432'\n"
    "\n"
    "Exit status: 0 done; 1 failed while running; 2 usage or configuration error. exec: CMD's own,\n"
    "128 + N when signal N ended it, 125 weir failed, 126 CMD cannot be run, 127 CMD was not found.\n"
    "More: weir(1), docs/configuration.md\n";

static void print_commands(FILE *out, unsigned commands)
{
    static const struct {
        unsigned bit;
        const char *name;
    } words[] = {{FOR_RUN, "run"}, {FOR_EXEC, "exec"}, {FOR_CHECK, "check"}, {FOR_EXPLAIN, "explain"}};
    const char *joint = "\nOptions of ";

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (!(commands & words[i].bit))
            continue;
        (void)fprintf(out, "%s%s", joint, words[i].name);
        commands &= ~words[i].bit;
        joint = (commands & (commands - 1)) == 0 ? " and " : ", "; /* one is left */
    }
    (void)fputs(":\n", out);
}

void args_print_help(FILE *out)
{
    unsigned done[ARGS_OPTIONS];
    size_t done_count = 0;

    (void)fputs(head, out);
    for (size_t i = 0; i < ARGS_OPTIONS; i++) {
        bool printed = false;

        for (size_t j = 0; j < done_count; j++)
            printed = printed || done[j] == args_options[i].commands;
        if (printed)
            continue;
        done[done_count++] = args_options[i].commands;
        print_commands(out, args_options[i].commands);
        for (size_t j = i; j < ARGS_OPTIONS; j++) {
            const struct args_option *o = &args_options[j];
            char left[64];

            if (o->commands != args_options[i].commands)
                continue;
            (void)snprintf(left, sizeof(left), "--%s %s", o->name, o->value ? o->value : "");
            (void)fprintf(out, "    %-20s %s\n", left, o->help);
        }
    }
    (void)fputs(tail, out);
}
