/*
 * The embedder of a case, embedder.txt: what it says when it is asked (datapath/hook.h). README.md has the language.
 */
#ifndef WEIR_TESTS_REPLAY_EMBEDDER_H
#define WEIR_TESTS_REPLAY_EMBEDDER_H

#include "datapath/instance.h"
#include "words.h"

struct embedder {
    struct script script;
    struct instance *instance; /* borrowed; set before the loop runs */
};

/** Nothing happens to @out_config when the case has none. */
void embedder_load(struct embedder *e, const char *dir, struct hook_config *out_config);
void embedder_deinit(struct embedder *e);

#endif
