/* SPDX-License-Identifier: MIT
 * One account. */
#include "status_page.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "clock.h"
#include "cmd.h"
#include "log.h"
#include "overview_cache.h"
#include "page.h"
#include "reads.h"

#define BAR_CELLS 20
#define DAY_MS 86400000

static const enum cmd_colour colours[] = {
    [OVERVIEW_GOOD] = CMD_GREEN, [OVERVIEW_SLOWED] = CMD_YELLOW, [OVERVIEW_TROUBLE] = CMD_RED};

static const char *clock_words(char *out, size_t room, uint64_t wall_ms)
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;

    if (!localtime_r(&s, &tm) || strftime(out, room, "%H:%M:%S", &tm) == 0)
        snprintf(out, room, "?");
    return out;
}

/* -- who sends, and what waits -- */

static void print_paused(const struct status_account *s)
{
    const struct overview *o = &s->overview;
    const char *by = o->paused_by ? o->paused_by : "";
    const char *why = o->paused_why && !o->leader ? o->paused_why : ""; /* else in the verdict */
    char since[32];

    if (o->stalled)
        page_row("stalled", CMD_RED, "%s", o->stalled);
    if (o->paused)
        page_row("paused", CMD_PLAIN, "for %s%s%s%s%s; 'purgeline resume -a %s' ends it",
                 cmd_duration_words(since, sizeof(since), o->paused_ms), *by ? " by " : "", by,
                 *why ? ": " : "", why, s->account->name);
}

static uint64_t waiting(const struct overview *o)
{
    uint64_t jobs = 0;

    for (int i = 0; i < LANE_N; i++)
        jobs += o->lanes[i].jobs;
    return jobs;
}

static void print_lanes(const struct status_account *s)
{
    const struct overview *o = &s->overview;
    char jobs[32], age[32];

    for (int i = 0; i < LANE_N; i++) {
        const struct overview_lane *l = &o->lanes[i];

        if (l->jobs)
            page_row(lane_names[i], CMD_PLAIN, "%s %s, the oldest for %s",
                     cmd_number_words(jobs, sizeof(jobs), l->jobs), l->jobs == 1 ? "job" : "jobs",
                     cmd_duration_words(age, sizeof(age), l->oldest_ms));
    }
    if (waiting(o) == 0 && s->mood != OVERVIEW_GOOD)
        page_row("lanes", CMD_PLAIN, "nothing waits");
    if (o->later)
        page_row("later", CMD_PLAIN, "%s %s, the next in %s",
                 cmd_number_words(jobs, sizeof(jobs), o->later), o->later == 1 ? "job" : "jobs",
                 cmd_duration_words(age, sizeof(age), o->later_next_ms));
    if (o->dead)
        page_row("dead", CMD_YELLOW, "%s %s: 'purgeline dead list'",
                 cmd_number_words(jobs, sizeof(jobs), o->dead),
                 o->dead == 1 ? "letter" : "letters");
}

/* -- the budget -- */

static void print_refused_early(const struct overview *o, enum ledger_kind l)
{
    char spent[32], units[32], burst[32], window[32], at[32], until[32], then[100];
    struct overview_early e;

    if (!overview_refused_early(o, l, &e))
        return;
    if (e.growing)
        snprintf(then, sizeof(then), "bursts grow back until %s",
                 clock_words(until, sizeof(until), e.less_until_ms));
    else
        snprintf(then, sizeof(then), "bursts are halved to %s until %s",
                 cmd_number_words(burst, sizeof(burst), e.burst),
                 clock_words(until, sizeof(until), e.halved_until_ms));
    page_row("refused", CMD_YELLOW,
             "Fastly refused at %s of %s in our count at %s: somebody else spends from this "
             "account, or it averages over less than %s; %s",
             cmd_number_words(spent, sizeof(spent), e.spent),
             cmd_number_words(units, sizeof(units), e.units), clock_words(at, sizeof(at), e.at_ms),
             cmd_duration_words(window, sizeof(window), minus_u64(e.halved_until_ms, e.at_ms)),
             then);
}

/* "[######----] 61,000 of 100,000 left this hour" */
static void print_budget(const char *title, const struct overview_budget *b, uint64_t window_ms)
{
    char bar[PAGE_BAR_ROOM], left[32], units[32], window[32], when[48] = "left this hour";
    uint64_t can = minus_u64(b->units, b->headroom);

    if (window_ms != 3600000)
        snprintf(when, sizeof(when), "left, per %s",
                 cmd_duration_words(window, sizeof(window), window_ms));
    page_row(title,
             b->left == 0         ? CMD_RED
             : b->left < can / 10 ? CMD_YELLOW
                                  : CMD_PLAIN,
             "%s %s of %s %s", page_bar(bar, sizeof(bar), b->left, b->units, BAR_CELLS),
             cmd_number_words(left, sizeof(left), b->left),
             cmd_number_words(units, sizeof(units), b->units), when);
}

static void print_budgets(const struct config_account *a, const struct overview *o)
{
    static const char *const titles[LEDGER_N] = {
        [LEDGER_PURGE] = "budget", [LEDGER_URL] = "url budget", [LEDGER_WRITE] = "write budget"};

    for (int i = 0; i < LEDGER_N; i++) {
        uint32_t per_s = i == LEDGER_WRITE ? a->writes.per_s : a->budget.per_s;

        if (!o->budget[i].counted)
            continue;
        print_budget(titles[i], &o->budget[i], (uint64_t)per_s * 1000);
        print_refused_early(o, (enum ledger_kind)i);
    }
}

/* When everything in the lanes will be purged, at the pace of the budget. */
static void print_backlog(const struct config_account *a, const struct overview *o)
{
    uint64_t ms = overview_cache_backlog_ms(o, a);
    char in[32], at[32];

    if (waiting(o) == 0 || ms == UINT64_MAX)
        return;
    cmd_duration_words(in, sizeof(in), ms);
    if (ms < 60000 || ms > DAY_MS)
        page_row("backlog", CMD_PLAIN, "through in about %s", in);
    else
        page_row("backlog", CMD_PLAIN, "through in about %s, at %.5s", in,
                 clock_words(at, sizeof(at), clock_wall_ms() + ms));
}

/* -- what else there is to know -- */

static void print_verified(const struct overview *o)
{
    struct overview_verified v;
    char fresh[32], stale[32], unknown[32], repairs[32];

    if (overview_verified(o, &v))
        page_row("verified", v.stale ? CMD_RED : CMD_PLAIN,
                 "%s pages seen fresh, %s unknown, %s still stale; %s purged again",
                 cmd_number_words(fresh, sizeof(fresh), v.fresh),
                 cmd_number_words(unknown, sizeof(unknown), v.unknown),
                 cmd_number_words(stale, sizeof(stale), v.stale),
                 cmd_number_words(repairs, sizeof(repairs), v.repairs));
}

static void print_troubles(const struct overview *o)
{
    char text[700], ago[32], number[32];
    uint64_t age_ms, jobs;

    if (overview_origin(o, text, sizeof(text), &jobs))
        page_row("origin", CMD_PLAIN, "jobs that wait for it: %s%s%s",
                 cmd_number_words(number, sizeof(number), jobs), *text ? ": " : "", text);
    if (overview_last_error(o, text, sizeof(text), &age_ms))
        page_row("last error", CMD_PLAIN, "%s ago: %s",
                 cmd_duration_words(ago, sizeof(ago), age_ms), text);
    else if (o->status)
        page_row("last error", CMD_PLAIN, "none since its leader started");
    if (overview_no_service(o))
        page_row("services", CMD_YELLOW, "%s (%s)", CONFIG_NO_SERVICE, CONFIG_NO_SERVICE_REMEDY);
    if (overview_http(o, text, sizeof(text)))
        page_row("http", CMD_YELLOW, "not listening: %s", text);
    if (overview_needs_restart(o, text, sizeof(text)))
        page_row("restart", CMD_YELLOW, "needed to apply new values of %s", text);
}

static void print_canaries(const struct overview *o)
{
    uint64_t well = overview_canaries_ok(o);
    struct overview_canary c;

    if (well)
        page_row("canaries", CMD_PLAIN, "%" PRIu64 " ok", well);
    for (size_t i = 0; overview_canary(o, i, &c); i++) {
        page_row("canary", CMD_RED, "%s", c.what);
        page_row("", CMD_PLAIN, "-> %s", c.advice);
    }
}

static void print_repeats(const struct overview *o)
{
    struct overview_repeat r;
    char after[32];

    for (size_t i = 0; overview_repeat(o, i, &r); i++)
        page_row("repeat_after", CMD_PLAIN, "auto is %s for service %s, as pages stayed stale",
                 cmd_duration_words(after, sizeof(after), r.after_ms), r.service);
}

/* "API reads     3 of 600 this minute; edge_check 12 of 200 this hour" */
static void print_reads(const struct config_account *a, const struct overview *o)
{
    const struct read_use *api = &o->reads[READ_API], *edge = &o->reads[READ_EDGE_CHECK];
    static const char *const words[READ_N] = {
        [READ_API] = "more of them", [READ_EDGE_CHECK] = "edge_check"};
    char used[2][32], most[2][32], held[32];

    if (api->total == 0 && api->held_ms == 0)
        return;
    page_row("API reads", CMD_PLAIN, "%s of %s this minute; edge_check %s of %s this hour",
             cmd_number_words(used[0], sizeof(used[0]), api->used),
             cmd_number_words(most[0], sizeof(most[0]), read_limit(a, READ_API)),
             cmd_number_words(used[1], sizeof(used[1]), edge->used),
             cmd_number_words(most[1], sizeof(most[1]), read_limit(a, READ_EDGE_CHECK)));
    for (int k = 0; k < READ_N; k++)
        if (words[k] && o->reads[k].held_ms)
            page_row("", CMD_YELLOW, "Fastly refuses %s (429) for another %s", words[k],
                     cmd_duration_words(held, sizeof(held), o->reads[k].held_ms));
}

static void print_others(const struct overview *o)
{
    char number[32];
    uint64_t count;

    if (overview_others_purge_alls(o, &count) && count)
        page_row("others", CMD_YELLOW,
                 "%s %s in the last hour that purgeline did not send: see its log",
                 cmd_number_words(number, sizeof(number), count),
                 count == 1 ? "purge-all" : "purge-alls");
}

static void print_history(const struct history_reach *h)
{
    char jobs[32], entries[32], age[32];

    if (h->entries)
        page_row("history", CMD_PLAIN, "%s %s in %s %s, the oldest from %s ago",
                 cmd_number_words(jobs, sizeof(jobs), h->jobs), h->jobs == 1 ? "job" : "jobs",
                 cmd_number_words(entries, sizeof(entries), h->entries),
                 h->entries == 1 ? "entry" : "entries",
                 cmd_duration_words(age, sizeof(age), h->oldest_ms));
    else if (h->known)
        page_row("history", CMD_PLAIN, "empty");
}

/* -- consumers -- */

static void put_waiting(struct buf *out, const struct consumer_state *k)
{
    char n[32], age[32];

    if (k->lag_known)
        cmd_put(out, ", %s waiting", cmd_number_words(n, sizeof(n), k->lag));
    if (k->oldest_known && k->oldest_ms)
        cmd_put(out, ", the oldest for %s", cmd_duration_words(age, sizeof(age), k->oldest_ms));
    else if (k->oldest_known)
        cmd_put(out, ", nothing waits");
}

static void put_counts(struct buf *out, const struct consumer_state *k)
{
    char jobs[32], ignored[32], dead[32], ago[32];

    if (k->condition == CONSUMER_ABSENT)
        cmd_put(out, ", last heard of %s ago", cmd_duration_words(ago, sizeof(ago), k->heard_ms));
    else
        put_waiting(out, k);
    cmd_put(out, "; %s jobs, %s ignored, %s dead", cmd_number_words(jobs, sizeof(jobs), k->jobs),
            cmd_number_words(ignored, sizeof(ignored), k->ignored),
            cmd_number_words(dead, sizeof(dead), k->dead));
    if (k->committed_ms != NEVER)
        cmd_put(out, "; last commit %s ago", cmd_duration_words(ago, sizeof(ago), k->committed_ms));
    if (k->per_1000_s >= 10000)
        cmd_put(out, "; %s a second",
                cmd_number_words(jobs, sizeof(jobs), (k->per_1000_s + 500) / 1000));
    else if (k->per_1000_s)
        cmd_put(out, "; %.1f a second", (double)k->per_1000_s / 1000);
}

/* "articles: running, 12 waiting; 1,200 jobs, 3 ignored, 1 dead; last commit 2 s ago; 480 a second"
 */
static void print_consumer(const struct consumer_state *k)
{
    static const struct {
        const char *words;
        enum cmd_colour colour;
    } shown[CONSUMER_CONDITION_N] = {
        [CONSUMER_ABSENT] = {"not running", CMD_YELLOW},
        [CONSUMER_RUNNING] = {"running", CMD_PLAIN},
        [CONSUMER_REDIS_AWAY] = {"Redis does not accept its jobs", CMD_RED},
        [CONSUMER_SOURCE_AWAY] = {"cannot read its source", CMD_RED},
        [CONSUMER_FULL] = {"waits: the account has backlog_max jobs", CMD_YELLOW},
        [CONSUMER_PAUSED] = {"waits: the account is paused", CMD_YELLOW},
    };
    struct buf text;
    char ago[32];

    buf_init(&text, SIZE_MAX);
    cmd_put(&text, "%s: %s", k->name, shown[k->condition].words);
    if (k->heard_ms == NEVER)
        cmd_put(&text, "; start 'purgeline consume %s'", k->name);
    else
        put_counts(&text, k);
    page_row("consumer", shown[k->condition].colour, "%s", text.p);
    if (k->heard_ms != NEVER && *k->last_error && k->condition != CONSUMER_RUNNING)
        page_row("", CMD_PLAIN, "%s ago: %s", cmd_duration_words(ago, sizeof(ago), k->error_ms),
                 k->last_error);
    buf_deinit(&text);
}

/* -- every number -- */

static bool is_told_in_words(const char *name)
{
    return strncmp(name, "last_error", strlen("last_error")) == 0 ||
           strcmp(name, "brake_until") == 0 || strcmp(name, "origin_seen") == 0;
}

/* Prints every number that the dispatcher publishes under its own name, so a new number needs no
 * change here. */
static void print_numbers(const struct overview *o)
{
    json_t *status = o->status ? json_loads(o->status, 0, NULL) : NULL, *value;
    const char *name;
    int column = 0;

    json_object_foreach(status, name, value)
    {
        char words[32], cell[80];

        if (strcmp(name, "at") == 0 || !json_is_integer(value) || is_told_in_words(name))
            continue;
        if (json_integer_value(value) == 0)
            continue;
        snprintf(cell, sizeof(cell), "%.40s %s", name,
                 cmd_number_words(words, sizeof(words), (uint64_t)json_integer_value(value)));
        cmd_print("%s%-38s", column == 0 ? "  " : " ", cell);
        column = (column + 1) % 2;
        if (column == 0)
            cmd_print("\n");
    }
    if (column)
        cmd_print("\n");
    json_decref(status);
}

void status_page(const struct status_account *s, enum status_numbers numbers)
{
    const struct overview *o = &s->overview;
    char leader[STATUS_INSTANCE_ROOM];

    page_head(s->account->name, colours[s->mood], "%s", s->words);
    if (o->unreadable)
        return;
    print_paused(s);
    print_lanes(s);
    print_budgets(s->account, o);
    print_backlog(s->account, o);
    if (o->leader) {
        status_instance_words(o->leader, leader, sizeof(leader));
        page_row("leader", CMD_PLAIN, "%s", leader);
    }
    for (uint32_t i = 0; i < o->consumers.count; i++)
        print_consumer(&o->consumers.at[i]);
    print_verified(o);
    print_repeats(o);
    print_canaries(o);
    print_reads(s->account, o);
    print_others(o);
    print_troubles(o);
    if (numbers == STATUS_WITH_NUMBERS) {
        print_history(&o->history);
        print_numbers(o);
    }
}
