/* SPDX-License-Identifier: MIT
 * `purgeline push -`: jobs from standard input for ever, an acknowledgement for each. */
#pragma once

#include "cmd_jobs.h"

/* Returns the exit code, with everything printed. */
int cmd_push_stream(const struct cmd_common *common, const struct cmd_jobs *jobs, bool quiet);
