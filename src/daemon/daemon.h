/* SPDX-License-Identifier: MIT
 * `purgeline run`: one loop, the embedded Redis if there is one, the senders, and a dispatch for
 * every account; signals, reload, shutdown. */
#pragma once

#include "base.h"

struct daemon_options {
    const char *config_path; /* NULL: none, the defaults and the environment */
    const char *redis;       /* instead of the configured one; NULL: none */
};

/* Runs until it is told to stop. The exit code of the program. */
int daemon_run(const struct daemon_options *o);
