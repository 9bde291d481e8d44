/* SPDX-License-Identifier: MIT
 * The two parts of `plan`: cmd_plan.c computes the plan, cmd_plan_show.c prints it. */
#pragma once

#include <jansson.h>

#include "backlog.h"
#include "cmd_jobs.h"
#include "overview.h"

struct planning {
    struct cmd_common common;
    struct cmd_jobs jobs;
    bool backlog, fresh;
    uint64_t reply_ms;
    uint64_t requests_wanted;

    struct config config;
    const struct config_account *account;
    struct client *client; /* NULL: Redis is not needed or not reachable */
    struct overview overview;
    struct plan *plan;
    struct plan_result result;
    struct backlog_counts refused;
    json_t *requests; /* JSON objects, or lines of text */
    struct cmd_progress progress;
    uint64_t taken;
    uint64_t wrong; /* invalid lines: not in the plan */
    uint64_t complaints;
};

/* A plan_request_cb whose context is a struct planning. Keeps the first requests for printing. */
void cmd_plan_keep_request(void *ctx, const struct plan_request *r);
void cmd_plan_show(const struct planning *g);
/* The number of jobs in the account's streams. */
uint64_t cmd_plan_waiting(const struct planning *g);
