/* SPDX-License-Identifier: MIT
 * Used by both kinds of connections to the fake Redis. */
#pragma once

#include "fakeio.h"

struct redisReply;

struct fakeredis *fakeio_server(void); /* NULL: it is down */

/* Executes a command, with a fault if one was requested for it. Returns false if the connection is
 * lost. */
bool fakeio_run(struct fakeredis_session *s, size_t argc, const struct span *argv, struct buf *out);
/* The name of the script that a command calls; "": it calls none. EVALSHA is known when
 * fakeio_learn was told of the SCRIPT LOAD before it. */
const char *fakeio_script(size_t argc, const struct span *argv);
void fakeio_learn(size_t argc, const struct span *argv, const struct buf *answer);
/* Converts a reply to hiredis' struct, which freeReplyObject frees. */
struct redisReply *fakeio_reply(const struct buf *answer);
/* Whether io gives up the connection after this error (see redis_note_refusal in redis.c). */
bool fakeio_is_unfit(const char *refusal);
