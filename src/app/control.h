/* SPDX-License-Identifier: MIT
 * The switch by which people stop and start the dispatch of an account, from wherever they do it.
 */
#pragma once

#include "client.h"
#include "config.h"

struct json_t;

enum control_state { CONTROL_GOES_ON, CONTROL_PAUSED };

/* What is longer is no reason but a story. */
#define CONTROL_WHY_MAX_BYTES 149

/* It becomes part of a line: control characters become blanks. */
void control_clean(char *why);

/* Holds across restarts, until it is set again. `by` names who wants it, for whoever finds the
 * account paused. 0 or negative errno, see client_error. */
must_use int control_set(struct client *c, const char *account, enum control_state state,
                         const char *why, const char *by);

/* What was set, for programs; NULL when `why` is no UTF-8. */
struct json_t *control_json(const char *account, enum control_state state, const char *why);
