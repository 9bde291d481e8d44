/* SPDX-License-Identifier: MIT
 * Parses YAML into a tree of nodes with line numbers. This is the only file that uses libyaml.
 *
 * It is built from libyaml's events. yaml_parser_load() has no limits: it compares each anchor with
 * all before it, which takes half a minute for a file of 1 MiB. */
#pragma once

#include "base.h"
#include "span.h"

#define CONFIG_DEPTH_MAX 16        /* levels of nested lists and mappings; settings need 5 */
#define CONFIG_NODES_MAX (1 << 18) /* more than a file of 1 MiB needs */
#define CONFIG_ANCHORS_MAX 256
#define CONFIG_REPEATED_MAX_BYTES (1 << 20) /* total size of keys and texts copied by aliases */

enum config_node_kind { CONFIG_TEXT, CONFIG_LIST, CONFIG_MAPPING };

struct config_node {
    enum config_node_kind kind;
    unsigned line;                             /* from 1; in a mapping the line of the key */
    unsigned depth;                            /* number of lists and mappings around it */
    uint32_t index;                            /* position in its list or mapping */
    uint32_t count;                            /* number of nodes inside */
    char *key;                                 /* in a mapping; else NULL */
    char *text;                                /* of a CONFIG_TEXT; else NULL */
    struct config_node *parent, *first, *next; /* parent; first child; next sibling */
    struct config_node **tail, *older;         /* used only while the tree is built and freed */
};

struct config_tree {
    struct config_node *root; /* NULL: the text is empty */
    struct config_node *newest;
};

/* Why a file is refused. */
struct config_mistake {
    unsigned line;   /* from 1 */
    char text[2048]; /* starts with the path of the setting */
};

/* Writes an error message about a node. Always returns -EINVAL. */
print_like(3, 4) int config_refuse(struct config_mistake *m, const struct config_node *at,
                                   const char *fmt, ...);

/* Parses YAML. An alias becomes a copy of what it refers to; the nodes inside keep their original
 * line numbers. 0, or -EINVAL with *mistake. Release with config_tree_deinit in both cases. */
must_use int config_tree_parse(struct config_tree *t, struct span yaml,
                               struct config_mistake *mistake);
void config_tree_deinit(struct config_tree *t);

/* The line of a path like "accounts[0].budget.purges", or of the nearest node that contains it; 0
 * if there is none or root is NULL. */
unsigned config_tree_line(const struct config_node *root, const char *path);
