/* SPDX-License-Identifier: MIT
 * Reads for `plan` what an account has in Redis, without changing anything: the jobs in its streams
 * and what was spent of its budget. The lease and the ledgers stay as they are. */
#pragma once

#include "client.h"
#include "plan.h"

struct backlog_counts {
    uint64_t refused; /* entries that the dispatcher will put into the dead letters */
    struct error why; /* the reason for the first of them, with its id; "" if there is none */
};

/* Called once per page; returning false ends the reading. */
typedef bool backlog_progress_cb(void *ctx, uint64_t jobs);

/* Tells the plan what Redis knows about the account's budget. The cost of requests on the wire
 * counts as spent now. Returns 0 or negative errno, see client_error. */
must_use int backlog_read_budget(struct client *c, const struct config_account *a, struct plan *p);

/* Adds all jobs of the account to the plan in the order in which the dispatcher would read them:
 * urgent first, and at a time as many as fit into the plan's window. Returns 0, -ECANCELED if
 * `progress` returned false, or another negative errno. */
must_use int backlog_read_jobs(struct client *c, const struct config_account *a, struct plan *p,
                               struct backlog_counts *counts, backlog_progress_cb *progress,
                               void *ctx);
