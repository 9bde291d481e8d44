/* SPDX-License-Identifier: MIT
 * Why a job is where it is: steps in the order of time, each {"step": …}. What is known neither
 * from Redis nor from the leader's memory is left out. */
#pragma once

#include "job_leader.h"
#include "jobplace.h"
#include "overview_cache.h"

struct json_t;

struct job_timeline {
    const char *job;
    const struct config_account *account;
    const struct jobplace *place;
    const struct overview_cache_account *state;
    uint64_t due_ms;                 /* of a postponed job; 0: not known */
    uint64_t now_ms;                 /* Unix */
    struct span origin;              /* that it asks first; "": none */
    const struct job_leader *leader; /* what this instance, which leads, knows of the job; NULL:
                                        nothing */
};

/* Of a job that waits. */
struct json_t *job_timeline_waiting(const struct job_timeline *t);
/* Of a job that has ended; `receipt` is an object. */
struct json_t *job_timeline_ended(const char *job, const struct json_t *receipt);
