/* SPDX-License-Identifier: MIT
 * Commands on a connection to Redis whose replies count only when enough replicas have the data as
 * well: a failover then loses nothing of what they wrote.
 *
 *   command ──▶ reply is kept ──▶ WAIT: enough replicas ──▶ the reply is handed out
 *                                   └── too few ──────────▶ NULL, and how few
 *
 * One WAIT at a time is under way. It covers all commands sent before it; those sent meanwhile
 * share the next one. */
#pragma once

#include "redis.h"
#include "replicas.h"

struct replicated;

/* `reply` is NULL if the effect is unknown. `few` then tells why: if it is not NULL, Redis has
 * carried out the command, but too few replicas have the data; if it is NULL, the connection was
 * lost. A reply that is an error comes at once, without waiting for replicas. Everything is lent
 * for the call. */
typedef void replicated_cb(void *ctx, struct redisReply *reply, const struct replicas_few *few);

/* The connection is lent. `replicas` 0: replies are handed out as they come. */
struct replicated *replicated_new(struct redis *r, uint32_t replicas);
/* Once the connection is closed, so that no callback is left. */
void replicated_free(struct replicated *x);

/* The callback is called exactly once and never before this function has returned. Within a
 * transaction, this is for EXEC only. */
void replicated_command(struct replicated *x, size_t argc, const struct span *argv,
                        replicated_cb *cb, void *ctx);

/* redis_command for a question, whose reply promises nothing: aborts for any command that does more
 * than to read (redis_reads.h). */
void redis_ask(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb,
               void *ctx);
