/* SPDX-License-Identifier: MIT */
#include "config_line.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "buf.h"
#include "log.h"

#define DEPTH_MAX 32
#define PATH_MAX_BYTES 4096

/* One mapping or sequence that is open. */
struct level {
    bool mapping;
    bool have_key; /* a mapping's key was read, its value is next */
    unsigned index;
    unsigned key_line;
    size_t path_n; /* bytes of the path that name this level */
};

struct walk {
    const char *wanted;
    struct buf path;
    struct level levels[DEPTH_MAX];
    unsigned depth;
    unsigned line;     /* of the best match so far */
    size_t line_bytes; /* of `wanted` that it matched */
    bool list;         /* what stands there is one */
    char *value;       /* of the setting itself, when it is a single one; NULL: not asked for */
    size_t value_room;
    bool have_value;
};

/* A value begins: its path is complete. The last of equals wins, so a setting that stands there
 * twice is shown at its second place. */
static void compare(struct walk *w, unsigned line, yaml_event_type_t type)
{
    size_t n = w->path.n;

    if (n == 0 || strncmp(w->wanted, w->path.p, n) != 0 || !strchr(".[", w->wanted[n]))
        return;
    if (n >= w->line_bytes) {
        w->line = line;
        w->line_bytes = n;
        w->list = type == YAML_SEQUENCE_START_EVENT;
    }
}

static bool take_key(struct walk *w, struct level *l, const yaml_event_t *e)
{
    struct span key = {0};

    if (e->type == YAML_SCALAR_EVENT)
        key = span_of((const char *)e->data.scalar.value, e->data.scalar.length);
    w->path.n = l->path_n;
    l->have_key = true;
    l->key_line = (unsigned)e->start_mark.line + 1;
    if (w->path.n && buf_try_put(&w->path, SPAN(".")) < 0)
        return false;
    return buf_try_put(&w->path, key) == 0;
}

/* Where the node that begins now stands in its parent. False: too long a path to be one of ours. */
static bool place(struct walk *w, const yaml_event_t *e, unsigned *line)
{
    struct level *l = w->depth ? &w->levels[w->depth - 1] : NULL;
    char index[16];

    *line = (unsigned)e->start_mark.line + 1;
    if (!l)
        return true;
    if (l->mapping) {
        l->have_key = false;
        *line = l->key_line;
        return true;
    }
    snprintf(index, sizeof(index), "[%u]", l->index++);
    w->path.n = l->path_n;
    return buf_try_put(&w->path, span_str(index)) == 0;
}

static void take_value(struct walk *w, const yaml_event_t *e)
{
    if (!w->value || e->type != YAML_SCALAR_EVENT || !span_is(buf_span(&w->path), w->wanted))
        return;
    w->have_value = true;
    log_quote(w->value, w->value_room, (const char *)e->data.scalar.value, e->data.scalar.length);
}

static bool on_node(struct walk *w, const yaml_event_t *e)
{
    struct level *l = w->depth ? &w->levels[w->depth - 1] : NULL;
    bool opens = e->type == YAML_MAPPING_START_EVENT || e->type == YAML_SEQUENCE_START_EVENT;
    unsigned line;

    if (l && l->mapping && !l->have_key)
        return !opens && take_key(w, l, e);
    if (!place(w, e, &line))
        return false;
    compare(w, line, e->type);
    take_value(w, e);
    if (!opens)
        return true;
    if (w->depth == DEPTH_MAX)
        return false;
    w->levels[w->depth++] =
        (struct level){.mapping = e->type == YAML_MAPPING_START_EVENT, .path_n = w->path.n};
    return true;
}

static bool on_event(struct walk *w, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
    case YAML_ALIAS_EVENT:
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return on_node(w, e);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        w->depth--;
        return true;
    case YAML_DOCUMENT_END_EVENT:
    case YAML_STREAM_END_EVENT:
        return false;
    default:
        return true;
    }
}

static void walk(struct walk *w, struct span yaml)
{
    yaml_parser_t parser;
    yaml_event_t event;
    bool more = true;

    buf_init(&w->path, PATH_MAX_BYTES);
    must(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.p, yaml.n);
    while (more && yaml_parser_parse(&parser, &event)) {
        more = on_event(w, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    buf_deinit(&w->path);
}

bool config_line_value(struct span yaml, const char *path, char *out, size_t room)
{
    struct walk w = {.wanted = path, .value = out, .value_room = room};

    walk(&w, yaml);
    return w.have_value;
}

unsigned config_line_find(struct span yaml, const char *path, bool *exact)
{
    struct walk w = {.wanted = path};

    walk(&w, yaml);
    *exact = w.line && w.line_bytes == strlen(path);
    return w.line;
}

bool config_line_is_list(struct span yaml, const char *path)
{
    struct walk w = {.wanted = path};

    walk(&w, yaml);
    return w.list && w.line_bytes == strlen(path);
}

unsigned config_line_problem(struct span yaml, char *what, size_t room)
{
    yaml_parser_t parser;
    yaml_event_t event;
    unsigned line = 0, documents = 0;
    bool end = false;

    must(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.p, yaml.n);
    while (!end && line == 0) {
        if (!yaml_parser_parse(&parser, &event)) {
            line = (unsigned)parser.problem_mark.line + 1;
            snprintf(what, room, "%s", parser.problem ? parser.problem : "no YAML");
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT && documents++ > 0) {
            line = (unsigned)event.start_mark.line + 1;
            snprintf(what, room, "a second document begins here; only one is read");
        }
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return line;
}
