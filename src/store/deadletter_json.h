/* SPDX-License-Identifier: MIT
 * The JSON form of a dead letter, the same on the command line and over HTTP. */
#pragma once

#include "deadletter.h"

struct json_t;

struct json_t *deadletter_json(const struct deadletter *l);
