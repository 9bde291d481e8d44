/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "cmd.h"
#include "overview.h"
#include "overview_json.h"

const char cmd_status_help[] =
    "usage: purgeline status [OPTION...]\n"
    "\n"
    "Shows for each account who dispatches it, whether it is paused and why, what waits\n"
    "in each lane and for how long, the budget that is left, dead letters, and what the\n"
    "dispatcher said of itself within the last seconds.\n"
    "\n"
    "  -a, --account NAME   only this one\n"
    "  -j, --json           the same as one JSON object\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline status\n"
    "  purgeline status --json | jq '.accounts[].lanes.urgent.oldest_ms'\n"
    "\n"
    "exit codes: 0 all accounts are dispatched; 1 one is paused, or nobody dispatches it;\n"
    "2 wrong arguments; 3 Redis cannot be reached\n";

static const struct option options[] = {CMD_LONG, {NULL, 0, NULL, 0}};

/* -- for people -- */

static void print_leader(const struct config_account *a, const struct overview *o)
{
    char ago[32];

    cmd_print("%saccount %s%s\n", cmd_colour(CMD_BOLD), a->name, cmd_colour(CMD_PLAIN));
    if (o->leader)
        cmd_print("  dispatcher    %.*s\n", (int)strcspn(o->leader, "/"), o->leader);
    else
        cmd_print("  dispatcher    %snobody: start 'purgeline run'%s\n", cmd_colour(CMD_RED),
                  cmd_colour(CMD_PLAIN));
    if (o->paused)
        cmd_print("  %spaused        for %s%s%s%s%s%s; 'purgeline resume' ends it\n",
                  cmd_colour(CMD_RED), cmd_duration_words(ago, sizeof(ago), o->paused_ms),
                  o->paused_by && *o->paused_by ? " by " : "", o->paused_by ? o->paused_by : "",
                  o->paused_why && *o->paused_why ? ": " : "", o->paused_why ? o->paused_why : "",
                  cmd_colour(CMD_PLAIN));
}

static void print_lanes(const struct overview *o)
{
    char jobs[32], in_hand[32], age[32];

    for (int i = 0; i < LANE_N; i++) {
        const struct overview_lane *l = &o->lanes[i];

        cmd_print("  %-8s      %s jobs", lane_names[i],
                  cmd_number_words(jobs, sizeof(jobs), l->jobs));
        if (l->jobs)
            cmd_print(", %s in hand, the oldest for %s",
                      cmd_number_words(in_hand, sizeof(in_hand), l->in_hand),
                      cmd_duration_words(age, sizeof(age), l->oldest_ms));
        cmd_print("\n");
    }
    if (o->later)
        cmd_print("  later         %s jobs, the next in %s\n",
                  cmd_number_words(jobs, sizeof(jobs), o->later),
                  cmd_duration_words(age, sizeof(age), o->later_next_ms));
    if (o->dead)
        cmd_print("  %sdead          %s letters: 'purgeline dead list'%s\n", cmd_colour(CMD_YELLOW),
                  cmd_number_words(jobs, sizeof(jobs), o->dead), cmd_colour(CMD_PLAIN));
}

static void print_budgets(const struct config_account *a, const struct overview *o)
{
    static const char *const titles[LEDGER_N] = {
        [LEDGER_PURGE] = "budget", [LEDGER_URL] = "url budget", [LEDGER_WRITE] = "write budget"};
    char left[32], units[32], window[32];

    for (int i = 0; i < LEDGER_N; i++) {
        const struct overview_budget *b = &o->budget[i];
        uint32_t per_s = i == LEDGER_WRITE ? a->writes.per_s : a->budget.per_s;

        if (b->counted)
            cmd_print("  %-12s  %s of %s left in %s\n", titles[i],
                      cmd_number_words(left, sizeof(left), b->left),
                      cmd_number_words(units, sizeof(units), b->units),
                      cmd_duration_words(window, sizeof(window), (uint64_t)per_s * 1000));
    }
}

/* Every number the dispatcher publishes, under its own name: a new one needs no change here. */
static void print_dispatcher(const struct overview *o)
{
    json_t *status = o->status ? json_loads(o->status, 0, NULL) : NULL, *value;
    const char *name;
    int column = 0;

    json_object_foreach(status, name, value)
    {
        char words[32], cell[64];

        if (strcmp(name, "at") == 0 || !(json_is_integer(value) || json_is_string(value)))
            continue;
        if (json_is_integer(value) && json_integer_value(value) == 0)
            continue;
        snprintf(cell, sizeof(cell), "%s %s", name,
                 json_is_string(value)
                     ? json_string_value(value)
                     : cmd_number_words(words, sizeof(words), (uint64_t)json_integer_value(value)));
        cmd_print("%s%-30s", column == 0 ? "  " : " ", cell);
        column = (column + 1) % 3;
        if (column == 0)
            cmd_print("\n");
    }
    if (column)
        cmd_print("\n");
    json_decref(status);
}

static void print_account(const struct config_account *a, const struct overview *o)
{
    print_leader(a, o);
    print_lanes(o);
    print_budgets(a, o);
    print_dispatcher(o);
}

/* -- all accounts -- */

static int show_one(struct client *client, const struct config_account *a, json_t *list)
{
    struct overview o;
    int rc = overview_read(client, a, &o);

    if (rc < 0)
        return cmd_redis_failed(client, rc);
    if (list)
        json_array_append_new(list, overview_json(a, &o));
    else
        print_account(a, &o);
    rc = overview_needs_help(&o) ? CMD_FAILED : CMD_OK;
    overview_deinit(&o);
    return rc;
}

static int show_all(const struct cmd_common *o, const struct config *config, struct client *client)
{
    json_t *list = o->json ? json_array() : NULL;
    int worst = CMD_OK;

    for (uint32_t i = 0; i < config->accounts_count && worst <= CMD_FAILED; i++) {
        int rc;

        if (o->account && strcmp(o->account, config->accounts[i].name) != 0)
            continue;
        rc = show_one(client, &config->accounts[i], list);
        worst = rc > worst ? rc : worst;
    }
    if (list && worst <= CMD_FAILED) {
        json_t *all = json_pack("{sO}", "accounts", list);

        cmd_print_json(all, CMD_JSON_TREE);
        json_decref(all);
    }
    json_decref(list);
    return worst;
}

static int status(const struct cmd_common *o)
{
    struct config config;
    struct client *client;
    int rc = cmd_load(o, &config);

    if (rc != 0)
        return rc;
    rc = o->account && !cmd_account(o, &config) ? CMD_USAGE : cmd_connect(&config, &client);
    if (rc == 0) {
        rc = show_all(o, &config, client);
        client_close(client);
    }
    config_deinit(&config);
    return rc;
}

int cmd_status(int argc, char **argv)
{
    struct cmd_common o = {0};
    int opt, rc;

    while ((opt = getopt_long(argc, argv, CMD_SHORT, options, NULL)) != -1)
        if (opt == 'h' || !cmd_take_common(&o, opt))
            break;
    rc = cmd_after_options("status", opt, cmd_status_help);
    if (rc != -1)
        return rc;
    if (optind < argc)
        return cmd_fail(CMD_USAGE, "no argument '%s' is known", argv[optind]);
    return status(&o);
}
