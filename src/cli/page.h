/* SPDX-License-Identifier: MIT
 * A page of text for people, on stdout: headings and rows with a label, wrapped at the width of the
 * terminal, 80 columns at most. */
#pragma once

#include "cmd.h"

#define PAGE_COLUMNS 80 /* the maximum, and the width if stdout is no terminal */

unsigned page_columns(void); /* the width of this page: at least 40 */

/* "name: words", and rows below it: "  label         text". The text of each is cleaned as by
 * cmd_print, and wrapped at blanks; a word that is too long for a line is cut. */
void page_head(const char *name, enum cmd_colour colour, const char *fmt, ...) print_like(3, 4);
void page_row(const char *label, enum cmd_colour colour, const char *fmt, ...) print_like(3, 4);
/* Goes on with a line of which `at` columns are printed; further lines begin two columns later. */
void page_more(unsigned at, enum cmd_colour colour, const char *fmt, ...) print_like(3, 4);

/* One line of a list: the name, padded to `name_columns`, and as much of the words as fits. */
void page_item(const char *name, unsigned name_columns, enum cmd_colour colour, const char *words);

/* How many columns a terminal needs for valid UTF-8 without control characters. */
unsigned page_columns_of(struct span s);

/* The longest beginning that needs at most `room` columns, in bytes; *columns: what it needs. */
size_t page_fit(struct span s, unsigned room, unsigned *columns);

/* A bar like "[######----]" of `cells` + 2 columns, with part/whole of it filled: blocks if the
 * locale has UTF-8 (LC_ALL, LC_CTYPE, LANG). A part that is not 0 fills at least one cell, and one
 * that is not the whole leaves at least one. */
#define PAGE_BAR_ROOM 160 /* for 50 cells */
const char *page_bar(char *out, size_t room, uint64_t part, uint64_t whole, unsigned cells);
bool page_has_utf8(void);
