/* SPDX-License-Identifier: MIT
 * Keeps jobs in memory until their time comes, for `plan`: jobs with a not_before, and jobs that
 * are sent again after a while. The daemon keeps them in Redis. */
#pragma once

#include "config.h"
#include "heap.h"
#include "span.h"

/* A job in a single allocation. */
struct shelved {
    struct heap_node due;
    enum lane lane;
    uint64_t repeat_ms; /* delay after success; 0: it waits for its not_before */
    size_t bytes;
    size_t count;
    struct span fields[];
};

struct shelf {
    struct heap due;
    struct shelved **repeats;
    uint32_t repeats_count;
    size_t bytes, bytes_max;
};

void shelf_init(struct shelf *s, size_t bytes_max);
void shelf_deinit(struct shelf *s);

/* Copies the job. False if there is no room for it. */
must_use bool shelf_put(struct shelf *s, enum lane lane, const struct span *fields, size_t count,
                        uint64_t due_ns);
/* Copies the job without its repeat_after and not_before. Returns the number of the repeat, or 0 if
 * there is no room for it. */
must_use uint32_t shelf_put_repeat(struct shelf *s, enum lane lane, const struct span *fields,
                                   size_t count, uint64_t repeat_ms);
/* Makes the repeat due repeat_ms after now. */
void shelf_repeat(struct shelf *s, uint32_t number, uint64_t now_ns);

uint64_t shelf_next(const struct shelf *s); /* NEVER if no job has a time */
/* The first job that is due, or NULL. Give it back with shelf_return. */
struct shelved *shelf_take(struct shelf *s, uint64_t now_ns);
void shelf_return(struct shelf *s, struct shelved *job);
