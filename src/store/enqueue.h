/* SPDX-License-Identifier: MIT
 * Adds checked jobs to an account's streams, with many under way at once, and reports for each
 * whether Redis accepted it. */
#pragma once

#include "client.h"
#include "job.h"

#define ENQUEUE_WINDOW 512 /* jobs sent and not yet answered */

/* Called once per job that was sent, in the order of enqueue_put. `job` ("normal-1700000000000-0")
 * is NULL if Redis refused the job with the error `refusal`. Both are NULL if the connection broke
 * before the answer, so that nobody knows whether Redis has the job. */
typedef void enqueue_cb(void *ctx, uint64_t tag, const char *job, const char *refusal);

struct enqueue_counts {
    uint64_t accepted;
    uint64_t refused; /* by Redis */
    uint64_t unknown; /* sent, but the connection broke before the answer */
};

struct enqueue;

/* The client and the account must outlive the enqueue object. */
struct enqueue *enqueue_new(struct client *c, const struct config_account *account, enqueue_cb *cb,
                            void *ctx);
void enqueue_free(struct enqueue *e);
/* Stops without waiting for answers: jobs under way end as unknown, and nothing more is sent. */
void enqueue_abandon(struct enqueue *e);

/* `tag` is passed to the callback. Returns 0; -EINVAL: the job is invalid, nothing was sent, and
 * err names the field; -EIO: Redis refuses writes, and nothing more is sent; -ENOTCONN: the
 * connection is gone. */
must_use int enqueue_put(struct enqueue *e, enum lane lane, const struct span *fields,
                         size_t fields_count, uint64_t tag, char *err, size_t err_room);
/* Waits for all answers. Returns 0, or -EIO or -ENOTCONN with a sentence. */
must_use int enqueue_finish(struct enqueue *e, char *err, size_t err_room);
/* Sends what is buffered and handles the answers that arrive within `timeout_ms`. Returns 0, or
 * -EIO or -ENOTCONN with a sentence. */
must_use int enqueue_poll(struct enqueue *e, int timeout_ms, char *err, size_t err_room);
size_t enqueue_under_way(const struct enqueue *e); /* sent and not yet answered */

const struct enqueue_counts *enqueue_counts(const struct enqueue *e);
