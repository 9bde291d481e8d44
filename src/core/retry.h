/* SPDX-License-Identifier: MIT
 * The time of the next attempt after a failure: exponential backoff with full jitter, never before
 * the server's hint. https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ */
#pragma once

#include "rng.h"

#define RETRY_FIRST_MS 500u
#define RETRY_MAX_MS 60000u

/* `attempt` is 1 after the first failure. The jitter is added to hint_ms, never taken from it. */
static inline uint64_t retry_delay_ms(uint32_t attempt, uint64_t hint_ms, struct rng *rng)
{
    uint64_t ceiling = RETRY_FIRST_MS;

    for (uint32_t i = 1; i < attempt && ceiling < RETRY_MAX_MS; i++)
        ceiling *= 2;
    return hint_ms + rng_below(rng, min_u64(ceiling, RETRY_MAX_MS) + 1);
}
