#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/check.h"
#include "cmd/commands.h"

static int run_with_config(const struct args *args)
{
    struct problem problem;
    struct config config;
    int status = EXIT_USAGE;

    if (args_config(args, &config, &problem) < 0) {
        problem_print(&problem);
    } else {
        switch (args->command) {
        case COMMAND_RUN:
            status = run_command(args, &config);
            break;
        case COMMAND_EXEC:
            status = exec_command(args, &config);
            break;
        case COMMAND_CHECK:
            status = check_command(args, &config);
            break;
        case COMMAND_EXPLAIN:
            status = explain_command(args, &config);
            break;
        case COMMAND_HELP:
        case COMMAND_VERSION:
            CHECK(!"a command with a configuration");
        }
    }
    config_deinit(&config);
    return status;
}

/* Output that did not arrive (a full disk) is a failure. */
static int flush(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    (void)fputs("weir: cannot write the output\n", stderr);
    return status == EXIT_DONE ? EXIT_FAILED : status;
}

int main(int argc, char **argv)
{
    struct problem problem;
    struct args args;
    int status = EXIT_DONE;

    if (argc > 1 && strcmp(argv[1], "replay") == 0)
        return replay_command(argv + 1); /* its words are another program's */
    if (args_parse(argc, argv, &args, &problem) < 0) {
        problem_print(&problem);
        status = EXIT_USAGE;
    } else if (args.command == COMMAND_HELP) {
        args_print_help(stdout);
    } else if (args.command == COMMAND_VERSION) {
        (void)printf("weir %s (libuv %s, lwIP 2.2.1)\n", WEIR_VERSION, uv_version_string());
    } else {
        status = run_with_config(&args);
    }
    args_deinit(&args);
    return flush(status);
}
