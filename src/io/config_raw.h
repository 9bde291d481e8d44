/* SPDX-License-Identifier: MIT
 * A configuration file as it was written: which settings it names and the text of each. The schema
 * is made from the table in core/setting. libcyaml ends here. */
#pragma once

#include "setting.h"

#define CONFIG_RAW_SETTINGS_MAX 128

struct config_raw_service {
    char *id, *name; /* name may be NULL */
};

/* What the file says of one setting; all NULL when it does not name it, or an empty list. */
struct config_raw_value {
    union {
        char *text;
        char **words;
        struct config_raw_service *services;
    };
    uint32_t count; /* of words, services */
};

struct config_raw_item {
    struct config_raw_value value[CONFIG_RAW_SETTINGS_MAX]; /* by place in the table */
};

struct config_raw_list {
    struct config_raw_item *items;
    uint32_t count;
};

struct config_raw {
    bool listed[CONFIG_RAW_SETTINGS_MAX]; /* a text of `top` that stands there as a list: words */
    struct config_raw_item top;
    struct config_raw_list lists[SETTING_SCOPE_N];
};

/* 0 with *out (NULL when the text holds nothing), or -EINVAL with *line (0 = unknown) and a
 * sentence that starts with the setting. Release with config_raw_free. */
must_use int config_raw_parse(struct span yaml, struct config_raw **out, unsigned *line, char *err,
                              size_t err_room);
void config_raw_free(struct config_raw *r); /* NULL is fine */
