/* SPDX-License-Identifier: MIT
 * A purgeline process ($PURGELINE_BIN), which tests start, watch and kill. */
#pragma once

#include <sys/types.h>

#include "base.h"

struct instance {
    pid_t pid;             /* 0: not running */
    int code;              /* exit code, or the negative signal number */
    char *log;             /* the file with its stderr */
    const char *log_level; /* NULL: no --log-level */
};

/* `config` NULL: no --config. `env`: additional "NAME=value" pairs, NULL-terminated; NULL for none.
 * Its output is appended to the file `log`. */
void instance_start(struct instance *i, const char *config, const char *const *env,
                    const char *log);
/* Runs another command than `run` and waits for it. Returns the exit code; the output is in `log`.
 */
int instance_command(const char *const *args, const char *const *env, const char *log);

void instance_kill(struct instance *i); /* SIGKILL; returns when it has ended */
void instance_signal(struct instance *i, int signum);
/* Waits until it ends, and returns `code`. Fails the test at the deadline. */
int instance_wait(struct instance *i, uint64_t patience_ms);
bool instance_has_ended(struct instance *i);
void instance_deinit(struct instance *i); /* kills it if it is running */

/* How many times its log contains the text. */
size_t instance_said(const struct instance *i, const char *text);
void instance_await_said(const struct instance *i, const char *text, size_t times);
/* The value after `name` ("address=") in the last log line that contains the text. Fails if there
 * is none. Allocated with malloc. */
char *instance_said_last(const struct instance *i, const char *text, const char *name);
void instance_show(const struct instance *i); /* prints the end of its log to stderr */
