/* SPDX-License-Identifier: MIT
 * A bad day at Fastly's: faults of the sandbox, rolled from dice, up to two at a time. */
#pragma once

#include "requests.h"
#include "rng.h"
#include "sandbox.h"

#define FASTLY_FAULTS 2u

struct weather_fastly {
    struct sandbox *sandbox;
    const char *fault[FASTLY_FAULTS]; /* its name; NULL: none */
    uint64_t omitting_since_ms;
    struct spell *omissions;
    size_t omissions_count;
};

void weather_fastly_init(struct weather_fastly *f, struct sandbox *s);
void weather_fastly_deinit(struct weather_fastly *f);
/* What it is, or NULL when the other one is of the same kind. `which` < FASTLY_FAULTS is free. */
const char *weather_fastly_begin(struct weather_fastly *f, unsigned which, struct rng *rng);
void weather_fastly_end(struct weather_fastly *f, unsigned which);
/* How many keys at the end of this batch were left out for certain. */
unsigned weather_fastly_omitted(const struct weather_fastly *f, const struct request *q);
