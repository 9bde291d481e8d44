/* SPDX-License-Identifier: MIT
 * Keeps jobs in memory until their time comes, for `plan`: jobs with a not_before, and jobs that
 * are sent again after a while. The daemon keeps them in Redis. */
#pragma once

#include "config.h"
#include "heap.h"
#include "span.h"

/* A job in a single allocation. */
struct plan_later_job {
    struct heap_node due;
    enum lane lane;
    uint64_t repeat_ms; /* delay after success; 0: it waits for its not_before */
    size_t bytes;
    size_t count;
    struct span fields[];
};

struct plan_later {
    struct heap due;
    struct plan_later_job **repeats;
    uint32_t repeats_count;
    size_t bytes, bytes_max;
};

void plan_later_init(struct plan_later *s, size_t bytes_max);
void plan_later_deinit(struct plan_later *s);

/* Copies the job. False if there is no room for it. */
must_use bool plan_later_put(struct plan_later *s, enum lane lane, const struct span *fields,
                             size_t count, uint64_t due_ns);
/* Copies the job without its repeat_after and not_before. Returns the number of the repeat, or 0 if
 * there is no room for it. */
must_use uint32_t plan_later_put_repeat(struct plan_later *s, enum lane lane,
                                        const struct span *fields, size_t count,
                                        uint64_t repeat_ms);
/* Makes the repeat due repeat_ms after now. */
void plan_later_repeat(struct plan_later *s, uint32_t number, uint64_t now_ns);

uint64_t plan_later_next(const struct plan_later *s); /* NEVER if no job has a time */
/* The first job that is due, or NULL. Give it back with plan_later_return. */
struct plan_later_job *plan_later_take(struct plan_later *s, uint64_t now_ns);
void plan_later_return(struct plan_later *s, struct plan_later_job *job);
