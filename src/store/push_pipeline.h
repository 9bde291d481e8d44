/* SPDX-License-Identifier: MIT
 * Adds checked jobs to an account's streams, with many pending at once, and reports for each
 * whether Redis accepted it. */
#pragma once

#include "client.h"
#include "job.h"

#define ENQUEUE_WINDOW 512 /* jobs sent and not yet answered */

/* Called once per job that was sent, in the order of push_pipeline_put. `job`
 * ("normal-1700000000000-0") is NULL if Redis refused the job with the error `refusal`. Both are
 * NULL if the connection broke before the answer, so that nobody knows whether Redis has the job,
 * or if too few replicas have it. */
typedef void push_pipeline_cb(void *ctx, uint64_t tag, const char *job, const char *refusal);

struct push_pipeline_counts {
    uint64_t accepted;
    uint64_t refused; /* by Redis */
    uint64_t unknown; /* sent, but the connection broke before the answer */
};

struct push_pipeline;

/* The client and the account must outlive the enqueue object. `replicas` is how many replicas must
 * have a job as well before it is accepted. If there are fewer, all pending jobs end as unknown,
 * and the pipeline stops as if the connection were lost. */
struct push_pipeline *push_pipeline_new(struct client *c, const struct config_account *account,
                                        uint32_t replicas, push_pipeline_cb *cb, void *ctx);
void push_pipeline_free(struct push_pipeline *e);
/* Stops without waiting for answers: pending jobs end as unknown, and nothing more is sent. */
void push_pipeline_abandon(struct push_pipeline *e);

/* `tag` is passed to the callback. Returns 0; -EINVAL: the job is invalid, nothing was sent, and
 * err names the field; -EIO: Redis refuses writes, and nothing more is sent; -ENOTCONN: the
 * connection is gone. */
must_use int push_pipeline_put(struct push_pipeline *e, enum lane lane, const struct span *fields,
                               size_t fields_count, uint64_t tag, struct error *err);
/* Waits for all answers. Returns 0, or -EIO or -ENOTCONN with a sentence. */
must_use int push_pipeline_finish(struct push_pipeline *e, struct error *err);
/* Sends what is buffered and handles the answers that arrive within `timeout_ms`. Returns 0, or
 * -EIO or -ENOTCONN with a sentence. */
must_use int push_pipeline_poll(struct push_pipeline *e, int timeout_ms, struct error *err);
/* Whether it stopped because too few replicas have the jobs. */
bool push_pipeline_few(const struct push_pipeline *e);
size_t push_pipeline_pending(const struct push_pipeline *e); /* sent and not yet answered */

const struct push_pipeline_counts *push_pipeline_counts(const struct push_pipeline *e);
