/* SPDX-License-Identifier: MIT
 * Tracks what may arrive next on a connection to Redis: a reply to a command, a message of a
 * subscribed channel, or nothing. hiredis asserts that nothing else arrives, but the server may not
 * be Redis at all. Each part of a reply is therefore checked before hiredis gets it. */
#pragma once

#include "redis_codec.h"

struct redisAsyncContext;

struct redis_due {                /* must be zeroed at first */
    struct redisAsyncContext *ac; /* the connection; NULL: none */
    char **channels;              /* channels subscribed to on this connection */
    size_t channels_count;
    bool message; /* the current reply is a message */
};

void redis_due_begin(struct redis_due *d, struct redisAsyncContext *ac); /* a new connection */
void redis_due_deinit(struct redis_due *d);
void redis_due_subscribe(struct redis_due *d, struct span channel);
/* False if the part must not reach hiredis; the connection must then be closed. */
must_use bool redis_due_ok(struct redis_due *d, const struct redis_part *p);
