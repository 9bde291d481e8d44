/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "top_rows.h"

static struct config_account configs[] = {
    {.name = (char *)"shop"}, {.name = (char *)"blog"}, {.name = (char *)"wiki"}};

struct world {
    struct top_account accounts[3];
    struct overview_instances instances;
    struct top_letter letter;
    struct top_view view;
    struct top_rows rows;
};

static int open_world(void **state)
{
    static struct world w;

    memset(&w, 0, sizeof(w));
    for (int i = 0; i < 3; i++) {
        w.accounts[i].account = &configs[i];
        strcpy(w.accounts[i].words, "healthy, nothing waits");
    }
    w.letter = (struct top_letter){.account = &configs[1],
                                   .id = (char *)"1-0",
                                   .job = (char *)"normal-1-0",
                                   .reason = (char *)"no \x1b[2J\xc3\xa9",
                                   .target = (char *)"",
                                   .fields = (char *)""};
    w.view = (struct top_view){w.accounts, 3, &w.instances, &w.letter, 1};
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;

    top_rows_deinit(&w->rows);
    return 0;
}

static void make(struct world *w, enum top_tab tab, unsigned sort, bool reverse, const char *filter)
{
    top_rows_deinit(&w->rows);
    top_rows_make(&w->view, tab, &(struct top_choice){sort, reverse, filter}, &w->rows);
}

/* The first cells of all rows, like "wiki shop blog". */
static void assert_first(const struct world *w, const char *wanted)
{
    char text[400] = "";

    for (uint32_t i = 0; i < w->rows.count; i++) {
        strcat(text, i ? " " : "");
        strcat(text, w->rows.at[i].cells[0]);
    }
    assert_string_equal(text, wanted);
}

static void the_worst_account_is_the_first(void **state)
{
    struct world *w = *state;

    w->accounts[1].mood = OVERVIEW_SLOWED;
    w->accounts[2].mood = OVERVIEW_TROUBLE;
    make(w, TAB_ACCOUNTS, top_tables[TAB_ACCOUNTS].sort, false, "");
    assert_first(w, "wiki blog shop");
    assert_int_equal(w->rows.at[0].colour, CMD_RED);
    make(w, TAB_ACCOUNTS, top_tables[TAB_ACCOUNTS].sort, true, "");
    assert_first(w, "shop blog wiki");
    w->accounts[0].overview.lanes[LANE_BULK] = (struct overview_lane){.jobs = 1, .oldest_ms = 9};
    w->accounts[1].mood = w->accounts[2].mood = OVERVIEW_GOOD;
    make(w, TAB_ACCOUNTS, top_tables[TAB_ACCOUNTS].sort, false, "");
    assert_first(w, "shop blog wiki");
}

static void names_are_sorted_by_letter_and_numbers_by_size(void **state)
{
    struct world *w = *state;

    w->accounts[0].overview.lanes[LANE_URGENT].jobs = 9;
    w->accounts[2].overview.lanes[LANE_BULK].jobs = 10;
    make(w, TAB_ACCOUNTS, 0, false, "");
    assert_first(w, "blog shop wiki");
    make(w, TAB_ACCOUNTS, 2, false, "");
    assert_first(w, "wiki shop blog");
}

static void a_filter_looks_at_cells_and_verdicts_in_any_case(void **state)
{
    struct world *w = *state;

    strcpy(w->accounts[2].words, "paused: Deploying");
    make(w, TAB_ACCOUNTS, 0, false, "BLO");
    assert_first(w, "blog");
    make(w, TAB_ACCOUNTS, 0, false, "deploying");
    assert_first(w, "wiki");
    make(w, TAB_ACCOUNTS, 0, false, "nothing has this");
    assert_int_equal(w->rows.count, 0);
}

static void what_others_wrote_is_cleaned(void **state)
{
    struct world *w = *state;

    make(w, TAB_LETTERS, 1, false, "");
    assert_int_equal(w->rows.count, 1);
    assert_string_equal(w->rows.at[0].cells[2], "normal-1-0"); /* without a target, the job */
    assert_string_equal(w->rows.at[0].cells[3], "no \\x1b[2J\xc3\xa9");
    assert_ptr_equal(w->rows.at[0].letter, &w->letter);
}

static void each_account_has_its_lanes(void **state)
{
    struct world *w = *state;

    w->accounts[1].overview.later = 2;
    make(w, TAB_LANES, 0, false, "");
    assert_int_equal(w->rows.count, 3 * LANE_N + 1);
    make(w, TAB_LANES, 0, false, "later");
    assert_first(w, "blog");
    assert_string_equal(w->rows.at[0].cells[2], "2");
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_worst_account_is_the_first),
        T(names_are_sorted_by_letter_and_numbers_by_size),
        T(a_filter_looks_at_cells_and_verdicts_in_any_case),
        T(what_others_wrote_is_cleaned),
        T(each_account_has_its_lanes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
