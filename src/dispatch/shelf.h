/* SPDX-License-Identifier: MIT
 * Jobs put aside in memory until their time comes, for `plan`: those with a not_before, and those
 * that are sent again after a while. The daemon keeps them in Redis. */
#pragma once

#include "config.h"
#include "heap.h"
#include "span.h"

/* A job in one piece. */
struct shelved {
    struct heap_node due;
    enum lane lane;
    uint64_t repeat_ms; /* after success; 0: it waits for its not_before */
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

/* Copies the job. False when there is no room for it. */
must_use bool shelf_put(struct shelf *s, enum lane lane, const struct span *fields, size_t count,
                        uint64_t due_ns);
/* Copies the job without what made it a repeat. Returns its number, 0 when there is no room. */
must_use uint32_t shelf_put_repeat(struct shelf *s, enum lane lane, const struct span *fields,
                                   size_t count, uint64_t repeat_ms);
/* The repeat's time is known: so long after now. */
void shelf_repeat(struct shelf *s, uint32_t number, uint64_t now_ns);

uint64_t shelf_next(const struct shelf *s); /* NEVER when nothing has a time */
/* The first that is due, or NULL; goes back with shelf_return. */
struct shelved *shelf_take(struct shelf *s, uint64_t now_ns);
void shelf_return(struct shelf *s, struct shelved *job);
