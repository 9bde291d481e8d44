/* SPDX-License-Identifier: MIT */
#include "config_read.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "suggest.h"
#include "target.h"

#define FIELDS_MAX 64 /* settings in one mapping */
#define A_SERVICE "{id: SU1Z0isxPaozGVKXdv0eY, name: news}"

/* -- refusals -- */

static int refuse_missing(struct config_mistake *m, const struct config_node *mapping,
                          const char *name)
{
    const struct config_node gap = {
        .line = mapping->line, .key = (char *)name, .parent = (struct config_node *)mapping};

    return config_refuse(m, &gap, "missing");
}

static int refuse_shape(struct config_mistake *m, const struct config_node *n, const char *expected)
{
    const char *found = n->kind == CONFIG_MAPPING ? "settings below it"
                        : n->kind == CONFIG_LIST  ? "a list"
                        : *n->text                ? "a single value"
                                                  : "nothing";

    return config_refuse(m, n, "expected %s, found %s", expected, found);
}

static int refuse_shape_of(struct config_mistake *m, const struct config_node *n,
                           const struct setting *s)
{
    struct buf expected;
    int rc;

    buf_init(&expected, 4096);
    setting_expects(s, &expected);
    rc = refuse_shape(m, n, expected.p);
    buf_deinit(&expected);
    return rc;
}

static int refuse_unknown(struct config_mistake *m, const struct config_node *n,
                          const char *const *names, size_t count)
{
    const char *meant = suggest_word(n->key, names, count);

    /* It may be a setting of an account that was written outside all accounts. */
    for (enum setting_scope s = SETTING_ACCOUNT; n->depth == 1 && s < SETTING_SCOPE_N; s++)
        if (setting_find(s, n->key))
            return config_refuse(m, n, "no such setting here; it is one of %s",
                                 setting_list(s)->one);
    if (meant)
        return config_refuse(m, n, "no such setting; did you mean %s?", meant);
    return config_refuse(m, n, "no such setting");
}

/* The index of the node's key in `names`, or -EINVAL if it is unknown or was given twice. `given`
 * has, at the same indexes, the nodes of this mapping that were matched before. */
static int match(struct config_mistake *m, const struct config_node *n, const char *const *names,
                 size_t count, const struct config_node **given)
{
    size_t i = 0;

    while (i < count && strcmp(n->key, names[i]) != 0)
        i++;
    if (i == count)
        return refuse_unknown(m, n, names, count);
    if (given[i])
        return config_refuse(m, n, "stands there twice, first in line %u", given[i]->line);
    given[i] = n;
    return (int)i;
}

static int refuse_item(struct config_mistake *m, const struct config_node *list, uint32_t index,
                       const char *why)
{
    const struct config_node *n = list->first;

    while (n->index != index)
        n = n->next;
    return config_refuse(m, n, "%s", why);
}

/* -- values -- */

/* Fills `words` with the texts of a list. The list keeps owning them. */
static int words_of(struct config_mistake *m, const struct config_node *list, uint32_t max,
                    char **words)
{
    if (list->count > max)
        return config_refuse(m, list, "expected at most %u entries", max);
    for (const struct config_node *n = list->first; n; n = n->next) {
        if (n->kind != CONFIG_TEXT)
            return refuse_shape(m, n, "text");
        words[n->index] = n->text;
    }
    return 0;
}

/* Reads one word without a list; an empty one is an empty list. */
static int read_one_word(struct config_mistake *m, const struct config_node *n,
                         const struct setting *s, void *base)
{
    struct error why;
    uint32_t wrong;

    if (setting_set_words(s, base, &n->text, *n->text ? 1 : 0, &wrong, &why) < 0)
        return config_refuse(m, n, "%s", why.text);
    return 0;
}

static int read_words(struct config_mistake *m, const struct config_node *n,
                      const struct setting *s, void *base)
{
    char *words[CONFIG_WORDS_MAX];
    struct error why;
    uint32_t wrong;
    int rc;

    if (n->kind == CONFIG_TEXT && s->may_be_text)
        return read_one_word(m, n, s, base);
    if (n->kind != CONFIG_LIST)
        return refuse_shape_of(m, n, s);
    rc = words_of(m, n, s->type == SETTING_SET ? (uint32_t)s->choices_count : setting_words_max(s),
                  words);
    if (rc == 0 && n->count == 0 && setting_set(s, base, "", &why) < 0)
        return config_refuse(m, n, "%s", why.text);
    if (rc == 0 && n->count && setting_set_words(s, base, words, n->count, &wrong, &why) < 0)
        rc = refuse_item(m, n, wrong, why.text);
    return rc;
}

/* Reads a list for a text setting that accepts one. Each item is checked separately, so that the
 * error message can name it. */
static int join(struct config_mistake *m, const struct config_node *list, const struct setting *s,
                void *base, struct buf *all)
{
    char *words[CONFIG_WORDS_MAX];
    struct error why;
    int rc = words_of(m, list, CONFIG_WORDS_MAX, words);

    for (uint32_t i = 0; rc == 0 && i < list->count; i++) {
        if (setting_set(s, base, words[i], &why) < 0)
            rc = refuse_item(m, list, i, why.text);
        else if (!*words[i] || strchr(words[i], ','))
            rc = refuse_item(m, list, i, "expected one address");
        buf_printf(all, "%s%s", i ? "," : "", words[i]);
    }
    if (rc == 0 && all->n > SETTING_TEXT_MAX_BYTES)
        rc = config_refuse(m, list, "longer than %d bytes", SETTING_TEXT_MAX_BYTES);
    return rc;
}

static int read_text(struct config_mistake *m, const struct config_node *n, const struct setting *s,
                     void *base)
{
    struct buf all;
    struct error why;
    int rc = 0;

    buf_init(&all, SIZE_MAX);
    if (n->kind == CONFIG_LIST && s->may_be_list)
        rc = join(m, n, s, base, &all);
    else if (n->kind != CONFIG_TEXT)
        rc = refuse_shape_of(m, n, s);
    if (rc == 0 && setting_set(s, base, n->text ? n->text : buf_span(&all).p, &why) < 0)
        rc = config_refuse(m, n, "%s", why.text);
    buf_deinit(&all);
    return rc;
}

/* -- services -- */

/* The error for a text where a service mapping is expected; often it is just the id. */
static int refuse_bare(struct config_mistake *m, const struct config_node *n, const char *expected)
{
    char shown[80];

    return config_refuse(m, n, "expected %s, found '%s'", expected,
                         log_quote(shown, sizeof(shown), n->text, strlen(n->text)));
}

static int read_service(struct config_mistake *m, const struct config_node *n,
                        struct config_account *a)
{
    static const char *const names[] = {"id", "name"};
    const struct config_node *found[array_len(names)] = {NULL};

    if (n->kind != CONFIG_MAPPING)
        return n->kind == CONFIG_TEXT ? refuse_bare(m, n, A_SERVICE)
                                      : refuse_shape(m, n, "settings below it");
    for (const struct config_node *f = n->first; f; f = f->next) {
        if (match(m, f, names, array_len(names), found) < 0)
            return -EINVAL;
        if (f->kind != CONFIG_TEXT)
            return refuse_shape(m, f, "text");
    }
    if (!found[0])
        return refuse_missing(m, n, "id");
    if (config_services_add(a, span_str(found[0]->text), span_str(found[1] ? found[1]->text : "")) <
        0)
        return config_refuse(m, found[0],
                             "expected an id of 1 to %d letters and digits, and a name of at most "
                             "%d printable bytes",
                             SERVICE_ID_MAX_BYTES, SERVICE_NAME_MAX_BYTES);
    return 0;
}

static int read_services(struct config_mistake *m, const struct config_node *n,
                         const struct setting *s, struct config_account *a)
{
    int rc = 0;

    if (n->kind == CONFIG_TEXT)
        return refuse_bare(m, n, "[" A_SERVICE "]");
    if (n->kind != CONFIG_LIST)
        return refuse_shape_of(m, n, s);
    if (n->count > CONFIG_SERVICES_MAX)
        return config_refuse(m, n, "expected at most %d entries", CONFIG_SERVICES_MAX);
    for (const struct config_node *f = n->first; rc == 0 && f; f = f->next)
        rc = read_service(m, f, a);
    return rc;
}

/* -- mappings -- */

/* The settings allowed in a mapping, and their names there. */
struct fields {
    const char *names[FIELDS_MAX];
    const struct setting *settings[FIELDS_MAX]; /* NULL: the list of that name */
    size_t count;
};

/* Collects the settings of a group, for example `purges` of "budget". Group "" stands for settings
 * without a group. */
static void fields_init(struct fields *f, enum setting_scope scope, const char *group)
{
    size_t count, n = strlen(group);
    const struct setting *table = setting_table(&count);

    *f = (struct fields){0};
    for (enum setting_scope s = SETTING_ACCOUNT;
         scope == SETTING_GLOBAL && !n && s < SETTING_SCOPE_N; s++)
        f->names[f->count++] = setting_list(s)->name;
    for (size_t i = 0; i < count; i++) {
        const char *name = table[i].name;

        if (table[i].scope != scope || (n && (strncmp(name, group, n) != 0 || name[n] != '.')))
            continue;
        name += n ? n + 1 : 0;
        if (strchr(name, '.'))
            continue;
        must(f->count < FIELDS_MAX);
        f->settings[f->count] = &table[i];
        f->names[f->count++] = name;
    }
}

static int read_mapping(struct config_mistake *m, const struct config_node *n,
                        enum setting_scope scope, const char *group, void *base);

/* Reads one of the lists: accounts, producers, hooks. */
static int read_list(struct config_mistake *m, const struct config_node *n,
                     enum setting_scope scope, struct config *c)
{
    const struct setting_list *list = setting_list(scope);
    int rc = 0;

    if (n->kind != CONFIG_LIST)
        return refuse_shape(m, n, "a list");
    if (n->count > list->max)
        return config_refuse(m, n, "expected at most %u entries", list->max);
    for (const struct config_node *item = n->first; rc == 0 && item; item = item->next)
        rc = read_mapping(m, item, scope, "", setting_list_add(scope, c));
    return rc;
}

static int read_setting(struct config_mistake *m, const struct config_node *n,
                        const struct setting *s, void *base)
{
    switch (s->type) {
    case SETTING_GROUP:
        return read_mapping(m, n, s->scope, s->name, base);
    case SETTING_SERVICES:
        return read_services(m, n, s, base);
    case SETTING_WORDS:
    case SETTING_SET:
        return read_words(m, n, s, base);
    default:
        return read_text(m, n, s, base);
    }
}

static int read_mapping(struct config_mistake *m, const struct config_node *n,
                        enum setting_scope scope, const char *group, void *base)
{
    const struct config_node *given[FIELDS_MAX] = {NULL};
    struct fields fields;
    int rc = n->kind == CONFIG_MAPPING ? 0 : refuse_shape(m, n, "settings below it");

    fields_init(&fields, scope, group);
    for (const struct config_node *f = n->first; rc >= 0 && f; f = f->next) {
        rc = match(m, f, fields.names, fields.count, given);
        if (rc < 0)
            break;
        rc = fields.settings[rc] ? read_setting(m, f, fields.settings[rc], base)
                                 : read_list(m, f, SETTING_ACCOUNT + (enum setting_scope)rc, base);
    }
    for (size_t i = 0; rc == 0 && i < fields.count; i++)
        if (!given[i] && fields.settings[i] && !fields.settings[i]->fallback &&
            fields.settings[i]->type != SETTING_GROUP)
            rc = refuse_missing(m, n, fields.names[i]);
    return rc;
}

int config_read(const struct config_node *root, struct config *c, struct config_mistake *mistake)
{
    return read_mapping(mistake, root, SETTING_GLOBAL, "", c);
}
