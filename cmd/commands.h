/*
 * The commands of the program. Each returns its exit status, having said on standard error what went wrong.
 */
#ifndef WEIR_CMD_COMMANDS_H
#define WEIR_CMD_COMMANDS_H

#include "cmd/args.h"
#include "cmd/config.h"

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_EXEC_FAILED = 125,  /* exec: weir itself failed (env(1) and its like use the same numbers) */
    EXIT_EXEC_CANNOT = 126,  /* exec: CMD cannot be run */
    EXIT_EXEC_MISSING = 127, /* exec: CMD was not found */
    EXIT_EXEC_SIGNAL = 128,  /* exec: plus the number of the signal that ended CMD */
};

/** @config is replaced when it is read again (SIGHUP). */
int run_command(const struct args *args, struct config *config);
int exec_command(const struct args *args, const struct config *config);
int check_command(const struct args *args, const struct config *config);
int explain_command(const struct args *args, const struct config *config);

/** Become weir-replay. @argv: its words, from its own name on. Returns only when it cannot. */
int replay_command(char **argv);

#endif
