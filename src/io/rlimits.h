/* SPDX-License-Identifier: MIT
 * Checks before the start whether the limits of this process allow the files and threads that the
 * configuration needs, so that a clear message is given instead of a failure later. */
#pragma once

#include "config.h"
#include "loop.h"

uint32_t rlimits_senders(const struct config *c); /* number of sender threads */
/* 0, or negative errno with a sentence. `connections`: to Redis, without those of the endpoint;
 * `files`: how many may be open. */
must_use int rlimits_suffice(const struct config *c, uint32_t connections, uint64_t files,
                             struct error *err);
/* Starts libuv's thread pool, for name lookups and blocking work. libuv would otherwise start it on
 * first use, and abort if it cannot. */
void rlimits_take_threads(struct loop *l);
/* Whether the HTTP endpoint can be started now. 0, or negative errno with a sentence. */
must_use int rlimits_allow_http(struct error *err);
