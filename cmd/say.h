/*
 * What the program says on standard error, one line each.
 */
#ifndef WEIR_CMD_SAY_H
#define WEIR_CMD_SAY_H

#include "cmd/config.h"

/** Print "weir: ..." when the configuration's level is at least @level. */
__attribute__((format(printf, 3, 4)))
void say(const struct config *c, enum config_level level, const char *format, ...);

/** Print an error "weir: WHERE: ...", at any level. */
__attribute__((format(printf, 2, 3))) void say_error(const char *where, const char *format, ...);

/** Tell the service manager that the program is ready (sd_notify(3)'s datagram); nothing when there is none. */
void say_ready_to_manager(void);

#endif
