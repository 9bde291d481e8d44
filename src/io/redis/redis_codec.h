/* SPDX-License-Identifier: MIT
 * Encodes commands and decodes replies without allocations, for connections with hundreds of
 * thousands of jobs per second. hiredis makes a dozen small allocations per job. */
#pragma once

#include "span.h"

#define REDIS_KEPT_BYTES ((size_t)256 * 1024) /* larger buffers are freed after use */

struct redis_text { /* grows; must be zeroed at first */
    char *p;
    size_t room;
};

/* Writes the command in wire format to t->p and returns its length. A NUL follows, because hiredis
 * searches the command for channel names with strchr(3).
 * https://redis.io/docs/latest/develop/reference/protocol-spec/ */
size_t redis_format(struct redis_text *t, size_t argc, const struct span *argv);
/* Frees the buffer if a large command has made it grow. */
void redis_text_trim(struct redis_text *t);

/* A part of a reply that is being received. */
struct redis_part {
    int type;         /* hiredis' REDIS_REPLY_... */
    unsigned level;   /* 0: the reply itself, 1: its elements ... */
    size_t index;     /* index in its array */
    size_t count;     /* for an array: its number of elements */
    struct span text; /* for a string, an error or a status */
};
typedef bool redis_part_cb(void *ctx, const struct redis_part *p); /* false: refused */

struct redisReader;
struct redis_replies; /* memory for one reply, because a connection has only one at a time */

struct redis_replies *redis_replies_new(void);
void redis_replies_free(struct redis_replies *m); /* after its reader; NULL is fine */
/* Makes the reader use this memory for its replies. hiredis frees each reply before it starts the
 * next. */
void redis_replies_serve(struct redis_replies *m, struct redisReader *reader);
/* Calls `cb` for each part. If it refuses one, reading ends with an error. */
void redis_replies_judge(struct redis_replies *m, redis_part_cb *cb, void *ctx);
