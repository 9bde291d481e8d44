/* SPDX-License-Identifier: MIT
 * The HTTP endpoint: a thread with a loop of its own, the server, and its own pipelined connection
 * to Redis. What its visitors push is in Redis before they are told yes; with the dispatch loop it
 * shares nothing but messages. */
#pragma once

#include "buf.h"
#include "config.h"
#include "redis.h"

struct ingress;

/* What the dispatch loop tells of itself when it is asked; filled in on its own thread. */
struct vitals {
    bool stalled; /* work waits, nothing hinders it, and nothing moves */
    char why[200];
    bool troubled; /* Redis refuses what dispatch needs: alive, but not ready */
    char trouble[512];
    struct buf metrics; /* Prometheus text; only when wanted */
};
typedef void vitals_cb(void *ctx, struct vitals *v, bool metrics_wanted);

struct ingress_options {
    const struct config *config; /* shared: held while it is used */
    const struct redis_address *redis;
    struct loop *loop; /* the dispatch loop: where the calls below come */
    uint64_t files;    /* that this process may open */
    vitals_cb *vitals;
    void *ctx;
};

/* Listens and starts the thread. NULL with a sentence that begins with the setting. */
struct ingress *ingress_new(const struct ingress_options *o, char *err, size_t err_room);
const char *ingress_address(const struct ingress *in); /* where it listens */
/* New producers, hooks, services and certificates. A certificate that cannot be taken is said in
 * the log and the old one stays. */
void ingress_configure(struct ingress *in, const struct config *c);
/* Accepts nothing more, answers who is inside, then calls stopped on the dispatch loop. */
void ingress_stop(struct ingress *in, loop_cb *stopped, void *ctx);
void ingress_free(struct ingress *in); /* after it stopped */
