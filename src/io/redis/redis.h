/* SPDX-License-Identifier: MIT
 * One connection to Redis on a loop: connects, authenticates, reconnects with backoff, runs
 * commands in order. Replies are read with reply.h. */
#pragma once

#include "loop.h"
#include "span.h"

struct redis;
struct redisReply;

/* From redis://[user:pass@]host:port/db, rediss://..., unix:///path[?db=N]. Defaults: port 6379, db
 * 0. */
struct redis_address {
    char *host; /* NULL for a Unix socket */
    char *unix_path;
    uint16_t port;
    uint32_t db;
    char *user, *password; /* NULL when not given */
    bool tls;
};

/* 0, or -EINVAL with a sentence (never with the password). rediss:// without hiredis_ssl at build
 * time is refused here, with that reason. */
must_use int redis_address_parse(const char *url, struct redis_address *out, char *err,
                                 size_t err_room);
void redis_address_copy(const struct redis_address *from, struct redis_address *to);
void redis_address_deinit(struct redis_address *a); /* wipes the password */

/* The message for NOAUTH. */
#define REDIS_WANTS_A_PASSWORD                                                                     \
    "Redis wants a password (NOAUTH): name it in its URL, redis://:PASSWORD@HOST:PORT or with a "  \
    "user "                                                                                        \
    "redis://USER:PASSWORD@HOST:PORT"

typedef void redis_up_cb(void *ctx); /* connected, authenticated, db selected */
/* Once per outage, and again when Redis is there and refuses us ("NOAUTH ..."): that is another
 * trouble than a Redis that is away. */
typedef void redis_down_cb(void *ctx, const char *why);

/* NULL when the connection was lost before the reply (effect unknown). The reply is hiredis', lent.
 */
typedef void redis_reply_cb(void *ctx, struct redisReply *reply);

struct redis *redis_new(struct loop *l, const struct redis_address *a, redis_up_cb *up,
                        redis_down_cb *down, void *ctx);
bool redis_is_up(const struct redis *r);
/* Redis may take so long for an answer; when it says nothing for that long while one is owed, the
 * connection is given up, and with it all that it owes, for no single command can be taken back.
 * REDIS_PATIENCE_MS unless this says otherwise. */
#define REDIS_PATIENCE_MS 30000u
void redis_set_patience(struct redis *r, uint32_t ms);
/* The callback comes exactly once and never before this returned. When down: with NULL, soon. */
void redis_command(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb,
                   void *ctx);
/* A command whose reply may be larger than memory: its bytes go to the sink as they arrive. */
struct redis_sink {
    char *(*room)(void *ctx, size_t *n); /* where the next ones may lie; never 0 */
    int (*took)(void *ctx, size_t n);    /* so many do. 1: complete; 0: more; negative: no reply */
    const char *(*error)(void *ctx);     /* of a complete one: the words of a refusal, or NULL */
    void (*done)(void *ctx, int err); /* the last: 0, or -ENOTCONN when the connection was lost */
};
/* `block_ms`: it waits in Redis for up to so long, which comes on top of the patience. Nothing else
 * may be under way on the connection until `done`, which comes exactly once and never before this
 * returned. */
void redis_stream(struct redis *r, uint32_t block_ms, size_t argc, const struct span *argv,
                  const struct redis_sink *sink, void *ctx);
/* Messages of a channel, for as long as the connection lives: `cb` gets an empty one when they
 * begin to come, then each (lent), and NULL once when the connection is gone; subscribe anew when
 * it is up. The connection is good for nothing else then. */
typedef void redis_message_cb(void *ctx, const struct span *text);
void redis_subscribe(struct redis *r, struct span channel, redis_message_cb *cb, void *ctx);
/* All outstanding callbacks come (NULL) before `closed`, which comes after this returned. */
void redis_close(struct redis *r, loop_cb *closed, void *ctx);
