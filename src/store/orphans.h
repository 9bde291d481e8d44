/* SPDX-License-Identifier: MIT
 * Finds keys under an account's prefix in Redis that do not belong to purgeline. */
#pragma once

#include "client.h"

enum orphan {
    ORPHAN_STRANGE,   /* of unknown purpose */
    ORPHAN_SET_ASIDE, /* set aside by a repair, see repair.h */
};
/* `key` is lent. The callback must not send commands to Redis. */
typedef void orphans_cb(void *ctx, enum orphan what, struct span key);

/* Looks through at most two million keys of the whole Redis. Finds none, or only the first ones, if
 * the Redis user is not permitted to look; purgeline does not need that permission. */
void orphans_find(struct client *c, const char *account, orphans_cb *cb, void *ctx);
