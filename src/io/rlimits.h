/* SPDX-License-Identifier: MIT
 * Whether the limits of this process leave room for what a configuration needs at least: loops and
 * threads cannot be made halfway. Asked before it starts, so that the answer is a sentence. */
#pragma once

#include "config.h"
#include "loop.h"

uint32_t rlimits_senders(const struct config *c); /* threads that talk to Fastly */
/* 0, or negative errno with a sentence. `files`: that may be open. */
must_use int rlimits_suffice(const struct config *c, uint64_t files, char *err, size_t err_room);
/* Starts the threads for look-ups and for chores, which libuv would start when they are first
 * needed, and abort when it cannot. */
void rlimits_take_threads(struct loop *l);
/* Whether the HTTP endpoint can be started now. 0, or negative errno with a sentence. */
must_use int rlimits_allow_http(char *err, size_t err_room);
