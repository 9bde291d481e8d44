/* SPDX-License-Identifier: MIT
 * Purges the canary pages once by key and by URL, through the accounts' queues, and looks at them.
 */
#pragma once

#include "check.h"
#include "cmd.h"

/* The canaries of all accounts, or of the one that --account names. CMD_OK, CMD_FAILED, or another
 * exit code after printing an error. */
must_use int check_canaries(const struct cmd_common *common, const struct config *c, check_cb *cb,
                            void *ctx);
