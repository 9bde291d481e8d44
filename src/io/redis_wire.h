/* SPDX-License-Identifier: MIT
 * hiredis on a libuv loop. hiredis 0.14's own adapter drops socket errors, so a refused connection
 * never ends; this one passes every event on. */
#pragma once

#include "redis.h"

struct redisAsyncContext;
struct redisContext;

/* Starts watching ac's socket. ac->ev is this file's from now on; ends by itself when hiredis frees
 * ac. 0 or negative errno. */
must_use int redis_wire_attach(struct loop *l, struct redisAsyncContext *ac);

/* Close-on-exec, keepalive and the ceiling for unacknowledged bytes: a peer that died without a
 * word is noticed within about 15 s, busy or idle. */
void redis_wire_tune(int fd, bool tcp);

/* TLS 1.2 or newer with the system's certificate authorities; the peer must prove to be `host`. To
 * be called before the first byte. 0, or -EPROTO with a sentence. */
must_use int redis_wire_secure(struct redisContext *c, const char *host, char *err,
                               size_t err_room);
