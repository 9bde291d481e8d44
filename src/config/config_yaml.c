/* SPDX-License-Identifier: MIT */
#include "config_yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "setting.h"
#include "setting_value.h"

struct writer {
    struct buf *out;
    enum config_yaml_style style;
    const char *item; /* prefix of the next line if it is the first of an item: "  - " */
};

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot ? dot + 1 : name;
}

static unsigned depth_of(const struct setting *s)
{
    unsigned depth = setting_list(s->scope) ? 2 : 0;

    for (const char *c = s->name; *c; c++)
        depth += *c == '.';
    return depth;
}

static void comment(struct writer *w, unsigned depth, const char *text)
{
    for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        buf_printf(w->out, "%*s# %.*s\n", (int)(2 * depth), "", (int)(end - line), line);
    }
}

static void explain(struct writer *w, const struct setting *s)
{
    struct buf line;
    char env[128];

    buf_init(&line, 4096);
    if (s->sentence) {
        buf_putc(w->out, '\n');
        comment(w, depth_of(s), s->sentence);
    }
    if (s->type != SETTING_GROUP) {
        setting_expects(s, &line);
        if (setting_env_name(s, env, sizeof(env)))
            buf_printf(&line, "; $%s", env);
        if (s->reload == SETTING_RESTART)
            buf_printf(&line, "; a change needs a restart");
        comment(w, depth_of(s), line.p);
    }
    buf_deinit(&line);
}

static void write_setting(struct writer *w, const struct setting *s, const void *base)
{
    unsigned indent = 2 * depth_of(s);

    if (w->style == CONFIG_YAML_EXPLAINED)
        explain(w, s);
    if (w->item) {
        buf_printf(w->out, "%s%s:", w->item, last_part(s->name));
        w->item = NULL;
    } else {
        buf_printf(w->out, "%*s%s:", (int)indent, "", last_part(s->name));
    }
    if (s->type != SETTING_GROUP) {
        buf_putc(w->out, ' ');
        setting_value_print(s, base, w->out);
    }
    buf_putc(w->out, '\n');
}

static void write_scope(struct writer *w, enum setting_scope scope, const void *base)
{
    size_t count;
    const struct setting *table = setting_table(&count);

    for (size_t i = 0; i < count; i++)
        if (table[i].scope == scope)
            write_setting(w, &table[i], base);
}

static void write_item(struct writer *w, enum setting_scope scope, const void *item)
{
    w->item = "  - ";
    write_scope(w, scope, item);
}

/* Writes an example item, commented out. */
static void write_example(struct writer *w, enum setting_scope scope)
{
    const struct setting_list *list = setting_list(scope);
    void *item = alloc_zeroed(1, list->item_size);
    struct buf text;
    struct writer inner = {.out = &text, .style = w->style};
    struct span rest, line;

    buf_init(&text, w->out->max);
    setting_set_defaults(scope, item);
    setting_set_examples(scope, item);
    write_item(&inner, scope, item);
    rest = buf_span(&text);
    buf_printf(w->out, "# For example:\n# %s:\n", list->name);
    while (rest.n) {
        line = span_of(rest.p, strcspn(rest.p, "\n"));
        buf_printf(w->out, "#%s%.*s\n", line.n ? " " : "", (int)line.n, line.p);
        rest = span_of(line.p + line.n + 1, rest.n - line.n - 1);
    }
    buf_deinit(&text);
    setting_free(scope, item);
    free(item);
}

static void write_list(struct writer *w, enum setting_scope scope, const struct config *c)
{
    const struct setting_list *list = setting_list(scope);
    uint32_t count = setting_list_count(scope, c);

    if (w->style == CONFIG_YAML_EXPLAINED && list->sentence) {
        buf_putc(w->out, '\n');
        comment(w, 0, list->sentence);
    }
    if (count == 0 && w->style == CONFIG_YAML_EXPLAINED)
        write_example(w, scope);
    else
        buf_printf(w->out, "%s:%s\n", list->name, count ? "" : " []");
    for (uint32_t i = 0; i < count; i++)
        write_item(w, scope, setting_list_at(scope, c, i));
}

void config_yaml(const struct config *c, enum config_yaml_style style, struct buf *out)
{
    struct writer w = {.out = out, .style = style};

    write_scope(&w, SETTING_GLOBAL, c);
    for (enum setting_scope s = SETTING_ACCOUNT; s < SETTING_SCOPE_N; s++)
        write_list(&w, s, c);
}
