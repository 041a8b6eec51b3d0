/*
 * What `run` and `exec` have in common: the loop, the instance, the flow log.
 */
#ifndef WEIR_CMD_SERVICE_H
#define WEIR_CMD_SERVICE_H

#include <stdbool.h>
#include <uv.h>

#include "cmd/config.h"
#include "datapath/instance.h"

struct service {
    uv_loop_t loop;
    const struct config *config; /* borrowed */
    struct instance *instance;   /* owned; NULL before service_open() and once it is closed */
    int log_fd;                  /* owned; -1: none */
    bool loop_open, closing, failed;
    void (*on_closing)(struct service *s); /* close your handles too; may be NULL */
};

/**
 * Set everything up; nothing runs yet.
 *
 * @log_standard: the descriptor that "-" stands for
 *
 * Return: 0, or -errno after an error line was printed. service_deinit() in either case.
 */
int service_open(struct service *s, const struct config *config, int log_standard);

/** Raise the limit of descriptors as far as allowed: each flow needs one. */
void service_raise_limits(void);

/** End: flows are reset and recorded, handles closed; the loop then runs out. Idempotent. */
void service_close(struct service *s);

/** Run the loop to its end. Return: 0, or -EIO when the service had to stop by itself. */
int service_run(struct service *s);

void service_deinit(struct service *s);

#endif
