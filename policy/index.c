#include "policy/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { NO_NODE = UINT16_MAX, WIDE = 0 };

/* The rules of one target. */
struct index_node {
    struct addr_prefix prefix; /* of a node of prefixes */
    uint32_t hash;             /* of a node of names: a part of it, so that other names are seldom compared */
    uint16_t first, count;     /* its part of `order` */
    uint16_t above;            /* a wider target that covers all it covers, the narrowest such one; or NO_NODE */
};

/* --- orders ------------------------------------------------------------------------------------ */

#define DIFFER(field)                                                                              \
    if (a->field != b->field)                                                                      \
        return a->field < b->field ? -1 : 1

/* Rule numbers decide between equal ones, so this leaves them as they are. */
static int order_none(const struct rule *a, const struct rule *b)
{
    (void)a;
    (void)b;
    return 0;
}

static int order_by_name(const struct rule *a, const struct rule *b)
{
    return strcmp(a->name, b->name);
}

/* A prefix comes right before those inside it. */
static int order_by_prefix(const struct rule *a, const struct rule *b)
{
    int differ = memcmp(&a->prefix.base, &b->prefix.base, sizeof(a->prefix.base));

    if (differ != 0)
        return differ;
    DIFFER(prefix.bits);
    return 0;
}

/* All that is asked of a name rule whatever the name (view_fill() in world.c) is compared here. */
static int order_by_shape(const struct rule *a, const struct rule *b)
{
    int differ = rule_has_limits(a) - rule_has_limits(b);

    if (differ != 0)
        return differ;
    DIFFER(action);
    DIFFER(proto);
    DIFFER(quic_inspect);
    DIFFER(ech_deny);
    DIFFER(expires_s);
    DIFFER(private_any);
    DIFFER(private_count);
    DIFFER(port_count);
    differ = memcmp(a->ports, b->ports, a->port_count * sizeof(a->ports[0]));
    if (differ != 0)
        return differ;
    return memcmp(a->private_nets, b->private_nets, a->private_count * sizeof(a->private_nets[0]));
}

struct sorting {
    const struct rule *rules;
    int (*order)(const struct rule *a, const struct rule *b);
};

static int compare(const void *a, const void *b, void *ctx)
{
    const struct sorting *sorting = ctx;
    unsigned i = *(const uint16_t *)a, j = *(const uint16_t *)b;
    int differ = sorting->order(&sorting->rules[i], &sorting->rules[j]);

    return differ != 0 ? differ : (int)i - (int)j;
}

static int compare_numbers(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* --- finding ----------------------------------------------------------------------------------- */

static const char *node_name(const struct rule_index *index, const struct index_node *node)
{
    return index->rules[index->order[node->first]].name;
}

/* The slot of the node of just this name, or the empty one where it would be. */
static uint16_t *find_slot(const struct rule_index *index, const char *name, uint64_t hash)
{
    for (uint64_t at = hash;; at++) {
        uint16_t *slot = &index->slots[at & (index->slot_count - 1)];
        const struct index_node *node;

        if (*slot == NO_NODE)
            return slot;
        node = &index->nodes[*slot];
        if (node->hash == hash >> 32 && strcmp(node_name(index, node), name) == 0)
            return slot;
    }
}

/* The node of the longest target that is @name or what follows one of its dots. */
static uint16_t find_name(const struct rule_index *index, const char *name)
{
    unsigned labels = name_labels(name);
    size_t len = strlen(name);
    const char *dot;

    for (; labels > 0; labels--) {
        if (labels <= INDEX_LABELS_MAX && index->depths[labels]) {
            uint16_t found = *find_slot(index, name, siphash(&index->key, name, len));

            if (found != NO_NODE)
                return found;
        }
        dot = memchr(name, '.', len);
        if (!dot)
            break;
        len -= (size_t)(dot + 1 - name);
        name = dot + 1;
    }
    return NO_NODE;
}

/* From @at upwards, the first node whose prefix contains @a; else the wide rules'. */
static uint16_t climb(const struct rule_index *index, uint16_t at, const struct addr *a)
{
    while (at != WIDE && !addr_prefix_contains(&index->nodes[at].prefix, a))
        at = index->nodes[at].above;
    return at;
}

/*
 * The node of the narrowest prefix that contains @a; else the wide rules'. All that contain @a are the last one that
 * begins at or before it, or around that one.
 */
static uint16_t find_prefix(const struct rule_index *index, const struct addr *a)
{
    unsigned low = index->names_end, high = index->nodes_end;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (memcmp(&index->nodes[middle].prefix.base, a, 1 + addr_size(a)) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low == index->names_end ? WIDE : climb(index, (uint16_t)(low - 1), a);
}

/* --- building ---------------------------------------------------------------------------------- */

static bool is_wide(const struct rule *rule)
{
    return rule->target == RULE_ANY || rule->target == RULE_GROUP;
}

static bool is_prefix(const struct rule *rule)
{
    return rule->target == RULE_PREFIX;
}

/* Write the numbers of the outgoing rules that are such, sorted. Return: how many. */
static unsigned gather(struct sorting sorting, size_t count, bool (*is_such)(const struct rule *rule), uint16_t *out)
{
    unsigned gathered = 0;

    for (size_t i = 0; i < count; i++)
        if (sorting.rules[i].direction == RULE_OUT && is_such(&sorting.rules[i]))
            out[gathered++] = (uint16_t)i;
    qsort_r(out, gathered, sizeof(*out), compare, &sorting);
    return gathered;
}

/* A node for every run of equal rules in this part of `order`. */
static void add_nodes(struct rule_index *index, struct sorting sorting, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        const struct rule *rule = &index->rules[index->order[i]];

        if (i == from || sorting.order(&index->rules[index->order[i - 1]], rule) != 0)
            index->nodes[index->nodes_end++] =
                (struct index_node){.prefix = rule->prefix, .first = (uint16_t)i, .above = NO_NODE};
        index->nodes[index->nodes_end - 1].count++;
    }
}

static void link_names(struct rule_index *index)
{
    for (unsigned i = WIDE + 1; i < index->names_end; i++) {
        const char *name = node_name(index, &index->nodes[i]);
        uint64_t hash = siphash(&index->key, name, strlen(name));

        index->nodes[i].hash = (uint32_t)(hash >> 32);
        *find_slot(index, name, hash) = (uint16_t)i;
        index->depths[name_labels(name)] = true;
    }
    for (unsigned i = WIDE + 1; i < index->names_end; i++) {
        const char *dot = strchr(node_name(index, &index->nodes[i]), '.');

        if (dot)
            index->nodes[i].above = find_name(index, dot + 1);
    }
}

/* What is around a prefix is the one before it, or around that one: they are sorted. */
static void link_prefixes(struct rule_index *index)
{
    for (unsigned i = index->names_end; i < index->nodes_end; i++)
        index->nodes[i].above =
            i == index->names_end ? WIDE : climb(index, (uint16_t)(i - 1), &index->nodes[i].prefix.base);
}

static void find_shapes(struct rule_index *index, size_t count)
{
    struct sorting by_shape = {index->rules, order_by_shape};
    unsigned gathered = gather(by_shape, count, rule_is_by_name, index->shapes);
    uint16_t before = 0;

    for (unsigned i = 0; i < gathered; i++) {
        uint16_t number = index->shapes[i];

        if (i == 0 || order_by_shape(&index->rules[before], &index->rules[number]) != 0)
            index->shapes[index->shape_count++] = number;
        before = number;
    }
    qsort(index->shapes, index->shape_count, sizeof(*index->shapes), compare_numbers);
}

static bool allocate(struct rule_index *index, size_t count)
{
    index->slot_count = 1;
    while (index->slot_count < 2 * count)
        index->slot_count *= 2;
    index->order = calloc(count, sizeof(*index->order));
    index->nodes = calloc(count + 1, sizeof(*index->nodes));
    index->slots = malloc(index->slot_count * sizeof(*index->slots));
    index->shapes = calloc(count, sizeof(*index->shapes));
    if (!index->order || !index->nodes || !index->slots || !index->shapes)
        return false;
    memset(index->slots, 0xff, index->slot_count * sizeof(*index->slots)); /* NO_NODE */
    return true;
}

bool index_init(struct rule_index *index, const struct rule *rules, size_t count)
{
    struct sorting by_number = {rules, order_none}, by_name = {rules, order_by_name};
    struct sorting by_prefix = {rules, order_by_prefix};
    unsigned wide_end, names_end, prefixes_end;

    *index = (struct rule_index){.rules = rules};
    CHECK(count < NO_NODE);
    if (count == 0)
        return true;
    if (!allocate(index, count)) {
        index_deinit(index);
        return false;
    }
    siphash_key_random(&index->key);
    wide_end = gather(by_number, count, is_wide, index->order);
    names_end = wide_end + gather(by_name, count, rule_is_by_name, index->order + wide_end);
    prefixes_end = names_end + gather(by_prefix, count, is_prefix, index->order + names_end);

    index->nodes[index->nodes_end++] = (struct index_node){.count = (uint16_t)wide_end, .above = NO_NODE};
    add_nodes(index, by_name, wide_end, names_end);
    index->names_end = index->nodes_end;
    link_names(index);
    add_nodes(index, by_prefix, names_end, prefixes_end);
    link_prefixes(index);
    find_shapes(index, count);
    return true;
}

void index_deinit(struct rule_index *index)
{
    free(index->order);
    free(index->nodes);
    free(index->slots);
    free(index->shapes);
    *index = (struct rule_index){0};
}

/* --- walking ----------------------------------------------------------------------------------- */

struct index_walk index_by_name(const struct rule_index *index, const char *name)
{
    return (struct index_walk){.index = index, .next = index->nodes_end > 0 ? find_name(index, name) : NO_NODE};
}

struct index_walk index_by_addr(const struct rule_index *index, const struct addr *a)
{
    return (struct index_walk){.index = index, .next = index->nodes_end > 0 ? find_prefix(index, a) : NO_NODE};
}

struct index_walk index_wide(const struct rule_index *index)
{
    return (struct index_walk){.index = index, .next = index->nodes_end > 0 ? WIDE : NO_NODE};
}

int index_next(struct index_walk *walk, unsigned below)
{
    while (walk->at == walk->end || *walk->at >= below) {
        const struct index_node *node;

        if (walk->next == NO_NODE)
            return -1;
        node = &walk->index->nodes[walk->next];
        walk->at = walk->index->order + node->first;
        walk->end = walk->at + node->count;
        walk->next = node->above;
    }
    return *walk->at++;
}
