/* SPDX-License-Identifier: MIT
 * A random number generator passed as an argument: the same seed gives the same numbers on every
 * machine. Not for secrets. The generator is SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). */
#pragma once

#include "base.h"

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Uniform in [0, below); 0 when below is 0. The bias of the modulus is negligible for our
 * purposes. */
static inline uint64_t rng_below(struct rng *r, uint64_t below)
{
    return below ? rng_next(r) % below : 0;
}
