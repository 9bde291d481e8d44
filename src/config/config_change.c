/* SPDX-License-Identifier: MIT */
#include "config_change.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "setting.h"

static void add_name(struct buf *names, const char *prefix, const char *name)
{
    if (names->n + strlen(prefix) + strlen(name) + 8 <= CONFIG_CHANGES_MAX_BYTES)
        buf_printf(names, "%s%s%s", names->n ? ", " : "", prefix, name);
    else if (names->n < 3 || memcmp(names->p + names->n - 3, "...", 3) != 0)
        buf_put(names, SPAN(", ..."));
}

static const char *name_at(enum setting_scope scope, const struct config *c, uint32_t index)
{
    const struct setting *s = setting_find(scope, "name");

    return *(char **)((char *)setting_list_at(scope, c, index) + s->offset);
}

static bool same_items(enum setting_scope scope, const struct config *a, const struct config *b)
{
    uint32_t count = setting_list_count(scope, a);

    if (setting_list_count(scope, b) != count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(name_at(scope, a, i), name_at(scope, b, i)) != 0)
            return false;
    return true;
}

int config_change_possible(const struct config *old, const struct config *fresh, const char **why)
{
    if (same_items(SETTING_ACCOUNT, old, fresh))
        return 0;
    *why = setting_list(SETTING_ACCOUNT)->name;
    return -EINVAL;
}

void config_change_keep(const struct config *old, struct config *fresh, struct buf *waits)
{
    size_t count;
    const struct setting *table = setting_table(&count);

    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &table[i];

        if (s->scope != SETTING_GLOBAL || s->reload != SETTING_RESTART ||
            setting_same(s, old, fresh))
            continue;
        add_name(waits, "", s->name);
        setting_copy(s, fresh, old);
    }
}

static void compare(enum setting_scope scope, const void *a, const void *b, const char *prefix,
                    struct buf *names)
{
    size_t count;
    const struct setting *table = setting_table(&count);

    for (size_t i = 0; i < count; i++)
        if (table[i].scope == scope && !setting_same(&table[i], a, b))
            add_name(names, prefix, table[i].name);
}

void config_change_names(const struct config *old, const struct config *fresh, struct buf *names)
{
    char prefix[64];

    compare(SETTING_GLOBAL, old, fresh, "", names);
    for (enum setting_scope s = SETTING_ACCOUNT; s < SETTING_SCOPE_N; s++) {
        if (!same_items(s, old, fresh)) {
            add_name(names, "", setting_list(s)->name);
            continue;
        }
        for (uint32_t i = 0; i < setting_list_count(s, old); i++) {
            snprintf(prefix, sizeof(prefix), "%s[%u].", setting_list(s)->name, i);
            compare(s, setting_list_at(s, old, i), setting_list_at(s, fresh, i), prefix, names);
        }
    }
}

static bool differ(enum setting_scope scope, const void *a, const void *b)
{
    struct buf names;
    bool changed;

    buf_init(&names, CONFIG_CHANGES_MAX_BYTES + 8);
    compare(scope, a, b, "", &names);
    changed = names.n > 0;
    buf_deinit(&names);
    return changed;
}

bool config_change_of_consumer(const struct config *old, const struct config *fresh,
                               const char *name)
{
    const struct config_consumer *was = config_consumer(old, name),
                                 *is = config_consumer(fresh, name);
    const char *account = *is->mapping.account ? is->mapping.account : NULL;

    return differ(SETTING_GLOBAL, old, fresh) || differ(SETTING_CONSUMER, was, is) ||
           differ(SETTING_ACCOUNT, config_account(old, account), config_account(fresh, account));
}
