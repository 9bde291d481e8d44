/* SPDX-License-Identifier: MIT
 * Which commands only read. Everything else may be what somebody is told "done" for, and with
 * redis_replicas that must wait until enough replicas have it: replicated.h, client_ask. A command
 * that is not known here counts as a write, so a new one cannot be forgotten. */
#pragma once

#include <stdbool.h>

#include "span.h"

/* A script that begins with this line is a question: nobody is told "done" because of what it may
 * write. */
#define REDIS_QUESTION "-- a question\n"

bool redis_only_reads(size_t argc, const struct span *argv);
