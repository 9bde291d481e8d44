/* SPDX-License-Identifier: MIT
 * Reads the tree of a configuration file into a struct config, as the table of settings says. */
#pragma once

#include "config_tree.h"
#include "setting.h"

/* Sets in *c everything below root. 0, or -EINVAL with *mistake; *c then contains what was read
 * before the mistake. */
must_use int config_read(const struct config_node *root, struct config *c,
                         struct config_mistake *mistake);
