/* SPDX-License-Identifier: MIT
 * A configuration file as it was written: which settings it names and the text of each. The schema
 * is made from the table in core/setting. libcyaml ends here. */
#pragma once

#include "setting.h"

#define CONFIG_RAW_SETTINGS_MAX 64

struct config_raw_service {
    char *id, *name; /* name may be NULL */
};

struct config_raw_account {
    char *value[CONFIG_RAW_SETTINGS_MAX]; /* by place in the table; NULL = not in the file */
    struct config_raw_service *services;
    uint32_t services_count;
    char **hosts;
    uint32_t hosts_count;
};

struct config_raw {
    char *value[CONFIG_RAW_SETTINGS_MAX];
    struct config_raw_account *accounts; /* NULL = not in the file, or empty */
    uint32_t accounts_count;
};

/* 0 with *out (NULL when the text holds nothing), or -EINVAL with *line (0 = unknown) and a
 * sentence that starts with the setting. Release with config_raw_free. */
must_use int config_raw_parse(struct span yaml, struct config_raw **out, unsigned *line, char *err,
                              size_t err_room);
void config_raw_free(struct config_raw *r); /* NULL is fine */
