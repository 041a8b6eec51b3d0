/*
 * The command line: which options there are, which command takes which, and what their values do to the configuration.
 */
#ifndef WEIR_CMD_ARGS_H
#define WEIR_CMD_ARGS_H

#include <stdbool.h>
#include <stdio.h>

#include "cmd/config.h"
#include "cmd/problem.h"

enum command { COMMAND_HELP, COMMAND_VERSION, COMMAND_RUN, COMMAND_EXEC, COMMAND_CHECK, COMMAND_EXPLAIN };

enum { ARGS_SHARES_MAX = 16, ARGS_NAMES_MAX = 16 };

/* One option as it was given. */
struct args_given {
    const struct args_option *option; /* static */
    const char *value;                /* borrowed from argv; NULL for a flag */
    unsigned nth;                     /* of that option, from 1 */
};

struct args {
    enum command command;
    struct args_given *given; /* owned: in the order of the command line */
    unsigned given_count;
    char **rest;              /* borrowed from argv: CMD ARG..., FILE, or [PROTO] DEST[:PORT] */
    int rest_count;
    const char *file;         /* --config, or check's FILE; NULL: none */
    bool verbose;
    bool root;                                 /* exec */
    const char *shares[ARGS_SHARES_MAX];       /* exec */
    unsigned share_count;
    const char *names[ARGS_NAMES_MAX];         /* explain */
    unsigned name_count;
    const char *sni, *host;                    /* explain */
};

/**
 * Read the command line.
 *
 * @argv: borrowed as long as @out; its order may be changed (getopt_long)
 *
 * Return: 0, or -EINVAL with @problem filled. args_deinit() in either case.
 */
int args_parse(int argc, char **argv, struct args *out, struct problem *problem);
void args_deinit(struct args *args);

/**
 * Make the configuration that the options and the file they name come to; config_finish() is done.
 *
 * Return: 0, or -EINVAL with @problem filled. config_deinit() in either case.
 */
int args_config(const struct args *args, struct config *out, struct problem *problem);

/** What --help prints. */
void args_print_help(FILE *out);

#endif
