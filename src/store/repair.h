/* SPDX-License-Identifier: MIT
 * Mends keys of an account that are not what they should be. Nothing is ever deleted: what is in
 * the way is renamed to purgeline:{<account>}:broken:<key>:<Unix ms>, in the same slot, and what
 * was spent and is not known any more is counted as spent. */
#pragma once

#include "client.h"
#include "config.h"
#include "queue.h"

/* What is wrong with the account's keys, by SCRIPT_EXAMINE, and lanes whose repair was broken off
 * (where Redis permits SCAN). 0, or negative errno as in client.h. */
must_use int repair_find(struct client *c, const char *account,
                         struct queue_fault out[QUEUE_FAULTS_MAX], size_t *count);

/* What repair_mend would do about it, and what that means; a sentence or two. */
void repair_explain(const struct config_account *a, const struct queue_fault *f, char *out,
                    size_t room);
/* Does it. 0, or negative errno with nothing lost: repair_find and another call go on from there.
 */
must_use int repair_mend(struct client *c, const struct config_account *a,
                         const struct queue_fault *f);
