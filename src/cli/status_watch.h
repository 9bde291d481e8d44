/* SPDX-License-Identifier: MIT
 * purgeline status --watch: a line a second, until somebody ends it. */
#pragma once

#include "config.h"

/* `only`: the name of an account, or NULL for all together. Ends with ^C, or when nobody reads
 * stdout any more. Returns an exit code. */
int status_watch(const struct config *config, const char *only);
