/*
 * Settings: each reads one text, from an option or a scalar of the file, into the configuration. Internal to cmd/.
 *
 * All return 0, or -EINVAL with @p filled but for its `where`; then the configuration is unchanged. A text holds no
 * control characters.
 */
#ifndef WEIR_CMD_SETTING_H
#define WEIR_CMD_SETTING_H

#include "cmd/config.h"

typedef int setting_fn(struct config *c, const char *text, struct problem *p);

setting_fn setting_name;            /* the guest's, in records */
setting_fn setting_hostname;
setting_fn setting_ipv4;
setting_fn setting_ipv6;
setting_fn setting_mtu;
setting_fn setting_guest_mac;
setting_fn setting_dns_key;
setting_fn setting_dns_mode;
setting_fn setting_dns_upstream;    /* one more */
setting_fn setting_dns_search;      /* one more */
setting_fn setting_dns_type;        /* one more */
setting_fn setting_dns_rebind;
setting_fn setting_dns_unrouted;
setting_fn setting_policy_default;
setting_fn setting_policy_rule;     /* one more; c->place says where from */
setting_fn setting_policy_refuse;
setting_fn setting_floor_default;
setting_fn setting_floor_rule;      /* one more */
setting_fn setting_host_alias;      /* one more; the first one replaces the default */
setting_fn setting_group;           /* NAME=CIDR */
setting_fn setting_link;            /* one more */
setting_fn setting_log_flows;
setting_fn setting_log_level;
setting_fn setting_log_open;

/** A static name of the resolver's. */
int setting_dns_host(struct config *c, const char *name, const char *text, struct problem *p);

/** One address or network moved into group @name. */
int setting_group_member(struct config *c, const char *name, const char *text, struct problem *p);

/** A plain number within bounds. */
int setting_count(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct problem *p);

/** Bytes: a number with KiB, MiB or GiB, or a bare number of bytes. */
int setting_bytes(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct problem *p);

/** Milliseconds: a number with ms, s, m or h; 0 needs no unit. */
int setting_time(const char *text, uint64_t min_ms, uint64_t max_ms, uint64_t *out_ms, struct problem *p);

#endif
