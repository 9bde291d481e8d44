/* SPDX-License-Identifier: MIT
 * The internals shared by redis.c and redis_stream.c. */
#pragma once

#include "redis.h"
#include "redis_deadline.h"

struct redisAsyncContext;

struct redis_streaming { /* a redis_stream under way */
    const struct redis_sink *sink;
    void *ctx;
    struct redis_owed owed;
};

struct redis_streaming **redis_streaming_of(struct redis *r); /* NULL there: none */
struct redis_deadline *redis_deadline_of(struct redis *r);
/* The connection; NULL: there is none, or it is about to end. */
struct redisAsyncContext *redis_connection(struct redis *r);
void redis_lose(struct redis *r, const char *why); /* ends the connection, soon */
/* Words of a refusal: the server is not fit, and the connection lost, when they say so. */
void redis_note_refusal(struct redis *r, const char *words);
/* `cb` comes with NULL, soon. */
void redis_fail(struct redis *r, redis_reply_cb *cb, void *ctx);

/* redis_stream.c: the connection is gone. Takes *s. */
void redis_stream_fail(struct redis *r, struct redis_streaming *s);
