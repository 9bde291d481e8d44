/* SPDX-License-Identifier: MIT
 * Prints a configuration as YAML that reads back as the same configuration. */
#pragma once

#include "buf.h"
#include "config.h"

enum config_yaml_style {
    CONFIG_YAML_PLAIN,
    CONFIG_YAML_EXPLAINED, /* each setting with its description, range and environment variable */
};

/* Passwords are masked. */
void config_yaml(const struct config *c, enum config_yaml_style style, struct buf *out);
