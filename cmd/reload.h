/*
 * SIGHUP: the options and the file they name are read again, and what can change in a running program does.
 */
#ifndef WEIR_CMD_RELOAD_H
#define WEIR_CMD_RELOAD_H

#include "cmd/args.h"
#include "cmd/service.h"

/**
 * Read the configuration again; policy, groups and limits are swapped at once, or nothing is and an error line says
 * why. What only a new start can change is named in a line of its own.
 *
 * @args:   as at the start
 * @in_use: the configuration the service has now, replaced by the new one (and config_deinit()ed) on success
 */
void reload(struct service *s, const struct args *args, struct config *in_use);

#endif
