/* SPDX-License-Identifier: MIT
 * Values of settings: from text to memory, with the checks of their form, and back to YAML. */
#pragma once

#include "setting.h"

/* `at` is the value's place inside `base`. 0, or -EINVAL with everything as it was. */
must_use int setting_value_set(const struct setting *s, void *at, void *base, const char *text);

/* The value as YAML on one line. A password in it is shown as "***". */
void setting_value_print(const struct setting *s, const void *base, struct buf *out);
