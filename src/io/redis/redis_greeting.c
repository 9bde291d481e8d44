/* SPDX-License-Identifier: MIT
 * The commands that open a new connection: login, database, client name. They also check whether
 * this server can hold a queue. */
#include <stdio.h>

#include "redis_error.h"
#include "redis_internal.h"
#include "reply.h"

static void on_refusable(void *ctx, struct redisReply *reply)
{
    /* A client name is optional; some services refuse it. But Redis also sends this error in reply
     * to the first command, and then closes the connection. */
    if (reply_refused(reply) && redis_error_of(reply_text(reply).p) == REDIS_ERROR_CLIENTS)
        redis_lose(ctx, reply_text(reply).p);
}

static void on_greeting(void *ctx, struct redisReply *reply)
{
    if (reply_refused(reply))
        redis_lose(ctx, reply_text(reply).p);
}

/* Refuses replicas: they answer reads but refuse writes, and a queue needs writes. */
static void on_role(void *ctx, struct redisReply *reply)
{
    if (span_is(reply_text(reply_at(reply, 0)), "slave"))
        redis_lose(ctx, "this Redis is a replica");
}

/* PING ends the greeting. A server that is loading or has lost its master refuses it. */
static void on_ping(void *ctx, struct redisReply *reply)
{
    on_greeting(ctx, reply);
    if (reply)
        redis_greeted(ctx);
}

void redis_greet(struct redis *r, const struct redis_address *a)
{
    const struct span login[] = {SPAN("AUTH"), span_str(a->user), span_str(a->password)};
    const struct span password[] = {SPAN("AUTH"), span_str(a->password)};
    const struct span name[] = {SPAN("CLIENT"), SPAN("SETNAME"), SPAN("purgeline")};
    char db[16];

    if (a->user)
        redis_send_greeting(r, 3, login, on_greeting);
    else if (a->password)
        redis_send_greeting(r, 2, password, on_greeting);
    snprintf(db, sizeof(db), "%u", a->db);
    if (a->db)
        redis_send_greeting(r, 2, (const struct span[]){SPAN("SELECT"), span_str(db)}, on_greeting);
    redis_send_greeting(r, 3, name, on_refusable);
    redis_send_greeting(r, 1, (const struct span[]){SPAN("ROLE")}, on_role);
    redis_send_greeting(r, 1, (const struct span[]){SPAN("PING")}, on_ping);
}
