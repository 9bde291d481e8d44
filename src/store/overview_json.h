/* SPDX-License-Identifier: MIT
 * How an account stands, for programs: the same to the command line and over HTTP. */
#pragma once

#include "overview.h"

struct json_t;

struct json_t *overview_json(const struct config_account *a, const struct overview *o);
