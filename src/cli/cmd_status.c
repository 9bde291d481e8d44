/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "cmd.h"
#include "log.h"
#include "overview.h"
#include "overview_instances.h"
#include "overview_json.h"
#include "overview_words.h"

const char cmd_status_help[] =
    "usage: purgeline status [OPTION...]\n"
    "\n"
    "Shows for each account a one-line summary, its leader, the jobs waiting in each lane and\n"
    "since when, the remaining budget, what a 429 taught about it, the number of dead letters,\n"
    "the last error, and its consumers of message queues; and, if there are several instances,\n"
    "which of them leads which accounts.\n"
    "\n"
    "      --all            also show all numbers recently published by the leader\n"
    "  -a, --account NAME   show this account only\n"
    "  -j, --json           print one JSON object\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline status\n"
    "  purgeline status --json | jq '.accounts[].lanes.urgent.oldest_ms'\n"
    "\n"
    "exit codes: 0 all accounts are dispatched; 1 at least one is not: it is paused or\n"
    "stalled, its token is refused, Fastly is unreachable, or it has no leader;\n"
    "2 wrong arguments; 3 Redis cannot be reached\n";

enum long_only { OPT_ALL = 256 };

static const struct option options[] = {
    CMD_LONG, {"all", no_argument, NULL, OPT_ALL}, {NULL, 0, NULL, 0}};

struct showing {
    struct cmd_common common;
    const struct config *config;
    bool all;     /* print every number */
    json_t *list; /* NULL: print text */
    struct overview_instances *instances;
};

/* -- for people: a page -- */

static void print_verdict(const struct config_account *a, const struct overview *o)
{
    static const enum cmd_colour colours[] = {
        [OVERVIEW_GOOD] = CMD_GREEN, [OVERVIEW_SLOWED] = CMD_YELLOW, [OVERVIEW_TROUBLE] = CMD_RED};
    char words[OVERVIEW_WORDS_MAX];
    enum overview_mood mood = overview_words(o, words, sizeof(words));

    cmd_print("%s%s%s: %s%s%s\n", cmd_colour(CMD_BOLD), a->name, cmd_colour(CMD_PLAIN),
              cmd_colour(colours[mood]), words, cmd_colour(CMD_PLAIN));
}

static void print_leader(const struct overview *o)
{
    const char *by = o->paused_by ? o->paused_by : "", *why = o->paused_why ? o->paused_why : "";
    char since[32];

    if (o->leader)
        cmd_print("  leader        %.*s\n", (int)strcspn(o->leader, "/"), o->leader);
    if (o->stalled)
        cmd_print("  stalled       %s\n", o->stalled);
    if (o->paused)
        cmd_print("  paused        for %s%s%s%s%s\n",
                  cmd_duration_words(since, sizeof(since), o->paused_ms), *by ? " by " : "", by,
                  *why ? ": " : "", why);
}

static void print_lanes(const struct overview *o)
{
    char jobs[32], age[32];

    for (int i = 0; i < LANE_N; i++) {
        const struct overview_lane *l = &o->lanes[i];

        if (l->jobs)
            cmd_print("  %-8s      %s %s, the oldest for %s\n", lane_names[i],
                      cmd_number_words(jobs, sizeof(jobs), l->jobs), l->jobs == 1 ? "job" : "jobs",
                      cmd_duration_words(age, sizeof(age), l->oldest_ms));
        else
            cmd_print("  %-8s      nothing waits\n", lane_names[i]);
    }
    if (o->later)
        cmd_print("  later         %s %s, the next in %s\n",
                  cmd_number_words(jobs, sizeof(jobs), o->later), o->later == 1 ? "job" : "jobs",
                  cmd_duration_words(age, sizeof(age), o->later_next_ms));
    if (o->dead)
        cmd_print("  dead          %s%s %s: 'purgeline dead list'%s\n", cmd_colour(CMD_YELLOW),
                  cmd_number_words(jobs, sizeof(jobs), o->dead),
                  o->dead == 1 ? "letter" : "letters", cmd_colour(CMD_PLAIN));
}

static const char *clock_words(char *out, size_t room, uint64_t wall_ms)
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;

    if (!localtime_r(&s, &tm) || strftime(out, room, "%H:%M:%S", &tm) == 0)
        snprintf(out, room, "?");
    return out;
}

static void print_refused_early(const struct overview *o, enum ledger_kind l)
{
    char spent[32], units[32], burst[32], window[32], at[32], until[32];
    struct overview_early e;

    if (!overview_refused_early(o, l, &e))
        return;
    cmd_print(
        "  refused       %sFastly refused at %s of %s in our count at %s: somebody else spends "
        "from this account, or it averages over less than %s; ",
        cmd_colour(CMD_YELLOW), cmd_number_words(spent, sizeof(spent), e.spent),
        cmd_number_words(units, sizeof(units), e.units), clock_words(at, sizeof(at), e.at_ms),
        cmd_duration_words(window, sizeof(window), minus_u64(e.halved_until_ms, e.at_ms)));
    if (e.growing)
        cmd_print("bursts grow back until %s", clock_words(until, sizeof(until), e.less_until_ms));
    else
        cmd_print("bursts are halved to %s until %s",
                  cmd_number_words(burst, sizeof(burst), e.burst),
                  clock_words(until, sizeof(until), e.halved_until_ms));
    cmd_print("%s\n", cmd_colour(CMD_PLAIN));
}

static void print_budgets(const struct config_account *a, const struct overview *o)
{
    static const char *const titles[LEDGER_N] = {
        [LEDGER_PURGE] = "budget", [LEDGER_URL] = "url budget", [LEDGER_WRITE] = "write budget"};
    char left[32], units[32], window[32];

    for (int i = 0; i < LEDGER_N; i++) {
        const struct overview_budget *b = &o->budget[i];
        uint32_t per_s = i == LEDGER_WRITE ? a->writes.per_s : a->budget.per_s;

        if (!b->counted)
            continue;
        cmd_print("  %-12s  %s of %s left (%u %%), per %s\n", titles[i],
                  cmd_number_words(left, sizeof(left), b->left),
                  cmd_number_words(units, sizeof(units), b->units),
                  b->units ? (unsigned)(b->left * 100.0 / b->units) : 0,
                  cmd_duration_words(window, sizeof(window), (uint64_t)per_s * 1000));
        print_refused_early(o, (enum ledger_kind)i);
    }
}

/* "API reads     3 of 600 in a minute, edge_check 12 of 200 in an hour" */
static void print_reads(const struct config_account *a, const struct overview *o)
{
    const struct read_use *api = &o->reads[READ_API], *edge = &o->reads[READ_EDGE_CHECK];
    char used[2][32], most[2][32], held[32];

    if (api->total == 0 && api->held_ms == 0)
        return;
    cmd_print("  API reads     %s of %s in the last minute, edge_check %s of %s in the last hour\n",
              cmd_number_words(used[0], sizeof(used[0]), api->used),
              cmd_number_words(most[0], sizeof(most[0]), read_limit(a, READ_API)),
              cmd_number_words(used[1], sizeof(used[1]), edge->used),
              cmd_number_words(most[1], sizeof(most[1]), read_limit(a, READ_EDGE_CHECK)));
    for (int k = 0; k < READ_N; k++)
        if (o->reads[k].held_ms)
            cmd_print("                %sFastly refuses %s (429) for another %s%s\n",
                      cmd_colour(CMD_YELLOW), k == READ_API ? "more of them" : "edge_check",
                      cmd_duration_words(held, sizeof(held), o->reads[k].held_ms),
                      cmd_colour(CMD_PLAIN));
}

static void print_verified(const struct overview *o)
{
    struct overview_verified v;
    char fresh[32], stale[32], unknown[32], repairs[32];

    if (!overview_verified(o, &v))
        return;
    cmd_print(
        "  verified      %s pages seen fresh, %s unknown, %s%s still stale%s; %s purged again\n",
        cmd_number_words(fresh, sizeof(fresh), v.fresh),
        cmd_number_words(unknown, sizeof(unknown), v.unknown), v.stale ? cmd_colour(CMD_RED) : "",
        cmd_number_words(stale, sizeof(stale), v.stale), v.stale ? cmd_colour(CMD_PLAIN) : "",
        cmd_number_words(repairs, sizeof(repairs), v.repairs));
}

static void print_troubles(const struct overview *o)
{
    char text[700], ago[32], number[32];
    uint64_t age_ms, jobs;

    if (overview_origin(o, text, sizeof(text), &jobs))
        cmd_print("  origin        jobs that wait for it: %s%s%s\n",
                  cmd_number_words(number, sizeof(number), jobs), *text ? ": " : "", text);
    if (overview_last_error(o, text, sizeof(text), &age_ms))
        cmd_print("  last error    %s ago: %s\n", cmd_duration_words(ago, sizeof(ago), age_ms),
                  text);
    else if (o->status)
        cmd_print("  last error    none since its leader started\n");
    if (overview_no_service(o))
        cmd_print("  services      %s%s (%s)%s\n", cmd_colour(CMD_YELLOW), CONFIG_NO_SERVICE,
                  CONFIG_NO_SERVICE_REMEDY, cmd_colour(CMD_PLAIN));
    if (overview_http(o, text, sizeof(text)))
        cmd_print("  http          %snot listening: %s%s\n", cmd_colour(CMD_YELLOW), text,
                  cmd_colour(CMD_PLAIN));
    if (overview_needs_restart(o, text, sizeof(text)))
        cmd_print("  restart       %sneeded to apply new values of %s%s\n", cmd_colour(CMD_YELLOW),
                  text, cmd_colour(CMD_PLAIN));
}

static void print_canaries(const struct overview *o)
{
    uint64_t well = overview_canaries_ok(o);
    struct overview_canary c;

    if (well)
        cmd_print("  canaries      %" PRIu64 " ok\n", well);
    for (size_t i = 0; overview_canary(o, i, &c); i++)
        cmd_print("  canary        %s%s%s\n                -> %s\n", cmd_colour(CMD_RED), c.what,
                  cmd_colour(CMD_PLAIN), c.advice);
}

static void print_waiting(const struct consumer_state *k)
{
    char n[32], age[32];

    if (k->lag_known)
        cmd_print(", %s waiting", cmd_number_words(n, sizeof(n), k->lag));
    if (k->oldest_known && k->oldest_ms)
        cmd_print(", the oldest for %s", cmd_duration_words(age, sizeof(age), k->oldest_ms));
    else if (k->oldest_known)
        cmd_print(", nothing waits");
}

/* "articles: running, 12 waiting; 1,200 jobs, 3 ignored, 1 dead; last commit 2 s ago" */
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
    };
    char jobs[32], ignored[32], dead[32], ago[32];

    cmd_print("  consumer      %s: %s%s%s", k->name, cmd_colour(shown[k->condition].colour),
              shown[k->condition].words, cmd_colour(CMD_PLAIN));
    if (k->heard_ms == NEVER) {
        cmd_print("; start 'purgeline consume %s'\n", k->name);
        return;
    }
    if (k->condition == CONSUMER_ABSENT)
        cmd_print(", last heard of %s ago", cmd_duration_words(ago, sizeof(ago), k->heard_ms));
    else
        print_waiting(k);
    cmd_print("; %s jobs, %s ignored, %s dead", cmd_number_words(jobs, sizeof(jobs), k->jobs),
              cmd_number_words(ignored, sizeof(ignored), k->ignored),
              cmd_number_words(dead, sizeof(dead), k->dead));
    if (k->committed_ms != NEVER)
        cmd_print("; last commit %s ago", cmd_duration_words(ago, sizeof(ago), k->committed_ms));
    cmd_print("\n");
    if (*k->last_error && k->condition != CONSUMER_RUNNING)
        cmd_print("                %s ago: %s\n", cmd_duration_words(ago, sizeof(ago), k->error_ms),
                  k->last_error);
}

/* -- every number -- */

static bool is_told_in_words(const char *name)
{
    return strncmp(name, "last_error", strlen("last_error")) == 0 ||
           strcmp(name, "origin_seen") == 0;
}

/* Prints every number that the dispatcher publishes under its own name, so a new number needs no
 * change here. */
static void print_dispatcher(const struct overview *o)
{
    json_t *status = o->status ? json_loads(o->status, 0, NULL) : NULL, *value;
    const char *name;
    int column = 0;

    json_object_foreach(status, name, value)
    {
        char words[32], cell[80];

        if (strcmp(name, "at") == 0 || !json_is_integer(value) || is_told_in_words(name))
            continue;
        if (json_is_integer(value) && json_integer_value(value) == 0)
            continue;
        snprintf(cell, sizeof(cell), "%.40s %s", name,
                 cmd_number_words(words, sizeof(words), (uint64_t)json_integer_value(value)));
        cmd_print("%s%-30s", column == 0 ? "  " : " ", cell);
        column = (column + 1) % 3;
        if (column == 0)
            cmd_print("\n");
    }
    if (column)
        cmd_print("\n");
    json_decref(status);
}

static void print_account(const struct showing *s, const struct config_account *a,
                          const struct overview *o)
{
    print_verdict(a, o);
    print_leader(o);
    print_lanes(o);
    print_budgets(a, o);
    print_reads(a, o);
    print_verified(o);
    print_troubles(o);
    print_canaries(o);
    for (uint32_t i = 0; i < o->consumers.count; i++)
        print_consumer(&o->consumers.at[i]);
    if (s->all)
        print_dispatcher(o);
}

/* -- who leads what -- */

#define NAMES_SHOWN 8 /* of accounts, for each instance */

/* "host, process 4711" of "<host>/<boot id>/<pid namespace>/<pid>/...". */
static void name_words(const char *name, char *out, size_t room)
{
    const char *pid = name;
    char host[100];

    for (int i = 0; pid && i < 3; i++) {
        pid = strchr(pid, '/');
        pid = pid ? pid + 1 : NULL;
    }
    log_quote(host, sizeof(host), name, strcspn(name, "/"));
    if (pid)
        snprintf(out, room, "%s, process %.*s", host, (int)strspn(pid, "0123456789"), pid);
    else
        snprintf(out, room, "%s", host);
}

static void print_led(const struct overview_instance *in)
{
    for (uint32_t i = 0; i < in->led.count && i < NAMES_SHOWN; i++)
        cmd_print("%s%s", i ? ", " : ": ", in->led.at[i]);
    if (in->leads > NAMES_SHOWN)
        cmd_print(" and %u more", in->leads - NAMES_SHOWN);
    cmd_print("\n");
}

static void print_instances(const struct overview_instances *s)
{
    if (s->count < 2)
        return;
    cmd_print("\n%s%u instances%s\n", cmd_colour(CMD_BOLD), s->count, cmd_colour(CMD_PLAIN));
    for (uint32_t i = 0; i < s->count; i++) {
        const struct overview_instance *in = &s->at[i];
        char name[160];

        name_words(in->name, name, sizeof(name));
        cmd_print("  %s: leads %u of %u %s", name, in->leads, in->accounts,
                  in->accounts == 1 ? "account" : "accounts");
        print_led(in);
    }
}

/* -- all accounts -- */

static int show_one(const struct showing *s, struct client *client, const struct config_account *a)
{
    struct overview o;
    int rc = overview_read(client, a, &o);

    if (rc < 0)
        return cmd_redis_failed(client, rc);
    consumer_states_expect(&o.consumers, s->config, a->name);
    if (s->list)
        json_array_append_new(s->list, overview_json(a, &o));
    else
        print_account(s, a, &o);
    overview_instances_add(s->instances, a->name, &o);
    rc = overview_needs_help(&o) ? CMD_FAILED : CMD_OK;
    overview_deinit(&o);
    return rc;
}

static int show_all(struct showing *s, const struct config *config, struct client *client)
{
    const char *only = s->common.account;
    int worst = CMD_OK;

    s->config = config;
    s->list = s->common.json ? json_array() : NULL;
    s->instances = overview_instances_new();
    for (uint32_t i = 0; i < config->accounts_count && worst <= CMD_FAILED; i++) {
        int rc;

        if (only && strcmp(only, config->accounts[i].name) != 0)
            continue;
        if (i && !only && !s->list)
            cmd_print("\n");
        rc = show_one(s, client, &config->accounts[i]);
        worst = rc > worst ? rc : worst;
    }
    if (!s->list && worst <= CMD_FAILED)
        print_instances(s->instances);
    if (s->list && worst <= CMD_FAILED) {
        json_t *all = json_pack("{sOso}", "accounts", s->list, "instances",
                                overview_instances_json(s->instances));

        cmd_print_json(all, CMD_JSON_TREE);
        json_decref(all);
    }
    json_decref(s->list);
    overview_instances_free(s->instances);
    return worst;
}

static int status(struct showing *s)
{
    const struct cmd_common *o = &s->common;
    struct config config;
    struct client *client;
    int rc = cmd_load(o, &config);

    if (rc != 0)
        return rc;
    rc = o->account && !cmd_account(o, &config) ? CMD_USAGE : cmd_connect(&config, &client);
    if (rc == 0) {
        rc = show_all(s, &config, client);
        client_close(client);
    }
    config_deinit(&config);
    return rc;
}

int cmd_status(int argc, char **argv)
{
    struct showing s = {0};
    int opt, rc;

    while ((opt = getopt_long(argc, argv, CMD_SHORT, options, NULL)) != -1) {
        if (opt == OPT_ALL)
            s.all = true;
        else if (opt == 'h' || !cmd_take_common(&s.common, opt))
            break;
    }
    rc = cmd_after_options("status", opt, cmd_status_help);
    if (rc != -1)
        return rc;
    if (optind < argc)
        return cmd_fail(CMD_USAGE, "unexpected argument '%s'", argv[optind]);
    return status(&s);
}
