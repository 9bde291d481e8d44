/* SPDX-License-Identifier: MIT
 * A dead letter, for programs: the same to the command line and over HTTP. */
#pragma once

#include "deadletter.h"

struct json_t;

struct json_t *deadletter_json(const struct deadletter *l);
