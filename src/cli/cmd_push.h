/* SPDX-License-Identifier: MIT
 * `purgeline push -`: pushes jobs from standard input until it ends, and acknowledges each line. */
#pragma once

#include "cmd_jobs.h"

/* Prints all results and errors. Returns the exit code. */
int cmd_push_stream(const struct cmd_common *common, const struct cmd_jobs *jobs, bool quiet);
