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

/* Holds across restarts, until it is set again; possible when Redis is out of memory, too. `by`
 * names who wants it, for whoever finds the account paused. 0 or negative errno, see client_error.
 */
must_use int control_set(struct client *c, const char *account, enum control_state state,
                         const char *why, const char *by);

/* How far a pause has come. */
enum control_held {
    CONTROL_HELD,    /* nothing is sent any more, and nothing is on the wire */
    CONTROL_NOBODY,  /* nobody leads the account: nothing is sent anyway */
    CONTROL_SENDING, /* the leader has not said so in time */
};

/* After a pause was set: waits until the leader says that it holds, at most wait_ms. *in_flight:
 * requests on the wire when it was last heard of. 0 or negative errno, see client_error. */
must_use int control_await_held(struct client *c, const char *account, uint32_t wait_ms,
                                enum control_held *held, uint64_t *in_flight);

/* What was set, for programs; NULL when `why` is no UTF-8. */
struct json_t *control_json(const char *account, enum control_state state, const char *why);
