/* SPDX-License-Identifier: MIT
 * Used by both kinds of connections to the fake Redis. */
#pragma once

#include "fakeio.h"

struct redisReply;

struct fakeredis *fakeio_server(void); /* NULL: it is down */

/* Executes a command, with a fault if one was requested for it. Returns false if the connection is
 * lost. */
bool fakeio_run(struct fakeredis_session *s, size_t argc, const struct span *argv, struct buf *out);
/* Converts a reply to hiredis' struct, which freeReplyObject frees. */
struct redisReply *fakeio_reply(const struct buf *answer);
/* Whether io gives up the connection after this error (see redis_note_refusal in redis.c). */
bool fakeio_is_unfit(const char *refusal);
