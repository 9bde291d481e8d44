/* SPDX-License-Identifier: MIT
 * What an account has in Redis, read for `plan` without touching anything: the jobs in its streams
 * and what was spent of its budget. The lease and the ledgers stay as they are.
 */
#pragma once

#include "client.h"
#include "plan.h"

struct backlog_counts {
    uint64_t refused; /* entries that the dispatcher will put into the dead letters */
    char why[160];    /* the first of them, with its id; "" when there is none */
};

/* Called once per page; false ends the reading. */
typedef bool backlog_progress_cb(void *ctx, uint64_t jobs);

/* Tells the plan what Redis knows of the account's budget. What is on the wire now counts as spent
 * now. 0 or negative errno, see client_error. */
must_use int backlog_read_budget(struct client *c, const struct config_account *a, struct plan *p);

/* Takes all jobs of the account into the plan, as the dispatcher would read them: urgent first, and
 * as many at a time as the plan's window has room for. 0, -ECANCELED when
 * `progress` said so, or another negative errno. */
must_use int backlog_read_jobs(struct client *c, const struct config_account *a, struct plan *p,
                               struct backlog_counts *counts, backlog_progress_cb *progress,
                               void *ctx);
