/* SPDX-License-Identifier: MIT
 * A blocking connection to Redis for commands that people type: one question after the other, or
 * many in a pipeline. Its answers are read with reply.h. */
#pragma once

#include "redis.h"
#include "reply.h"

struct client;

/* Connects, authenticates and selects the database, in a few seconds or not at all. 0, or -ENOENT
 * (no such socket), -ECONNREFUSED, -EACCES (login refused), -ENOTCONN (all else) with a sentence.
 */
must_use int client_open(const struct redis_address *a, struct client **out, char *err,
                         size_t err_room);
void client_close(struct client *c); /* NULL is fine */

/* Into the pipeline; leaves when the next reply is asked for, or with client_flush. */
void client_send(struct client *c, size_t argc, const struct span *argv);
/* The next reply, in order. Lent until the next call. 0, or -ENOTCONN: the connection is gone, with
 * it the effect of everything unanswered is unknown, and client_error says why. */
must_use int client_receive(struct client *c, struct redisReply **out);
/* Everything in the pipeline leaves now; blocks only while the kernel takes no more. 0 or
 * -ENOTCONN.
 */
must_use int client_flush(struct client *c);
int client_fd(const struct client *c); /* to poll(2) for readable */
/* The same for replies that may not come: -ETIMEDOUT after `timeout_ms`. */
must_use int client_wait(struct client *c, int timeout_ms, struct redisReply **out);
/* One question, one answer. Nothing may be unanswered before it. -EIO: Redis refused, see
 * client_error. */
must_use int client_ask(struct client *c, size_t argc, const struct span *argv,
                        struct redisReply **out);
/* The same with arguments as strings, ended by NULL. */
must_use int client_ask_words(struct client *c, const char *const *words, struct redisReply **out);

/* What was last wrong, a lost connection or a refusal; for people, never with the password. */
const char *client_error(const struct client *c);
/* For a reply of another form than its command has: -EIO, and client_error says so. */
must_use int client_distrust(struct client *c);
/* An answer takes at most so long, or the connection counts as gone; half a minute at first. */
void client_set_patience(struct client *c, uint32_t answer_s);
