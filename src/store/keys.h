/* SPDX-License-Identifier: MIT
 * Builds the names of an account's keys in Redis, for the commands. */
#pragma once

#include "config.h"

/* "purgeline:{<account>}:<what>", malloc'ed. */
char *redis_key(const char *account, const char *what);
char *redis_key_lane(const char *account, enum lane lane);
