/* SPDX-License-Identifier: MIT */
#include "top_terminal.h"

#include <curses.h>
#include <term.h>
#include <unistd.h>

bool top_terminal_is_known(void)
{
    int known;

    if (setupterm(NULL, STDOUT_FILENO, &known) != OK)
        return false;
    del_curterm(cur_term);
    return true;
}
