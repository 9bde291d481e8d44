/* SPDX-License-Identifier: MIT
 * The JSON form of a plan, the same on the command line and over HTTP. */
#pragma once

#include "plan.h"

struct json_t;

/* All pointers are lent. */
struct plan_telling {
    const struct config_account *account;
    const struct plan_result *result;
    uint64_t at_ms; /* Unix time of the plan's beginning */
    uint64_t reply_ms;
    uint32_t window;
    const char *of;          /* "backlog" or "list" */
    const char *spent_from;  /* "redis" or "nothing" */
    uint64_t refused;        /* jobs refused before the plan saw them; result->refused is added */
    struct json_t *requests; /* a list of plan_json_request; NULL if not asked for */
};

extern const char *const plan_form_names[FORM_N];

struct json_t *plan_json(const struct plan_telling *t);
struct json_t *plan_json_request(const struct plan_request *r);
