/* SPDX-License-Identifier: MIT
 * Which instances there are, and which accounts each of them leads, from the overviews of all
 * accounts. */
#pragma once

#include <jansson.h>

#include "overview.h"

struct overview_instance {
    char *name;
    uint32_t accounts; /* that it can lead */
    uint32_t leads;
    struct config_words led; /* names of these, not all of them if they are many */
};

struct overview_instances {
    struct overview_instance *at;
    uint32_t count;
};

struct overview_instances *overview_instances_new(void);
void overview_instances_free(struct overview_instances *s);
void overview_instances_add(struct overview_instances *s, const char *account,
                            const struct overview *o);
json_t *overview_instances_json(const struct overview_instances *s);
