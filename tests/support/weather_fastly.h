/* SPDX-License-Identifier: MIT
 * Random faults of the sandbox, up to two at a time. */
#pragma once

#include "requests.h"
#include "rng.h"
#include "sandbox.h"

#define FASTLY_FAULTS 2u

struct weather_fastly {
    struct sandbox *sandbox;
    const char *fault[FASTLY_FAULTS]; /* the name of the fault; NULL: none */
    uint64_t omitting_since_ms;
    struct spell *omissions;
    size_t omissions_count;
};

void weather_fastly_init(struct weather_fastly *f, struct sandbox *s);
void weather_fastly_deinit(struct weather_fastly *f);
/* Begins a random fault. Returns its name, or NULL if the other fault is of the same kind. Slot
 * `which` < FASTLY_FAULTS must be free. */
const char *weather_fastly_begin(struct weather_fastly *f, unsigned which, struct rng *rng);
void weather_fastly_end(struct weather_fastly *f, unsigned which);
/* The number of keys at the end of this batch that were certainly left out of the reply. */
unsigned weather_fastly_omitted(const struct weather_fastly *f, const struct request *q);
