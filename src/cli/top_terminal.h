/* SPDX-License-Identifier: MIT
 * What curses knows about the terminal. In a file of its own, because term.h has macros like
 * `columns`. */
#pragma once

#include <stdbool.h>

/* Whether the terminal that TERM names is known, and good enough. Curses leaves memory behind when
 * it is started with another. */
bool top_terminal_is_known(void);
