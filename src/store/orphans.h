/* SPDX-License-Identifier: MIT
 * Keys in an account's part of Redis that are none of purgeline's. */
#pragma once

#include "client.h"

enum orphan {
    ORPHAN_STRANGE,   /* nobody knows what it is for */
    ORPHAN_SET_ASIDE, /* by a repair, see repair.h */
};
/* `key` is lent. Must ask Redis nothing. */
typedef void orphans_cb(void *ctx, enum orphan what, struct span key);

/* Looks through two million keys of the whole Redis at most. Finds none, or only the first ones,
 * when the user may not look, as it need not. */
void orphans_find(struct client *c, const char *account, orphans_cb *cb, void *ctx);
