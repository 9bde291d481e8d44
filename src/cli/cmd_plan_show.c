/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "cmd_plan.h"
#include "json_text.h"
#include "log.h"
#include "plan_json.h"

#define TARGETS_SHOWN 4

/* -- words -- */

static const char *two_units(char *out, size_t room, uint64_t n, uint64_t small,
                             const char *const *units)
{
    if (n % small)
        snprintf(out, room, "%" PRIu64 " %s %" PRIu64 " %s", n / small, units[0], n % small,
                 units[1]);
    else
        snprintf(out, room, "%" PRIu64 " %s", n / small, units[0]);
    return out;
}

/* More precise than in `purgeline status`: "3 min 20 s". */
static const char *duration_words(char *out, size_t room, uint64_t ms)
{
    static const char *const min_s[] = {"min", "s"}, *const h_min[] = {"h", "min"},
                             *const d_h[] = {"d", "h"};

    if (ms < 60000)
        return cmd_duration_words(out, room, ms);
    if (ms < 3600000)
        return two_units(out, room, ms / 1000, 60, min_s);
    if (ms < UINT64_C(48) * 3600000)
        return two_units(out, room, ms / 60000, 60, h_min);
    return two_units(out, room, ms / 3600000, 24, d_h);
}

/* -- requests -- */

static const char *quoted(char *out, size_t room, const struct pending *t)
{
    return log_quote(out, room, t->bytes, t->bytes_count);
}

static json_t *request_line(const struct plan_request *r)
{
    const struct batch *b = r->batch;
    unsigned shown = 0;
    struct buf line;
    json_t *text;
    char at[32];

    buf_init(&line, SIZE_MAX);
    buf_printf(&line, "  %-12s  %-6s  %-22s  %4u %s", duration_words(at, sizeof(at), r->at_ms),
               lane_names[b->lane], r->service, b->count, plan_form_names[b->form]);
    list_each(it, &b->targets) {
        char target[128];

        if (pending_of(it)->kind == TARGET_ALL || shown++ == TARGETS_SHOWN)
            break;
        buf_printf(&line, "%s%s", shown == 1 ? ": " : " ",
                   quoted(target, sizeof(target), pending_of(it)));
    }
    if (b->count > TARGETS_SHOWN)
        buf_printf(&line, " ...");
    text = json_text(buf_span(&line));
    buf_deinit(&line);
    return text;
}

void cmd_plan_keep_request(void *ctx, const struct plan_request *r)
{
    struct planning *g = ctx;

    if (json_array_size(g->requests) < g->requests_wanted)
        json_array_append_new(g->requests, g->common.json ? plan_json_request(r) : request_line(r));
}

/* -- for people -- */

static const char *clock_words(char *out, size_t room, uint64_t wall_ms)
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;

    if (!localtime_r(&s, &tm) || strftime(out, room, "%a %Y-%m-%d %H:%M:%S", &tm) == 0)
        snprintf(out, room, "?");
    return out;
}

static void print_number(uint64_t n, int width)
{
    char words[32];

    cmd_print("%*s", width, cmd_number_words(words, sizeof(words), n));
}

static void print_row(const struct planning *g, const char *name, const struct plan_lane *l)
{
    char after[32], at[48];

    cmd_print("  %-7s", name);
    print_number(l->jobs, 12);
    print_number(l->targets, 12);
    print_number(l->merged, 12);
    print_number(l->requests, 11);
    print_number(l->cost, 12);
    if (l->jobs)
        cmd_print("  %-12s  %s", duration_words(after, sizeof(after), l->done_ms),
                  clock_words(at, sizeof(at), g->jobs.now_ms + l->done_ms));
    cmd_print("\n");
}

static void print_lanes(const struct planning *g)
{
    struct plan_lane total = plan_total(&g->result);

    cmd_print("%s%-9s%12s%12s%12s%11s%12s  %-12s%s\n", cmd_colour(CMD_BOLD), "  lane", "jobs",
              "targets", "merged", "requests", "cost", "done after", cmd_colour(CMD_PLAIN));
    for (int i = 0; i < LANE_N; i++)
        if (g->result.lanes[i].jobs)
            print_row(g, lane_names[i], &g->result.lanes[i]);
    print_row(g, "all", &total);
}

static void print_ledgers(const struct planning *g)
{
    static const char *const titles[LEDGER_N] = {
        [LEDGER_PURGE] = "budget", [LEDGER_URL] = "url budget", [LEDGER_WRITE] = "write budget"};
    char units[32], window[32], spent[32], left[32], then[32];

    for (int i = 0; i < LEDGER_N; i++) {
        const struct plan_ledger *l = &g->result.ledgers[i];

        if (l->counted)
            cmd_print("  %-12s  %s in %s: %s spent, %s left now, %s left when all is done\n",
                      titles[i], cmd_number_words(units, sizeof(units), l->units),
                      duration_words(window, sizeof(window), l->per_s * 1000),
                      cmd_number_words(spent, sizeof(spent), l->spent),
                      cmd_number_words(left, sizeof(left), l->left),
                      cmd_number_words(then, sizeof(then), l->left_then));
    }
}

static void print_urgent(const struct plan_result *r)
{
    char words[32], at[32];

    if (!r->urgent_known) {
        cmd_print("  one more      urgent purge would never be sent\n");
        return;
    }
    if (r->urgent_ms == 0)
        cmd_print("  one more      urgent purge, pushed now, would be sent at once");
    else
        cmd_print("  one more      urgent purge, pushed now, would be sent after %s",
                  duration_words(words, sizeof(words), r->urgent_ms));
    if (r->urgent_worst_ms > r->urgent_ms)
        cmd_print("; later at worst after %s (in %s)",
                  duration_words(words, sizeof(words), r->urgent_worst_ms),
                  duration_words(at, sizeof(at), r->urgent_worst_at_ms));
    cmd_print("\n");
}

static void note(uint64_t n, const char *rest)
{
    char number[32];

    if (n)
        cmd_print("  %snote%s          %s %s\n", cmd_colour(CMD_YELLOW), cmd_colour(CMD_PLAIN),
                  cmd_number_words(number, sizeof(number), n), rest);
}

uint64_t cmd_plan_waiting(const struct planning *g)
{
    uint64_t jobs = 0;

    for (int i = 0; i < LANE_N; i++)
        jobs += g->overview.lanes[i].jobs;
    return jobs;
}

static void print_notes(const struct planning *g)
{
    const struct plan_result *r = &g->result;

    if (g->backlog && r->refused) {
        note(r->refused, "jobs are invalid and become dead letters; the first:");
        cmd_print("                %s\n", g->refused.why.text);
    }
    note(r->expired, "jobs expire before they can be sent");
    note(r->postponed, "jobs have a not_before and are planned for that time");
    note(r->repeats, "jobs are repeated after their repeat_after; requests and cost include this");
    note(r->absorbed, "targets need no request because a purge-all covers them");
    note(r->beyond, "jobs are not in the plan: too many, or too far ahead");
    note(r->never, "targets would never be sent with this budget");
    if (r->windowed)
        note(g->config.window, "targets at a time: what is beyond this window is read when there "
                               "is room, as the dispatcher does");
    if (!g->client)
        return;
    if (!g->backlog)
        note(cmd_plan_waiting(g),
             "jobs already waiting in Redis are not in this plan: see --backlog");
    note(g->overview.later, "jobs that Redis keeps for a later time are not in this plan");
    if (g->overview.paused)
        cmd_print("  %snote%s          the account is paused now\n", cmd_colour(CMD_RED),
                  cmd_colour(CMD_PLAIN));
    else if (!g->overview.leader)
        cmd_print("  %snote%s          no instance dispatches the account now\n",
                  cmd_colour(CMD_RED), cmd_colour(CMD_PLAIN));
}

static void print_requests(const struct planning *g)
{
    struct plan_lane total = plan_total(&g->result);
    size_t shown = json_array_size(g->requests);

    if (!g->requests_wanted)
        return;
    cmd_print("\n%s  %-12s  %-6s  %-22s  %s%s\n", cmd_colour(CMD_BOLD), "sent after", "lane",
              "service", "targets", cmd_colour(CMD_PLAIN));
    for (size_t i = 0; i < shown; i++)
        cmd_print("%s\n", json_string_value(json_array_get(g->requests, i)));
    if (total.requests > shown)
        note(total.requests - shown, "more requests");
}

static void print(const struct planning *g)
{
    cmd_print("%saccount %s%s: this is a plan, nothing is sent\n", cmd_colour(CMD_BOLD),
              g->account->name, cmd_colour(CMD_PLAIN));
    print_lanes(g);
    print_ledgers(g);
    print_urgent(&g->result);
    cmd_print("  assumed       an answer after %" PRIu64 " ms, %u requests at a time%s\n",
              g->reply_ms, g->account->max_in_flight,
              g->client && !g->fresh ? "" : ", nothing spent before");
    print_notes(g);
    print_requests(g);
}

/* -- as JSON -- */

static void print_json(const struct planning *g)
{
    const struct plan_telling t = {.account = g->account,
                                   .result = &g->result,
                                   .at_ms = g->jobs.now_ms,
                                   .reply_ms = g->reply_ms,
                                   .window = g->config.window,
                                   .of = g->backlog ? "backlog" : "list",
                                   .spent_from = g->client && !g->fresh ? "redis" : "nothing",
                                   .refused = g->wrong,
                                   .requests = g->requests_wanted ? g->requests : NULL};
    json_t *j = plan_json(&t);

    cmd_print_json(j, CMD_JSON_TREE);
    json_decref(j);
}

void cmd_plan_show(const struct planning *g)
{
    if (g->common.json)
        print_json(g);
    else
        print(g);
}
