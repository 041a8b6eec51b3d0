/*
 * Address groups: the registries as tables, and the IPv4 addresses that hide inside IPv6 ones.
 *
 * The tables follow the IANA IPv4 and IPv6 Special-Purpose Address Registries. A block the
 * registries call globally reachable stays public, unless it leads to a service of the local
 * network (the anycast addresses within 192.0.0.0/24 and 2001:1::/48) or only tells an identity and
 * no place (2001:20::/28, 2001:30::/28): those stay reserved with the block around them.
 */
#include "policy/group.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"

struct block {
    struct addr_prefix prefix;
    enum group group;
};

/* clang-format off */
#define V4(bits, ...) {{ADDR_V4, {__VA_ARGS__}}, bits}
#define V6(bits, ...) {{ADDR_V6, {__VA_ARGS__}}, bits}

/* What no configuration may move. */
static const struct block fixed[] = {
    {V4(8, 127), GROUP_LOOPBACK},                     /* 127.0.0.0/8, RFC 1122 3.2.1.3 */
    {V6(128, [15] = 1), GROUP_LOOPBACK},              /* ::1, RFC 4291 2.5.3 */
    {V4(4, 224), GROUP_MULTICAST},                    /* 224.0.0.0/4, RFC 5771 */
    {V6(8, 0xff), GROUP_MULTICAST},                   /* ff00::/8, RFC 4291 2.7 */
    /* metadata services: most clouds, containers, pods, then three inside other blocks */
    {V4(32, 169, 254, 169, 254), GROUP_METADATA},
    {V4(32, 169, 254, 170, 2), GROUP_METADATA},
    {V4(32, 169, 254, 170, 23), GROUP_METADATA},
    {V4(32, 168, 63, 129, 16), GROUP_METADATA},
    {V4(32, 100, 100, 100, 200), GROUP_METADATA},
    {V4(32, 192, 0, 0, 192), GROUP_METADATA},
    {V6(128, 0xfd, 0, 0x0e, 0xc2, [14] = 0x02, 0x54), GROUP_METADATA}, /* fd00:ec2::254 */
    {V6(128, 0xfd, 0x20, 0, 0xce, [14] = 0x02, 0x54), GROUP_METADATA}, /* fd20:ce::254 */
    {V4(16, 169, 254), GROUP_LINK_LOCAL},             /* 169.254.0.0/16, RFC 3927 */
    {V6(10, 0xfe, 0x80), GROUP_LINK_LOCAL},           /* fe80::/10, RFC 4291 2.5.6 */
};

/* The rest; first match wins. */
static const struct block registry[] = {
    {V4(8, 0), GROUP_UNSPECIFIED},                    /* 0.0.0.0/8, RFC 791 3.2 */
    {V4(32, 255, 255, 255, 255), GROUP_UNSPECIFIED},  /* limited broadcast, RFC 919 */
    {V4(24, 192, 0, 0), GROUP_RESERVED},              /* protocol assignments, RFC 6890 */
    {V4(24, 192, 0, 2), GROUP_RESERVED},              /* documentation, RFC 5737 */
    {V4(24, 192, 88, 99), GROUP_RESERVED},            /* former 6to4 relays, RFC 7526 */
    {V4(15, 198, 18), GROUP_RESERVED},                /* 198.18.0.0/15, benchmarks, RFC 2544 */
    {V4(24, 198, 51, 100), GROUP_RESERVED},           /* documentation, RFC 5737 */
    {V4(24, 203, 0, 113), GROUP_RESERVED},            /* documentation, RFC 5737 */
    {V4(4, 240), GROUP_RESERVED},                     /* 240.0.0.0/4, RFC 1112 4 */
    {V4(8, 10), GROUP_PRIVATE},                       /* 10.0.0.0/8, RFC 1918 */
    {V4(12, 172, 16), GROUP_PRIVATE},                 /* 172.16.0.0/12, RFC 1918 */
    {V4(16, 192, 168), GROUP_PRIVATE},                /* 192.168.0.0/16, RFC 1918 */
    {V4(10, 100, 64), GROUP_PRIVATE},                 /* 100.64.0.0/10, CGNAT, RFC 6598 */
    {V4(0, 0), GROUP_PUBLIC},

    {V6(128, 0), GROUP_UNSPECIFIED},                  /* ::, RFC 4291 2.5.2 */
    {V6(7, 0xfc), GROUP_PRIVATE},                     /* fc00::/7, unique local, RFC 4193 */
    {V6(32, 0x20, 0x01, 0, 3), GROUP_PUBLIC},         /* 2001:3::/32, AMT, RFC 7450 */
    {V6(48, 0x20, 0x01, 0, 4, 1, 0x12), GROUP_PUBLIC}, /* 2001:4:112::/48, AS112, RFC 7535 */
    {V6(23, 0x20, 0x01), GROUP_RESERVED},             /* 2001::/23, RFC 2928; Teredo, RFC 4380 */
    {V6(32, 0x20, 0x01, 0x0d, 0xb8), GROUP_RESERVED}, /* 2001:db8::/32, RFC 3849 */
    {V6(16, 0x20, 0x02), GROUP_RESERVED},             /* 2002::/16, 6to4, RFC 3056 */
    {V6(20, 0x3f, 0xff), GROUP_RESERVED},             /* 3fff::/20, RFC 9637 */
    {V6(3, 0x20), GROUP_PUBLIC},                      /* 2000::/3, RFC 4291 2.4 */
    /* What is left holds 64:ff9b:1::/48 (RFC 8215), 100::/64 (RFC 6666), 100:0:0:1::/64 (RFC 9780),
     * 5f00::/16 (RFC 9602), fec0::/10 (RFC 3879) and space that nobody was given. */
    {V6(0, 0), GROUP_RESERVED},
};

static const struct addr_prefix compatible = V6(96, 0);                         /* RFC 4291 2.5.5.1 */
static const struct addr_prefix mapped = V6(96, [10] = 0xff, 0xff);             /* RFC 4291 2.5.5.2 */
static const struct addr_prefix translated = V6(96, [8] = 0xff, 0xff);          /* RFC 2765 2.1 */
static const struct addr_prefix nat64 = V6(96, 0, 0x64, 0xff, 0x9b);            /* RFC 6052 2.1 */
/* clang-format on */

static const char *const group_names[GROUP_COUNT] = {
    [GROUP_PUBLIC] = "public",
    [GROUP_PRIVATE] = "private",
    [GROUP_HOST] = "host",
    [GROUP_LOOPBACK] = "loopback",
    [GROUP_LINK_LOCAL] = "link-local",
    [GROUP_METADATA] = "metadata",
    [GROUP_MULTICAST] = "multicast",
    [GROUP_RESERVED] = "reserved",
    [GROUP_GUEST] = "guest",
    [GROUP_UNSPECIFIED] = "unspecified",
};

enum embedding { EMBEDDING_NONE, EMBEDDING_UNROUTED, EMBEDDING_NAT64, EMBEDDING_ISATAP };

const char *group_name(enum group group)
{
    CHECK((unsigned)group < GROUP_COUNT);
    return group_names[group];
}

int group_parse(const char *word, enum group *out_group)
{
    for (unsigned i = 0; i < GROUP_COUNT; i++) {
        /* "unspecified" is how records call it, not a word of the language: nothing opens it. */
        if (i != GROUP_UNSPECIFIED && strcmp(word, group_names[i]) == 0) {
            *out_group = (enum group)i;
            return 0;
        }
    }
    return -EINVAL;
}

static bool overlap(const struct addr_prefix *a, const struct addr_prefix *b)
{
    return addr_prefix_covers(a, b) || addr_prefix_covers(b, a);
}

int group_table_add(struct group_table *t, const struct addr_prefix *prefix, enum group group)
{
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        if (overlap(prefix, &fixed[i].prefix))
            return -EPERM;
    /* These have the group of the address inside: an entry for them would have no effect. */
    if (overlap(prefix, &compatible) || overlap(prefix, &mapped) || overlap(prefix, &translated) ||
        overlap(prefix, &nat64))
        return -EPERM;
    for (size_t i = 0; i < t->entry_count; i++) {
        struct group_entry *e = &t->entries[i];

        if (e->prefix.bits == prefix->bits && addr_equal(&e->prefix.base, &prefix->base)) {
            e->group = group;
            return 0;
        }
    }
    if (t->entry_count == GROUP_ENTRIES_MAX)
        return -ENOSPC;
    t->entries[t->entry_count++] = (struct group_entry){.prefix = *prefix, .group = group};
    return 0;
}

static bool block_find(const struct block *blocks, size_t count, const struct addr *a,
                       enum group *out_group)
{
    for (size_t i = 0; i < count; i++) {
        if (addr_prefix_contains(&blocks[i].prefix, a)) {
            *out_group = blocks[i].group;
            return true;
        }
    }
    return false;
}

static bool entry_find(const struct group_table *t, const struct addr *a, enum group *out_group)
{
    int longest = -1;

    for (size_t i = 0; i < t->entry_count; i++) {
        const struct group_entry *e = &t->entries[i];

        if ((int)e->prefix.bits > longest && addr_prefix_contains(&e->prefix, a)) {
            longest = e->prefix.bits;
            *out_group = e->group;
        }
    }
    return longest >= 0;
}

static bool is_guest_broadcast(const struct group_table *t, const struct addr *a)
{
    unsigned bits = t->guest4.bits;

    if (t->guest4.base.family != ADDR_V4 || a->family != ADDR_V4 || bits > 30)
        return false; /* RFC 3021: a /31 has no broadcast address */
    return addr_to_v4(a) == (addr_to_v4(&t->guest4.base) | UINT32_MAX >> bits);
}

/* The group by the address as it stands, whatever IPv4 address it may carry. */
static enum group plain_group(const struct group_table *t, const struct addr *a)
{
    enum group group = GROUP_RESERVED;

    if (entry_find(t, a, &group))
        return group;
    CHECK(block_find(registry, ARRAY_SIZE(registry), a, &group));
    if (group == GROUP_UNSPECIFIED || is_guest_broadcast(t, a))
        return GROUP_UNSPECIFIED;
    if (addr_prefix_contains(&t->guest4, a) || addr_prefix_contains(&t->guest6, a))
        return GROUP_GUEST;
    for (size_t i = 0; i < t->host_addr_count; i++)
        if (addr_equal(&t->host_addrs[i], a))
            return GROUP_HOST;
    return group;
}

static enum embedding embedding_of(const struct addr *a, struct addr *out_v4)
{
    const uint8_t *b = a->bytes;

    if (a->family != ADDR_V6)
        return EMBEDDING_NONE;
    *out_v4 = addr_from_v4(b + 12);
    if (addr_prefix_contains(&nat64, a))
        return EMBEDDING_NAT64;
    if (addr_prefix_contains(&mapped, a) || addr_prefix_contains(&compatible, a) ||
        addr_prefix_contains(&translated, a))
        return EMBEDDING_UNROUTED;
    /* RFC 5214 6.1: interface identifier 0000:5efe or, with the universal bit, 0200:5efe */
    if ((b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe)
        return EMBEDDING_ISATAP;
    return EMBEDDING_NONE;
}

enum group group_of(const struct group_table *t, const struct addr *a, bool *out_embedded)
{
    enum embedding embedding;
    enum group outer, inner;
    struct addr v4;

    if (out_embedded)
        *out_embedded = false;
    if (a->family != ADDR_V4 && a->family != ADDR_V6)
        return GROUP_RESERVED;
    /* Dialled as loopback, so nothing may give it another group. */
    if (addr_equal(a, &t->alias4) || addr_equal(a, &t->alias6))
        return GROUP_HOST;
    if (block_find(fixed, ARRAY_SIZE(fixed), a, &outer))
        return outer;
    embedding = embedding_of(a, &v4);
    outer = plain_group(t, a);
    if (embedding == EMBEDDING_NONE || outer == GROUP_UNSPECIFIED)
        return outer;
    if (out_embedded)
        *out_embedded = true;
    inner = group_of(t, &v4, NULL);
    if (embedding == EMBEDDING_NAT64 || group_is_strict_floor(inner))
        return inner;
    /* A tunnel endpoint inside a closed block is not opened by what it carries. */
    if (embedding == EMBEDDING_ISATAP && outer != GROUP_PUBLIC && outer != GROUP_PRIVATE)
        return outer;
    return inner == GROUP_PUBLIC ? GROUP_RESERVED : inner;
}

bool group_is_unrouted(const struct addr *a)
{
    static const struct addr_prefix low = V6(127, 0); /* :: and ::1 carry no IPv4 address */
    struct addr v4;

    return embedding_of(a, &v4) == EMBEDDING_UNROUTED && !addr_prefix_contains(&low, a);
}

bool group_covers(const struct group_table *t, enum group group, const struct addr_prefix *prefix)
{
    for (size_t i = 0; i < t->entry_count; i++)
        if (t->entries[i].group == group && addr_prefix_covers(&t->entries[i].prefix, prefix))
            return true;
    if (group == GROUP_GUEST)
        return addr_prefix_covers(&t->guest4, prefix) || addr_prefix_covers(&t->guest6, prefix);
    for (size_t i = 0; i < ARRAY_SIZE(registry); i++)
        if (registry[i].group == group && addr_prefix_covers(&registry[i].prefix, prefix))
            return true;
    return false;
}

bool group_is_strict_floor(enum group group)
{
    return group != GROUP_PUBLIC && group != GROUP_PRIVATE && group != GROUP_GUEST;
}
