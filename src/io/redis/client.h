/* SPDX-License-Identifier: MIT
 * A blocking connection to Redis for the command line: one command after the other, or many in a
 * pipeline. Replies are read with reply.h. */
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
/* Sends one command and waits for its reply. There must be no pending replies. -EIO: Redis refused,
 * see client_error. */
must_use int client_ask(struct client *c, size_t argc, const struct span *argv,
                        struct redisReply **out);
/* The same with arguments as strings, ended by NULL. */
must_use int client_ask_words(struct client *c, const char *const *words, struct redisReply **out);

/* The last error, a lost connection or a refusal, as a message without the password. */
const char *client_error(const struct client *c);
/* For a reply of another form than its command has: -EIO, and client_error says so. */
must_use int client_distrust(struct client *c);
/* Sets the timeout for replies, after which the connection counts as lost; the default is 30 s. */
void client_set_patience(struct client *c, uint32_t answer_s);
