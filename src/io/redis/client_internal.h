/* SPDX-License-Identifier: MIT
 * The internals of a blocking connection, shared by its files: client.c connects to a server and
 * sends commands; client_sentinel.c and client_cluster.c find the server; client_cluster.c follows
 * a Cluster that moves keys. */
#pragma once

#include "client.h"
#include "redis_codec.h"
#include "redis_transport.h"

struct client_cluster;

struct client {
    struct redis_transport *transport;
    struct redis_reader *reader;
    struct redis_text out;
    struct client_cluster *cluster; /* NULL: not a Cluster */
    uint32_t answer_ms;
    uint64_t pending;            /* commands without a reply */
    uint64_t asked_ns;           /* when the oldest of these was sent, or became the oldest */
    uint32_t replicas;           /* that must have a write, see client_ask */
    struct redisReply *kept;     /* the reply to a write, while its WAIT is answered; then lent */
    struct redis_address *named; /* the sentinels that named this server; NULL: none did */
    bool timed_out;              /* lost, because no reply came in time */
    bool replica;                /* it has refused a command because it is a replica */
    int lost;                    /* 0; or -ENOTCONN: the connection has failed, see `why` */
    struct error why;
    struct error error;
};

#define CLIENT_ANSWER_MS 30000 /* long enough for a slow script or a disk sync */

/* Like client_open, to the host or socket of the address, with the password that it contains.
 * `answer_ms` is the timeout for each reply, also afterwards, and for the connection unless that
 * has less. Also -ETIMEDOUT: connected, but it does not answer in time. */
must_use int client_open_at(const struct redis_address *a, uint32_t answer_ms, struct client **out,
                            struct error *err);
/* Sets the address whose sentinels have named this server. They are asked again after a reply that
 * took long, which does not count if most of them name another server. */
void client_set_named(struct client *c, const struct redis_address *a);
/* Whether the connection was lost because a reply did not come in time. */
bool client_timed_out(const struct client *c);
/* Ends the connection: every later call fails with this reason. Returns -ENOTCONN. */
int client_lose(struct client *c, const char *why);
/* The next reply from the server itself. 1; 0: not yet; or -ENOTCONN. */
must_use int client_next_reply(struct client *c, struct redisReply **out);

/* The same as client_open, for a Cluster. */
must_use int client_open_cluster(const struct redis_address *a, struct client **out,
                                 struct error *err);
/* To be called for each command that is sent. */
void client_cluster_sends(struct client_cluster *x, size_t argc, const struct span *argv);
/* The next reply in the order of sending, where redirects are followed; this may take as long as a
 * reply may take. 1; 0: not yet; or -ENOTCONN. */
must_use int client_cluster_next(struct client *c, struct redisReply **out);
void client_cluster_free(struct client_cluster *x); /* NULL is fine */
