/* SPDX-License-Identifier: MIT
 * A producer that lives longer than its connection to Redis: connects when there is something to
 * send, puts checked jobs into the streams, and says of each what became of it. */
#pragma once

#include "enqueue.h"

struct producer;

/* Takes over `address`, which is empty afterwards; `account` is lent until producer_free. Does not
 * connect yet. The callback is enqueue's, with its promises. */
struct producer *producer_new(struct redis_address *address, const struct config_account *account,
                              enqueue_cb *cb, void *ctx);
/* What is under way ends as unknown: its callbacks come in here. NULL is fine. */
void producer_free(struct producer *p);

/* Connects if there is no connection, in a few seconds or not at all. 0, -EACCES: login refused,
 * -ENOTCONN: all else, with a sentence. */
must_use int producer_connect(struct producer *p, char *err, size_t err_room);

/* Into the pipeline; waits for answers while that is full. `tag` comes back in the callback. 0;
 * else this one was not sent: -EINVAL: no valid job, err names the field; -EIO: Redis refused one
 * before it; -EACCES, -ENOTCONN: no connection. After an error none is under way but for -EINVAL,
 * and the next call begins anew. */
must_use int producer_put(struct producer *p, enum lane lane, const struct span *fields,
                          size_t fields_count, uint64_t tag, char *err, size_t err_room);
/* Waits for every answer. 0; -EIO: one was refused; -ENOTCONN: some are unknown. */
must_use int producer_finish(struct producer *p, char *err, size_t err_room);
/* Sends what waits and takes the answers that come within `timeout_ms`. As producer_finish. */
must_use int producer_poll(struct producer *p, int timeout_ms, char *err, size_t err_room);

size_t producer_under_way(const struct producer *p);
int producer_fd(const struct producer *p); /* -1 without a connection */
