/* SPDX-License-Identifier: MIT
 * The commands that open a new connection: login, database, client name. They also check whether
 * this server can hold a queue. */
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "redis_error.h"
#include "redis_internal.h"
#include "reply.h"

static void on_refusable(redisAsyncContext *ac, void *reply, void *priv)
{
    struct redis *r = ac->data;

    (void)priv; /* a client name is optional; some services refuse it */
    /* Redis sends this error in reply to the first command and then closes the connection. */
    if (r && reply_refused(reply) && redis_error_of(reply_text(reply).p) == REDIS_ERROR_CLIENTS)
        redis_lose(r, reply_text(reply).p);
}

static void on_greeting(redisAsyncContext *ac, void *reply, void *priv)
{
    struct redis *r = ac->data;

    (void)priv;
    if (r && reply_refused(reply))
        redis_lose(r, reply_text(reply).p);
}

static void lose_as_no_master(struct redis *r, const struct redis_address *a,
                              const struct redisReply *reply)
{
    char why[512];

    snprintf(why, sizeof(why), "Sentinel names %s:%u as the master, but it %s%.100s", a->host,
             a->port, reply_refused(reply) ? "does not say that it is: " : "is a replica",
             reply_refused(reply) ? reply_text(reply).p : "");
    redis_lose(r, why);
}

/* Refuses replicas: they answer reads but refuse writes, and a queue needs writes. A server that
 * sentinels have named must say that it is the master, because their news may be old. */
static void on_role(redisAsyncContext *ac, void *reply, void *priv)
{
    struct redis *r = ac->data;
    const struct redis_address *a = r ? redis_address_of(r) : NULL;
    struct span role = reply_text(reply_at(reply, 0));

    (void)priv;
    if (!r || !reply)
        return;
    if (a->is_sentinel && !span_is(role, "sentinel"))
        redis_lose(r, "it is no sentinel");
    else if (a->master && !span_is(role, "master"))
        lose_as_no_master(r, a, reply);
    else if (span_is(role, "slave"))
        redis_lose(r, "this Redis is a replica");
}

/* PING ends the greeting. A server that is loading or has lost its master refuses it. */
static void on_ping(redisAsyncContext *ac, void *reply, void *priv)
{
    struct redis *r = ac->data;

    on_greeting(ac, reply, priv);
    if (r && reply)
        redis_greeted(r);
}

static void send_words(struct redis *r, redisAsyncContext *ac, redisCallbackFn *cb, int argc,
                       const char **argv)
{
    if (redisAsyncCommandArgv(ac, cb, NULL, argc, argv, NULL) != REDIS_OK)
        redis_lose(r, "cannot send");
}

void redis_greet(struct redis *r, redisAsyncContext *ac, const struct redis_address *a)
{
    char db[16];

    if (a->user)
        send_words(r, ac, on_greeting, 3, (const char *[]){"AUTH", a->user, a->password});
    else if (a->password)
        send_words(r, ac, on_greeting, 2, (const char *[]){"AUTH", a->password});
    snprintf(db, sizeof(db), "%u", a->db);
    if (a->db)
        send_words(r, ac, on_greeting, 2, (const char *[]){"SELECT", db});
    send_words(r, ac, on_refusable, 3, (const char *[]){"CLIENT", "SETNAME", "purgeline"});
    send_words(r, ac, on_role, 1, (const char *[]){"ROLE"});
    send_words(r, ac, on_ping, 1, (const char *[]){"PING"});
}
