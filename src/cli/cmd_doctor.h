/* SPDX-License-Identifier: MIT
 * The two parts of `doctor`: cmd_doctor.c looks at the page, cmd_doctor_purge.c purges it. */
#pragma once

#include "buf.h"
#include "cmd.h"

enum doctor_purge { DOCTOR_LEAVE, DOCTOR_HARD, DOCTOR_SOFT };

/* Pushes a purge of the URL to the account's queue and waits until it has ended. CMD_OK: *refusal
 * is empty if it was purged, and otherwise says why not. Another exit code: after printing an
 * error. */
must_use int cmd_doctor_purge(const struct cmd_common *common, const char *url,
                              enum doctor_purge how, uint64_t wait_ms, struct buf *refusal);
