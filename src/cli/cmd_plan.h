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
    struct client *client; /* NULL: not asked, or not reached */
    struct overview overview;
    struct plan *plan;
    struct plan_result result;
    struct backlog_counts refused;
    json_t *requests; /* objects, or lines for people */
    struct cmd_progress progress;
    uint64_t taken;
    uint64_t wrong; /* lines that are no job: the plan never saw them */
    uint64_t complaints;
};

/* A plan_request_cb with a struct planning: keeps what is to be shown of the first requests. */
void cmd_plan_keep_request(void *ctx, const struct plan_request *r);
void cmd_plan_show(const struct planning *g);
/* Jobs in the streams of the account. */
uint64_t cmd_plan_waiting(const struct planning *g);
