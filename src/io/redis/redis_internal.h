/* SPDX-License-Identifier: MIT
 * The inside of a connection to Redis, shared by its files: redis.c connects, sends commands and
 * tries again after a failure, redis_greeting.c sends what opens a new connection, redis_message.c
 * subscribes to channels, redis_stream.c reads long answers piece by piece. */
#pragma once

#include <hiredis/async.h>

#include "redis.h"
#include "redis_deadline.h"
#include "redis_due.h"

struct redis_streaming { /* a redis_stream under way */
    const struct redis_sink *sink;
    void *ctx;
    struct redis_owed owed;
};

struct redis_streaming **redis_streaming_of(struct redis *r); /* NULL there: none */
struct redis_deadline *redis_deadline_of(struct redis *r);
struct redis_due *redis_due_of(struct redis *r);
/* Sends a command while the connection is up. REDIS_OK, or it was not sent and fn never comes. */
int redis_send(struct redis *r, size_t argc, const struct span *argv, redisCallbackFn *fn,
               void *priv);
/* The connection; NULL: there is none, or it is about to end. */
redisAsyncContext *redis_connection(struct redis *r);
void redis_lose(struct redis *r, const char *why); /* ends the connection, soon */
/* Words of a refusal: the server is not fit, and the connection lost, when they say so. */
void redis_note_refusal(struct redis *r, const char *words);
/* `cb` comes with NULL, soon. */
void redis_fail(struct redis *r, redis_reply_cb *cb, void *ctx);

/* redis.c: the server has answered all of the greeting. The connection is up now, if it was not
 * lost meanwhile. */
void redis_greeted(struct redis *r);

/* redis_greeting.c: sends the greeting. It ends in redis_greeted or redis_lose. */
void redis_greet(struct redis *r, redisAsyncContext *ac, const struct redis_address *a);

/* redis_stream.c: the connection is gone. Takes *s. */
void redis_stream_fail(struct redis *r, struct redis_streaming *s);
