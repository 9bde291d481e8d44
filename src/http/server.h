/* SPDX-License-Identifier: MIT
 * The HTTP endpoint: a thread with its own loop, the server, and its own pipelined connection to
 * Redis. Jobs are stored in Redis before the client gets a success reply. The endpoint and the
 * dispatch loop share nothing except messages. */
#pragma once

#include "buf.h"
#include "config.h"
#include "job_view.h"
#include "redis.h"

struct http_server;
struct route_table;

/* The state of the dispatch loop, requested by the endpoint and filled in on the dispatch
 * thread. */
struct vitals {
    bool stalled; /* work is waiting and could be done, but there is no progress */
    char why[200];
    bool troubled; /* Redis refuses what dispatch needs: alive, but not ready */
    char trouble[512];
    char consumers[256]; /* which of them keeps ending; "": none. The rest works. */
    struct buf metrics;  /* Prometheus text; only if requested */
};
enum vitals_wanted { VITALS_HEALTH, VITALS_AND_METRICS };
typedef void vitals_cb(void *ctx, struct vitals *v, enum vitals_wanted wanted);
/* What this process knows of a job, if it leads; likewise. */
typedef void job_view_cb(void *ctx, const struct job_view_ask *ask, struct job_view *out);

struct http_server_options {
    const struct config *config; /* shared: held while it is used */
    const struct redis_address *redis;
    struct loop *loop;                /* the dispatch loop, on which the callbacks are called */
    uint64_t files;                   /* that this process may open */
    const struct route_table *routes; /* lent until http_server_free */
    vitals_cb *vitals;
    job_view_cb *job_view; /* NULL: this process leads no account */
    void *ctx;
};

/* Listens and starts the thread. NULL with a message that begins with the setting. */
struct http_server *http_server_new(const struct http_server_options *o, struct error *err);
const char *http_server_address(const struct http_server *in); /* where it listens */
/* Applies new producers, hooks, services and certificates. If a certificate is unusable, this is
 * logged and the old one stays in use. */
void http_server_configure(struct http_server *in, const struct config *c);
/* Accepts no more connections, finishes requests in progress, then calls stopped on the dispatch
 * loop. */
void http_server_stop(struct http_server *in, loop_cb *stopped, void *ctx);
void http_server_free(struct http_server *in); /* after it stopped */
