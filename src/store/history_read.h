/* SPDX-License-Identifier: MIT
 * Reads the history of an account, newest lines first, in small pages, so that Redis is never held
 * for long. Filters here, not in Redis. */
#pragma once

#include "client.h"
#include "history_match.h"

#define HISTORY_CURSOR_ROOM 80

struct history_query {
    const char *account;
    const struct history_wanted *wanted;
    uint64_t since_ms, until_ms; /* Unix; until_ms 0: now */
    uint64_t entries_max;        /* of the history that are looked at; 0: all */
    /* Where to begin, and afterwards, where to go on. Empty: at the newest job; afterwards: there
     * is nothing more. */
    char cursor[HISTORY_CURSOR_ROOM];
};

/* Takes `j`, the line with the time `at`. Nonzero: that is enough. */
typedef int history_job_cb(void *ctx, struct json_t *j);

bool history_cursor_ok(struct span cursor);
/* 0, or negative errno, see client_error. */
must_use int history_read(struct client *c, struct history_query *q, history_job_cb *cb, void *ctx);

/* The id of the newest entry; "0-0" if there is none. 0, or negative errno. */
must_use int history_newest(struct client *c, const char *account, char id[HISTORY_CURSOR_ROOM]);
/* Hands out what has been added since the entry `id`, oldest first, and moves `id` on. 0, or
 * negative errno. */
must_use int history_follow(struct client *c, const struct history_query *q,
                            char id[HISTORY_CURSOR_ROOM], history_job_cb *cb, void *ctx);
