/* SPDX-License-Identifier: MIT
 * Follows a Cluster that moves keys from node to node while commands are under way.
 *
 * A command that is answered with MOVED, ASK or TRYAGAIN was not carried out. It is held, and with
 * it all commands that come later, until every command on the connection is answered. Then:
 *
 *   MOVED     the connection is made anew, to the node that was named; the held commands are sent
 *             there
 *   ASK       the held commands are sent to the node that was named, on a second connection, each
 *             after ASKING; not if replicas must confirm them, then it is like TRYAGAIN
 *   TRYAGAIN  after a pause, the held commands are sent again
 *
 * Of the commands that were sent behind a held one before its answer came, those with keys may have
 * been carried out already; their replies are handed out at once. A transaction is held and sent
 * again as a whole; its replies are handed out together.
 *
 * WAIT never speaks for too much: it is held behind every command that is held, and if commands
 * were carried out on a node that the connection has left, without a WAIT after them, the next WAIT
 * is answered with an error. */
#pragma once

#include "list.h"
#include "redis_redirect.h"

struct redis;
struct redis_call;
struct redis_nodes;

struct redis_follow {
    struct redis_nodes *nodes; /* NULL: not a Cluster, and nothing below is used */
    bool on;                   /* commands are held */
    bool hop;                  /* the connection ends because another node was named */
    uint32_t hops;             /* since the last command that was carried out */
    uint32_t round;            /* nodes that could not be used, one after the other */
    uint64_t round_ns;         /* since when */
    char why[512];             /* what one of them has said; or "" */
    struct list held;          /* redirected, in the order of sending */
    struct list behind;        /* given to us while `on` */
    struct list inside;        /* of a transaction: answered, but its EXEC is not */
    bool inside_redirected;
    bool sending_inside; /* MULTI was sent, EXEC was not */
    bool uncovered;      /* a command was carried out since the last WAIT */
    bool stale;          /* on a node that we have left */
    struct redis_course course;
    struct redis *guest; /* the second connection; or NULL */
    bool guest_up;
    uint32_t guests;   /* not closed yet */
    uint32_t visiting; /* commands on the second connection */
};

void redis_follow_init(struct redis *r);
/* Frees what does not belong to a connection. Only when `guests` is 0. */
void redis_follow_deinit(struct redis *r);
/* To be called in a Cluster for each command before it is sent. True: it is held, and not to be
 * sent. */
bool redis_follow_sends(struct redis *r, struct redis_call *c, size_t argc,
                        const struct span *argv);
/* To be called in a Cluster for each reply. True: it was a redirect, and the call is taken; or its
 * reply is kept for later. */
bool redis_follow_took(struct redis *r, struct redis_call *c, struct redisReply *reply);
/* The same for a reply to redis_stream whose error is known. */
bool redis_follow_took_stream(struct redis *r, const char *words);
/* Does the next step, if commands are held and none is under way. */
void redis_follow_go(struct redis *r);
/* When the pause is over, or the connection to another node is up. Sends what is held. */
void redis_follow_resume(struct redis *r);
/* The connection is lost, and not because of a hop: everything held goes to `failed`. */
void redis_follow_fail(struct redis *r, struct list *failed);
/* Closes the second connection; its commands fail. */
void redis_follow_drop_guest(struct redis *r);
/* To be called when an attempt has failed. True: another node should be tried at once, and nobody
 * told yet. */
bool redis_follow_tries_next(struct redis *r);
/* An answer to a command of the greeting: if it is MOVED, goes to the node that it names. */
void redis_follow_probe(struct redis *r, const struct redisReply *reply);
