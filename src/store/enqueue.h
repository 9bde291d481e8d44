/* SPDX-License-Identifier: MIT
 * Puts checked jobs into an account's streams, many under way at once, and says of each whether
 * Redis has it. */
#pragma once

#include "client.h"
#include "job.h"

#define ENQUEUE_WINDOW 512 /* jobs sent and not yet answered */

/* Comes once per job that was sent, in the order of enqueue_put. `job` ("normal-1700000000000-0")
 * is NULL when Redis refused it with the words `refusal`; both are NULL when the connection broke
 * before the answer: Redis has it or not. */
typedef void enqueue_cb(void *ctx, uint64_t tag, const char *job, const char *refusal);

struct enqueue_counts {
    uint64_t accepted;
    uint64_t refused; /* by Redis */
    uint64_t unknown; /* sent, and the connection broke before an answer */
};

struct enqueue;

/* Client and account must outlive it. */
struct enqueue *enqueue_new(struct client *c, const struct config_account *account, enqueue_cb *cb,
                            void *ctx);
void enqueue_free(struct enqueue *e);
/* Waits for no answer: what is under way ends as unknown, and nothing more is sent. */
void enqueue_abandon(struct enqueue *e);

/* `tag` comes back in the callback. 0; -EINVAL: no valid job, nothing was sent, err names the
 * field; -EIO: Redis refuses writes, nothing more is sent; -ENOTCONN: the connection is gone. */
must_use int enqueue_put(struct enqueue *e, enum lane lane, const struct span *fields,
                         size_t fields_count, uint64_t tag, char *err, size_t err_room);
/* Waits for every answer. 0, -EIO or -ENOTCONN with a sentence. */
must_use int enqueue_finish(struct enqueue *e, char *err, size_t err_room);
/* Sends what waits to be sent and takes the answers that come within `timeout_ms`. 0, -EIO or
 * -ENOTCONN with a sentence. */
must_use int enqueue_poll(struct enqueue *e, int timeout_ms, char *err, size_t err_room);
size_t enqueue_under_way(const struct enqueue *e); /* sent and not yet answered */

const struct enqueue_counts *enqueue_counts(const struct enqueue *e);
