/* SPDX-License-Identifier: MIT
 * A child process that ends together with this process, and a lock file against a second
 * instance. */
#pragma once

#include "loop.h"

struct child;

typedef void child_exit_cb(void *ctx, int exit_status, int term_signal);

/* argv[0] is looked up in PATH. The child gets SIGTERM when this process dies for any reason, and
 * inherits keep_fd (-1: none). Of the environment it gets what is harmless, and the variables that
 * begin with one of `env`, up to a NULL; NULL: none. Returns NULL, with errno in *err, if it cannot
 * be started. */
struct child *child_start(struct loop *l, const char *const argv[], int keep_fd,
                          const char *const env[], child_exit_cb *exited, void *ctx, int *err);
void child_signal(struct child *c, int signum);
void child_close(struct child *c); /* after it has exited, or to stop watching it; NULL is fine */

/* Whether a program of this name is in PATH and we may execute it. */
bool child_in_path(const char *program);

/* Takes an exclusive lock on the file (created with mode 0600 if missing). The lock is held until
 * every process that inherited the descriptor has closed it. Returns the descriptor, -EWOULDBLOCK
 * if another process holds the lock, or another negative errno. */
must_use int child_lock(const char *path);

/* Whether a process accepts connections on this Unix socket. */
bool child_socket_answers(const char *path);
