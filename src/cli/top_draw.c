/* SPDX-License-Identifier: MIT
 *
 *   purgeline top       3 accounts: 1 needs help     Redis away since 12:03:10: ...
 *    1 Accounts  2 Lanes  3 Dead letters  4 Consumers  5 Instances
 *   note about the tab, or the filter
 *   account       verdict         waiting  oldest  ...
 *   rows
 *   the verdict on the selected account, or the result of the last order
 *   keys, or a question */
#include <curses.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "clock.h"
#include "page.h"
#include "show.h"
#include "top_screen.h"

#define COLUMNS_LEAST 40
#define LINES_LEAST 10

/* -- text -- */

static chtype attribute_of(enum cmd_colour colour)
{
    if (colour == CMD_BOLD)
        return A_BOLD;
    if (colour == CMD_PLAIN || COLOR_PAIRS == 0)
        return A_NORMAL;
    return COLOR_PAIR(colour);
}

/* Adds as much of the text as fits into so many columns; returns how many it took. Where the locale
 * has no UTF-8, other characters than ASCII become a question mark. */
static unsigned put(const char *text, unsigned columns)
{
    unsigned used;
    size_t n = page_fit(span_str(text), columns, &used);

    for (size_t i = 0, more; i < n; i += more) {
        more = show_utf8_length(span_of(text + i, n - i));
        if (more > 1 && !page_has_utf8())
            addch('?');
        else
            addnstr(text + i, (int)(more ? more : 1));
        more = more ? more : 1;
    }
    return used;
}

static void put_line(int line, chtype attribute, const char *text)
{
    unsigned used;

    move(line, 0);
    attrset(attribute);
    used = put(text, (unsigned)COLS);
    if (attribute & A_REVERSE)
        for (; used < (unsigned)COLS; used++)
            addch(' ');
    attrset(A_NORMAL);
}

/* -- around the table -- */

static const char *clock_words(char *out, size_t room, uint64_t wall_ms)
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;

    if (!localtime_r(&s, &tm) || strftime(out, room, "%H:%M:%S", &tm) == 0)
        snprintf(out, room, "?");
    return out;
}

static void summary(const struct top_screen *s, char *out, size_t room)
{
    unsigned unwell = 0, slowed = 0;

    for (uint32_t i = 0; i < s->view->count; i++) {
        unwell += s->view->accounts[i].mood == OVERVIEW_TROUBLE;
        slowed += s->view->accounts[i].mood == OVERVIEW_SLOWED;
    }
    if (unwell)
        snprintf(out, room, "%u account%s, %u in trouble", s->view->count,
                 s->view->count == 1 ? "" : "s", unwell);
    else if (slowed)
        snprintf(out, room, "%u account%s, %u slowed down", s->view->count,
                 s->view->count == 1 ? "" : "s", slowed);
    else
        snprintf(out, room, "%u account%s, all healthy", s->view->count,
                 s->view->count == 1 ? "" : "s");
}

static void draw_title(const struct top_screen *s)
{
    char line[600], clock[16], words[100] = "reading";

    if (s->view)
        summary(s, words, sizeof(words));
    if (*s->trouble)
        snprintf(line, sizeof(line), "purgeline top  Redis away since %s: %s",
                 clock_words(clock, sizeof(clock), s->trouble_since_ms), s->trouble);
    else
        snprintf(line, sizeof(line), "purgeline top  %s  %s", words,
                 clock_words(clock, sizeof(clock), clock_wall_ms()));
    put_line(0, *s->trouble ? attribute_of(CMD_RED) | A_BOLD : A_BOLD, line);
}

static void draw_tabs(const struct top_screen *s)
{
    move(1, 0);
    for (int i = 0; i < TAB_N; i++) {
        attrset((enum top_tab)i == s->tab ? A_REVERSE : A_NORMAL);
        printw(" %d %s ", i + 1, top_tables[i].title);
        attrset(A_NORMAL);
        addch(' ');
    }
}

static void draw_note(const struct top_screen *s)
{
    char line[200];

    if (*s->filter)
        snprintf(line, sizeof(line), "only with \"%s\" (ESC: all)", s->filter);
    else
        snprintf(line, sizeof(line), "%s", top_tables[s->tab].note);
    put_line(2, attribute_of(CMD_DIM), line);
}

/* -- the table -- */

static void put_cell(const struct top_column *c, const char *text, unsigned columns)
{
    unsigned needs = page_columns_of(span_str(text)), used = 0;

    for (; c->right && needs + used < columns; used++)
        addch(' ');
    used += put(text, columns - used);
    for (; used < columns; used++)
        addch(' ');
}

static void draw_cells(const struct top_screen *s, const struct top_row *row)
{
    const struct top_column *columns = top_tables[s->tab].columns;
    unsigned used = 0, width;

    for (unsigned i = 0; columns[i].title && used < (unsigned)COLS; i++) {
        if (i) {
            addch(' ');
            used++;
        }
        width = columns[i].columns ? columns[i].columns : (unsigned)COLS - used;
        width = (unsigned)min_u64(width, (unsigned)COLS - used);
        put_cell(&columns[i], row ? row->cells[i] : columns[i].title, width);
        used += width;
    }
    for (; used < (unsigned)COLS; used++)
        addch(' ');
}

/* The title of the column that it is sorted by is underlined. */
static void draw_head(const struct top_screen *s)
{
    const struct top_column *columns = top_tables[s->tab].columns;
    unsigned at = 0;

    move(3, 0);
    attrset(A_BOLD);
    draw_cells(s, NULL);
    for (unsigned i = 0; i < s->tabs[s->tab].sort; i++)
        at += columns[i].columns + 1;
    if (at < (unsigned)COLS)
        mvchgat(3, (int)at,
                columns[s->tabs[s->tab].sort].columns ? (int)columns[s->tabs[s->tab].sort].columns
                                                      : -1,
                A_BOLD | A_UNDERLINE, 0, NULL);
    attrset(A_NORMAL);
}

static void draw_rows(const struct top_screen *s)
{
    uint32_t room = top_screen_room(), selected = s->tabs[s->tab].selected, first = 0;
    chtype faded = *s->trouble ? attribute_of(CMD_DIM) : A_NORMAL;

    if (selected >= room)
        first = selected - room + 1;
    for (uint32_t i = 0; i < room && first + i < s->rows.count; i++) {
        const struct top_row *row = &s->rows.at[first + i];

        move(4 + (int)i, 0);
        attrset(first + i == selected ? A_REVERSE
                : faded != A_NORMAL   ? faded
                                      : attribute_of(row->colour));
        draw_cells(s, row);
        attrset(A_NORMAL);
    }
    if (s->rows.count == 0)
        put_line(4, A_NORMAL, s->view ? "nothing" : "");
}

/* -- text -- */

/* Lines of the text, wrapped, from the one that is to be the first. */
static void draw_text(const struct top_screen *s)
{
    struct span rest = span_str(s->text);
    unsigned columns;
    int line = 0, at = 3;

    while (rest.n && at < LINES - 1) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t whole = end ? (size_t)(end - rest.p) : rest.n;
        size_t n = page_fit(span_of(rest.p, whole), (unsigned)COLS, &columns);
        char shown[1000];

        snprintf(shown, sizeof(shown), "%.*s", (int)n, rest.p);
        if (line++ >= (int)s->text_first)
            put_line(at++, A_NORMAL, shown);
        n += n == whole && end;
        rest = span_of(rest.p + n, rest.n - n);
    }
}

/* -- the last lines -- */

static void draw_verdict(const struct top_screen *s)
{
    const struct top_row *row = top_screen_selected(s);
    char line[OVERVIEW_WORDS_MAX + 200];

    if (*s->result)
        snprintf(line, sizeof(line), "%s", s->result);
    else if (row && row->account)
        snprintf(line, sizeof(line), "%s: %s", row->account->account->name, row->account->words);
    else
        *line = '\0';
    put_line(LINES - 2,
             attribute_of(*s->result            ? CMD_GREEN
                          : row && row->account ? row->colour
                                                : CMD_PLAIN),
             line);
}

static void draw_keys(const struct top_screen *s)
{
    char line[400];

    switch (s->mode) {
    case TOP_TABLE:
        put_line(LINES - 1, A_REVERSE,
                 s->tab == TAB_LETTERS
                     ? "q quit  TAB tab  s sort  / filter  ENTER look  t retry  d delete  ? help"
                     : "q quit  TAB tab  s sort  / filter  ENTER look  p pause  r resume  ? help");
        return;
    case TOP_TYPING_FILTER:
        snprintf(line, sizeof(line), "Show only rows with: %s", s->typed);
        break;
    case TOP_TYPING_WHY:
        snprintf(line, sizeof(line), "Pause %.40s, because (ESC: don't): %s",
                 s->order.account->name, s->typed);
        break;
    case TOP_ASKING:
        snprintf(line, sizeof(line), "%s", s->question);
        break;
    case TOP_LOOKING:
        put_line(LINES - 1, A_REVERSE, "any key goes back  down, up scroll");
        return;
    }
    put_line(LINES - 1, A_BOLD, line);
}

void top_draw(const struct top_screen *s)
{
    bool typing = s->mode == TOP_TYPING_FILTER || s->mode == TOP_TYPING_WHY;

    erase();
    if (COLS < COLUMNS_LEAST || LINES < LINES_LEAST) {
        put_line(0, A_NORMAL, "The terminal is too small");
        refresh();
        return;
    }
    draw_title(s);
    draw_tabs(s);
    if (s->mode == TOP_LOOKING) {
        draw_text(s);
    } else {
        draw_note(s);
        draw_head(s);
        draw_rows(s);
        draw_verdict(s);
    }
    draw_keys(s);
    curs_set(typing);
    if (!typing)
        move(LINES - 1, COLS - 1);
    refresh();
}
