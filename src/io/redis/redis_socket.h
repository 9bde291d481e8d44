/* SPDX-License-Identifier: MIT
 * Socket options and TLS for every connection to Redis, with or without a loop. Does not use libuv,
 * so that producers do not need it. */
#pragma once

#include "base.h"

struct redisContext;

/* Close-on-exec, keepalive and the ceiling for unacknowledged bytes: a peer that died without a
 * word is noticed within about 15 s, busy or idle. */
/* hiredis writes with write(2): the death of a peer would kill the process. */
void redis_socket_ignore_sigpipe(void);
void redis_socket_tune(int fd, bool tcp);

struct ssl_st; /* OpenSSL's SSL */

/* hiredis writes with write(2): the death of a peer would kill the process. Leaves a handler alone.
 */
void redis_socket_ignore_sigpipe(void);

/* TLS 1.2 or newer with the system's certificate authorities; the peer must prove to be `host`. To
 * be called before the first byte. 0, or -EPROTO with a sentence. *session: to be asked why the
 * handshake failed; redis_socket_forget it. */
must_use int redis_socket_secure(struct redisContext *c, const char *host, struct ssl_st **session,
                                 char *err, size_t err_room);
void redis_socket_forget(struct ssl_st *session); /* NULL is fine */

/* hiredis says "Success" of a connection that failed in the TLS handshake: then what OpenSSL says
 * of it; else `said` as it is. `session` may be NULL. */
void redis_socket_words(struct ssl_st *session, const char *said, char *out, size_t room);

/* Whether these are words of Redis: a code in capitals, then a sentence. */
bool redis_says(const char *why);
