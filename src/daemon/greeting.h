/* SPDX-License-Identifier: MIT
 * What the log says when the daemon starts: version, accounts, files that should be private. */
#pragma once

#include "config.h"
#include "redis.h"

void greeting(const struct config *c, const struct redis_address *redis);
