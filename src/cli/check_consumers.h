/* SPDX-License-Identifier: MIT
 * Checks that the sources of the consumers can be connected to. */
#pragma once

#include "check.h"

/* Of all consumers, or only of those of the named account. Connects to each source as the consumer
 * does, which creates the group of a redis-stream, and reads no message. */
void check_consumers(const struct config *c, const char *account, check_cb *cb, void *ctx);
