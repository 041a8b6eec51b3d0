/*
 * A YAML text as a tree of nodes with their places (libyaml's document interface), after everything was refused that a
 * hostile or careless file could hold and a configuration has no use for: anchors, aliases, tags, several documents,
 * deep nesting, control characters, values longer than CONFIG_VALUE_MAX. Internal to cmd/.
 */
#ifndef WEIR_CMD_DOCUMENT_H
#define WEIR_CMD_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "cmd/problem.h"

struct document {
    yaml_document_t yaml;  /* owned while `loaded` */
    bool loaded;
    const char *filename;  /* borrowed: for places */
    struct problem *problem; /* borrowed */
};

/**
 * @text, @filename, @problem: borrowed as long as @out_doc
 *
 * Return: 0, or -EINVAL with @problem filled, place included. document_deinit() in either case.
 */
int document_load(const char *text, size_t len, const char *filename, struct document *out_doc,
                  struct problem *problem);
void document_deinit(struct document *doc);

/** The top node, or NULL when the text is empty. Nodes are borrowed from @doc. */
const yaml_node_t *document_root(struct document *doc);

const yaml_node_t *document_node(struct document *doc, int index);

/** The text of a scalar, or NULL when @node is none. */
const char *document_text(const yaml_node_t *node);

/** Set the problem's place to @node's. Return: -EINVAL. */
int document_fail(const struct document *doc, const yaml_node_t *node);

/**
 * Set the problem's place to byte @column (from 1) of the scalar's text, as far as that can be told: a text in several
 * lines or with escapes is pointed at as a whole.
 */
int document_fail_within(const struct document *doc, const yaml_node_t *node, unsigned column);

#endif
