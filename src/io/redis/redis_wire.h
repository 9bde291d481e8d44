/* SPDX-License-Identifier: MIT
 * hiredis on a libuv loop. hiredis 0.14's own adapter drops socket errors, so a refused connection
 * never ends; this one passes every event on. */
#pragma once

#include "redis.h"

struct redisAsyncContext;

/* Starts watching ac's socket. ac->ev is this file's from now on; ends by itself when hiredis frees
 * ac. 0 or negative errno. */
must_use int redis_wire_attach(struct loop *l, struct redisAsyncContext *ac);

/* From now on `readable` is called instead of hiredis' reader when bytes may have arrived, or the
 * connection has ended; NULL: no longer. It may hand the connection back to hiredis' reader. */
void redis_wire_divert(struct redisAsyncContext *ac, loop_cb *readable, void *ctx);
