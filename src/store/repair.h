/* SPDX-License-Identifier: MIT
 * Repairs broken keys of an account. Nothing is ever deleted: a broken key is renamed to
 * purgeline:{<account>}:broken:<key>:<Unix ms>, in the same slot. If the spent budget is no longer
 * known, the whole budget counts as spent. */
#pragma once

#include "client.h"
#include "config.h"
#include "queue.h"

/* Finds what is wrong with the account's keys: faults found by SCRIPT_EXAMINE, and lanes whose
 * repair was interrupted (if Redis permits SCAN). Returns 0 or negative errno as in client.h. */
must_use int repair_find(struct client *c, const char *account,
                         struct queue_fault out[QUEUE_FAULTS_MAX], size_t *count);

/* Describes in one or two sentences what repair_mend would do, and its consequences. */
void repair_explain(const struct config_account *a, const struct queue_fault *f, char *out,
                    size_t room);
/* Repairs what the fault names. Returns 0, or negative errno with nothing lost: repair_find and
 * another call continue the repair. */
must_use int repair_mend(struct client *c, const struct config_account *a,
                         const struct queue_fault *f);
