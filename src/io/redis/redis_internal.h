/* SPDX-License-Identifier: MIT
 * The internals of a connection to Redis, shared by its files: redis.c connects, sends commands and
 * reconnects after a failure; redis_greeting.c sends the first commands of a new connection;
 * redis_message.c subscribes to channels; redis_stream.c reads long replies piece by piece. */
#pragma once

#include "redis.h"
#include "redis_deadline.h"
#include "redis_due.h"
#include "redis_wire.h"

struct redis_streaming { /* a running redis_stream */
    const struct redis_sink *sink;
    void *ctx;
    struct redis_owed owed;
};

const struct redis_address *redis_address_of(const struct redis *r);
struct redis_streaming **redis_streaming_of(struct redis *r); /* *result NULL: none */
struct redis_deadline *redis_deadline_of(struct redis *r);
struct redis_due *redis_due_of(struct redis *r);
/* The connection, or NULL if there is none or it is about to end. */
struct redis_wire *redis_connection(struct redis *r);
bool redis_is_owed(const struct redis *r); /* a command waits for its reply */
/* Sends a command as part of the greeting. `cb` gets `r`, and NULL if the connection is lost. */
void redis_send_greeting(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb);
void redis_lose(struct redis *r, const char *why); /* ends the connection on the next turn */
/* Ends the connection if the error message shows that the server cannot be used. */
void redis_note_refusal(struct redis *r, const char *words);
/* Soon calls `cb` with NULL. */
void redis_fail(struct redis *r, redis_reply_cb *cb, void *ctx);

/* redis.c: called when the server has answered the whole greeting. The connection is then up,
 * unless it was lost meanwhile. */
void redis_greeted(struct redis *r);

/* redis_greeting.c: sends the greeting. It ends in redis_greeted or redis_lose. */
void redis_greet(struct redis *r, const struct redis_address *a);

/* redis_message.c: passes a message to its subscription. */
void redis_message_arrived(struct redis *r, const struct redisReply *message);
/* redis_message.c: called when the connection is lost. Ends all subscriptions. */
void redis_message_fail_all(struct redis *r);

/* redis_stream.c: called when bytes may have arrived. */
void redis_stream_read(struct redis *r);
/* redis_stream.c: called when the connection is lost. Takes ownership of *s. */
void redis_stream_fail(struct redis *r, struct redis_streaming *s);
