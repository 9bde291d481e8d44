/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "cmd.h"
#include "deadletter_filter.h"
#include "deadletter_json.h"

#define LIMIT_DEFAULT 50

#define FILTER_OPTIONS                                                                             \
    "      --reason TEXT    filter: the reason has this text in it\n"                              \
    "      --target TEXT    filter: a target of the job has this text in it\n"                     \
    "  -s, --service NAME   filter: the job is for this service (id or name)\n"                    \
    "      --producer NAME  filter: this producer pushed the job; a hook is 'hook NAME',\n"        \
    "                       a consumer 'consumer NAME'\n"                                          \
    "      --since TIME     filter: given up since then: 2h (ago), or 2026-11-29T14:30\n"          \
    "      --until TIME     filter: given up until then\n"
#define DRY_OPTIONS                                                                                \
    "      --dry-run        change nothing, tell how many it would be, and the newest id\n"        \
    "      --up-to LETTER   none that is newer than this id, as a dry run has told it\n"

const char cmd_dead_help[] =
    "usage: purgeline dead list [--limit N] [FILTER...] [OPTION...]\n"
    "       purgeline dead retry [OPTION...] ID... | --all | FILTER...\n"
    "       purgeline dead drop [OPTION...] ID... | --all | FILTER...\n"
    "\n"
    "Dead letters are jobs that were given up, kept with the reason. 'list' shows them,\n"
    "newest first. 'retry' pushes them again as new jobs; 'drop' deletes them. --all means\n"
    "all current dead letters, not those that are added while the command runs; filters\n"
    "mean those of them that pass all of the filters.\n"
    "\n"
    "      --limit N        show at most N dead letters (default 50)\n"
    "      --all            all current dead letters\n" FILTER_OPTIONS DRY_OPTIONS
    "  -a, --account NAME   required if there are several accounts\n"
    "  -j, --json           list: one JSON object per dead letter; otherwise the "
    "result\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline dead list --json | jq -r .reason | sort | uniq -c\n"
    "  purgeline dead retry 1700000000000-0\n"
    "  purgeline dead retry --reason 'status 503' --since 2h --dry-run\n"
    "\n"
    "exit codes: 0 done; 1 an ID does not exist, or Redis refused; 2 wrong arguments;\n"
    "3 Redis cannot be reached\n";

#define ACT_OPTIONS                                                                                \
    "      --all            all current dead letters\n" FILTER_OPTIONS DRY_OPTIONS                 \
    "  -a, --account NAME   required if there are several accounts\n"                              \
    "  -j, --json           print the result as JSON\n" CMD_OPTIONS_HELP "\n"
#define ACT_CODES                                                                                  \
    "exit codes: 0 done; 1 an ID does not exist, or Redis refused; 2 wrong arguments;\n"           \
    "3 Redis cannot be reached\n"

static const struct verb {
    const char *name, *help;
} verbs[] = {
    {"list", "usage: purgeline dead list [--limit N] [FILTER...] [OPTION...]\n"
             "\n"
             "Shows the jobs that were given up, newest first, each with the reason.\n"
             "\n"
             "      --limit N        show at most N dead letters (default 50)\n" FILTER_OPTIONS
             "  -a, --account NAME   required if there are several accounts\n"
             "  -j, --json           one JSON object per dead letter\n" CMD_OPTIONS_HELP "\n"
             "example:\n"
             "  purgeline dead list --json | jq -r .reason | sort | uniq -c\n"
             "\n"
             "exit codes: 0 done; 1 Redis refused; 2 wrong arguments; 3 Redis cannot be reached\n"},
    {"retry", "usage: purgeline dead retry [OPTION...] ID... | --all | FILTER...\n"
              "\n"
              "Pushes dead letters again, as new jobs in their lanes.\n"
              "\n" ACT_OPTIONS "examples:\n"
              "  purgeline dead retry 1700000000000-0\n"
              "  purgeline dead retry --all\n"
              "\n" ACT_CODES},
    {"drop", "usage: purgeline dead drop [OPTION...] ID... | --all | FILTER...\n"
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

enum long_only {
    OPT_LIMIT = 256,
    OPT_ALL,
    OPT_REASON,
    OPT_TARGET,
    OPT_PRODUCER,
    OPT_SINCE,
    OPT_UNTIL,
    OPT_DRY_RUN,
    OPT_UP_TO,
};

static const struct option options[] = {CMD_LONG,
                                        {"limit", required_argument, NULL, OPT_LIMIT},
                                        {"all", no_argument, NULL, OPT_ALL},
                                        {"reason", required_argument, NULL, OPT_REASON},
                                        {"target", required_argument, NULL, OPT_TARGET},
                                        {"service", required_argument, NULL, 's'},
                                        {"producer", required_argument, NULL, OPT_PRODUCER},
                                        {"since", required_argument, NULL, OPT_SINCE},
                                        {"until", required_argument, NULL, OPT_UNTIL},
                                        {"dry-run", no_argument, NULL, OPT_DRY_RUN},
                                        {"up-to", required_argument, NULL, OPT_UP_TO},
                                        {NULL, 0, NULL, 0}};

struct dead {
    struct cmd_common common;
    struct cmd_session session;
    uint64_t limit;
    uint64_t shown;
    bool all;
    bool filters; /* there is a filter */
    enum deadletter_how how;
    struct deadletter_filter filter;
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
    cmd_print("%s%.*s%s  ", cmd_colour(CMD_BOLD), (int)l->id.n, l->id.p, cmd_colour(CMD_PLAIN));
    cmd_print_time(l->at_ms);
    cmd_print("  %.*s%s%.*s\n    %.*s%s%.*s\n", (int)l->job.n, l->job.p, l->by.n ? "  by " : "",
              (int)l->by.n, l->by.p, (int)l->reason.n, l->reason.p, l->target.n ? ": " : "",
              (int)l->target.n, l->target.p);
}

static int on_letter(void *ctx, const struct deadletter *l)
{
    struct dead *d = ctx;

    if (d->common.json)
        print_json(l);
    else
        print_words(l);
    return ++d->shown == d->limit || ferror(stdout);
}

static int list(struct dead *d)
{
    int rc = deadletter_find(d->session.client, d->session.account->name, &d->filter, NULL,
                             on_letter, d);

    return rc < 0 ? cmd_redis_failed(d->session.client, rc) : CMD_OK;
}

/* -- retry, drop -- */

static void print_count(const struct dead *d, bool retry, uint64_t count, const char *up_to)
{
    const char *verb = retry ? "retry" : "drop";

    if (d->common.json && count)
        cmd_print("{\"would_%s\":%" PRIu64 ",\"up_to\":\"%s\"}\n", verb, count, up_to);
    else if (d->common.json)
        cmd_print("{\"would_%s\":0}\n", verb);
    else if (count)
        cmd_print("would %s %" PRIu64 ", up to %s\n", verb, count, up_to);
    else
        cmd_print("would %s 0\n", verb);
}

static int act_on_all(struct dead *d, const struct actor *who, bool retry, uint64_t *done)
{
    char up_to[DEADLETTER_ID_ROOM];
    int rc = deadletter_act_all(d->session.client, who, &d->filter,
                                retry ? DEADLETTER_RETRY : DEADLETTER_DROP, d->how, done, up_to);

    if (rc == 0 && d->how == DEADLETTER_COUNT)
        print_count(d, retry, *done, up_to);
    return rc;
}

static int act(struct dead *d, bool retry, char **ids, int count)
{
    struct client *c = d->session.client;
    const char *verb = retry ? "retried" : "dropped", *const *wanted = (const char *const *)ids;
    char by[CMD_WHO_ROOM];
    const struct actor who = {d->session.account, by};
    uint64_t done = 0;
    int rc;

    cmd_who(by, sizeof(by));
    if (d->all)
        rc = act_on_all(d, &who, retry, &done);
    else
        rc = (retry ? deadletter_retry : deadletter_drop)(c, &who, wanted, (size_t)count, &done);
    if (d->how == DEADLETTER_COUNT)
        return rc < 0 ? cmd_redis_failed(c, rc) : CMD_OK;
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

static int check_ids(struct dead *d, const char *what, char **ids, int count)
{
    if (d->all + d->filters + (count > 0) != 1)
        return cmd_fail(CMD_USAGE, "dead %s: give ids, or --all, or filters", what);
    if (count && (d->how == DEADLETTER_COUNT || d->filter.up_to))
        return cmd_fail(CMD_USAGE, "dead %s: --dry-run and --up-to are for --all or filters", what);
    d->all = count == 0;
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
    else if (d->how == DEADLETTER_COUNT || d->filter.up_to)
        rc = cmd_fail(CMD_USAGE, "dead list: --dry-run and --up-to are for retry and drop");
    if (rc == 0)
        rc = cmd_session_open(&d->common, &d->session);
    if (rc != 0)
        return rc;
    d->filter.account = d->session.account;
    rc = retry || drop ? act(d, retry, ids, count) : list(d);
    cmd_session_close(&d->session);
    return rc;
}

static int take_text(struct span *out, const char *option)
{
    *out = span_str(optarg);
    return out->n && out->n <= DEADLETTER_FILTER_MAX_BYTES
               ? 0
               : cmd_fail(CMD_USAGE, "--%s: expected a text of 1 to 2048 bytes", option);
}

/* 0, or an exit code. */
static int take_filter(struct dead *d, int opt)
{
    struct deadletter_filter *f = &d->filter;

    d->filters |= opt != OPT_DRY_RUN && opt != OPT_UP_TO;
    switch (opt) {
    case OPT_REASON:
        return take_text(&f->reason, "reason");
    case OPT_TARGET:
        return take_text(&f->target, "target");
    case 's':
        return take_text(&f->service, "service");
    case OPT_PRODUCER:
        return take_text(&f->producer, "producer");
    case OPT_SINCE:
        return cmd_take_past("since", optarg, &f->since_ms);
    case OPT_UNTIL:
        return cmd_take_past("until", optarg, &f->until_ms);
    case OPT_DRY_RUN:
        d->how = DEADLETTER_COUNT;
        return 0;
    default:
        f->up_to = optarg;
        return deadletter_id_ok(span_str(optarg))
                   ? 0
                   : cmd_fail(CMD_USAGE, "--up-to: expected an id like 1700000000000-0, found '%s'",
                              optarg);
    }
}

static bool is_filter(int opt)
{
    return opt == 's' || (opt >= OPT_REASON && opt <= OPT_UP_TO);
}

static int take_options(struct dead *d, int argc, char **argv)
{
    int opt, rc;

    while ((opt = getopt_long(argc, argv, CMD_SHORT "s:", options, NULL)) != -1) {
        if (is_filter(opt)) {
            rc = take_filter(d, opt);
            if (rc)
                return rc;
            continue;
        }
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
