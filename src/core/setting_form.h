/* SPDX-License-Identifier: MIT
 * What the text of a setting must look like: checks, and descriptions for users. */
#pragma once

#include "setting.h"

/* Whether the text has 1 to SETTING_TEXT_MAX_BYTES bytes and the right form. Settings that may be
 * empty are handled by the caller. */
bool setting_form_ok(enum setting_form form, const char *text);

/* Descriptions of the form: of a single value ("a path that starts with /"), and of list items
 * ("names of accounts"). */
const char *setting_form_one(enum setting_form form);
const char *setting_form_many(enum setting_form form);

/* Whether `s` has 1 to `max` bytes, each a letter, a digit or one of `more`. */
bool setting_word_ok(struct span s, const char *more, size_t max);
