/* SPDX-License-Identifier: MIT */
#include "exposure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "setting.h"

static const char *const words[] = {
    [FILE_PRIVATE] = "",
    [FILE_GROUP_READS] = "its group may read",
    [FILE_OTHERS_READ] = "others may read",
    [FILE_GROUP_WRITES] = "others may change",
    [FILE_ANYBODY_WRITES] = "anybody may change",
};

static void look_at(const char *setting, const struct setting *s, const void *base, exposure_cb *cb,
                    void *ctx)
{
    const char *path = *(char *const *)((const char *)base + s->offset);
    struct exposure e = {.setting = setting, .path = path};
    bool folder = false;
    char *remedy;

    if (!*path || file_access(path, &e.access, &folder) < 0 || e.access == FILE_PRIVATE)
        return;
    remedy = alloc_printf("chmod %s %s",
                          folder                         ? "700"
                          : e.access == FILE_GROUP_READS ? "600"
                                                         : "640",
                          path);
    e.what = words[e.access];
    e.remedy = remedy;
    cb(ctx, &e);
    free(remedy);
}

static void look_in(const struct config *c, const struct setting *s, exposure_cb *cb, void *ctx)
{
    const struct setting_list *list = setting_list(s->scope);
    char name[128];

    if (!list) {
        look_at(s->name, s, c, cb, ctx);
        return;
    }
    for (uint32_t i = 0; i < setting_list_count(s->scope, c); i++) {
        snprintf(name, sizeof(name), "%s[%u].%s", list->name, i, s->name);
        look_at(name, s, setting_list_at(s->scope, c, i), cb, ctx);
    }
}

void exposure_look(const struct config *c, exposure_cb *cb, void *ctx)
{
    size_t count;
    const struct setting *table = setting_table(&count);

    for (size_t i = 0; i < count; i++) {
        if (!table[i].guarded ||
            (strcmp(table[i].name, "data_dir") == 0 && !config_redis_embedded(c)))
            continue;
        look_in(c, &table[i], cb, ctx);
    }
}
