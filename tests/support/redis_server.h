/* SPDX-License-Identifier: MIT
 * A real redis-server of our own, in a temporary folder, on loopback and a Unix socket; nothing
 * evicted, and what it said yes to is in its append-only file (appendfsync always). It dies with
 * the test. Whatever goes wrong in here fails the test. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct redis_server;
struct redisReply;

/* `option`, when not NULL, is one more pair for the command line ("--maxmemory", "10mb"). */
struct redis_server *redis_server_start(const char *option, const char *value);
void redis_server_kill(struct redis_server *s);    /* SIGKILL; the folder stays */
void redis_server_restart(struct redis_server *s); /* after a kill: same folder, same port */
void redis_server_stop(struct redis_server *s);    /* and remove everything; NULL is fine */

const char *redis_server_url(const struct redis_server *s);      /* redis://127.0.0.1:port */
const char *redis_server_unix_url(const struct redis_server *s); /* unix:///... */
unsigned redis_server_port(const struct redis_server *s);
pid_t redis_server_pid(const struct redis_server *s); /* 0: it was killed */
const char *redis_server_folder(const struct redis_server *s);
void redis_server_login(struct redis_server *s, const char *password); /* of what follows */

/* One command, hiredis' format, answered before it returns. Errors fail the test but for _try. */
struct redisReply *redis_server_try(struct redis_server *s, const char *fmt, ...);
void redis_server_do(struct redis_server *s, const char *fmt, ...);
long long redis_server_int(struct redis_server *s, const char *fmt, ...);
/* A string reply; "" when nil. The caller frees it. */
char *redis_server_str(struct redis_server *s, const char *fmt, ...);
/* Fails the test unless the stream's first values, without what came twice, are 1 to `count`. */
void redis_server_assert_counts(struct redis_server *s, const char *stream, int count);
/* A port nobody listens on. */
unsigned redis_server_free_port(void);
