/* SPDX-License-Identifier: MIT
 * From the tree of a configuration file to a struct config: one walk along the table of settings.
 */
#pragma once

#include "config_tree.h"
#include "setting.h"

/* Sets in *c what stands below root. 0, or -EINVAL with *mistake; what was read before it is in *c
 * then. */
must_use int config_read(const struct config_node *root, struct config *c,
                         struct config_mistake *mistake);
