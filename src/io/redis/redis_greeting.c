/* SPDX-License-Identifier: MIT
 * The commands that open a new connection: login, database, client name. They also check whether
 * this server can hold a queue. */
#include <stdio.h>
#include <string.h>

#include "redis_error.h"
#include "redis_internal.h"
#include "redis_nodes.h"
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
static void on_role(void *ctx, struct redisReply *reply)
{
    struct redis *r = ctx;
    const struct redis_address *a = &r->address;
    struct span role = reply_text(reply_at(reply, 0));

    if (!reply)
        return;
    if (a->is_sentinel && !span_is(role, "sentinel"))
        redis_lose(r, redis_role_is_of_data(role) ? redis_is_no_sentinel : "it is no sentinel");
    else if (!a->is_sentinel && span_is(role, "sentinel"))
        redis_lose(r, redis_is_sentinel);
    else if (a->master && !span_is(role, "master"))
        lose_as_no_master(r, a, reply);
    else if (span_is(role, "slave"))
        redis_lose(r, "this Redis is a replica");
}

/* The answer to a command with a key shows whether this node of a Cluster has the slot of the key.
 * Our user may not be permitted to ask; then the first command shows it. */
static void on_probe(void *ctx, struct redisReply *reply)
{
    redis_follow_probe(ctx, reply);
    if (reply_refused(reply))
        redis_note_refusal(ctx, reply_text(reply).p);
}

static void on_slots(void *ctx, struct redisReply *reply)
{
    struct redis *r = ctx;

    if (reply_refused(reply) && redis_error_is_no_cluster(reply_text(reply).p))
        redis_lose(r, redis_is_no_cluster);
    redis_nodes_learn(r->follow.nodes, reply);
}

static void greet_node(struct redis *r, const char *home)
{
    const struct span probe[] = {SPAN("EXISTS"), span_str(home)};

    redis_send_greeting(r, 2, (const struct span[]){SPAN("CLUSTER"), SPAN("SLOTS")}, on_slots);
    if (home)
        redis_send_greeting(r, 2, probe, on_probe);
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
    if (a->db) /* a sentinel does not know SELECT, and should be recognized before that */
        redis_send_greeting(r, 1, (const struct span[]){SPAN("ROLE")}, on_role);
    if (a->db)
        redis_send_greeting(r, 2, (const struct span[]){SPAN("SELECT"), span_str(db)}, on_greeting);
    redis_send_greeting(r, 3, name, on_refusable);
    if (a->cluster)
        greet_node(r, a->home);
    redis_send_greeting(r, 1, (const struct span[]){SPAN("ROLE")}, on_role);
    redis_send_greeting(r, 1, (const struct span[]){SPAN("PING")}, on_ping);
}
