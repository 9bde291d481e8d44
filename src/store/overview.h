/* SPDX-License-Identifier: MIT
 * The state of an account, read from its keys in Redis. */
#pragma once

#include "budget.h"
#include "client.h"
#include "config.h"
#include "consumer_state.h"
#include "history_reach.h"
#include "read_ledger.h"

struct overview_lane {
    uint64_t jobs;      /* in the stream */
    uint64_t in_hand;   /* of these, read by the leader, by its last report */
    uint64_t oldest_ms; /* age of the oldest; 0 if there is none */
};

struct overview_budget {
    bool counted; /* the account has this ledger */
    bool known;   /* it has been written before */
    bool unread;  /* what was spent was not read, and the leader does not say what is left */
    uint64_t units, spent, open, headroom;
    uint64_t left;
};

struct overview {
    struct overview_lane lanes[LANE_N];
    /* Redis' words, if it refuses to read this account: a key of it holds something else, or the
     * user may not read it. All else is then unknown, and 0. NULL: it was read. */
    char *unreadable;
    uint64_t later, dead;
    uint64_t later_next_ms; /* until the next postponed job is due; 0 if there is none */
    char *leader;           /* NULL: no instance leads */
    bool paused;
    char *paused_why, *paused_by; /* "" if not given */
    uint64_t paused_ms;           /* how long it has been paused */
    struct overview_budget budget[LEDGER_N];
    char *stalled; /* why the leader cannot work, by its report; NULL: not reported */
    char *status;  /* the leader's last report, JSON; NULL: no recent one */
    /* Names of the instances that announced themselves in the last seconds. */
    struct config_words instances;
    struct consumer_states consumers;
    struct read_use reads[READ_N];
    struct history_reach history;
};

/* Returns 0 or negative errno, see client_error. Release the result with overview_deinit. */
must_use int overview_read(struct client *c, const struct config_account *a, struct overview *out);
/* The same for those who show many accounts: one that cannot be read is no error, but has the
 * reason in `unreadable`. */
must_use int overview_read_any(struct client *c, const struct config_account *a,
                               struct overview *out);
/* Whether Redis refuses this account with these words, and not everything. */
bool overview_is_unreadable(const char *words);
void overview_deinit(struct overview *o);
/* Takes what belongs to the lanes from the leader's status. */
void overview_take_status(struct overview *o, struct span status);
/* Takes from o->status why the leader cannot work. `endless`: its lease never expires. */
void overview_take_stalled(struct overview *o, bool endless);
/* Takes the reply to ZRANGE with scores. How the announcements are written is explained in
 * scripts/lead.lua. An instance that also has an old announcement, of another role, is there only
 * once. */
void overview_take_instances(struct overview *o, const struct redisReply *r, uint64_t now_ms);
/* The part of a ledger that is configured. */
void overview_take_limits(const struct config_account *a, enum ledger_kind ledger,
                          struct overview_budget *b);

/* True if somebody must act: no instance leads, the leader is stalled, or the account is paused. */
bool overview_needs_help(const struct overview *o);

/* Reads only the names of the settings whose new values wait for a restart of the leader, as the
 * leader reports them. Free the result. NULL: there are none, or no leader reports them. */
char *overview_ask_needs_restart(struct client *c, const char *account);
