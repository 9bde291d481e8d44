/* SPDX-License-Identifier: MIT
 * "Did you mean ...?": finds the most similar of a few known words, if one is similar enough. */
#pragma once

#include "base.h"

/* The name that `word` was probably meant to be, or NULL: at most a third of its letters may be
 * wrong, missing, extra or swapped. */
const char *suggest_word(const char *word, const char *const *names, size_t count);
