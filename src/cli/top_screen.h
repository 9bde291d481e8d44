/* SPDX-License-Identifier: MIT
 * The screen of purgeline top: what it shows, and what keys do to it. */
#pragma once

#include "top_data.h"
#include "top_rows.h"

enum top_mode {
    TOP_TABLE,
    TOP_TYPING_FILTER, /* next: TOP_TABLE */
    TOP_TYPING_WHY,    /* why an account is paused. Next: TOP_TABLE */
    TOP_ASKING,        /* whether to carry out the order. Next: TOP_TABLE */
    TOP_LOOKING,       /* at the text. Next: TOP_TABLE */
};

struct top_screen {
    struct top_data *data;
    struct top_view *view; /* NULL: nothing was read yet */
    struct top_rows rows;
    enum top_tab tab;
    enum top_mode mode;
    struct { /* of each tab */
        unsigned sort;
        bool reverse;
        uint32_t selected, first; /* rows; the first that is shown */
        char key[300];            /* of the selected row, which may be elsewhere next time */
    } tabs[TAB_N];
    char filter[64];
    char typed[120];
    char question[200];
    struct top_order order; /* that is asked about */
    char *text;             /* that is looked at */
    unsigned text_first;    /* its first line that is shown */
    char trouble[400], result[400];
    uint64_t trouble_since_ms;
    bool ended;
};

void top_screen_init(struct top_screen *s, struct top_data *data);
void top_screen_deinit(struct top_screen *s);
/* Takes what is new. */
void top_screen_refresh(struct top_screen *s);
/* What the key (of getch) means. */
void top_screen_key(struct top_screen *s, int key);
/* Rows that fit on the terminal. */
uint32_t top_screen_room(void);
const struct top_row *top_screen_selected(const struct top_screen *s); /* NULL: none */

/* Draws it with curses, which has been started. */
void top_draw(const struct top_screen *s);
