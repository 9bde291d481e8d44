/* SPDX-License-Identifier: MIT
 * Tells which jobs of some accounts end, as the dispatcher announces it. Uses a connection of its
 * own, which exists from ends_watch_new to ends_watch_close. */
#pragma once

#include "config.h"
#include "redis.h"

struct ends_watch;

struct ends_watch_calls {
    /* Ids of jobs of the account with this number that have ended, separated by spaces; lent. */
    void (*ended)(void *ctx, uint32_t account, struct span ids);
    /* Ends are announced from now on; those before were missed. Called again after each outage. */
    void (*active)(void *ctx);
    /* Redis does not permit SUBSCRIBE, so no end will be announced; `why` is its error. Called
     * once.
     */
    void (*refused)(void *ctx, const char *why);
};

/* The address and the names of the accounts are copied. */
struct ends_watch *ends_watch_new(struct loop *l, const struct redis_address *a,
                                  const char *const *accounts, uint32_t count,
                                  const struct ends_watch_calls *calls, void *ctx);
/* No callback of `calls` comes any more. `closed` is never called before this has returned. */
void ends_watch_close(struct ends_watch *w, loop_cb *closed, void *ctx);
