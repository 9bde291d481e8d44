/* SPDX-License-Identifier: MIT
 * The last hour of each account in numbers, one sample for each 10 seconds, kept in memory. An
 * instance that has just started knows only what came since. */
#pragma once

#include "http_internal.h"

#define HOUR_STEP_MS UINT64_C(10000)
#define HOUR_SAMPLES 360u
#define HOUR_UNKNOWN UINT32_MAX

struct hour_sample {
    uint32_t sent;    /* targets that Fastly accepted in this step */
    uint32_t waiting; /* jobs in the lanes */
    uint32_t oldest_ms;
    uint32_t budget_left;
};

/* The samples of one account. A step is a number that grows by 1 each HOUR_STEP_MS, from 1. */
struct hour_ring {
    struct hour_sample at[HOUR_SAMPLES];
    uint64_t first, last; /* steps; 0: there is no sample */
};

/* A step must not be older than the last one; the same one is replaced. Steps in between become
 * unknown. */
void hour_ring_put(struct hour_ring *r, uint64_t step, const struct hour_sample *s);
/* The sample of a step from `first` to `last`. */
const struct hour_sample *hour_ring_at(const struct hour_ring *r, uint64_t step);

struct hour;

struct hour *hour_new(struct http_server *in); /* begins to take samples */
void hour_stop(struct hour *h);
void hour_free(struct hour *h); /* after the last answer of Redis; NULL is fine */
