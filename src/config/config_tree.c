/* SPDX-License-Identifier: MIT */
#include "config_tree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "alloc.h"

#define PATH_MAX_BYTES ((CONFIG_DEPTH_MAX + 1) * 80)

/* -- paths -- */

/* Writes the path of the node, like "accounts[0].budget.purges", or "" for the root. Returns its
 * length. */
static size_t path_of(const struct config_node *n, char out[PATH_MAX_BYTES])
{
    size_t used = n->parent ? path_of(n->parent, out) : 0;

    out[used] = '\0';
    if (n->key)
        snprintf(out + used, PATH_MAX_BYTES - used, "%s%.63s", used ? "." : "",
                 *n->key ? n->key : "''");
    else if (n->parent)
        snprintf(out + used, PATH_MAX_BYTES - used, "[%u]", n->index);
    return used + strlen(out + used);
}

int config_refuse(struct config_mistake *m, const struct config_node *at, const char *fmt, ...)
{
    char path[PATH_MAX_BYTES];
    size_t used = path_of(at, path);
    va_list args;

    m->line = at->line;
    must(used + 2 < sizeof(m->text));
    snprintf(m->text, sizeof(m->text), "%s%s", path, used ? ": " : "");
    used = strlen(m->text);
    va_start(args, fmt);
    vsnprintf(m->text + used, sizeof(m->text) - used, fmt, args);
    va_end(args);
    return -EINVAL;
}

unsigned config_tree_line(const struct config_node *root, const char *path)
{
    char own[PATH_MAX_BYTES];
    const struct config_node *n = root ? root->first : NULL;
    unsigned line = 0;

    while (n) {
        size_t bytes = path_of(n, own);
        bool around = strncmp(path, own, bytes) == 0 && strchr(".[", path[bytes]);

        line = around ? n->line : line;
        n = around ? n->first : n->next;
    }
    return line;
}

struct builder {
    struct config_tree *tree;
    struct config_node *at; /* the innermost list or mapping that is open */
    char *key;              /* key read last in `at`, while its value is missing; else NULL */
    unsigned key_line;
    struct {
        char *name;
        struct config_node *node;
    } anchors[CONFIG_ANCHORS_MAX];
    unsigned anchors_count, nodes_count, documents;
    size_t repeated_bytes;
    struct config_mistake *mistake;
};

/* -- nodes -- */

static bool awaits_key(const struct builder *b)
{
    return b->at && b->at->kind == CONFIG_MAPPING && !b->key;
}

/* A temporary node for what is read next, for error messages. It is not in the tree. */
static struct config_node here(const struct builder *b, size_t line)
{
    struct config_node n = {.line = b->key ? b->key_line : (unsigned)line, .key = b->key};

    if (awaits_key(b)) { /* it has no path yet, so use the path of the mapping */
        n = *b->at;
        n.line = (unsigned)line;
    } else if (b->at) {
        n.parent = b->at;
        n.depth = b->at->depth + 1;
        n.index = b->at->count;
    }
    return n;
}

/* Adds a node. A list or mapping stays open until end(). */
static int begin(struct builder *b, enum config_node_kind kind, const char *text, size_t line)
{
    struct config_node place = here(b, line), *node;

    if (++b->nodes_count > CONFIG_NODES_MAX)
        return config_refuse(b->mistake, &place, "more than %d values", CONFIG_NODES_MAX);
    if (kind != CONFIG_TEXT && place.depth == CONFIG_DEPTH_MAX)
        return config_refuse(b->mistake, &place,
                             "more than %d lists and mappings inside each other", CONFIG_DEPTH_MAX);
    node = alloc_zeroed(1, sizeof(*node));
    *node = place;
    node->kind = kind;
    node->text = text ? alloc_str(text) : NULL;
    node->tail = &node->first;
    node->older = b->tree->newest;
    b->tree->newest = node;
    b->key = NULL; /* the node owns it now */
    *(b->at ? b->at->tail : &b->tree->root) = node;
    if (b->at) {
        b->at->tail = &node->next;
        b->at->count++;
    }
    if (kind != CONFIG_TEXT)
        b->at = node;
    return 0;
}

static void end(struct builder *b)
{
    b->at = b->at->parent;
}

static void take_key(struct builder *b, const char *key, size_t line)
{
    b->key = alloc_str(key);
    b->key_line = (unsigned)line;
}

/* -- anchors and aliases -- */

/* Records the anchor of the node that was added last. */
static int remember(struct builder *b, const yaml_char_t *name)
{
    if (!name)
        return 0;
    if (b->anchors_count == CONFIG_ANCHORS_MAX)
        return config_refuse(b->mistake, b->tree->newest, "more than %d anchors (&name)",
                             CONFIG_ANCHORS_MAX);
    b->anchors[b->anchors_count].name = alloc_str((const char *)name);
    b->anchors[b->anchors_count++].node = b->tree->newest;
    return 0;
}

/* The node with the most recent anchor of that name (YAML 1.1, section 7.1), or NULL. */
static const struct config_node *recall(const struct builder *b, const char *name)
{
    for (unsigned i = b->anchors_count; i-- > 0;)
        if (strcmp(b->anchors[i].name, name) == 0)
            return b->anchors[i].node;
    return NULL;
}

/* Copies a node and everything inside it to the place of the alias. */
static int repeat(struct builder *b, const struct config_node *from, size_t line)
{
    struct config_node place = here(b, line);
    int rc;

    b->repeated_bytes += from->text ? strlen(from->text) : 0;
    b->repeated_bytes += b->key ? strlen(b->key) : 0;
    if (b->repeated_bytes > CONFIG_REPEATED_MAX_BYTES)
        return config_refuse(b->mistake, &place, "aliases (*name) repeat more than 1 MiB");
    rc = begin(b, from->kind, from->text, line);
    for (const struct config_node *n = from->first; rc == 0 && n; n = n->next) {
        if (n->key)
            take_key(b, n->key, n->line);
        rc = repeat(b, n, n->line);
    }
    if (rc == 0 && from->kind != CONFIG_TEXT)
        end(b);
    return rc;
}

/* The error message does not show the name, because it may be a secret that begins with a star. */
static int on_alias(struct builder *b, const char *name, size_t line)
{
    const struct config_node *from = recall(b, name), place = here(b, line);
    int rc;

    if (!from)
        return config_refuse(b->mistake, &place,
                             "an alias (*name) without its anchor (&name) before it");
    for (const struct config_node *n = b->at; n; n = n->parent)
        if (n == from)
            return config_refuse(b->mistake, &place, "an alias (*name) inside of what it repeats");
    rc = repeat(b, from, line);
    if (rc < 0)
        b->mistake->line = place.line;
    return rc;
}

/* -- events -- */

static int check_tag(struct builder *b, const yaml_char_t *tag, const char *usual, size_t line)
{
    const struct config_node place = here(b, line);
    const char *t = (const char *)tag;

    if (!t || strcmp(t, "!") == 0 || strcmp(t, usual) == 0) /* the tag names the default type */
        return 0;
    return config_refuse(b->mistake, &place, "a tag (!name): only values without one are read");
}

static int on_text(struct builder *b, const yaml_event_t *e, size_t line)
{
    const struct config_node place = here(b, line);
    const char *text = (const char *)e->data.scalar.value;
    int rc = check_tag(b, e->data.scalar.tag, YAML_STR_TAG, line);

    if (rc == 0 && strlen(text) != e->data.scalar.length)
        rc = config_refuse(b->mistake, &place, "it holds a NUL byte");
    if (rc == 0 && awaits_key(b)) {
        take_key(b, text, line);
        return 0;
    }
    if (rc == 0)
        rc = begin(b, CONFIG_TEXT, text, line);
    return rc < 0 ? rc : remember(b, e->data.scalar.anchor);
}

static int on_begin(struct builder *b, enum config_node_kind kind, const yaml_char_t *tag,
                    const yaml_char_t *anchor, size_t line)
{
    int rc = check_tag(b, tag, kind == CONFIG_LIST ? YAML_SEQ_TAG : YAML_MAP_TAG, line);

    if (rc == 0)
        rc = begin(b, kind, NULL, line);
    return rc < 0 ? rc : remember(b, anchor);
}

static int on_event(struct builder *b, const yaml_event_t *e)
{
    size_t line = e->start_mark.line + 1;
    const struct config_node place = here(b, line);

    if (awaits_key(b) && e->type != YAML_SCALAR_EVENT && e->type != YAML_MAPPING_END_EVENT)
        return config_refuse(b->mistake, &place,
                             "a key that is no text: expected the name of a setting");
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->documents++ == 0)
            return 0;
        return config_refuse(b->mistake, &place, "a second document begins here; only one is read");
    case YAML_SCALAR_EVENT:
        return on_text(b, e, line);
    case YAML_ALIAS_EVENT:
        return on_alias(b, (const char *)e->data.alias.anchor, line);
    case YAML_SEQUENCE_START_EVENT:
        return on_begin(b, CONFIG_LIST, e->data.sequence_start.tag, e->data.sequence_start.anchor,
                        line);
    case YAML_MAPPING_START_EVENT:
        return on_begin(b, CONFIG_MAPPING, e->data.mapping_start.tag, e->data.mapping_start.anchor,
                        line);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        end(b);
        return 0;
    default:
        return 0;
    }
}

/* -- the text -- */

/* Passes on libyaml's error message. For invalid characters libyaml gives an offset but no line. */
static int refuse_syntax(struct builder *b, const yaml_parser_t *p, struct span yaml)
{
    struct config_node place = {.line = (unsigned)p->problem_mark.line + 1};

    for (size_t i = 0; p->error == YAML_READER_ERROR && i < p->problem_offset && i < yaml.n; i++)
        place.line += yaml.p[i] == '\n';
    return config_refuse(b->mistake, &place, "not YAML: %s",
                         p->problem ? p->problem : "it cannot be understood");
}

/* libyaml compares each %TAG with all before it: 12 seconds for 1 MiB of them. Tags are not read
 * here, so these lines are refused before libyaml sees them. */
static int refuse_tag_directives(struct builder *b, struct span yaml)
{
    struct config_node place = {.line = 1};

    for (size_t i = 0; i + 4 <= yaml.n; i++) {
        bool begins = i == 0 || (unsigned char)yaml.p[i - 1] < ' ' || yaml.p[i - 1] & 0x80;

        if (begins && memcmp(yaml.p + i, "%TAG", 4) == 0)
            return config_refuse(b->mistake, &place,
                                 "a tag directive (%%TAG): only values without tags are read");
        place.line += yaml.p[i] == '\n';
    }
    return 0;
}

static int build(struct builder *b, yaml_parser_t *parser, struct span yaml)
{
    yaml_event_t event;
    bool last = false;
    int rc = refuse_tag_directives(b, yaml);

    while (rc == 0 && !last) {
        if (!yaml_parser_parse(parser, &event))
            return refuse_syntax(b, parser, yaml);
        rc = on_event(b, &event);
        last = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    return rc;
}

int config_tree_parse(struct config_tree *t, struct span yaml, struct config_mistake *mistake)
{
    struct builder b = {.tree = t, .mistake = mistake};
    yaml_parser_t parser;
    int rc;

    *t = (struct config_tree){0};
    must(yaml_parser_initialize(&parser));
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.p, yaml.n);
    rc = build(&b, &parser, yaml);
    yaml_parser_delete(&parser);
    free(b.key);
    while (b.anchors_count)
        free(b.anchors[--b.anchors_count].name);
    return rc;
}

void config_tree_deinit(struct config_tree *t)
{
    for (struct config_node *n = t->newest, *older; n; n = older) {
        older = n->older;
        free(n->key);
        free(n->text);
        free(n);
    }
    *t = (struct config_tree){0};
}
