/*
 * The table of options. Internal to the arguments' reader and the help text.
 */
#ifndef WEIR_CMD_ARGS_OPTIONS_H
#define WEIR_CMD_ARGS_OPTIONS_H

#include "cmd/args.h"
#include "cmd/setting.h"

enum {
    FOR_RUN = 1 << COMMAND_RUN,
    FOR_EXEC = 1 << COMMAND_EXEC,
    FOR_CHECK = 1 << COMMAND_CHECK,
    FOR_EXPLAIN = 1 << COMMAND_EXPLAIN,
    FOR_NETS = FOR_RUN | FOR_EXEC | FOR_CHECK,
    FOR_ALL = FOR_NETS | FOR_EXPLAIN,
};

enum option_kind {
    OPTION_SETTING, /* goes into the configuration, after the file */
    OPTION_RULE,    /* a rule, before the file's */
    OPTION_CONFIG,
    OPTION_VERBOSE,
    OPTION_ROOT,
    OPTION_SHARE,
    OPTION_PIN,
    OPTION_SNI,
    OPTION_HOST,
    OPTION_HELP,
};

struct args_option {
    const char *name;
    const char *value;    /* what stands for the value in texts; NULL: a flag */
    unsigned commands;
    enum option_kind kind;
    bool repeats;
    setting_fn *set;      /* OPTION_SETTING */
    const char *action;   /* OPTION_RULE: written in front of the value */
    const char *help;
};

enum { ARGS_OPTIONS = 22 };

extern const struct args_option args_options[ARGS_OPTIONS];

#endif
