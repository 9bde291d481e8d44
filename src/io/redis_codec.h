/* SPDX-License-Identifier: MIT
 * Commands to bytes and replies to memory for a connection that carries jobs by the hundred
 * thousand: hiredis takes a dozen small allocations for each job, this none. */
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

struct redisReader;
struct redis_replies; /* memory for one reply at a time, which is all a connection hands out */

struct redis_replies *redis_replies_new(void);
void redis_replies_free(struct redis_replies *m); /* after its reader; NULL is fine */
/* From now on the reader's replies lie here; hiredis gives each back before it begins the next. */
void redis_replies_serve(struct redis_replies *m, struct redisReader *reader);
