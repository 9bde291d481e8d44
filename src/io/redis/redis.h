/* SPDX-License-Identifier: MIT
 * One connection to Redis on a loop: connects, authenticates, reconnects with backoff, and runs
 * commands in order. Replies are read with reply.h. */
#pragma once

#include "error.h"
#include "loop.h"
#include "span.h"

struct redis;
struct redisReply;

struct redis_place {
    char *host;
    uint16_t port;
};

/* The parts of redis://[user:pass@]host:port/db, rediss://..., unix:///path[?db=N],
 * redis+sentinel://[user:pass@]host:port,host:port.../master[/db], rediss+sentinel://..., and
 * redis+cluster://[user:pass@]host:port,host:port..., rediss+cluster://... Defaults: port 6379, of
 * a sentinel 26379; db 0. */
struct redis_address {
    /* NULL for a Unix socket, with Sentinel until a sentinel has named it, and with a Cluster until
     * a node is chosen. */
    char *host;
    char *unix_path;
    uint16_t port;
    uint32_t db;
    char *user, *password; /* NULL if not given */
    /* Where the password is, if the URL has none; NULL if not given. */
    char *password_file, *password_env;
    bool tls;
    uint32_t replicas; /* that must have a write before it counts: replicated.h; not from the URL */
    /* For TLS; NULL if not given. The certificate authorities (NULL: the system's), and the
     * certificate and key that we show. PEM files, read at each connect. */
    char *ca_file, *cert_file, *key_file;
    /* With Sentinel: the name of the master, and whom to ask which server that is, in this order.
     * The login is for sentinels that want one. NULL if not given. */
    char *master;
    struct redis_place *sentinels;
    uint32_t sentinels_count;
    char *sentinel_user, *sentinel_password_file, *sentinel_password_env;
    bool is_sentinel; /* this server is a sentinel: it has no databases */
    /* With a Cluster: the nodes that the URL names, whom to ask for the others. */
    bool cluster;
    struct redis_place *nodes;
    uint32_t nodes_count;
    /* With a Cluster: a key that a connection on a loop serves: it goes to the node that has the
     * key, and follows it. NULL: to any master. Not from the URL: whoever connects sets it in a
     * copy of the address. */
    const char *home;
};
#define REDIS_SENTINELS_MAX 32
#define REDIS_NODES_MAX 64
#define REDIS_SLOTS 16384 /* of a Cluster */

/* 0, or -EINVAL with a sentence that never contains the password. */
must_use int redis_address_parse(const char *url, struct redis_address *out, struct error *err);
/* Reads the password from its file or environment variable, and checks that the files of TLS can be
 * read. To be called on a copy before each connection, so that a changed password takes effect.
 * 0, or negative errno with a sentence that names the setting. */
must_use int redis_address_refresh(struct redis_address *a, struct error *err);
/* The address of the first of a's sentinels. */
void redis_address_first_sentinel(const struct redis_address *a, struct redis_address *out);
void redis_address_next_sentinel(struct redis_address *a); /* the first becomes the last */
/* The host and the port as a sentinel says them. False if they are invalid. Free out->host. */
must_use bool redis_place_parse(struct span host, struct span port, struct redis_place *out);
/* Host NULL: false. */
bool redis_place_is(const struct redis_place *p, const char *host, uint16_t port);
/* Takes the host and port of the server to connect to, which a sentinel or a node of a Cluster has
 * named. */
void redis_address_set_place(struct redis_address *a, const struct redis_place *at);
/* "host:port", the path of a socket, "master mymaster of 3 sentinels", or "a Cluster (host:port and
 * 2 other nodes)"; for messages. */
void redis_address_name(const struct redis_address *a, char *out, size_t room);
void redis_address_copy(const struct redis_address *from, struct redis_address *to);
void redis_address_deinit(struct redis_address *a); /* wipes the password */

typedef void redis_up_cb(void *ctx); /* connected, authenticated, db selected */
/* Called once per outage, and again if Redis can be reached but refuses us ("NOAUTH ..."), because
 * that is a different problem. */
typedef void redis_down_cb(void *ctx, const char *why);

/* `reply` is NULL if the connection was lost before the reply; whether the command took effect is
 * then unknown. The reply is valid only during the call. */
typedef void redis_reply_cb(void *ctx, struct redisReply *reply);

/* The address is copied. In a Cluster, commands whose keys have moved to another node are sent
 * there without being reported as failed, so their order may change: redis_follow.h. All keys of
 * one connection should have the hash tag of a->home. */
struct redis *redis_new(struct loop *l, const struct redis_address *a, redis_up_cb *up,
                        redis_down_cb *down, void *ctx);
bool redis_is_up(const struct redis *r);
/* For how long a reply has been pending without anything arriving; 0: none is pending. */
uint64_t redis_silent_ns(const struct redis *r);
/* Sets the timeout for replies; the default is REDIS_PATIENCE_MS. If a reply is pending and nothing
 * arrives for this time, the connection is closed. All pending commands fail then, because a single
 * command cannot be cancelled. */
#define REDIS_PATIENCE_MS 30000u
void redis_set_patience(struct redis *r, uint32_t ms);
/* The callback is called exactly once and never before this function has returned. If the
 * connection is down, it soon gets NULL. */
void redis_command(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb,
                   void *ctx);
/* The receiver of a reply that may be larger than memory. The bytes go to it as they arrive. */
struct redis_sink {
    char *(*room)(void *ctx, size_t *n); /* where to put the next bytes; *n is never 0 */
    int (*took)(void *ctx, size_t n);    /* got n bytes. 1: complete; 0: more; negative: invalid */
    const char *(*error)(void *ctx);     /* of a complete reply: the error message, or NULL */
    void (*done)(void *ctx, int err);    /* the last call: 0, or -ENOTCONN: connection lost */
};
/* Sends a command whose reply goes to `sink`. `block_ms` is how long the command may wait inside
 * Redis; it is added to the timeout. No other command may be pending on the connection until
 * `done`, which is called exactly once and never before this function has returned. */
void redis_stream(struct redis *r, uint32_t block_ms, size_t argc, const struct span *argv,
                  const struct redis_sink *sink, void *ctx);
/* Subscribes to a channel until the connection is lost. `cb` gets an empty text when the
 * subscription is active, then each message (valid during the call), and NULL once when the
 * connection is lost; subscribe again when it is up. The connection cannot be used for anything
 * else. */
typedef void redis_message_cb(void *ctx, const struct span *text);
void redis_subscribe(struct redis *r, struct span channel, redis_message_cb *cb, void *ctx);
/* All pending callbacks are called with NULL, then `closed`, which is never called before this
 * function has returned. */
void redis_close(struct redis *r, loop_cb *closed, void *ctx);
