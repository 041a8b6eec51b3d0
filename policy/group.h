/*
 * Address groups: every address falls in exactly one (docs/policy.md, "Groups").
 *
 * Built from the IANA special-purpose address registries (RFC 6890 and its updates). First match:
 * configured entry (longest prefix) - unspecified and broadcast - multicast - loopback - metadata -
 * link-local - guest - host - reserved - private - public. A configured entry cannot move loopback,
 * link-local, metadata or multicast addresses (group_table_add() refuses).
 */
#ifndef WEIR_POLICY_GROUP_H
#define WEIR_POLICY_GROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

enum group {
    GROUP_PUBLIC,
    GROUP_PRIVATE,   /* RFC 1918, CGNAT 100.64/10, ULA fc00::/7 */
    GROUP_HOST,      /* the host alias and the host's own interface addresses */
    GROUP_LOOPBACK,
    GROUP_LINK_LOCAL,
    GROUP_METADATA,  /* every cloud's metadata addresses */
    GROUP_MULTICAST,
    GROUP_RESERVED,  /* what the registries keep from being globally reachable, 6to4, Teredo, ... */
    GROUP_GUEST,     /* the guest's own network */
    GROUP_UNSPECIFIED, /* 0.0.0.0/8, ::, and broadcast (limited, and of the guest's network) */
    GROUP_COUNT
};

enum { GROUP_ENTRIES_MAX = 256, GROUP_HOST_ADDRS_MAX = 256 };

struct group_entry {
    struct addr_prefix prefix;
    enum group group;
};

/* Value type: copied, holds no pointers. */
struct group_table {
    struct group_entry entries[GROUP_ENTRIES_MAX];
    size_t entry_count;
    struct addr_prefix guest4, guest6; /* family ADDR_NONE in base when the family is off */
    struct addr alias4, alias6;        /* the host alias, family ADDR_NONE when absent */
    struct addr host_addrs[GROUP_HOST_ADDRS_MAX];
    size_t host_addr_count;
};

const char *group_name(enum group group);

/** Group by the word users write ("public", "link-local", ...). Return: 0, or -EINVAL. */
int group_parse(const char *word, enum group *out_group);

/**
 * Move @prefix into @group.
 *
 * Return: 0; -EPERM when @prefix overlaps loopback, link-local, metadata or multicast addresses; -ENOSPC
 * above GROUP_ENTRIES_MAX.
 */
int group_table_add(struct group_table *t, const struct addr_prefix *prefix, enum group group);

/**
 * The group of @a; never fails.
 *
 * @out_embedded: when not NULL, whether an IPv4 address was decoded out of @a (mapped, compatible,
 *                translated, NAT64 64:ff9b::/96, ISATAP); the group is then that of the IPv4 address, except
 *                that an embedded address is never better than GROUP_RESERVED unless NAT64 (mapped,
 *                compatible and translated forms do not belong on a wire and are never GROUP_PUBLIC).
 */
enum group group_of(const struct group_table *t, const struct addr *a, bool *out_embedded);

/**
 * Whether @a is an IPv4-mapped, -compatible or -translated IPv6 address: forms that do not belong on a
 * wire and are reached through no rule at all.
 */
bool group_is_unrouted(const struct addr *a);

/** Whether @prefix lies wholly inside one block (or configured entry) of GROUP_PRIVATE or GROUP_GUEST. */
bool group_covers(const struct group_table *t, enum group group, const struct addr_prefix *prefix);

/** Whether the group is opened only by its own name or one exact address (not private, not guest). */
bool group_is_strict_floor(enum group group);

#endif
