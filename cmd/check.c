/*
 * `weir check`: the configuration was valid, or this would not be reached; print what it comes to and what looks
 * unmeant.
 */
#include <stdio.h>

#include "cmd/commands.h"
#include "cmd/lint.h"

static void warn(const struct config *c, const struct config_place *place, const struct rule *rule, const char *what)
{
    char where[PROBLEM_WHERE_MAX], text[RULE_TEXT_MAX];

    (void)fprintf(stderr, "weir: %s: warning: '%s' %s\n", config_place_format(c, place, where), rule_format(rule, text),
                  what);
}

static void lint_layer(const struct config *c, enum policy_layer which)
{
    const struct config_layer *layer = &c->layers[which];
    struct group_table groups = c->groups;
    int64_t wall_s = instance_wall_s();

    groups.guest4 = c->instance.net4;
    groups.guest6 = c->instance.net6;
    for (size_t i = 0; i < layer->count; i++) {
        size_t shadowing = 0;
        unsigned remarks = lint_rule(layer->rules, i, &groups, wall_s, &shadowing);
        char where[PROBLEM_WHERE_MAX], what[LINT_TEXT_MAX + PROBLEM_WHERE_MAX];

        if (which == POLICY_LAYER_FLOOR)
            remarks &= LINT_SHADOWED | LINT_EXPIRED; /* a floor is meant to be wide */
        for (unsigned bit = LINT_SHADOWED; bit <= LINT_LAST; bit <<= 1) {
            if (!(remarks & bit))
                continue;
            (void)snprintf(what, sizeof(what), "%s", lint_text((enum lint_remark)bit));
            if (bit == LINT_SHADOWED)
                (void)snprintf(what, sizeof(what), "%s (%s)", lint_text(LINT_SHADOWED),
                               config_place_format(c, &layer->places[shadowing], where));
            warn(c, &layer->places[i], &layer->rules[i], what);
        }
    }
}

int check_command(const struct args *args, const struct config *config)
{
    (void)args;
    for (unsigned i = 0; i < POLICY_LAYERS; i++)
        lint_layer(config, (enum policy_layer)i);
    if (config->layers[POLICY_LAYER_POLICY].allow_default)
        (void)fputs("weir: warning: the default is allow: the guest may ask the resolver for every name\n", stderr);
    config_print(config, stdout);
    return EXIT_DONE;
}
