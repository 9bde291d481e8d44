/* SPDX-License-Identifier: MIT
 * Tracks what may arrive next on a connection to Redis: a reply to a command, a message of a
 * subscribed channel, or nothing. hiredis asserts that nothing else arrives, but the server may not
 * be a Redis at all; each part of a reply is therefore checked before hiredis gets it. */
#pragma once

#include "redis_codec.h"

struct redisAsyncContext;

struct redis_due {                /* all zero at first */
    struct redisAsyncContext *ac; /* the connection; NULL: none */
    char **channels;              /* subscribed to on it */
    size_t channels_count;
    bool message; /* the reply under way is one */
};

void redis_due_begin(struct redis_due *d, struct redisAsyncContext *ac); /* another connection */
void redis_due_deinit(struct redis_due *d);
void redis_due_subscribe(struct redis_due *d, struct span channel);
/* False: it must not reach hiredis, and the connection is worth nothing. */
must_use bool redis_due_ok(struct redis_due *d, const struct redis_part *p);
