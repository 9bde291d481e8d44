/* SPDX-License-Identifier: MIT
 * The internals of a connection to Redis, shared by its files: redis.c connects, sends commands and
 * reconnects after a failure; redis_greeting.c sends the first commands of a new connection;
 * redis_follow.c holds commands that a Cluster sends elsewhere; redis_message.c subscribes to
 * channels; redis_stream.c reads long replies piece by piece. */
#pragma once

#include "redis.h"
#include "redis_codec.h"
#include "redis_deadline.h"
#include "redis_due.h"
#include "redis_follow.h"
#include "redis_wire.h"
#include "rng.h"

/* A connection is never freed from within one of its events. Instead the loss is recorded, and
 * `turn` runs at the end of the loop's turn:
 *
 * With Sentinel, ASKING comes before RESOLVING.
 *
 *   WAITING ──timer──▶ RESOLVING ──▶ CONNECTING ──▶ GREETING ──▶ UP
 *      ▲                   │              │             │         │
 *      └───────────────────┴── lose(why): turn ─────────┴─────────┘ */
enum redis_state {
    REDIS_WAITING,    /* no connection; `timer` starts the next attempt */
    REDIS_ASKING,     /* `sentinel` is asked for the master */
    REDIS_RESOLVING,  /* `lookup` is running; when `timer` fires, the outage is reported and the
                         lookup goes on */
    REDIS_CONNECTING, /* `wire` is connecting; `timer` ends the attempt */
    REDIS_GREETING,   /* AUTH, SELECT ... PING are sent; `timer` ends the attempt */
    REDIS_UP          /* `timer` ends a pause: redis_follow.c */
};

struct redis_call {   /* one command, from redis_command to its callback */
    struct list link; /* in the list `pending`, then perhaps in `failed` or one of redis_follow */
    struct redis_owed owed;
    redis_reply_cb *cb;
    void *ctx;
    /* With a Cluster: the command, to send it again, and what redis_follow.c knows of it. */
    struct redis_text text;
    enum redis_command_kind kind;
    bool inside;             /* it belongs to a transaction */
    bool stale;              /* a WAIT that must not say yes */
    struct redisReply *kept; /* until the end of the transaction */
    uint32_t tries;          /* how often it was held */
    uint64_t held_ns;        /* when it was held first */
};

struct redis_streaming { /* a running redis_stream */
    const struct redis_sink *sink;
    void *ctx;
    struct redis_owed owed;
    uint32_t block_ms;
    /* With a Cluster: the command, and the beginning of the reply if it may be a redirect. */
    struct redis_text text;
    char line[128];
    size_t line_n;
    bool passed; /* the sink has bytes of the reply */
    uint32_t tries;
    uint64_t held_ns;
};

struct redis {
    struct loop *loop;
    struct redis_address address;
    redis_up_cb *up;
    redis_down_cb *down;
    void *ctx;
    enum redis_state state;
    struct redis_wire *wire;         /* NULL: no connection */
    struct timer *timer;             /* see enum redis_state */
    struct timer *turn;              /* fires at the end of the turn if there is something to do */
    struct redis_sentinel *sentinel; /* NULL: the address has no sentinels */
    struct redis_lookup *lookup;
    struct addrinfo *addresses; /* result of the last lookup */
    struct addrinfo *next;      /* address to try if the current one fails */
    struct list pending;        /* calls that wait for their replies, in order */
    struct list failed;         /* calls whose callbacks will get NULL */
    struct redis_follow follow;
    struct redis_deadline deadline;
    struct redis_streaming *streaming; /* gets the bytes that arrive; or NULL */
    struct redis_reader *reader;       /* of the current connection */
    struct redis_due due;
    struct rng rng;
    uint64_t up_since_ns;
    uint32_t attempts; /* number of attempts since the last good connection */
    bool is_guest;     /* it is the second connection of another one: redis_follow.c */
    bool lost;         /* the connection or the attempt has ended; `turn` will handle it */
    bool outage;       /* `down` was called, and `up` not since then */
    loop_cb *closed;   /* not NULL: redis_close was called */
    void *closed_ctx;
    char why[512];
    char said[512];   /* the last reported reason for the outage */
    uint64_t said_ns; /* when `said` was reported */
};

/* -- redis.c -- */

/* The connection, or NULL if there is none or it is about to end. */
struct redis_wire *redis_connection(struct redis *r);
/* Sends a command as part of the greeting. `cb` gets `r`, and NULL if the connection is lost. */
void redis_send_greeting(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb);
void redis_lose(struct redis *r, const char *why); /* ends the connection on the next turn */
/* Ends the connection if the error message shows that the server cannot be used. */
void redis_note_refusal(struct redis *r, const char *words);
/* Soon calls `cb` with NULL. */
void redis_fail(struct redis *r, redis_reply_cb *cb, void *ctx);
void redis_fail_call(struct redis *r, struct redis_call *c);
/* Calls the callback and frees the call. */
void redis_answer(struct redis *r, struct redis_call *c, struct redisReply *reply);
void redis_send_call(struct redis *r, struct redis_call *c); /* again */
/* Like redis_command, with a command that redis_format has formatted. */
void redis_command_text(struct redis *r, struct span text, redis_reply_cb *cb, void *ctx);
void redis_turn_soon(struct redis *r);

/* Called when the server has answered the whole greeting. The connection is then up, unless it was
 * lost meanwhile. */
void redis_greeted(struct redis *r);

/* -- the others -- */

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
/* redis_stream.c: sends the command again, because a Cluster has not carried it out. */
void redis_stream_again(struct redis *r);
