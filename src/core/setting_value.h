/* SPDX-License-Identifier: MIT
 * Parses the text of settings into memory, checks its form, and prints values as YAML. */
#pragma once

#include "setting.h"

/* `base` is the struct that the setting's offset refers to. 0, or -EINVAL with nothing changed. */
must_use int setting_value_set(const struct setting *s, void *base, const char *text);
must_use int setting_value_set_words(const struct setting *s, void *base, char *const *words,
                                     uint32_t count, uint32_t *wrong);
void setting_value_clear(const struct setting *s, void *base); /* a text becomes "" */
void setting_value_free(const struct setting *s, void *base);

void setting_value_print_bytes(uint64_t bytes, struct buf *out); /* "256MiB" */

/* The value as YAML on one line. A password in it is shown as "***". */
void setting_value_print(const struct setting *s, const void *base, struct buf *out);
