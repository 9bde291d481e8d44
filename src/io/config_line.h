/* SPDX-License-Identifier: MIT
 * At which line of a YAML text a setting stands. libyaml ends here. */
#pragma once

#include "span.h"

/* `path` as in "accounts[0].budget.purges". The line (from 1) of that setting, or of the nearest
 * one around it; 0 when nothing of it is there. *exact tells which. */
unsigned config_line_find(struct span yaml, const char *path, bool *exact);

/* Whether there is a list at that path. */
bool config_line_is_list(struct span yaml, const char *path);

/* The single value of exactly that setting, made fit to be shown; false: there is none. */
bool config_line_value(struct span yaml, const char *path, char *out, size_t room);

/* The first place that is no YAML, or a second document: its line, and libyaml's words in `what`; 0
 * when it all is. */
unsigned config_line_problem(struct span yaml, char *what, size_t room);
