/* SPDX-License-Identifier: MIT
 * The JSON form of an account's state, the same on the command line and over HTTP. */
#pragma once

#include "overview.h"

struct json_t;

struct json_t *overview_json(const struct config_account *a, const struct overview *o);
