/* SPDX-License-Identifier: MIT
 * Builds the names of an account's keys in Redis, for the commands. */
#pragma once

#include "config.h"

/* "purgeline:{<account>}:<what>", malloc'ed. */
char *rediskey(const char *account, const char *what);
char *rediskey_lane(const char *account, enum lane lane);
