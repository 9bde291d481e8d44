/* SPDX-License-Identifier: MIT
 * A running purgeline ($PURGELINE_BIN), as an operator starts, watches and kills it. */
#pragma once

#include <sys/types.h>

#include "base.h"

struct instance {
    pid_t pid;             /* 0: not running */
    int code;              /* of its end: exit code, or minus the signal */
    char *log;             /* where its stderr goes */
    const char *log_level; /* NULL: without the option */
};

/* `config` NULL: none. `env`: "NAME=value" pairs for it alone, NULL-terminated; NULL for none. What
 * it says goes to the file `log`, after what is there. */
void instance_start(struct instance *i, const char *config, const char *const *env,
                    const char *log);
/* Anything else than `run`; waits for it. Returns the exit code; what it printed is in `log`. */
int instance_command(const char *const *args, const char *const *env, const char *log);

void instance_kill(struct instance *i); /* SIGKILL; returns when it is gone */
void instance_signal(struct instance *i, int signum);
/* Waits for its end and returns `code`; fails the test when it does not come. */
int instance_wait(struct instance *i, uint64_t patience_ms);
bool instance_has_ended(struct instance *i);
void instance_deinit(struct instance *i); /* kills it if it runs */

/* How often its log has the text. */
size_t instance_said(const struct instance *i, const char *text);
void instance_await_said(const struct instance *i, const char *text, size_t times);
/* What stood behind `name` ("address=") in the last line of its log that has the text; there must
 * be one. malloc'ed. */
char *instance_said_last(const struct instance *i, const char *text, const char *name);
void instance_show(const struct instance *i); /* the end of its log, on stderr */
