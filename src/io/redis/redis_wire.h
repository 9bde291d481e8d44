/* SPDX-License-Identifier: MIT
 * Runs hiredis on a libuv loop. The adapter of hiredis 0.14 drops socket errors, so that a refused
 * connection never ends; this one passes every event on. */
#pragma once

#include "redis.h"

struct redisAsyncContext;

/* Starts watching ac's socket. ac->ev belongs to this file from now on. Stops by itself when
 * hiredis frees ac. 0 or negative errno. */
must_use int redis_wire_attach(struct loop *l, struct redisAsyncContext *ac);

/* Makes `readable` be called instead of hiredis' reader when bytes may have arrived or the
 * connection has ended. NULL restores hiredis' reader, which `readable` itself may do. */
void redis_wire_divert(struct redisAsyncContext *ac, loop_cb *readable, void *ctx);
