/* SPDX-License-Identifier: MIT
 * Checks the sentinels of a Redis: how many answer, and which server they name. */
#pragma once

#include "check.h"
#include "redis.h"

void check_sentinels(const struct redis_address *a, check_cb *cb, void *ctx);
