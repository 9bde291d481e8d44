/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "client.h"
#include "clock.h"
#include "cmd.h"
#include "history_read.h"
#include "outcome.h"
#include "redis_error.h"

#define LIMIT_DEFAULT 50
#define FOLLOW_FIRST 10 /* lines that come before what is followed */
#define FOLLOW_EVERY_NS (NS_PER_S / 2)

const char cmd_history_help[] =
    "usage: purgeline history [OPTION...]\n"
    "\n"
    "Shows jobs that have ended: when, how, what they purged, and where; and what people\n"
    "did: pauses, resumes, and dead letters that were retried or dropped. Newest first;\n"
    "with --follow oldest first, and then what happens from now on, until ^C, even if Redis\n"
    "is away meanwhile. A time is a duration before now (90s, 2h, 3d), a date in UTC\n"
    "(2026-11-29, 2026-11-29T14:30) or with an offset (2026-11-29T14:30+01:00), or Unix\n"
    "milliseconds.\n"
    "\n"
    "      --target TARGET  only jobs that name this key or URL\n"
    "      --ref REF        only jobs with this ref\n"
    "      --outcome OUTCOME\n"
    "                       only jobs that ended like this: purged, dead, expired or cancelled\n"
    "      --job ID         only this job\n"
    "      --id ID          only jobs whose last purge has this id of Fastly's\n"
    "      --producer NAME  only jobs that this producer pushed, and what it did; a hook is\n"
    "                       'hook NAME', a consumer 'consumer NAME', a person user@host,\n"
    "                       a daemon that was reloaded 'instance HOST'\n"
    "      --acts           only what people did, and reloads that changed the account\n"
    "      --since TIME     only what happened at this time or later\n"
    "      --until TIME     only what happened at this time or earlier\n"
    "  -n, --number N       show at most N jobs and acts (default 50, with --follow 10);\n"
    "                       0: all\n"
    "  -f, --follow         go on showing what happens\n"
    "  -a, --account NAME   required if there are several accounts\n"
    "  -j, --json           one JSON object per job or act\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline history --target article-17 --since 2d\n"
    "  purgeline history -f --outcome dead\n"
    "  purgeline history --producer 'hook ghost' --since 1h\n"
    "  purgeline history -n 0 --json | jq -r .purge.service | sort | uniq -c\n"
    "\n"
    "exit codes: 0 done; 1 Redis refused; 2 wrong arguments; 3 Redis cannot be reached\n";

enum long_only {
    OPT_TARGET = 256,
    OPT_REF,
    OPT_OUTCOME,
    OPT_JOB,
    OPT_ID,
    OPT_PRODUCER,
    OPT_ACTS,
    OPT_SINCE,
    OPT_UNTIL
};

static const struct option options[] = {CMD_LONG,
                                        {"target", required_argument, NULL, OPT_TARGET},
                                        {"ref", required_argument, NULL, OPT_REF},
                                        {"outcome", required_argument, NULL, OPT_OUTCOME},
                                        {"job", required_argument, NULL, OPT_JOB},
                                        {"id", required_argument, NULL, OPT_ID},
                                        {"producer", required_argument, NULL, OPT_PRODUCER},
                                        {"acts", no_argument, NULL, OPT_ACTS},
                                        {"since", required_argument, NULL, OPT_SINCE},
                                        {"until", required_argument, NULL, OPT_UNTIL},
                                        {"number", required_argument, NULL, 'n'},
                                        {"follow", no_argument, NULL, 'f'},
                                        {NULL, 0, NULL, 0}};

struct history_command {
    struct cmd_common common;
    struct cmd_session session;
    struct history_filter filter;
    struct history_query query;
    uint64_t limit, shown;
    bool limited, follow;
    bool told_away; /* that Redis is away */
    json_t *kept;   /* with --follow: the last ones, newest first */
};

/* -- printing -- */

static const char *word_of(const json_t *j, const char *name)
{
    const char *text = json_string_value(json_object_get(j, name));

    return text ? text : "";
}

static void print_list(const json_t *purge, const char *name)
{
    const json_t *item;
    size_t i;

    json_array_foreach(json_object_get(purge, name), i, item)
        cmd_print(" %s", json_string_value(item) ? json_string_value(item) : "?");
}

static void print_purge(const json_t *purge)
{
    json_int_t more = json_integer_value(json_object_get(purge, "more"));

    if (json_is_true(json_object_get(purge, "all")))
        cmd_print(" everything");
    print_list(purge, "keys");
    print_list(purge, "urls");
    if (more > 0)
        cmd_print(" and %lld more", (long long)more);
    if (*word_of(purge, "service"))
        cmd_print(" (%s)", word_of(purge, "service"));
    print_list(purge, "services");
    if (json_is_true(json_object_get(purge, "soft")))
        cmd_print(" softly");
}

static void print_head(const json_t *j, enum cmd_colour colour, const char *what)
{
    cmd_print_time((uint64_t)json_integer_value(json_object_get(j, "at")));
    cmd_print("  %s%-9s%s ", cmd_colour(colour), what, cmd_colour(CMD_PLAIN));
}

/* What an act is called when it is done; another version may know acts that we do not. */
static const char *done_word(const char *act)
{
    static const char *const words[][2] = {{"pause", "paused"},
                                           {"resume", "resumed"},
                                           {"dead_retry", "retried"},
                                           {"dead_drop", "dropped"},
                                           {"reload", "reloaded"}};

    for (size_t i = 0; i < array_len(words); i++)
        if (strcmp(act, words[i][0]) == 0)
            return words[i][1];
    return act;
}

static void print_filter(const json_t *filter)
{
    static const char *const texts[] = {"reason", "target", "service", "producer"};
    static const char *const times[] = {"since", "until"};

    for (size_t i = 0; i < array_len(texts); i++)
        if (*word_of(filter, texts[i]))
            cmd_print(" %s '%s',", texts[i], word_of(filter, texts[i]));
    for (size_t i = 0; i < array_len(times); i++) {
        const json_t *ms = json_object_get(filter, times[i]);

        if (!ms)
            continue;
        cmd_print(" %s ", times[i]);
        cmd_print_time((uint64_t)json_integer_value(ms));
        cmd_print(",");
    }
}

static void print_value(const json_t *value)
{
    if (json_is_integer(value))
        cmd_print("%lld", (long long)json_integer_value(value));
    else if (json_is_boolean(value))
        cmd_print("%s", json_is_true(value) ? "true" : "false");
    else
        cmd_print("%s", json_is_string(value) ? json_string_value(value) : "?");
}

/* ", attempts 3 -> 5": after a change of numbers and words. */
static void print_settings(const json_t *settings)
{
    const json_t *s;
    size_t i;

    json_array_foreach(settings, i, s)
    {
        const json_t *from = json_object_get(s, "from"), *to = json_object_get(s, "to");

        cmd_print("%s %s", i ? "," : ":", word_of(s, "name"));
        if (!from || !to)
            continue;
        cmd_print(" ");
        print_value(from);
        cmd_print(" -> ");
        print_value(to);
    }
}

static void print_act(const json_t *j)
{
    const json_t *count = json_object_get(j, "count");
    long long n = (long long)json_integer_value(count);

    print_head(j, CMD_BOLD, done_word(word_of(j, "act")));
    if (json_is_integer(count))
        cmd_print("%s%lld dead letter%s,", json_is_true(json_object_get(j, "all")) ? "all " : "", n,
                  n == 1 ? "" : "s");
    print_filter(json_object_get(j, "filter"));
    cmd_print("%sby %s", json_is_integer(count) ? " " : "", word_of(j, "by"));
    if (*word_of(j, "why"))
        cmd_print(": %s", word_of(j, "why"));
    print_settings(json_object_get(j, "settings"));
    cmd_print("\n");
}

static void print_job(const json_t *j)
{
    const char *state = word_of(j, "state");
    bool good = strcmp(state, outcome_names[OUTCOME_PURGED]) == 0;

    print_head(j, good ? CMD_GREEN : CMD_YELLOW, state);
    cmd_print("%s ", word_of(j, "job"));
    print_purge(json_object_get(j, "purge"));
    if (*word_of(j, "ref"))
        cmd_print("  ref=%s", word_of(j, "ref"));
    if (*word_of(j, "by"))
        cmd_print("  by %s", word_of(j, "by"));
    if (*word_of(json_object_get(j, "purge"), "id"))
        cmd_print("  id=%s", word_of(json_object_get(j, "purge"), "id"));
    cmd_print("\n");
    if (*word_of(j, "reason"))
        cmd_print("    %s\n", word_of(j, "reason"));
}

static void print(const struct history_command *h, const json_t *j)
{
    if (h->common.json)
        cmd_print_json(j, CMD_JSON_LINE);
    else if (history_is_act(j))
        print_act(j);
    else
        print_job(j);
}

static int on_line(void *ctx, json_t *j)
{
    struct history_command *h = ctx;

    if (h->kept)
        json_array_append(h->kept, j);
    else
        print(h, j);
    json_decref(j);
    return (h->limit && ++h->shown == h->limit) || ferror(stdout);
}

static int on_new_line(void *ctx, json_t *j)
{
    print(ctx, j);
    json_decref(j);
    return 0;
}

/* -- reading -- */

/* Redis has gone or has just come back; another server may take its place. */
static bool will_pass(const struct history_command *h, int rc)
{
    enum redis_error e = redis_error_of(client_error(h->session.client));

    return rc == -ENOTCONN || (rc == -EIO && (redis_error_passes(e) || redis_error_is_unfit(e)));
}

/* `why` may belong to the client. */
static void leave(struct history_command *h, const char *why)
{
    if (!h->told_away)
        cmd_tell("purgeline history: Redis is away: %s; waiting until it is back\n", why);
    h->told_away = true;
    if (h->session.client)
        client_close(h->session.client);
    h->session.client = NULL;
}

static void reconnect(struct history_command *h)
{
    struct redis_address address;
    struct error err;

    if (cmd_redis_address(&h->session.config, &address) != 0)
        return;
    if (client_open(&address, &h->session.client, &err) < 0) {
        h->session.client = NULL;
        leave(h, err.text);
    }
    redis_address_deinit(&address);
}

/* A step of following: 0, or negative errno if that will not pass. */
static int step(struct history_command *h, char id[HISTORY_CURSOR_ROOM])
{
    char newest[HISTORY_CURSOR_ROOM];
    int rc = 0;

    if (!h->session.client)
        reconnect(h);
    if (!h->session.client)
        return 0;
    if (h->told_away)
        rc = history_newest(h->session.client, h->query.account, newest); /* does it answer? */
    if (rc == 0 && h->told_away)
        cmd_tell("purgeline history: Redis is back\n");
    h->told_away = h->told_away && rc < 0;
    if (rc == 0)
        rc = history_follow(h->session.client, &h->query, id, on_new_line, h);
    if (rc >= 0 || !will_pass(h, rc))
        return rc;
    leave(h, client_error(h->session.client));
    return 0;
}

/* A new server gives new entries of the history greater ids, too, because they begin with the time:
 * so it goes on behind the last entry that it has shown. */
static int follow(struct history_command *h, char id[HISTORY_CURSOR_ROOM])
{
    static const struct timespec pause = {0, FOLLOW_EVERY_NS};
    int rc = 0;

    for (size_t i = json_array_size(h->kept); i-- > 0;)
        print(h, json_array_get(h->kept, i));
    while (rc == 0 && fflush(stdout) == 0 && !ferror(stdout)) {
        nanosleep(&pause, NULL);
        rc = step(h, id);
    }
    return rc;
}

static int read_all(struct history_command *h)
{
    struct history_wanted *wanted = history_wanted_new(&h->filter);
    char id[HISTORY_CURSOR_ROOM];
    int rc = 0;

    h->query.account = h->session.account->name;
    h->query.wanted = wanted;
    if (h->follow)
        rc = history_newest(h->session.client, h->query.account, id);
    if (h->follow)
        h->kept = json_array();
    if (rc == 0)
        rc = history_read(h->session.client, &h->query, on_line, h);
    if (rc == 0 && h->follow)
        rc = follow(h, id);
    json_decref(h->kept);
    history_wanted_free(wanted);
    return rc < 0 ? cmd_redis_failed(h->session.client, rc) : CMD_OK;
}

/* -- options -- */

static int check_outcome(const char *text)
{
    if (outcome_is_end(text))
        return 0;
    return cmd_fail(CMD_USAGE, "--outcome: expected purged, dead, expired or cancelled, found '%s'",
                    text);
}

/* 0, an exit code, or -1: it is a common option, or none. */
static int take_option(struct history_command *h, int opt)
{
    switch (opt) {
    case OPT_TARGET:
        h->filter.target = span_str(optarg);
        return 0;
    case OPT_REF:
        h->filter.ref = span_str(optarg);
        return 0;
    case OPT_JOB:
        h->filter.job = span_str(optarg);
        return 0;
    case OPT_ID:
        h->filter.purge_id = span_str(optarg);
        return 0;
    case OPT_PRODUCER:
        h->filter.producer = span_str(optarg);
        return 0;
    case OPT_ACTS:
        h->filter.acts = true;
        return 0;
    case OPT_OUTCOME:
        h->filter.outcome = span_str(optarg);
        return check_outcome(optarg);
    case OPT_SINCE:
        return cmd_take_past("since", optarg, &h->query.since_ms);
    case OPT_UNTIL:
        return cmd_take_past("until", optarg, &h->query.until_ms);
    case 'n':
        h->limited = true;
        return span_to_u64(span_str(optarg), &h->limit) == 0
                   ? 0
                   : cmd_fail(CMD_USAGE, "--number: expected a number, found '%s'", optarg);
    case 'f':
        h->follow = true;
        return 0;
    default:
        return -1;
    }
}

int cmd_history(int argc, char **argv)
{
    struct history_command h = {.limit = 0};
    int opt, rc = 0;

    while ((opt = getopt_long(argc, argv, CMD_SHORT "n:f", options, NULL)) != -1) {
        rc = take_option(&h, opt);
        if (rc > 0)
            return rc;
        if (rc < 0 && (opt == 'h' || !cmd_take_common(&h.common, opt)))
            break;
    }
    rc = cmd_after_options("history", opt, cmd_history_help);
    if (rc != -1)
        return rc;
    if (optind < argc)
        return cmd_fail(CMD_USAGE, "'%s': history takes only options; see --target", argv[optind]);
    if (h.filter.acts && (h.filter.target.n || h.filter.ref.n || h.filter.job.n ||
                          h.filter.outcome.n || h.filter.purge_id.n))
        return cmd_fail(CMD_USAGE,
                        "--acts: --target, --ref, --outcome, --job and --id are about jobs");
    if (h.follow && h.query.until_ms)
        return cmd_fail(CMD_USAGE, "--until: what is followed has no end");
    if (!h.limited)
        h.limit = h.follow ? FOLLOW_FIRST : LIMIT_DEFAULT;
    rc = cmd_session_open(&h.common, &h.session);
    if (rc != 0)
        return rc;
    rc = read_all(&h);
    cmd_session_close(&h.session);
    return rc;
}
