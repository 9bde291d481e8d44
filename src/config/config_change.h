/* SPDX-License-Identifier: MIT
 * Compares a new configuration with the old one, and finds changes that need a restart. */
#pragma once

#include "buf.h"
#include "config.h"

#define CONFIG_CHANGES_MAX_BYTES 1024 /* of a list of names; "..." replaces the rest */

/* 0, or -EINVAL with the name of a change that a running daemon cannot apply: a different set of
 * accounts. */
must_use int config_change_possible(const struct config *old, const struct config *fresh,
                                    const char **why);

/* Restores the old values of settings that need a restart, and puts the names of those that
 * differed into `waits`: "senders, window", or "" if none did. */
void config_change_keep(const struct config *old, struct config *fresh, struct buf *waits);

/* Whether `purgeline consume` of that name may do something different. Both must have it. */
bool config_change_of_consumer(const struct config *old, const struct config *fresh,
                               const char *name);

/* Puts the names of the settings that differ into `names`: "listen, accounts[0].attempts". If the
 * names of a list's items have changed, the list itself is named: "producers". */
void config_change_names(const struct config *old, const struct config *fresh, struct buf *names);
