/* SPDX-License-Identifier: MIT
 * Waits for jobs to end and returns their receipts. */
#pragma once

#include "config.h"
#include "redis.h"
#include "span.h"

/* `receipt` is the JSON that the dispatcher wrote, or empty when the job ended and no receipt is
 * kept (Redis was out of memory then, or it has expired). Comes once per job. */
typedef void waitlist_cb(void *ctx, const char *job, struct span receipt);

struct waitlist;

struct waitlist *waitlist_new(const char *account);
void waitlist_free(struct waitlist *r);
/* `job` as in "normal-1700000000000-0". 0, or -EINVAL when it is no such thing. */
must_use int waitlist_expect(struct waitlist *r, const char *job);
uint64_t waitlist_open(const struct waitlist *r); /* how many have not ended */

/* Told once when Redis refuses to tell of ends (SUBSCRIBE), in its words: receipts are looked for
 * now and then, and a job that ends without one is not seen to end; so without a deadline ten
 * minutes are one. */
typedef void waitlist_deaf_cb(void *ctx, const char *why);

/* Until all have ended: 0; -ETIMEDOUT at the monotonic time `deadline_ns` (NEVER: none); -ENOTCONN
 * when Redis was away for a minute, -EIO when it refuses to show receipts, with a sentence. May be
 * called again. `deaf` may be NULL. */
must_use int waitlist_await(struct waitlist *r, const struct redis_address *a, uint64_t deadline_ns,
                            waitlist_cb *cb, waitlist_deaf_cb *deaf, void *ctx, char *err,
                            size_t err_room);
