/* SPDX-License-Identifier: MIT
 * Which dead letters a request means, by its query or its JSON. */
#pragma once

#include "deadletter_filter.h"
#include "http_internal.h"

struct dead_filter {
    struct deadletter_filter as; /* its texts are those below */
    char *texts[4];
};

bool dead_filter_is_empty(const struct dead_filter *f); /* every letter passes */
void dead_filter_deinit(struct dead_filter *f);
/* NULL, or what is wrong, which begins with the field. The account must outlive the filter. */
const char *dead_filter_of_query(const struct request *e, const struct config_account *a,
                                 struct dead_filter *out);
const char *dead_filter_of_json(const struct json_t *filter, const struct config_account *a,
                                struct dead_filter *out);
