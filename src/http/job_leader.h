/* SPDX-License-Identifier: MIT
 * What the leader's memory knows of a job that waits (dispatch/job_view.h), as JSON. */
#pragma once

#include "job_view.h"

struct json_t;

struct job_leader {
    const struct job_view *view;
    const struct config_account *account;
    const struct job_target *targets; /* NULL: the producer may not see what the job purges */
    bool admin;                       /* may see the names of instances, and what operators write */
};

/* The member `leader` of the reply. */
struct json_t *job_leader_json(const struct job_leader *l);
/* Adds steps to a timeline: before the obstacles of the account, and after them. */
void job_leader_add_merged(struct json_t *steps, const struct job_leader *l);
void job_leader_add_progress(struct json_t *steps, const struct job_leader *l);
/* The largest number of targets ahead of one that waits, among those that are shown. False if none
 * waits. */
bool job_leader_before(const struct job_leader *l, uint32_t *before, bool *more);
/* Until when a target waits for the budget, the latest of those that are shown; 0: none does, or
 * it is not known. Unix ms. */
uint64_t job_leader_budget_ms(const struct job_leader *l);
