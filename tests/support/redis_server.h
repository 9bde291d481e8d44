/* SPDX-License-Identifier: MIT
 * A real redis-server in a temporary folder, on loopback and on a Unix socket. It evicts nothing,
 * and stores each change in its append-only file before it answers (appendfsync always). It ends
 * with the test. Any error in these functions fails the test. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct redis_server;
struct redisReply;

/* `option` and `value` are an additional pair of arguments ("--maxmemory", "10mb"); NULL for none.
 */
struct redis_server *redis_server_start(const char *option, const char *value);
void redis_server_kill(struct redis_server *s);    /* SIGKILL; keeps the folder */
void redis_server_restart(struct redis_server *s); /* after a kill: same folder and port */
void redis_server_stop(struct redis_server *s);    /* also removes the folder; NULL is fine */

const char *redis_server_url(const struct redis_server *s);      /* redis://127.0.0.1:port */
const char *redis_server_unix_url(const struct redis_server *s); /* unix:///... */
unsigned redis_server_port(const struct redis_server *s);
pid_t redis_server_pid(const struct redis_server *s); /* 0: not running */
const char *redis_server_folder(const struct redis_server *s);
void redis_server_login(struct redis_server *s, const char *password); /* for later commands */

/* Runs a command in hiredis' format. An error fails the test, except with _try. */
struct redisReply *redis_server_try(struct redis_server *s, const char *fmt, ...);
void redis_server_do(struct redis_server *s, const char *fmt, ...);
long long redis_server_int(struct redis_server *s, const char *fmt, ...);
/* A string reply, or "" for nil. The caller frees it. */
char *redis_server_str(struct redis_server *s, const char *fmt, ...);
/* Fails the test unless the first values of the stream, without duplicates, are 1 to `count`. */
void redis_server_assert_counts(struct redis_server *s, const char *stream, int count);
