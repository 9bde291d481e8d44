/* SPDX-License-Identifier: MIT
 * Pauses and resumes the dispatch of an account, for whoever asks for it and wherever. */
#pragma once

#include "act.h"

struct json_t;

enum control_state { CONTROL_GOES_ON, CONTROL_PAUSED };

/* The longest reason for a pause. */
#define CONTROL_WHY_MAX_BYTES 149

/* Replaces control characters with blanks, because the reason becomes part of a line. */
void control_clean(char *why);

/* Pauses or resumes the dispatch of an account, and notes that in its history. The state holds
 * across restarts until it is set again, and can be set even when Redis is out of memory. It says
 * who asked for it, for people who find the account paused. Returns 0 or negative errno, see
 * client_error. */
must_use int control_set(struct client *c, const struct actor *who, enum control_state state,
                         const char *why);

/* Tells whether the dispatch of an account is paused. Returns 0 or negative errno, see
 * client_error. */
must_use int control_get(struct client *c, const char *account, enum control_state *out);

/* For an answer "done" that needs no write because an earlier one, perhaps on another connection,
 * has done it: waits until enough replicas have everything so far, if the address asks for
 * replicas. Since Redis 8, WAIT counts from the last write of its own connection, so this writes a
 * field that nobody reads. 0, CLIENT_FEW or another negative errno, see client_error. */
must_use int control_confirm(struct client *c, const char *account);

/* How far a pause has taken effect. */
enum control_held {
    CONTROL_HELD,    /* nothing is sent any more, and no request is on the wire */
    CONTROL_NOBODY,  /* no instance leads the account, so nothing is sent anyway */
    CONTROL_SENDING, /* the leader has not confirmed the pause in time */
};

/* Waits at most wait_ms until the leader confirms a pause that was set before. *in_flight: requests
 * on the wire by the leader's last report. Returns 0 or negative errno, see client_error. */
must_use int control_await_held(struct client *c, const char *account, uint32_t wait_ms,
                                enum control_held *held, uint64_t *in_flight);

/* The state that was set, as JSON; NULL if `why` is not UTF-8. */
struct json_t *control_json(const char *account, enum control_state state, const char *why);
