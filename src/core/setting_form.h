/* SPDX-License-Identifier: MIT
 * What the text of a setting must look like, for the machine and in words. */
#pragma once

#include "setting.h"

/* 1 to SETTING_TEXT_MAX_BYTES of the form. Whether a text may be empty is its setting's affair. */
bool setting_form_ok(enum setting_form form, const char *text);

/* "a path that starts with /" of one; "names of accounts" of those in a list. */
const char *setting_form_one(enum setting_form form);
const char *setting_form_many(enum setting_form form);

/* Every byte a letter, a digit or one of `more`, and 1 to `max` of them. */
bool setting_word_ok(struct span s, const char *more, size_t max);
