/* SPDX-License-Identifier: MIT */
#include "config_yaml.h"

#include <stdio.h>
#include <string.h>

#include "setting.h"
#include "setting_value.h"

struct writer {
    struct buf *out;
    enum config_yaml_style style;
    const char
        *item; /* what opens the next line of an account: "  - " for its first, "    " after */
};

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot ? dot + 1 : name;
}

static unsigned depth_of(const struct setting *s)
{
    unsigned depth = s->scope == SETTING_ACCOUNT ? 2 : 0;

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
        setting_env_name(s, env, sizeof(env));
        setting_expects(s, &line);
        buf_printf(&line, "; $%s", env);
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

void config_yaml(const struct config *c, enum config_yaml_style style, struct buf *out)
{
    struct writer w = {.out = out, .style = style};

    write_scope(&w, SETTING_GLOBAL, c);
    buf_printf(out, "accounts:\n");
    for (uint32_t i = 0; i < c->accounts_count; i++) {
        w.item = "  - ";
        write_scope(&w, SETTING_ACCOUNT, &c->accounts[i]);
    }
}
