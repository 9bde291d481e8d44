/* SPDX-License-Identifier: MIT
 * The tables of purgeline top: what is read from Redis as rows of text, sorted and filtered. */
#pragma once

#include "cmd.h"
#include "top_data.h"

enum top_tab { TAB_ACCOUNTS, TAB_LANES, TAB_LETTERS, TAB_CONSUMERS, TAB_INSTANCES, TAB_N };

#define TOP_COLUMNS_MAX 8
#define TOP_CELL_ROOM 160

struct top_column {
    const char *title; /* NULL: there are no more */
    unsigned columns;  /* 0: the rest of the line */
    bool right;        /* aligned; such columns are sorted by number, the greatest first */
};

struct top_table {
    const char *title; /* of the tab */
    const char *note;  /* a line above the table */
    struct top_column columns[TOP_COLUMNS_MAX + 1];
    unsigned sort; /* the column that it is sorted by at first */
};
extern const struct top_table top_tables[TAB_N];

struct top_row {
    char cells[TOP_COLUMNS_MAX][TOP_CELL_ROOM]; /* cleaned for a terminal */
    double order[TOP_COLUMNS_MAX];              /* for sorting by it */
    enum cmd_colour colour;
    const struct top_account *account; /* NULL: it belongs to none */
    const struct top_letter *letter;   /* NULL: it is none */
};

struct top_rows {
    struct top_row *at; /* they point into the view */
    uint32_t count;
};

struct top_choice {
    unsigned sort; /* column */
    bool reverse;
    const char *filter; /* only rows with this text, in any letter case; "": all */
};
void top_rows_make(const struct top_view *v, enum top_tab tab, const struct top_choice *choice,
                   struct top_rows *out);
void top_rows_deinit(struct top_rows *r);
