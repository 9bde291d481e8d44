/* SPDX-License-Identifier: MIT
 * Socket options and TLS for every connection to Redis, with or without a loop. Does not use libuv,
 * so that producers do not need it. */
#pragma once

#include "error.h"

struct redisContext;

/* Ignores SIGPIPE, because hiredis uses write(2) and a closed connection would kill the process.
 * Does not replace an existing signal handler. */
void redis_socket_ignore_sigpipe(void);
/* Sets close-on-exec, keepalive and the time limit for unacknowledged bytes, so that a dead peer is
 * detected within about 15 s, whether the connection is busy or idle. */
void redis_socket_tune(int fd, bool tcp);

struct ssl_st; /* OpenSSL's SSL */

/* TLS 1.2 or newer with the system's certificate authorities; the server's certificate must be for
 * `host`. Must be called before the first byte. 0, or -EPROTO with a sentence. *session is for
 * redis_socket_words, if the handshake fails; release it with redis_socket_forget. */
must_use int redis_socket_secure(struct redisContext *c, const char *host, struct ssl_st **session,
                                 struct error *err);
void redis_socket_forget(struct ssl_st *session); /* NULL is fine */

/* The error message of a connection. If the certificate was refused, it says why; whether hiredis
 * noticed that while connecting or later makes no difference. If hiredis says "Success" because
 * the TLS handshake failed, this gives OpenSSL's message, otherwise `said` unchanged. `session` may
 * be NULL. */
void redis_socket_words(struct ssl_st *session, const char *said, struct error *out);
