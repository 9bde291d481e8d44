/* SPDX-License-Identifier: MIT
 * The words of a story: lines cut at spaces, times, name=value, and lists written short. */
#pragma once

#include "base.h"

struct words {
    char **at;
    size_t count, room;
};

void words_init(struct words *w);
void words_deinit(struct words *w);
void words_add(struct words *w, const char *word, size_t n); /* copies */
/* Cuts a line; "..." keeps spaces together. */
void words_cut(struct words *w, const char *line);

/* "250ms", "2s", "1h30m", "1.5s". 0, or -EINVAL. */
must_use int text_time(const char *text, uint64_t *ns);
must_use int text_number(const char *text, uint64_t *out);
/* The value when the word is "name=value", else NULL. */
const char *text_value(const char *word, const char *name);
/* Adds the word, or every word that "key-{1..300}" stands for, or the long one that "{x*1000}" is.
 */
void text_expand(const char *word, struct words *out);
/* The same for every part of "a,b,c-{1..3}". */
void text_expand_list(const char *list, struct words *out);
