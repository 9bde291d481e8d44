/* SPDX-License-Identifier: MIT
 * Waits for jobs to end and returns their receipts. */
#pragma once

#include "config.h"
#include "redis.h"
#include "span.h"

/* `receipt` is the JSON that the dispatcher wrote; it is empty if the job has ended and no receipt
 * is kept (Redis was out of memory then, or the receipt has expired). Called once per job. */
typedef void receipts_wait_cb(void *ctx, const char *job, struct span receipt);

struct receipts_wait;

struct receipts_wait *receipts_wait_new(const struct config_account *a);
void receipts_wait_free(struct receipts_wait *r);
/* `job` is an id like "normal-1700000000000-0". Returns 0, or -EINVAL if it is not a job id. */
must_use int receipts_wait_expect(struct receipts_wait *r, const char *job);
uint64_t receipts_wait_open(const struct receipts_wait *r); /* jobs that have not ended */

/* Called once, with Redis' error, if Redis refuses SUBSCRIBE. Receipts are then looked up from time
 * to time, and a job that ends without a receipt is not seen to end; so without a deadline, waiting
 * ends after ten minutes. */
typedef void receipts_wait_deaf_cb(void *ctx, const char *why);

/* Returns 0 when all jobs have ended; -ETIMEDOUT at the monotonic time `deadline_ns` (NEVER: none);
 * with a sentence, -ENOTCONN if Redis was away for a minute, and -EIO if it refuses to show
 * receipts. May be called again. `deaf` may be NULL. */
must_use int receipts_wait_await(struct receipts_wait *r, const struct redis_address *a,
                                 uint64_t deadline_ns, receipts_wait_cb *cb,
                                 receipts_wait_deaf_cb *deaf, void *ctx, struct error *err);
