/*
 * Two chained hash tables over the same pins: by name, then the name's few addresses; and by address, for the question
 * every new flow asks. A name owns its pins. Both tables have as many buckets from the start as the bounds call for,
 * so nothing is ever rehashed; their pages stay untouched until used.
 */
#include "policy/pins.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/siphash.h"

enum { NAME_BUCKETS = 4096, ADDR_BUCKETS = 16384 }; /* powers of two */

struct pin {
    struct pin *next_of_addr; /* borrowed: bucket chain, newest first */
    struct pin_name *name;    /* borrowed: its owner */
    uint64_t until_ms;
    uint64_t told;            /* pins.turn when it was last told */
    struct addr addr;
};

struct pin_name {
    struct list used;              /* on pins.names, the least recently used first */
    struct pin_name *next_of_name; /* borrowed: bucket chain */
    unsigned holds;                /* live flows */
    unsigned pin_count;
    struct pin *pins[PINS_ADDRS_MAX]; /* owned */
    char text[NAME_TEXT_MAX + 1];
};

struct pins {
    struct siphash_key key;
    struct list names; /* owned */
    size_t name_count;
    uint64_t turn;
    struct pin_name *by_name[NAME_BUCKETS];
    struct pin *by_addr[ADDR_BUCKETS];
};

struct pins *pins_new(void)
{
    struct pins *pins = calloc(1, sizeof(*pins));

    if (!pins)
        return NULL;
    siphash_key_random(&pins->key);
    list_init(&pins->names);
    return pins;
}

static size_t name_bucket(const struct pins *pins, const char *name)
{
    return siphash(&pins->key, name, strlen(name)) % NAME_BUCKETS;
}

static size_t addr_bucket(const struct pins *pins, const struct addr *addr)
{
    return siphash(&pins->key, addr, sizeof(*addr)) % ADDR_BUCKETS;
}

static struct pin_name *name_find(const struct pins *pins, const char *name)
{
    struct pin_name *n = pins->by_name[name_bucket(pins, name)];

    while (n && strcmp(n->text, name) != 0)
        n = n->next_of_name;
    return n;
}

static struct pin *pin_find(const struct pin_name *name, const struct addr *addr)
{
    for (unsigned i = 0; i < name->pin_count; i++)
        if (addr_equal(&name->pins[i]->addr, addr))
            return name->pins[i];
    return NULL;
}

static void name_touch(struct pins *pins, struct pin_name *name)
{
    list_unlink(&name->used);
    list_append(&pins->names, &name->used);
}

/* --- going away ------------------------------------------------------------------------------- */

static void pin_free(struct pins *pins, struct pin *pin)
{
    struct pin **at = &pins->by_addr[addr_bucket(pins, &pin->addr)];
    struct pin_name *name = pin->name;
    unsigned i = 0;

    while (*at != pin)
        at = &(*at)->next_of_addr;
    *at = pin->next_of_addr;
    while (name->pins[i] != pin)
        i++;
    name->pins[i] = name->pins[--name->pin_count];
    free(pin);
}

static void name_free(struct pins *pins, struct pin_name *name)
{
    struct pin_name **at = &pins->by_name[name_bucket(pins, name->text)];

    while (name->pin_count > 0)
        pin_free(pins, name->pins[0]);
    while (*at != name)
        at = &(*at)->next_of_name;
    *at = name->next_of_name;
    list_unlink(&name->used);
    pins->name_count--;
    free(name);
}

void pins_free(struct pins *pins)
{
    if (!pins)
        return;
    LIST_FOR_EACH(node, &pins->names)
        name_free(pins, LIST_ENTRY(node, struct pin_name, used));
    free(pins);
}

/* --- adding ----------------------------------------------------------------------------------- */

/* Make room for one more name. Return: 0, or -ENOSPC: flows hold them all. */
static int name_make_room(struct pins *pins)
{
    if (pins->name_count < PINS_NAMES_MAX)
        return 0;
    LIST_FOR_EACH(node, &pins->names) {
        struct pin_name *name = LIST_ENTRY(node, struct pin_name, used);

        if (name->holds > 0)
            continue;
        name_free(pins, name);
        return 0;
    }
    return -ENOSPC;
}

static int name_add(struct pins *pins, const char *text, struct pin_name **out_name)
{
    struct pin_name *name;
    size_t bucket = name_bucket(pins, text);

    CHECK(strlen(text) <= NAME_TEXT_MAX);
    if (name_make_room(pins) < 0)
        return -ENOSPC;
    name = calloc(1, sizeof(*name));
    if (!name)
        return -ENOMEM;
    strcpy(name->text, text);
    list_init(&name->used);
    list_append(&pins->names, &name->used);
    name->next_of_name = pins->by_name[bucket];
    pins->by_name[bucket] = name;
    pins->name_count++;
    *out_name = name;
    return 0;
}

/* Drop the pin that was told the longest ago when one more would be too many. */
static void pin_make_room(struct pins *pins, struct pin_name *name)
{
    struct pin *oldest;

    if (name->pin_count < PINS_ADDRS_MAX)
        return;
    oldest = name->pins[0];
    for (unsigned i = 1; i < name->pin_count; i++)
        if (name->pins[i]->told < oldest->told)
            oldest = name->pins[i];
    pin_free(pins, oldest);
}

static struct pin *pin_add(struct pins *pins, struct pin_name *name, const struct addr *addr)
{
    struct pin **head = &pins->by_addr[addr_bucket(pins, addr)];
    struct pin *pin = calloc(1, sizeof(*pin));

    if (!pin)
        return NULL;
    pin_make_room(pins, name);
    pin->addr = *addr;
    pin->name = name;
    pin->next_of_addr = *head;
    *head = pin;
    name->pins[name->pin_count++] = pin;
    return pin;
}

int pins_add(struct pins *pins, const char *name, const struct addr *addr, uint32_t ttl_s, uint64_t now_ms)
{
    uint64_t lasts_s = ttl_s < PINS_TTL_FLOOR_S ? PINS_TTL_FLOOR_S
                       : ttl_s < PINS_TTL_CAP_S ? ttl_s
                                                : PINS_TTL_CAP_S;
    uint64_t until_ms = now_ms + (lasts_s + PINS_GRACE_S) * 1000;
    struct pin_name *n = name_find(pins, name);
    struct pin *pin;
    int err;

    if (!n && (err = name_add(pins, name, &n)) < 0)
        return err;
    name_touch(pins, n);
    pin = pin_find(n, addr);
    if (!pin)
        pin = pin_add(pins, n, addr);
    if (!pin)
        return -ENOMEM; /* a name without pins is harmless and goes like any other */
    if (until_ms > pin->until_ms)
        pin->until_ms = until_ms;
    pin->told = ++pins->turn;
    return 0;
}

/* --- asking ----------------------------------------------------------------------------------- */

bool pins_has(const struct pins *pins, const char *name, const struct addr *addr, uint64_t now_ms)
{
    const struct pin_name *n = name_find(pins, name);
    const struct pin *pin = n ? pin_find(n, addr) : NULL;

    return pin && now_ms < pin->until_ms;
}

size_t pins_names_of(const struct pins *pins, const struct addr *addr, uint64_t now_ms,
                     const char **out_names, size_t max)
{
    const struct pin *pin = pins->by_addr[addr_bucket(pins, addr)];
    size_t count = 0;

    for (; pin && count <= max; pin = pin->next_of_addr) {
        if (now_ms >= pin->until_ms || !addr_equal(&pin->addr, addr))
            continue;
        if (count < max)
            out_names[count] = pin->name->text;
        count++;
    }
    return count;
}

struct pin_name *pins_hold(struct pins *pins, const char *name)
{
    struct pin_name *n = name_find(pins, name);

    if (!n)
        return NULL;
    name_touch(pins, n);
    n->holds++;
    return n;
}

const char *pins_held_name(const struct pin_name *held)
{
    return held->text;
}

void pins_release(struct pins *pins, struct pin_name *held)
{
    if (!held)
        return;
    CHECK(held->holds > 0);
    held->holds--;
    name_touch(pins, held);
}

size_t pins_name_count(const struct pins *pins)
{
    return pins->name_count;
}
