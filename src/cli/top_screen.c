/* SPDX-License-Identifier: MIT */
#include "top_screen.h"

#include <curses.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "buf.h"
#include "top_keys.h"

/* Lines that are no rows: title, tabs, note, head of the table, verdict, keys. */
#define OTHER_LINES 6

uint32_t top_screen_room(void)
{
    return LINES > OTHER_LINES ? (uint32_t)(LINES - OTHER_LINES) : 1;
}

void top_screen_init(struct top_screen *s, struct top_data *data)
{
    *s = (struct top_screen){.data = data};
    for (int i = 0; i < TAB_N; i++)
        s->tabs[i].sort = top_tables[i].sort;
}

void top_screen_deinit(struct top_screen *s)
{
    top_rows_deinit(&s->rows);
    top_view_free(s->view);
    free(s->text);
}

const struct top_row *top_screen_selected(const struct top_screen *s)
{
    uint32_t i = s->tabs[s->tab].selected;

    return i < s->rows.count ? &s->rows.at[i] : NULL;
}

/* -- rows -- */

/* What does not change about a row. */
static void key_of(enum top_tab tab, const struct top_row *row, char *out, size_t room)
{
    const char *more = "";

    if (row->letter)
        more = row->letter->id;
    else if (tab == TAB_LANES || tab == TAB_CONSUMERS)
        more = row->cells[1];
    snprintf(out, room, "%.60s %.60s", row->cells[0], more);
}

static void remember(struct top_screen *s)
{
    const struct top_row *row = top_screen_selected(s);

    *s->tabs[s->tab].key = '\0';
    if (row)
        key_of(s->tab, row, s->tabs[s->tab].key, sizeof(s->tabs[s->tab].key));
}

/* The selected row is followed to where it is now. */
static void find_selected(struct top_screen *s)
{
    char key[sizeof(s->tabs[0].key)];
    uint32_t *selected = &s->tabs[s->tab].selected;

    for (uint32_t i = 0; *s->tabs[s->tab].key && i < s->rows.count; i++) {
        key_of(s->tab, &s->rows.at[i], key, sizeof(key));
        if (strcmp(key, s->tabs[s->tab].key) == 0) {
            *selected = i;
            return;
        }
    }
    if (*selected >= s->rows.count)
        *selected = s->rows.count ? s->rows.count - 1 : 0;
}

static void make_rows(struct top_screen *s)
{
    struct top_choice choice = {s->tabs[s->tab].sort, s->tabs[s->tab].reverse, s->filter};

    top_rows_deinit(&s->rows);
    if (!s->view)
        return;
    top_rows_make(s->view, s->tab, &choice, &s->rows);
    find_selected(s);
    remember(s);
}

void top_screen_refresh(struct top_screen *s)
{
    struct top_view *view = top_data_take(s->data);
    char result[sizeof(s->result)];

    top_data_trouble(s->data, s->trouble, sizeof(s->trouble), &s->trouble_since_ms);
    top_data_result(s->data, result, sizeof(result));
    if (*result)
        memcpy(s->result, result, sizeof(result));
    if (view) {
        top_rows_deinit(&s->rows); /* they point into the view */
        top_view_free(s->view);
        s->view = view;
    }
    make_rows(s);
}

/* -- keys that move -- */

static void select_row(struct top_screen *s, int64_t to)
{
    int64_t last = (int64_t)s->rows.count - 1;

    to = to > last ? last : to;
    s->tabs[s->tab].selected = to < 0 ? 0 : (uint32_t)to;
    remember(s);
}

static bool move_selected(struct top_screen *s, int key)
{
    int64_t at = s->tabs[s->tab].selected, page = top_screen_room();

    if (key == KEY_UP || key == 'k')
        select_row(s, at - 1);
    else if (key == KEY_DOWN || key == 'j')
        select_row(s, at + 1);
    else if (key == KEY_PPAGE)
        select_row(s, at - page);
    else if (key == KEY_NPAGE || key == ' ')
        select_row(s, at + page);
    else if (key == KEY_HOME || key == 'g')
        select_row(s, 0);
    else if (key == KEY_END || key == 'G')
        select_row(s, INT32_MAX);
    else
        return false;
    return true;
}

static void choose_tab(struct top_screen *s, int tab)
{
    s->tab = (enum top_tab)((tab + TAB_N) % TAB_N);
    top_data_want(s->data, s->tab == TAB_LETTERS ? TOP_WITH_LETTERS : TOP_WITHOUT_LETTERS);
    make_rows(s);
}

static bool change_tab(struct top_screen *s, int key)
{
    if (key == '\t' || key == KEY_RIGHT)
        choose_tab(s, (int)s->tab + 1);
    else if (key == KEY_BTAB || key == KEY_LEFT)
        choose_tab(s, (int)s->tab - 1);
    else if (key >= '1' && key < '1' + TAB_N)
        choose_tab(s, key - '1');
    else
        return false;
    return true;
}

static bool change_order(struct top_screen *s, int key)
{
    unsigned *sort = &s->tabs[s->tab].sort;

    if (key == 'S') {
        s->tabs[s->tab].reverse = !s->tabs[s->tab].reverse;
    } else if (key == 's') {
        ++*sort;
        if (*sort >= TOP_COLUMNS_MAX || !top_tables[s->tab].columns[*sort].title)
            *sort = 0;
        s->tabs[s->tab].reverse = false;
    } else {
        return false;
    }
    make_rows(s);
    return true;
}

/* -- keys that change something -- */

static void begin_order(struct top_screen *s, enum top_act act, const struct top_row *row)
{
    static const char *const questions[] = {[TOP_RESUME] = "Resume",
                                            [TOP_RETRY] = "Push again, of",
                                            [TOP_DROP] = "Delete for good, of"};
    const char *account = row->account->account->name;

    s->order = (struct top_order){.act = act, .account = row->account->account};
    *s->typed = '\0';
    if (row->letter)
        snprintf(s->order.text, sizeof(s->order.text), "%s", row->letter->id);
    if (act == TOP_PAUSE) {
        s->mode = TOP_TYPING_WHY;
        return;
    }
    if (act == TOP_RESUME)
        snprintf(s->question, sizeof(s->question), "%s %.40s? y/n", questions[act], account);
    else
        snprintf(s->question, sizeof(s->question), "%s %.40s: %.60s? y/n", questions[act], account,
                 row->cells[2]);
    s->mode = TOP_ASKING;
}

static void give_order(struct top_screen *s)
{
    s->mode = TOP_TABLE;
    if (!top_data_order(s->data, &s->order))
        snprintf(s->result, sizeof(s->result), "the last order is not done yet");
}

static bool change_something(struct top_screen *s, int key)
{
    const struct top_row *row = top_screen_selected(s);

    if (!row || !row->account)
        return false;
    if (key == 'p')
        begin_order(s, TOP_PAUSE, row);
    else if (key == 'r')
        begin_order(s, TOP_RESUME, row);
    else if (key == 't' && row->letter)
        begin_order(s, TOP_RETRY, row);
    else if (key == 'd' && row->letter)
        begin_order(s, TOP_DROP, row);
    else
        return false;
    return true;
}

/* -- looking -- */

static void show_text(struct top_screen *s, char *text)
{
    free(s->text);
    s->text = text;
    s->text_first = 0;
    s->mode = TOP_LOOKING;
}

static void look_at_letter(struct top_screen *s, const struct top_letter *l)
{
    show_text(s,
              alloc_printf("%s, dead letter %s of job %s\n\n%s%s%s\n\n%s", l->account->name, l->id,
                           l->job, l->reason, *l->target ? ": " : "", l->target, l->fields));
}

static void look_at_account(struct top_screen *s, const struct top_account *a)
{
    struct buf text;
    char error[700];
    uint64_t age_ms;
    char ago[32];

    buf_init(&text, SIZE_MAX);
    cmd_put(&text, "%s: %s\n\n", a->account->name, a->words);
    if (a->overview.stalled)
        cmd_put(&text, "stalled: %s\n\n", a->overview.stalled);
    if (a->overview.paused)
        cmd_put(&text, "paused for %s by %s%s%s\n\n",
                cmd_duration_words(ago, sizeof(ago), a->overview.paused_ms),
                a->overview.paused_by ? a->overview.paused_by : "somebody",
                a->overview.paused_why && *a->overview.paused_why ? ": " : "",
                a->overview.paused_why ? a->overview.paused_why : "");
    if (overview_last_error(&a->overview, error, sizeof(error), &age_ms))
        cmd_put(&text, "last error, %s ago: %s\n\n", cmd_duration_words(ago, sizeof(ago), age_ms),
                error);
    cmd_put(&text, "errors per second over 10, 100 and 1000 s: %.1f, %.1f, %.1f\n\n",
            a->errors[TOP_10_S], a->errors[TOP_100_S], a->errors[TOP_1000_S]);
    cmd_put(&text, "All there is to know: purgeline status --all -a %s\n", a->account->name);
    show_text(s, buf_take(&text));
}

static bool look(struct top_screen *s, int key)
{
    const struct top_row *row = top_screen_selected(s);

    if (key == '?')
        show_text(s, alloc_str(top_keys_help));
    else if ((key != '\n' && key != '\r' && key != KEY_ENTER) || !row)
        return false;
    else if (row->letter)
        look_at_letter(s, row->letter);
    else if (row->account)
        look_at_account(s, row->account);
    return true;
}

/* -- modes -- */

static void on_table(struct top_screen *s, int key)
{
    *s->result = '\0';
    if (key == 'q') {
        s->ended = true;
    } else if (key == '/') {
        snprintf(s->typed, sizeof(s->typed), "%s", s->filter);
        s->mode = TOP_TYPING_FILTER;
    } else if (key == TOP_KEY_ESCAPE) {
        *s->filter = '\0';
        make_rows(s);
    } else {
        (void)(move_selected(s, key) || change_tab(s, key) || change_order(s, key) ||
               change_something(s, key) || look(s, key));
    }
}

static void on_typing(struct top_screen *s, int key)
{
    enum top_mode mode = s->mode;

    switch (top_keys_edit(s->typed, sizeof(s->typed), key)) {
    case TOP_EDIT_GOES_ON:
        break;
    case TOP_EDIT_GIVEN_UP:
        s->mode = TOP_TABLE;
        break;
    case TOP_EDIT_DONE:
        if (mode == TOP_TYPING_WHY) {
            snprintf(s->order.text, sizeof(s->order.text), "%s", s->typed);
            give_order(s);
            break;
        }
        snprintf(s->filter, sizeof(s->filter), "%.63s", s->typed);
        s->mode = TOP_TABLE;
        make_rows(s);
        break;
    }
}

static void on_looking(struct top_screen *s, int key)
{
    if (key == KEY_DOWN || key == 'j')
        s->text_first++;
    else if ((key == KEY_UP || key == 'k') && s->text_first)
        s->text_first--;
    else if (key == KEY_NPAGE || key == ' ')
        s->text_first += top_screen_room();
    else if (key == KEY_PPAGE)
        s->text_first -= (unsigned)min_u64(s->text_first, top_screen_room());
    else if (key != KEY_UP && key != 'k')
        s->mode = TOP_TABLE;
}

void top_screen_key(struct top_screen *s, int key)
{
    switch (s->mode) {
    case TOP_TABLE:
        on_table(s, key);
        break;
    case TOP_TYPING_FILTER:
    case TOP_TYPING_WHY:
        on_typing(s, key);
        break;
    case TOP_ASKING:
        s->mode = TOP_TABLE;
        if (key == 'y' || key == 'Y')
            give_order(s);
        break;
    case TOP_LOOKING:
        on_looking(s, key);
        break;
    }
}
