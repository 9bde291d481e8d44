/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "client.h"
#include "cmd.h"
#include "overview_json.h"
#include "page.h"
#include "status_page.h"
#include "status_watch.h"

const char cmd_status_help[] =
    "usage: purgeline status [OPTION...]\n"
    "\n"
    "Shows for each account, the worst first, a one-line verdict, the jobs waiting in each lane\n"
    "and since when, what is left of the budget and when the backlog will be through, its leader,\n"
    "its consumers of message queues and the last error; of more than four accounts, one line\n"
    "each. If there are several instances, it shows which of them leads which accounts.\n"
    "\n"
    "      --all            show every account, with all numbers that its leader published\n"
    "      --watch          print a line every second until ^C: targets sent and errors per "
    "second,\n"
    "                       waiting jobs, age of the oldest, budget left, requests in flight; and\n"
    "                       a line when the verdict on an account changes, or Redis comes or goes\n"
    "  -a, --account NAME   show this account only\n"
    "  -j, --json           print one JSON object\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline status\n"
    "  purgeline status --watch -a main\n"
    "  purgeline status --json | jq '.accounts[].lanes.urgent.oldest_ms'\n"
    "\n"
    "exit codes: 0 all accounts are dispatched; 1 at least one is not: it is paused or\n"
    "stalled, its token is refused, Fastly is unreachable, or it has no leader;\n"
    "2 wrong arguments; 3 Redis cannot be reached\n";

enum long_only { OPT_ALL = 256, OPT_WATCH };

static const struct option options[] = {CMD_LONG,
                                        {"all", no_argument, NULL, OPT_ALL},
                                        {"watch", no_argument, NULL, OPT_WATCH},
                                        {NULL, 0, NULL, 0}};

#define PAGES_MAX 4 /* for more accounts, a list */

struct showing {
    struct cmd_common common;
    const struct config *config;
    bool all; /* print every account and number */
    bool watch;
    struct status_account *read;
    size_t count;
};

/* -- reading -- */

/* Returns an exit code. */
static int read_one(struct showing *s, struct client *client, const struct config_account *a)
{
    struct status_account *to = &s->read[s->count];
    int rc = overview_read_any(client, a, &to->overview);

    if (rc < 0)
        return cmd_redis_failed(client, rc);
    if (to->overview.unreadable)
        cmd_redis_failed(client, -EIO); /* on stderr, too, for those who read only that */
    consumer_states_expect(&to->overview.consumers, s->config, a->name);
    to->account = a;
    to->mood = overview_words(&to->overview, to->words, sizeof(to->words));
    s->count++;
    return to->mood == OVERVIEW_TROUBLE ? CMD_FAILED : CMD_OK;
}

static int read_all(struct showing *s, struct client *client)
{
    const char *only = s->common.account;
    int worst = CMD_OK;

    s->read = alloc_zeroed(s->config->accounts_count, sizeof(*s->read));
    for (uint32_t i = 0; i < s->config->accounts_count && worst <= CMD_FAILED; i++) {
        const struct config_account *a = &s->config->accounts[i];
        int rc = only && strcmp(only, a->name) != 0 ? CMD_OK : read_one(s, client, a);

        worst = rc > worst ? rc : worst;
    }
    return worst;
}

static void release(struct showing *s)
{
    for (size_t i = 0; i < s->count; i++)
        overview_deinit(&s->read[i].overview);
    free(s->read);
}

/* -- printing -- */

static void print_json(const struct showing *s, const struct overview_instances *instances)
{
    json_t *list = json_array(), *all;

    for (size_t i = 0; i < s->count; i++)
        json_array_append_new(list, overview_json(s->read[i].account, &s->read[i].overview));
    all = json_pack("{soso}", "accounts", list, "instances", overview_instances_json(instances));
    cmd_print_json(all, CMD_JSON_TREE);
    json_decref(all);
}

static void print_page(const struct showing *s, const struct overview_instances *instances)
{
    status_sort(s->read, s->count);
    if (s->count > PAGES_MAX && !s->all)
        status_list(s->read, s->count);
    else
        for (size_t i = 0; i < s->count; i++) {
            if (i)
                cmd_print("\n");
            status_page(&s->read[i], s->all ? STATUS_WITH_NUMBERS : STATUS_IN_WORDS);
        }
    status_instances(instances);
}

static void print(const struct showing *s)
{
    struct overview_instances *instances = overview_instances_new();

    for (size_t i = 0; i < s->count; i++)
        overview_instances_add(instances, s->read[i].account->name, &s->read[i].overview);
    if (s->common.json)
        print_json(s, instances);
    else
        print_page(s, instances);
    overview_instances_free(instances);
}

static void print_redis_away(const struct showing *s)
{
    uint32_t n = s->common.account ? 1 : s->config->accounts_count;

    if (!s->common.json)
        page_head("Redis away", CMD_RED, "it cannot be asked, so the state of %u %s is unknown", n,
                  n == 1 ? "account" : "accounts");
}

static int show(struct showing *s)
{
    struct client *client;
    int rc = cmd_connect(s->config, &client);

    if (rc == 0) {
        rc = read_all(s, client);
        if (rc <= CMD_FAILED)
            print(s);
        release(s);
        client_close(client);
    }
    if (rc == CMD_REDIS)
        print_redis_away(s);
    return rc;
}

static int status(struct showing *s)
{
    const struct cmd_common *o = &s->common;
    struct config config;
    int rc = cmd_load(o, &config);

    if (rc != 0)
        return rc;
    s->config = &config;
    if (o->account && !cmd_account(o, &config))
        rc = CMD_USAGE;
    else
        rc = s->watch ? status_watch(&config, o->account) : show(s);
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
        else if (opt == OPT_WATCH)
            s.watch = true;
        else if (opt == 'h' || !cmd_take_common(&s.common, opt))
            break;
    }
    rc = cmd_after_options("status", opt, cmd_status_help);
    if (rc != -1)
        return rc;
    if (optind < argc)
        return cmd_fail(CMD_USAGE, "unexpected argument '%s'", argv[optind]);
    if (s.watch && (s.all || s.common.json))
        return cmd_fail(CMD_USAGE, "--watch cannot be combined with --all or --json");
    return status(&s);
}
