/* SPDX-License-Identifier: MIT
 * Values of settings: from text to memory, with the checks of their form, and back to YAML. */
#pragma once

#include "setting.h"

/* `base` is what the setting's offset counts from. 0, or -EINVAL with everything as it was. */
must_use int setting_value_set(const struct setting *s, void *base, const char *text);
must_use int setting_value_set_words(const struct setting *s, void *base, char *const *words,
                                     uint32_t count, uint32_t *wrong);
void setting_value_clear(const struct setting *s, void *base); /* a text: "" */
void setting_value_free(const struct setting *s, void *base);

void setting_value_print_bytes(uint64_t bytes, struct buf *out); /* "256MiB" */

/* The value as YAML on one line. A password in it is shown as "***". */
void setting_value_print(const struct setting *s, const void *base, struct buf *out);
