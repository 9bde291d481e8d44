/* SPDX-License-Identifier: MIT */
#include "top_rows.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "buf.h"
#include "page.h"
#include "show.h"
#include "status_page.h"

const struct top_table top_tables[TAB_N] = {
    [TAB_ACCOUNTS] = {.title = "Accounts",
                      .note = "10 s, 100 s, 1000 s: targets sent per second, on average",
                      .columns = {{"account", 13, false},
                                  {"verdict", 13, false},
                                  {"waiting", 9, true},
                                  {"oldest", 7, true},
                                  {"budget left", 12, true},
                                  {"10 s", 6, true},
                                  {"100 s", 6, true},
                                  {"1000 s", 6, true}},
                      .sort = 1},
    [TAB_LANES] = {.title = "Lanes",
                   .note = "in hand: read by the leader; p99: from push to request",
                   .columns = {{"account", 20, false},
                               {"lane", 8, false},
                               {"jobs", 12, true},
                               {"in hand", 9, true},
                               {"oldest", 9, true},
                               {"p99", 9, true}},
                   .sort = 2},
    [TAB_LETTERS] = {.title = "Dead letters",
                     .note = "the latest of each account; ENTER shows all of one",
                     .columns = {{"account", 13, false},
                                 {"given up", 14, true},
                                 {"target", 22, false},
                                 {"reason", 0, false}},
                     .sort = 1},
    [TAB_CONSUMERS] = {.title = "Consumers",
                       .note = "of message queues: waiting in the queue, and jobs made of messages",
                       .columns = {{"account", 13, false},
                                   {"consumer", 13, false},
                                   {"state", 11, false},
                                   {"waiting", 9, true},
                                   {"oldest", 7, true},
                                   {"jobs", 9, true},
                                   {"last error", 0, false}},
                       .sort = 2},
    [TAB_INSTANCES] = {.title = "Instances",
                       .note = "leads: accounts that it dispatches, of those that it can",
                       .columns = {{"instance", 32, false},
                                   {"leads", 6, true},
                                   {"of", 6, true},
                                   {"accounts", 0, false}},
                       .sort = 0},
};

/* -- cells -- */

static struct top_row *add_row(struct top_rows *r, const struct top_account *a)
{
    r->at = alloc_grow(r->at, r->count + 1, sizeof(*r->at));
    r->at[r->count] = (struct top_row){.account = a, .colour = CMD_PLAIN};
    return &r->at[r->count++];
}

/* The text may come from outside. What does not fit is cut between two characters. */
static void put_text(struct top_row *row, unsigned column, const char *text)
{
    struct buf clean;
    size_t n = 0, more;

    buf_init(&clean, SIZE_MAX);
    show_for_terminal(&clean, span_str(text));
    while (n < clean.n && (more = show_utf8_length(span_of(clean.p + n, clean.n - n))) &&
           n + more < TOP_CELL_ROOM)
        n += more;
    snprintf(row->cells[column], TOP_CELL_ROOM, "%.*s", (int)n, clean.p ? clean.p : "");
    buf_deinit(&clean);
}

static void put_number(struct top_row *row, unsigned column, uint64_t n)
{
    cmd_number_words(row->cells[column], TOP_CELL_ROOM, n);
    row->order[column] = (double)n;
}

/* An age, or "-" if there is none. */
static void put_age(struct top_row *row, unsigned column, bool there, uint64_t ms)
{
    if (there)
        cmd_duration_words(row->cells[column], TOP_CELL_ROOM, ms);
    else
        snprintf(row->cells[column], TOP_CELL_ROOM, "-");
    row->order[column] = there ? (double)ms : -1;
}

static void put_rate(struct top_row *row, unsigned column, double per_s)
{
    if (per_s > 0 && per_s < 9.95)
        snprintf(row->cells[column], TOP_CELL_ROOM, "%.1f", per_s);
    else
        cmd_number_words(row->cells[column], TOP_CELL_ROOM, (uint64_t)(per_s + 0.5));
    row->order[column] = per_s;
}

static enum cmd_colour colour_of(enum overview_mood mood)
{
    return mood == OVERVIEW_TROUBLE ? CMD_RED : mood == OVERVIEW_SLOWED ? CMD_YELLOW : CMD_PLAIN;
}

/* -- accounts -- */

/* The beginning of a verdict, in a few letters. */
static const char *short_verdict(const char *words)
{
    static const struct {
        const char *begin, *shown;
    } verdicts[] = {
        {"nobody leads", "nobody leads"},
        {"paused", "paused"},
        {"stalled", "stalled"},
        {"NOT SENDING", "NOT SENDING"},
        {"Fastly cannot", "Fastly away"},
        {"held by Fastly", "held (429)"},
        {"coming back", "coming back"},
        {"somebody leads", "no report"},
        {"its leader is", "handing over"},
        {"its leader waits", "waits"},
        {"the budget", "budget spent"},
        {"healthy, purging", "purging"},
    };

    for (size_t i = 0; i < array_len(verdicts); i++)
        if (strncmp(words, verdicts[i].begin, strlen(verdicts[i].begin)) == 0)
            return verdicts[i].shown;
    return "healthy";
}

static void put_budget(struct top_row *row, unsigned column, const struct overview_budget *b)
{
    char bar[PAGE_BAR_ROOM];
    double percent = b->units ? (double)b->left * 100 / (double)b->units : 0;

    snprintf(row->cells[column], TOP_CELL_ROOM, "%s %3.0f%%",
             page_bar(bar, sizeof(bar), b->left, b->units, 5), percent);
    row->order[column] = -percent; /* the poorest first */
}

static void add_account(struct top_rows *rows, const struct top_account *a)
{
    struct top_row *row = add_row(rows, a);
    uint64_t jobs = 0, oldest_ms = 0;

    for (int i = 0; i < LANE_N; i++) {
        jobs += a->overview.lanes[i].jobs;
        oldest_ms = max_u64(oldest_ms, a->overview.lanes[i].oldest_ms);
    }
    put_text(row, 0, a->account->name);
    put_text(row, 1, short_verdict(a->words));
    row->order[1] = a->mood * 1e15 + (double)oldest_ms; /* the worst first */
    put_number(row, 2, jobs);
    put_age(row, 3, jobs > 0, oldest_ms);
    put_budget(row, 4, &a->overview.budget[LEDGER_PURGE]);
    for (unsigned s = 0; s < TOP_SPAN_N; s++)
        put_rate(row, 5 + s, a->sent[s]);
    row->colour = colour_of(a->mood);
}

/* -- lanes -- */

static uint64_t p99_ms(const json_t *report, enum lane lane)
{
    char name[48];
    json_int_t ms;

    snprintf(name, sizeof(name), "%s_to_wire_p99_ms", lane_names[lane]);
    ms = json_integer_value(json_object_get(report, name));
    return ms > 0 ? (uint64_t)ms : 0;
}

static void add_lanes(struct top_rows *rows, const struct top_account *a)
{
    const struct overview *o = &a->overview;
    json_t *report = o->status ? json_loads(o->status, 0, NULL) : NULL;
    struct top_row *row;

    for (int i = 0; i < LANE_N; i++) {
        const struct overview_lane *l = &o->lanes[i];
        uint64_t ms = p99_ms(report, (enum lane)i);

        row = add_row(rows, a);
        put_text(row, 0, a->account->name);
        put_text(row, 1, lane_names[i]);
        row->order[1] = -i;
        put_number(row, 2, l->jobs);
        put_number(row, 3, l->in_hand);
        put_age(row, 4, l->jobs > 0, l->oldest_ms);
        put_age(row, 5, ms > 0, ms);
        row->colour = l->jobs ? colour_of(a->mood) : CMD_PLAIN;
    }
    json_decref(report);
    if (o->later == 0)
        return;
    row = add_row(rows, a);
    put_text(row, 0, a->account->name);
    put_text(row, 1, "later");
    put_number(row, 2, o->later);
    put_text(row, 3, "next in");
    put_age(row, 4, true, o->later_next_ms);
}

/* -- dead letters, consumers, instances -- */

static void add_letter(struct top_rows *rows, const struct top_view *v, const struct top_letter *l)
{
    struct top_row *row;
    time_t s = (time_t)(l->at_ms / 1000);
    char when[32] = "-";
    struct tm tm;

    for (uint32_t i = 0; i < v->count; i++) {
        if (v->accounts[i].account != l->account)
            continue;
        row = add_row(rows, &v->accounts[i]);
        row->letter = l;
        put_text(row, 0, l->account->name);
        if (l->at_ms && localtime_r(&s, &tm))
            strftime(when, sizeof(when), "%m-%d %H:%M:%S", &tm);
        put_text(row, 1, when);
        row->order[1] = (double)l->at_ms;
        put_text(row, 2, *l->target ? l->target : l->job);
        put_text(row, 3, l->reason);
        return;
    }
}

static void add_consumer(struct top_rows *rows, const struct top_account *a,
                         const struct consumer_state *k)
{
    static const char *const states[CONSUMER_CONDITION_N] = {[CONSUMER_ABSENT] = "not running",
                                                             [CONSUMER_RUNNING] = "running",
                                                             [CONSUMER_REDIS_AWAY] = "Redis away",
                                                             [CONSUMER_SOURCE_AWAY] = "source away",
                                                             [CONSUMER_FULL] = "full",
                                                             [CONSUMER_PAUSED] = "paused"};
    struct top_row *row = add_row(rows, a);

    put_text(row, 0, a->account->name);
    put_text(row, 1, k->name);
    put_text(row, 2, states[k->condition]);
    row->order[2] = k->condition != CONSUMER_RUNNING;
    if (k->lag_known)
        put_number(row, 3, k->lag);
    else
        put_text(row, 3, "-");
    put_age(row, 4, k->oldest_known && k->oldest_ms, k->oldest_ms);
    put_number(row, 5, k->jobs);
    put_text(row, 6, k->condition == CONSUMER_RUNNING ? "" : k->last_error);
    row->colour = k->condition == CONSUMER_RUNNING ? CMD_PLAIN : CMD_YELLOW;
}

static void add_instance(struct top_rows *rows, const struct overview_instance *in)
{
    struct top_row *row = add_row(rows, NULL);
    char name[STATUS_INSTANCE_ROOM];
    struct buf led;

    status_instance_words(in->name, name, sizeof(name));
    put_text(row, 0, name);
    put_number(row, 1, in->leads);
    put_number(row, 2, in->accounts);
    buf_init(&led, SIZE_MAX);
    for (uint32_t i = 0; i < in->led.count; i++)
        buf_printf(&led, "%s%s", i ? ", " : "", in->led.at[i]);
    put_text(row, 3, led.p ? led.p : "");
    buf_deinit(&led);
}

/* -- sorting and filtering -- */

struct sorting {
    unsigned column;
    bool by_number, reverse;
};

static int compare(const struct top_row *a, const struct top_row *b, const struct sorting *s)
{
    double left = a->order[s->column], right = b->order[s->column];

    if (left != right)
        return left > right ? -1 : 1;
    return s->by_number ? 0 : strcmp(a->cells[s->column], b->cells[s->column]);
}

static int order(const void *left, const void *right, void *ctx)
{
    const struct top_row *a = left, *b = right;
    const struct sorting *s = ctx;
    int n = s->reverse ? compare(b, a, s) : compare(a, b, s);

    for (unsigned i = 0; n == 0 && i < 2; i++) /* so that rows do not jump around */
        n = strcmp(a->cells[i], b->cells[i]);
    return n;
}

static bool matches(const struct top_row *row, const char *filter)
{
    for (unsigned i = 0; i < TOP_COLUMNS_MAX; i++)
        if (strcasestr(row->cells[i], filter))
            return true;
    return row->account && strcasestr(row->account->words, filter);
}

static void filter_rows(struct top_rows *rows, const char *text)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < rows->count; i++)
        if (matches(&rows->at[i], text))
            rows->at[kept++] = rows->at[i];
    rows->count = kept;
}

static void add_all(const struct top_view *v, enum top_tab tab, struct top_rows *out)
{
    for (uint32_t i = 0; i < v->count; i++) {
        const struct top_account *a = &v->accounts[i];

        if (tab == TAB_ACCOUNTS)
            add_account(out, a);
        if (tab == TAB_LANES)
            add_lanes(out, a);
        for (uint32_t k = 0; tab == TAB_CONSUMERS && k < a->overview.consumers.count; k++)
            add_consumer(out, a, &a->overview.consumers.at[k]);
    }
    for (uint32_t i = 0; tab == TAB_LETTERS && i < v->letters_count; i++)
        add_letter(out, v, &v->letters[i]);
    for (uint32_t i = 0; tab == TAB_INSTANCES && i < v->instances->count; i++)
        add_instance(out, &v->instances->at[i]);
}

void top_rows_make(const struct top_view *v, enum top_tab tab, const struct top_choice *choice,
                   struct top_rows *out)
{
    struct sorting s = {choice->sort, top_tables[tab].columns[choice->sort].right, choice->reverse};

    *out = (struct top_rows){0};
    add_all(v, tab, out);
    if (*choice->filter)
        filter_rows(out, choice->filter);
    if (out->count)
        qsort_r(out->at, out->count, sizeof(*out->at), order, &s);
}

void top_rows_deinit(struct top_rows *r)
{
    free(r->at);
    *r = (struct top_rows){0};
}
