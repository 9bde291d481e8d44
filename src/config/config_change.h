/* SPDX-License-Identifier: MIT
 * Compares a new configuration with the old one, and finds changes that need a restart. */
#pragma once

#include "buf.h"
#include "config.h"

#define CONFIG_CHANGES_MAX_BYTES 1024 /* of a list of names; what is beyond it is "..." */

/* 0, or -EINVAL with the name of what a daemon that runs cannot take at all: other accounts. */
must_use int config_change_possible(const struct config *old, const struct config *fresh,
                                    const char **why);

/* Gives the settings that need a restart their old values back, and puts the names of those that
 * differed into `waits`: "senders, window"; "" when none did. */
void config_change_keep(const struct config *old, struct config *fresh, struct buf *waits);

/* Puts the names of the settings that differ into `names`: "listen, accounts[0].attempts". Where a
 * list has other items than before, by their names, it is the list that differs: "producers". */
void config_change_names(const struct config *old, const struct config *fresh, struct buf *names);
