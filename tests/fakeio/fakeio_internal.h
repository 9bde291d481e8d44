/* SPDX-License-Identifier: MIT
 * What the two kinds of connections to the fake Redis share. */
#pragma once

#include "fakeio.h"

struct redisReply;

struct fakeredis *fakeio_server(void); /* NULL: away */

/* Carries a command out, with the fault that waits for it. False: the connection is lost. */
bool fakeio_run(struct fakeredis_session *s, size_t argc, const struct span *argv, struct buf *out);
/* hiredis' form of an answer, for freeReplyObject. */
struct redisReply *fakeio_reply(const struct buf *answer);
/* An error that makes io give the connection up (redis_note_refusal in redis.c). */
bool fakeio_is_unfit(const char *refusal);
