/* SPDX-License-Identifier: MIT
 * The keys of purgeline top: their list, and a line that is typed. */
#pragma once

#include <stddef.h>

#define TOP_KEY_ESCAPE 27

extern const char top_keys_help[]; /* for people */

enum top_edit { TOP_EDIT_GOES_ON, TOP_EDIT_DONE, TOP_EDIT_GIVEN_UP };
/* What a key (of getch) does to the text. Bytes of UTF-8 come one by one. */
enum top_edit top_keys_edit(char *text, size_t room, int key);
