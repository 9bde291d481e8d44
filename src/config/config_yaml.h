/* SPDX-License-Identifier: MIT
 * A configuration written out as the YAML that would be read back as the same. */
#pragma once

#include "buf.h"
#include "config.h"

enum config_yaml_style {
    CONFIG_YAML_PLAIN,
    CONFIG_YAML_EXPLAINED, /* each setting with its sentence, range and environment variable */
};

/* Passwords are masked. */
void config_yaml(const struct config *c, enum config_yaml_style style, struct buf *out);
