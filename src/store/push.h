/* SPDX-License-Identifier: MIT
 * A producer that outlives its connection to Redis: it connects when there is something to send,
 * adds checked jobs to the streams, and reports the outcome of each. */
#pragma once

#include "push_pipeline.h"

struct push_connection;

/* Takes over the contents of `address`, which is empty afterwards; `account` is lent until
 * push_connection_free. Does not connect yet. The callback is that of push_pipeline.h, with the
 * same guarantees.
 */
struct push_connection *push_connection_new(struct redis_address *address,
                                            const struct config_account *account,
                                            push_pipeline_cb *cb, void *ctx);
/* Pending jobs end as unknown; their callbacks are called from here. NULL is fine. */
void push_connection_free(struct push_connection *p);

/* How many replicas must have a job before it is accepted, from the next connection or the next
 * time that no job is pending. Initially it is what the address says. */
void push_connection_set_replicas(struct push_connection *p, uint32_t replicas);
/* Whether the jobs that ended as unknown did so because too few replicas have them. */
bool push_connection_few(const struct push_connection *p);

/* Connects if there is no connection, within a few seconds. Returns 0; or, with a sentence, -EACCES
 * if the login was refused and -ENOTCONN for everything else. */
must_use int push_connection_connect(struct push_connection *p, struct error *err);

/* Adds a job to the pipeline; waits for answers while the pipeline is full. `tag` is passed to the
 * callback. Returns 0, or an error if the job was not sent: -EINVAL: the job is invalid, and err
 * names the field; -EIO: Redis refused an earlier job; -EACCES, -ENOTCONN: no connection. After any
 * error but -EINVAL no job is pending, and the next call starts anew. */
must_use int push_connection_put(struct push_connection *p, enum lane lane,
                                 const struct span *fields, size_t fields_count, uint64_t tag,
                                 struct error *err);
/* Waits for all answers. Returns 0; -EIO: a job was refused; -ENOTCONN: the outcome of some jobs is
 * unknown. */
must_use int push_connection_finish(struct push_connection *p, struct error *err);
/* Sends what is buffered and handles the answers that arrive within `timeout_ms`. Returns the same
 * as push_connection_finish. */
must_use int push_connection_poll(struct push_connection *p, int timeout_ms, struct error *err);

size_t push_connection_pending(const struct push_connection *p);
int push_connection_fd(const struct push_connection *p); /* -1 without a connection */
