#include "cmd/document.h"

#include <errno.h>
#include <string.h>

#include "cmd/config.h"

static int fail_mark(const struct document *doc, const yaml_mark_t *mark)
{
    return problem_at(doc->problem, "%s:%zu:%zu", doc->filename, mark->line + 1, mark->column + 1);
}

int document_fail(const struct document *doc, const yaml_node_t *node)
{
    return fail_mark(doc, &node->start_mark);
}

int document_fail_within(const struct document *doc, const yaml_node_t *node, unsigned column)
{
    yaml_scalar_style_t style = node->data.scalar.style;
    size_t quotes = style == YAML_SINGLE_QUOTED_SCALAR_STYLE || style == YAML_DOUBLE_QUOTED_SCALAR_STYLE ? 2 : 0;
    size_t written = node->end_mark.index - node->start_mark.index;
    yaml_mark_t mark = node->start_mark;

    if (column > 0 && node->start_mark.line == node->end_mark.line &&
        written == node->data.scalar.length + quotes)
        mark.column += quotes / 2 + column - 1;
    return fail_mark(doc, &mark);
}

/* ---- the first pass: what may not be there ---- */

static int refuse(const struct document *doc, const yaml_mark_t *mark, const char *hint, const char *what)
{
    (void)problem_set(doc->problem, hint, "%s", what);
    return fail_mark(doc, mark);
}

static int check_text(const struct document *doc, const yaml_event_t *event)
{
    const unsigned char *text = event->data.scalar.value;
    size_t len = event->data.scalar.length;

    if (len >= CONFIG_VALUE_MAX)
        return refuse(doc, &event->start_mark, "", "the value is too long");
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] == 0x7f)
            return refuse(doc, &event->start_mark, "one value is one line", "a control character in a value");
    return 0;
}

struct guard {
    unsigned depth, documents;
};

static int check_event(const struct document *doc, struct guard *guard, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;

    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return refuse(doc, &event->start_mark, "write the value out", "aliases are not taken");
    case YAML_DOCUMENT_START_EVENT:
        if (guard->documents++ > 0)
            return refuse(doc, &event->start_mark, "", "a second document in the file");
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        guard->depth++;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        guard->depth++;
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        guard->depth--;
        break;
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        if (check_text(doc, event) < 0)
            return -EINVAL;
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    if (anchor)
        return refuse(doc, &event->start_mark, "write the value out", "anchors are not taken");
    if (tag)
        return refuse(doc, &event->start_mark, "", "tags are not taken");
    if (guard->depth > CONFIG_DEPTH_MAX)
        return refuse(doc, &event->start_mark, "", "nested too deeply");
    return 0;
}

static int fail_parser(const struct document *doc, const yaml_parser_t *parser)
{
    const char *what = parser->problem ? parser->problem : "not YAML";
    yaml_mark_t mark = parser->problem_mark;

    if (parser->error == YAML_READER_ERROR) { /* its place is a byte offset, the marks are those read so far */
        mark = parser->mark;
        what = "bytes that are no text";
    } else if (parser->error == YAML_MEMORY_ERROR) {
        what = "out of memory";
    }
    (void)problem_set(doc->problem, parser->context ? parser->context : "", "%s", what);
    return fail_mark(doc, &mark);
}

static int check_events(const struct document *doc, const char *text, size_t len)
{
    struct guard guard = {0};
    yaml_parser_t parser;
    bool end = false;
    int err = 0;

    if (!yaml_parser_initialize(&parser))
        return problem_set(doc->problem, "", "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    while (!end && err == 0) {
        yaml_event_t event;

        if (!yaml_parser_parse(&parser, &event)) {
            err = fail_parser(doc, &parser);
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        err = check_event(doc, &guard, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return err;
}

/* ---- the second pass: the tree ---- */

static int load(struct document *doc, const char *text, size_t len)
{
    yaml_parser_t parser;
    int err = 0;

    if (!yaml_parser_initialize(&parser))
        return problem_set(doc->problem, "", "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    if (yaml_parser_load(&parser, &doc->yaml))
        doc->loaded = true;
    else
        err = fail_parser(doc, &parser);
    yaml_parser_delete(&parser);
    return err;
}

int document_load(const char *text, size_t len, const char *filename, struct document *out_doc, struct problem *problem)
{
    int err;

    *out_doc = (struct document){.filename = filename, .problem = problem};
    err = check_events(out_doc, text, len);
    return err < 0 ? err : load(out_doc, text, len);
}

void document_deinit(struct document *doc)
{
    if (doc->loaded)
        yaml_document_delete(&doc->yaml);
    doc->loaded = false;
}

const yaml_node_t *document_root(struct document *doc)
{
    return yaml_document_get_root_node(&doc->yaml);
}

const yaml_node_t *document_node(struct document *doc, int index)
{
    return yaml_document_get_node(&doc->yaml, index);
}

const char *document_text(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}
