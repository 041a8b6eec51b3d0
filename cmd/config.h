/*
 * The configuration as a value: what the command line and the file said, checked, with nothing of it in effect yet.
 *
 * Filled in this order: config_init(), the rules of the command line, config_read_file(), the other options, and
 * config_finish() for what only the whole can tell. A running program is changed from a new value, never piecemeal.
 */
#ifndef WEIR_CMD_CONFIG_H
#define WEIR_CMD_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cmd/problem.h"
#include "datapath/instance.h"
#include "datapath/link.h"
#include "policy/group.h"
#include "policy/policy.h"

enum {
    CONFIG_BYTES_MAX = 1024 * 1024, /* of a file */
    CONFIG_DEPTH_MAX = 8,           /* lists and mappings inside each other */
    CONFIG_VALUE_MAX = 1024,        /* bytes of one value */
};

enum config_level { CONFIG_LEVEL_ERROR, CONFIG_LEVEL_INFO, CONFIG_LEVEL_DEBUG };

/* Where a rule or link was written. */
struct config_place {
    const char *option;    /* static: "--rule"; NULL: in the file */
    unsigned line, column; /* in the file; for an option, `line` counts it from 1 */
};

struct config_layer {
    bool present, allow_default;
    struct rule *rules;          /* owned */
    struct config_place *places; /* owned: one a rule */
    size_t count;
};

struct config_link {
    struct link_spec spec;
    char *text;                  /* owned: as it was written */
};

struct config {
    const char *file;                 /* borrowed: what the file is called in messages; NULL: none was read */
    struct instance_config instance;  /* policy NULL and log_fd -1: those are made when it takes effect */
    bool hostname_given, upstream_system, ipv6_given;
    bool ipv6_mtu_off;                /* config_finish() turned IPv6 off: the MTU is too small for it */
    struct config_layer layers[POLICY_LAYERS];
    struct group_table groups;        /* entries only */
    struct config_link *links;        /* owned */
    unsigned link_count;
    uint8_t guest_mac[FRAME_MAC_BYTES];
    bool guest_mac_given;
    bool aliases_given;
    char dns_key[PATH_MAX];           /* where fake-ip's key is kept; "": nowhere, each start has another */
    char log[PATH_MAX];               /* "": none; "-": stdout, under exec stderr */
    enum config_level level;
    struct config_place place;        /* of what is being set; for rules */
};

void config_init(struct config *c);   /* defaults */
void config_deinit(struct config *c); /* a config that was only initialised is fine */

/**
 * Read a configuration file's text into @c, over what is there; rules and links go behind those there.
 *
 * @filename: borrowed as long as @c; for messages only
 *
 * Return: 0, or -EINVAL with @problem filled, its `where` FILE:LINE:COLUMN. Then @c is good for config_deinit() only.
 */
int config_parse(const char *text, size_t len, const char *filename, struct config *c, struct problem *problem);

/** The same from a file of at most CONFIG_BYTES_MAX. Return: 0, or -EINVAL with @problem filled. */
int config_read_file(const char *path, struct config *c, struct problem *problem);

/**
 * Check what single values cannot tell, and fill in what follows from others.
 *
 * Return: 0, or -EINVAL with @problem filled.
 */
int config_finish(struct config *c, struct problem *problem);

/** "vm.yaml:3:7" or "--rule #2". Return: @out. */
char *config_place_format(const struct config *c, const struct config_place *place,
                          char out[static PROBLEM_WHERE_MAX]);

/** Print the effective configuration as a file that reads as the same. */
void config_print(const struct config *c, FILE *out);

/**
 * The policy it describes; its groups hold the configured entries only, as an instance wants them.
 *
 * Return: one reference, the caller's; NULL out of memory.
 */
struct policy *config_policy(const struct config *c);

/** How many rules there are, in all layers. */
size_t config_rule_count(const struct config *c);

#endif
