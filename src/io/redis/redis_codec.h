/* SPDX-License-Identifier: MIT
 * Encodes commands and decodes replies without allocations, for connections with hundreds of
 * thousands of jobs per second. hiredis makes a dozen small allocations per job. */
#pragma once

#include "span.h"

#define REDIS_KEPT_BYTES ((size_t)256 * 1024) /* a buffer that grew beyond that is given back */

struct redis_text { /* grown; all zero at first */
    char *p;
    size_t room;
};

/* The command as it goes over the wire, at t->p; returns its length. A NUL follows: hiredis looks
 * with strchr(3) for what is subscribed to.
 * https://redis.io/docs/latest/develop/reference/protocol-spec/ */
size_t redis_format(struct redis_text *t, size_t argc, const struct span *argv);
/* Gives back what only one large command needed. */
void redis_text_trim(struct redis_text *t);

/* A part of a reply that has begun to come. */
struct redis_part {
    int type;         /* hiredis' REDIS_REPLY_... */
    unsigned level;   /* 0: the reply itself, 1: what it holds ... */
    size_t index;     /* in what holds it */
    size_t count;     /* of an array: what it will hold */
    struct span text; /* of a string, an error or a status */
};
typedef bool redis_part_cb(void *ctx, const struct redis_part *p); /* false: it is not taken */

struct redisReader;
struct redis_replies; /* memory for one reply at a time, which is all a connection hands out */

struct redis_replies *redis_replies_new(void);
void redis_replies_free(struct redis_replies *m); /* after its reader; NULL is fine */
/* From now on the reader's replies lie here; hiredis gives each back before it begins the next. */
void redis_replies_serve(struct redis_replies *m, struct redisReader *reader);
/* `cb` is asked about each part; one that it does not take ends the reading as an error. */
void redis_replies_judge(struct redis_replies *m, redis_part_cb *cb, void *ctx);
