/* SPDX-License-Identifier: MIT
 * Counts the jobs that wait in the lanes of an account. */
#pragma once

#include "client.h"

/* 0, or negative errno, see client_error. */
must_use int backlog_count(struct client *c, const char *account, uint64_t *jobs);
