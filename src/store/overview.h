/* SPDX-License-Identifier: MIT
 * How an account stands, read from its keys in Redis. */
#pragma once

#include "budget.h"
#include "client.h"
#include "config.h"

struct overview_lane {
    uint64_t jobs;      /* in the stream */
    uint64_t in_hand;   /* of these, read by the leader, as it last said */
    uint64_t oldest_ms; /* age of the oldest; 0 when there is none */
};

struct overview_budget {
    bool counted; /* the account has such a ledger */
    bool known;   /* it was ever written to */
    uint64_t units, spent, open, headroom;
    uint64_t left;
};

struct overview {
    struct overview_lane lanes[LANE_N];
    uint64_t later, dead;
    uint64_t later_next_ms; /* until the next of them is due; 0 when none waits */
    char *leader;           /* NULL: nobody dispatches */
    bool paused;
    char *paused_why, *paused_by; /* "" when not said */
    uint64_t paused_ms;           /* for how long */
    struct overview_budget budget[LEDGER_N];
    char *stalled; /* why the leader cannot work, as it said; NULL: it does not say so */
    char *status;  /* what the leader last said of itself, JSON; NULL: nothing lately */
};

/* 0 or negative errno, see client_error. Release with overview_deinit. */
must_use int overview_read(struct client *c, const struct config_account *a, struct overview *out);
void overview_deinit(struct overview *o);
/* What of the leader's status belongs to the lanes. */
void overview_take_status(struct overview *o, struct span status);

/* Whether somebody has to do something: nobody leads, the leader is stalled, or the account is
 * paused. */
bool overview_needs_help(const struct overview *o);

/* Only this: the settings whose new values wait for a restart of the leader, in its own words; free
 * it. NULL: none, or nobody says so. */
char *overview_ask_needs_restart(struct client *c, const char *account);
