/* SPDX-License-Identifier: MIT */
#include "top_keys.h"

#include <curses.h>
#include <string.h>

#define CONTROL(letter) ((letter)&0x1f)

const char top_keys_help[] =
    "Keys\n"
    "\n"
    "TAB, 1 to 5      another tab\n"
    "up, down, PgUp, PgDn, Home, End (or k, j, g, G)\n"
    "                 another row\n"
    "ENTER            look at an account or a dead letter\n"
    "s, S             sort by the next column; the other way round\n"
    "/                show only rows with a text; ESC shows all again\n"
    "p, r             pause the account of the row, or resume it\n"
    "t, d             push the job of a dead letter again, or delete the letter\n"
    "q, ^C            quit\n"
    "\n"
    "Whatever changes something asks first.\n";

/* The last character, which may have several bytes. */
static void erase_last(char *text)
{
    size_t n = strlen(text);

    while (n && (text[n - 1] & 0xc0) == 0x80)
        n--;
    text[n ? n - 1 : 0] = '\0';
}

enum top_edit top_keys_edit(char *text, size_t room, int key)
{
    size_t n = strlen(text);

    if (key == '\n' || key == '\r' || key == KEY_ENTER)
        return TOP_EDIT_DONE;
    if (key == TOP_KEY_ESCAPE)
        return TOP_EDIT_GIVEN_UP;
    if (key == KEY_BACKSPACE || key == 127 || key == CONTROL('h'))
        erase_last(text);
    else if (key == CONTROL('u'))
        *text = '\0';
    else if (key >= ' ' && key < 256 && n + 1 < room) {
        text[n] = (char)key;
        text[n + 1] = '\0';
    }
    return TOP_EDIT_GOES_ON;
}
