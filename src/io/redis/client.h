/* SPDX-License-Identifier: MIT
 * A blocking connection to Redis for the command line: commands are sent one at a time or in a
 * pipeline. Replies are read with reply.h. */
#pragma once

#include <errno.h>

#include "error.h"
#include "redis.h"
#include "reply.h"

struct client;

/* Connects, authenticates and selects the database; with Sentinel, to the server that a sentinel
 * names and that says that it is the master; with a Cluster, to any node, and then to whichever has
 * the keys of a command: replies come in the order of sending all the same. Gives up after a few
 * seconds without a connection; a single server that accepts it and is silent has 30 s. 0, or
 * -ENOENT (no such socket), -ECONNREFUSED, -EACCES (login refused), -ENOTCONN (anything else) with
 * a sentence. */
must_use int client_open(const struct redis_address *a, struct client **out, struct error *err);
void client_close(struct client *c); /* NULL is fine */
/* Lets the next client_open with this address, from which c was opened, begin with the sentinel
 * that has answered this time. */
void client_remember_sentinel(const struct client *c, struct redis_address *a);

/* Asks all sentinels of the address, one after the other. `cb` is called for each, with the master
 * that it names, or with NULL and a sentence that begins with the sentinel. */
typedef void client_sentinel_cb(void *ctx, const struct redis_place *master, const char *why);
void client_ask_sentinels(const struct redis_address *a, client_sentinel_cb *cb, void *ctx);

/* Adds a command to the pipeline. It is sent by client_flush, or when the next reply is
 * requested. Unlike client_ask, this does not wait for replicas. */
void client_send(struct client *c, size_t argc, const struct span *argv);
/* Gets the next reply, in order; after a refusal that shows that the server is a replica
 * (READONLY), and all pending replies, the connection counts as lost; also after a reply that took
 * long, if most sentinels name another server by now. A reply is valid until the next call. 0, or
 * -ENOTCONN: the connection is lost (see client_error), and it is unknown whether unanswered
 * commands took effect. */
must_use int client_receive(struct client *c, struct redisReply **out);
/* Sends everything in the pipeline. Blocks only while the kernel's buffer is full. 0 or
 * -ENOTCONN. */
must_use int client_flush(struct client *c);
/* For poll(2), to wait for input. With a Cluster, each call of this file may change it. Replies may
 * have left the socket already; there are none of these after client_wait has returned -ETIMEDOUT.
 */
int client_fd(const struct client *c);
/* Like client_receive, but returns -ETIMEDOUT if there is no reply within `timeout_ms`. */
must_use int client_wait(struct client *c, int timeout_ms, struct redisReply **out);
/* Sends one command and waits for its reply. There must be no pending replies. -EIO: Redis refused,
 * see client_error. If the address asks for replicas, and the command may have written something
 * (redis_reads.h), also waits until enough of them have it. CLIENT_FEW: Redis has carried it out,
 * but too few replicas have it in time, so a failover may lose it; client_error says how many. */
must_use int client_ask(struct client *c, size_t argc, const struct span *argv,
                        struct redisReply **out);
#define CLIENT_FEW (-EREMOTEIO)
/* The same with the arguments as strings, terminated by NULL. */
must_use int client_ask_words(struct client *c, const char *const *words, struct redisReply **out);

/* Waits until enough replicas have everything that Redis had before the last write of this
 * connection. 0, CLIENT_FEW or -ENOTCONN. The last reply stays valid. */
must_use int client_confirm(struct client *c);
bool client_waits(const struct client *c); /* the address asks for replicas */

/* The last error, a lost connection or a refusal, as a message without the password. */
const char *client_error(const struct client *c);
/* To be called when a reply does not have the form that its command requires. Sets client_error and
 * returns -EIO. */
must_use int client_distrust(struct client *c);
/* Sets the timeout for replies, after which the connection counts as lost; the default is 30 s. A
 * reply that keeps coming may take four times as long. */
void client_set_patience(struct client *c, uint32_t answer_s);
