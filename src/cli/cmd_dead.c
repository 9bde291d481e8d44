/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "cmd.h"
#include "deadletter.h"
#include "deadletter_json.h"

#define LIMIT_DEFAULT 50

const char cmd_dead_help[] =
    "usage: purgeline dead list [--limit N] [OPTION...]\n"
    "       purgeline dead retry [OPTION...] ID... | --all\n"
    "       purgeline dead drop [OPTION...] ID... | --all\n"
    "\n"
    "Dead letters are jobs that were given up, kept with the reason. 'list' shows them,\n"
    "newest first. 'retry' pushes them again as new jobs; 'drop' deletes them. --all means\n"
    "all current dead letters, not those that are added while the command runs.\n"
    "\n"
    "      --limit N        show at most N dead letters (default 50)\n"
    "      --all            all current dead letters\n"
    "  -a, --account NAME   required if there are several accounts\n"
    "  -j, --json           list: one JSON object per dead letter; otherwise the "
    "result\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline dead list --json | jq -r .reason | sort | uniq -c\n"
    "  purgeline dead retry 1700000000000-0\n"
    "\n"
    "exit codes: 0 done; 1 an ID does not exist, or Redis refused; 2 wrong arguments;\n"
    "3 Redis cannot be reached\n";

#define ACT_OPTIONS                                                                                \
    "      --all            all current dead letters\n"                                            \
    "  -a, --account NAME   required if there are several accounts\n"                              \
    "  -j, --json           print the result as JSON\n" CMD_OPTIONS_HELP "\n"
#define ACT_CODES                                                                                  \
    "exit codes: 0 done; 1 an ID does not exist, or Redis refused; 2 wrong arguments;\n"           \
    "3 Redis cannot be reached\n"

static const struct verb {
    const char *name, *help;
} verbs[] = {
    {"list", "usage: purgeline dead list [--limit N] [OPTION...]\n"
             "\n"
             "Shows the jobs that were given up, newest first, each with the reason.\n"
             "\n"
             "      --limit N        show at most N dead letters (default 50)\n"
             "  -a, --account NAME   required if there are several accounts\n"
             "  -j, --json           one JSON object per dead letter\n" CMD_OPTIONS_HELP "\n"
             "example:\n"
             "  purgeline dead list --json | jq -r .reason | sort | uniq -c\n"
             "\n"
             "exit codes: 0 done; 1 Redis refused; 2 wrong arguments; 3 Redis cannot be reached\n"},
    {"retry", "usage: purgeline dead retry [OPTION...] ID... | --all\n"
              "\n"
              "Pushes dead letters again, as new jobs in their lanes.\n"
              "\n" ACT_OPTIONS "examples:\n"
              "  purgeline dead retry 1700000000000-0\n"
              "  purgeline dead retry --all\n"
              "\n" ACT_CODES},
    {"drop", "usage: purgeline dead drop [OPTION...] ID... | --all\n"
             "\n"
             "Deletes dead letters: their purges are never sent.\n"
             "\n" ACT_OPTIONS "example:\n"
             "  purgeline dead drop 1700000000000-0\n"
             "\n" ACT_CODES},
};

/* The help for the verb among the arguments; options may come before it. */
static const char *help_for(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        for (size_t v = 0; v < array_len(verbs); v++)
            if (strcmp(argv[i], verbs[v].name) == 0)
                return verbs[v].help;
    return cmd_dead_help;
}

enum long_only { OPT_LIMIT = 256, OPT_ALL };

static const struct option options[] = {CMD_LONG,
                                        {"limit", required_argument, NULL, OPT_LIMIT},
                                        {"all", no_argument, NULL, OPT_ALL},
                                        {NULL, 0, NULL, 0}};

struct dead {
    struct cmd_common common;
    struct cmd_session session;
    uint64_t limit;
    bool all;
};

/* -- list -- */

static void print_json(const struct deadletter *l)
{
    json_t *j = deadletter_json(l);

    cmd_print_json(j, CMD_JSON_LINE);
    json_decref(j);
}

static void print_words(const struct deadletter *l)
{
    time_t seconds = (time_t)(l->at_ms / 1000);
    char when[32] = "-";
    struct tm tm;

    if (l->at_ms && gmtime_r(&seconds, &tm))
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    cmd_print("%s%.*s%s  %s  %.*s\n    %.*s%s%.*s\n", cmd_colour(CMD_BOLD), (int)l->id.n, l->id.p,
              cmd_colour(CMD_PLAIN), when, (int)l->job.n, l->job.p, (int)l->reason.n, l->reason.p,
              l->target.n ? ": " : "", (int)l->target.n, l->target.p);
}

static int on_letter(void *ctx, const struct deadletter *l)
{
    const struct dead *d = ctx;

    if (d->common.json)
        print_json(l);
    else
        print_words(l);
    return ferror(stdout);
}

static int list(struct dead *d)
{
    int rc = deadletter_list(d->session.client, d->session.account->name, d->limit, on_letter, d);

    return rc < 0 ? cmd_redis_failed(d->session.client, rc) : CMD_OK;
}

/* -- retry, drop -- */

static int act(struct dead *d, bool retry, char **ids, int count)
{
    struct client *c = d->session.client;
    const char *account = d->session.account->name, *verb = retry ? "retried" : "dropped";
    const char *const *wanted = (const char *const *)ids;
    uint64_t done = 0;
    int rc;

    if (d->all)
        rc = (retry ? deadletter_retry_all : deadletter_drop_all)(c, account, &done);
    else
        rc = (retry ? deadletter_retry : deadletter_drop)(c, account, wanted, (size_t)count, &done);
    if (d->common.json)
        cmd_print("{\"%s\":%" PRIu64 "}\n", verb, done);
    else
        cmd_print("%" PRIu64 " %s\n", done, verb);
    if (rc < 0)
        return cmd_redis_failed(c, rc);
    if (!d->all && done < (uint64_t)count)
        return cmd_fail(CMD_FAILED, "%" PRIu64 " not there", (uint64_t)count - done);
    return CMD_OK;
}

static int check_ids(const struct dead *d, const char *what, char **ids, int count)
{
    if (d->all == (count > 0))
        return cmd_fail(CMD_USAGE, "dead %s: give ids, or --all", what);
    for (int i = 0; i < count; i++)
        if (!deadletter_id_ok(span_str(ids[i])))
            return cmd_fail(CMD_USAGE, "'%s' is not an id; 'purgeline dead list' shows the ids",
                            ids[i]);
    return 0;
}

static int dispatch(struct dead *d, const char *what, char **ids, int count)
{
    bool retry = strcmp(what, "retry") == 0, drop = strcmp(what, "drop") == 0;
    int rc = 0;

    if (!retry && !drop && strcmp(what, "list") != 0)
        return cmd_fail(CMD_USAGE, "dead '%s': expected list, retry or drop", what);
    if (retry || drop)
        rc = check_ids(d, what, ids, count);
    else if (count || d->all)
        rc = cmd_fail(CMD_USAGE, "dead list takes no ids; see --limit");
    if (rc == 0)
        rc = cmd_session_open(&d->common, &d->session);
    if (rc != 0)
        return rc;
    rc = retry || drop ? act(d, retry, ids, count) : list(d);
    cmd_session_close(&d->session);
    return rc;
}

static int take_options(struct dead *d, int argc, char **argv)
{
    int opt;

    while ((opt = getopt_long(argc, argv, CMD_SHORT, options, NULL)) != -1) {
        if (opt == OPT_ALL)
            d->all = true;
        else if (opt == OPT_LIMIT &&
                 (span_to_u64(span_str(optarg), &d->limit) < 0 || d->limit == 0))
            return cmd_fail(CMD_USAGE, "--limit: expected a number of at least 1, found '%s'",
                            optarg);
        else if (opt != OPT_LIMIT && (opt == 'h' || !cmd_take_common(&d->common, opt)))
            break;
    }
    return cmd_after_options("dead", opt, help_for(argc, argv));
}

int cmd_dead(int argc, char **argv)
{
    struct dead d = {.limit = LIMIT_DEFAULT};
    int rc = take_options(&d, argc, argv);

    if (rc != -1)
        return rc;
    if (optind == argc)
        return cmd_fail(CMD_USAGE, "expected list, retry or drop. Try 'purgeline dead --help'");
    return dispatch(&d, argv[optind], argv + optind + 1, argc - optind - 1);
}
