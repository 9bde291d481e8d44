/* SPDX-License-Identifier: MIT
 * `purgeline run`: one loop, the embedded Redis if configured, the senders, and a dispatch for
 * every account; signals, reload, shutdown. */
#pragma once

#include "base.h"

struct daemon_options {
    const char *config_path; /* NULL: only the defaults and the environment */
    const char *redis;       /* replaces the configured one; NULL: does not */
};

/* Runs until it is told to stop. Returns the exit code of the program. */
int daemon_run(const struct daemon_options *o);
