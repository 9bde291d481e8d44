/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "cmd.h"
#include "enqueue.h"
#include "jobform.h"
#include "lines.h"
#include "log.h"
#include "redis.h"
#include "waitlist.h"

/* A line may hold a job of the largest size as JSON. */
#define LINE_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define COMPLAINTS_SHOWN 20

const char cmd_push_help[] =
    "usage: purgeline push [OPTION...] TARGET...\n"
    "       purgeline push [OPTION...] --file FILE\n"
    "       purgeline push [OPTION...] --all --service ID\n"
    "\n"
    "Puts purges into the queue of an account and prints the id of each job. When it\n"
    "returns 0, Redis has them all, and purgeline run will send them.\n"
    "\n"
    "A TARGET with :// in it is a URL, any other a surrogate key. Those on the command\n"
    "line make one job. In a file each line is a job: a target, several keys with spaces\n"
    "between them, or a JSON object such as {\"keys\": [\"a\", \"b\"], \"service\": \"news\"}.\n"
    "\n"
    "  -f, --file FILE        targets from a file; - is standard input\n"
    "  -n, --per-job N        as many lines of the file make one job (default 1)\n"
    "      --key, --url       every target is a key, or a URL without scheme is meant\n"
    "      --all              everything of the service\n"
    "  -s, --service ID       id or name of the Fastly service\n"
    "  -l, --lane LANE        urgent, normal (default) or bulk\n"
    "      --soft             mark as stale instead of removing\n"
    "      --not-before WHEN  send later: +5s, or Unix milliseconds\n"
    "      --expires WHEN     too late after that: +1h, or Unix milliseconds\n"
    "      --repeat-after T   purge again that long after success: 2s\n"
    "      --ref TEXT         comes back in receipts and dead letters\n"
    "  -w, --wait[=T]         until every job has ended, at most T (30s); shows receipts\n"
    "  -q, --quiet            no job ids\n"
    "  -j, --json             one JSON object per job\n"
    "  -a, --account NAME     needed when there are several\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline push article-17 home\n"
    "  purgeline push --soft --service news https://www.example.com/path?x=1\n"
    "  mysql -BN -e 'select tag from old' | purgeline push --lane bulk --file -\n"
    "  purgeline push --wait=10s article-17 && echo it is fresh\n"
    "\n"
    "exit codes: 0 all accepted (with --wait: all purged); 1 some were refused or not\n"
    "purged; 2 wrong arguments; 3 Redis cannot be reached; 4 not all ended in time\n";

enum long_only {
    OPT_KEY = 256,
    OPT_URL,
    OPT_ALL,
    OPT_SOFT,
    OPT_NOT_BEFORE,
    OPT_EXPIRES,
    OPT_REPEAT_AFTER,
    OPT_REF
};

static const struct option options[] = {CMD_LONG,
                                        {"file", required_argument, NULL, 'f'},
                                        {"per-job", required_argument, NULL, 'n'},
                                        {"key", no_argument, NULL, OPT_KEY},
                                        {"url", no_argument, NULL, OPT_URL},
                                        {"all", no_argument, NULL, OPT_ALL},
                                        {"service", required_argument, NULL, 's'},
                                        {"lane", required_argument, NULL, 'l'},
                                        {"soft", no_argument, NULL, OPT_SOFT},
                                        {"not-before", required_argument, NULL, OPT_NOT_BEFORE},
                                        {"expires", required_argument, NULL, OPT_EXPIRES},
                                        {"repeat-after", required_argument, NULL, OPT_REPEAT_AFTER},
                                        {"ref", required_argument, NULL, OPT_REF},
                                        {"wait", optional_argument, NULL, 'w'},
                                        {"quiet", no_argument, NULL, 'q'},
                                        {NULL, 0, NULL, 0}};

struct push {
    struct cmd_common common;
    struct cmd_session session;
    const char *file;
    uint64_t per_job;
    enum jobform_kind kind;
    enum lane lane;
    struct jobform defaults; /* what the options say, for every job */
    bool wait, quiet;
    uint64_t wait_ms; /* 0 = without end */
    uint64_t now_ms;

    struct enqueue *enqueue;
    struct waitlist *waitlist;
    struct cmd_progress progress;
    uint64_t wrong; /* jobs that never left: bad input */
    uint64_t purged, failed, ended;
    bool broken; /* Redis refuses or is gone */
    enum cmd_exit broken_code;
};

/* -- options -- */

static int bad_option(const char *name, const char *expected)
{
    return cmd_fail(CMD_USAGE, "--%s: expected %s, found '%s'", name, expected, optarg);
}

static int take_time(struct push *p, const char *option, const char *field)
{
    bool duration = strcmp(field, "repeat_after") == 0;
    uint64_t ms;
    char text[32];

    if ((duration ? cmd_parse_duration(optarg, &ms) : cmd_parse_when(optarg, p->now_ms, &ms)) < 0)
        return bad_option(option, duration ? "a time as 2s" : "+5s, or Unix milliseconds");
    snprintf(text, sizeof(text), "%" PRIu64, ms);
    jobform_put(&p->defaults, field, span_str(text));
    return 0;
}

static int take_wait(struct push *p)
{
    p->wait = true;
    if (optarg && cmd_parse_duration(optarg, &p->wait_ms) < 0)
        return bad_option("wait", "a time as 30s");
    /* A bare number is seconds here, as with `timeout 30`. */
    if (optarg && strspn(optarg, "0123456789") == strlen(optarg))
        p->wait_ms *= 1000;
    return 0;
}

static int take_per_job(struct push *p)
{
    if (span_to_u64(span_str(optarg), &p->per_job) < 0 || p->per_job < 1 ||
        p->per_job > JOB_TARGETS_MAX)
        return bad_option("per-job", "a number from 1 to 10000");
    return 0;
}

static int take_target_option(struct push *p, int opt)
{
    switch (opt) {
    case OPT_NOT_BEFORE:
        return take_time(p, "not-before", "not_before");
    case OPT_EXPIRES:
        return take_time(p, "expires", "expires");
    case OPT_REPEAT_AFTER:
        return take_time(p, "repeat-after", "repeat_after");
    case 's':
        jobform_put(&p->defaults, "service", span_str(optarg));
        return 0;
    case OPT_REF:
        jobform_put(&p->defaults, "ref", span_str(optarg));
        return 0;
    case OPT_SOFT:
        jobform_put(&p->defaults, "soft", SPAN("1"));
        return 0;
    case OPT_ALL:
        jobform_put(&p->defaults, "all", SPAN("1"));
        return 0;
    default:
        must(!"an option without a case");
        return CMD_USAGE;
    }
}

static int take_option(struct push *p, int opt)
{
    if (cmd_take_common(&p->common, opt))
        return 0;
    switch (opt) {
    case 'f':
        p->file = optarg;
        return 0;
    case 'n':
        return take_per_job(p);
    case 'l':
        return lane_parse(span_str(optarg), &p->lane) < 0
                   ? bad_option("lane", "urgent, normal or bulk")
                   : 0;
    case 'w':
        return take_wait(p);
    case 'q':
        p->quiet = true;
        return 0;
    case OPT_KEY:
        p->kind = JOBFORM_KEY;
        return 0;
    case OPT_URL:
        p->kind = JOBFORM_URL;
        return 0;
    default:
        return take_target_option(p, opt);
    }
}

static int take_options(struct push *p, int argc, char **argv)
{
    int opt, rc = 0;

    while ((opt = getopt_long(argc, argv, CMD_SHORT "f:n:s:l:w::q", options, NULL)) != -1) {
        if (opt == '?' || opt == 'h')
            break;
        rc = take_option(p, opt);
        if (rc != 0)
            return rc;
    }
    return cmd_after_options("push", opt, cmd_push_help);
}

/* -- what becomes of a job -- */

static void print_json(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);

    must(text != NULL);
    puts(text);
    free(text);
    json_decref(line);
}

static void complain(struct push *p, uint64_t line, const char *why)
{
    if (p->wrong++ >= COMPLAINTS_SHOWN)
        return;
    cmd_progress_end(&p->progress);
    if (line)
        cmd_fail(CMD_FAILED, "line %" PRIu64 ": %s", line, why);
    else
        cmd_fail(CMD_FAILED, "%s", why);
}

static void on_answer(void *ctx, uint64_t line, const char *job, const char *refusal)
{
    struct push *p = ctx;
    json_t *o;
    int rc = 0;

    if (job && p->waitlist)
        rc = waitlist_expect(p->waitlist, job);
    must(rc == 0);
    if (p->quiet || p->wait || !job) {
        (void)refusal; /* said once, at the end */
        return;
    }
    if (!p->common.json) {
        puts(job);
        return;
    }
    o = json_pack("{ss}", "job", job);
    must(o != NULL);
    if (line)
        json_object_set_new(o, "line", json_integer((json_int_t)line));
    print_json(o);
}

/* Sends the form and empties it. */
static void send(struct push *p, struct jobform *f, uint64_t line)
{
    const struct span *fields;
    size_t count;
    char err[512];
    int rc;

    jobform_add_missing(f, &p->defaults);
    fields = jobform_fields(f, &count);
    rc = enqueue_put(p->enqueue, f->lane, fields, count, line, err, sizeof(err));
    if (rc == -EINVAL)
        complain(p, line, err);
    else if (rc < 0)
        p->broken = true;
    jobform_clear(f, p->lane);
}

/* -- where jobs come from -- */

static int push_arguments(struct push *p, int argc, char **argv)
{
    struct jobform f;
    char err[512];
    int rc = 0;

    jobform_init(&f, p->lane);
    for (int i = 0; rc == 0 && i < argc; i++)
        rc = jobform_add_targets(&f, p->kind, span_str(argv[i]), err, sizeof(err));
    if (rc == 0)
        send(p, &f, 0);
    else
        complain(p, 0, err);
    jobform_deinit(&f);
    return 0;
}

static void push_json(struct push *p, struct span line, uint64_t number)
{
    struct jobform f;
    char err[512];

    jobform_init(&f, p->lane);
    if (jobform_add_json(&f, line, err, sizeof(err)) == 0)
        send(p, &f, number);
    else
        complain(p, number, err);
    jobform_deinit(&f);
}

/* A job of several lines carries the number of its first. */
struct gathering {
    struct jobform form;
    uint64_t lines, first;
};

static void flush_gathered(struct push *p, struct gathering *g)
{
    if (g->lines)
        send(p, &g->form, g->first);
    g->lines = 0;
}

static void push_line(struct push *p, struct gathering *g, struct span line, uint64_t number)
{
    char err[512];

    if (line.n == 0)
        return;
    if (line.p[0] == '{') {
        flush_gathered(p, g);
        push_json(p, line, number);
        return;
    }
    if (g->lines == 0)
        g->first = number;
    if (jobform_add_targets(&g->form, p->kind, line, err, sizeof(err)) < 0)
        complain(p, number, err);
    else if (++g->lines == p->per_job)
        flush_gathered(p, g);
}

static void show_progress(struct push *p, const struct lines *l)
{
    const struct enqueue_counts *c = enqueue_counts(p->enqueue);
    char note[64], number[32];

    snprintf(note, sizeof(note), "%s jobs", cmd_number_words(number, sizeof(number), c->accepted));
    cmd_progress_at(&p->progress, l->bytes, note);
}

static void push_lines(struct push *p, FILE *file)
{
    struct gathering g = {0};
    struct lines l;
    struct span line;
    int rc;

    jobform_init(&g.form, p->lane);
    lines_init(&l, file, LINE_MAX_BYTES);
    while (!p->broken && (rc = lines_next(&l, &line)) != 0) {
        if (rc == -EMSGSIZE) {
            complain(p, l.number, "longer than 16 MiB");
        } else if (rc < 0) {
            complain(p, l.number + 1, strerror(-rc));
            break;
        } else {
            push_line(p, &g, line, l.number);
        }
        show_progress(p, &l);
    }
    if (!p->broken)
        flush_gathered(p, &g);
    lines_deinit(&l);
    jobform_deinit(&g.form);
}

static int push_file(struct push *p)
{
    bool in = strcmp(p->file, "-") == 0;
    FILE *file = in ? stdin : fopen(p->file, "re");
    struct stat st;

    if (!file)
        return cmd_fail(CMD_USAGE, "%s: %s", p->file, strerror(errno));
    cmd_progress_begin(&p->progress, "pushing",
                       fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size
                                                                            : 0);
    if (!p->quiet && !p->wait && isatty(STDOUT_FILENO))
        p->progress.on = false; /* the ids that scroll by are progress enough */
    push_lines(p, file);
    cmd_progress_end(&p->progress);
    if (!in)
        fclose(file);
    return 0;
}

/* -- the end -- */

static void show_receipt(struct push *p, const char *job, const char *state, json_t *receipt)
{
    const char *reason = json_string_value(json_object_get(receipt, "reason"));
    bool good = strcmp(state, "purged") == 0;

    if (p->quiet)
        return;
    cmd_progress_end(&p->progress);
    if (p->common.json)
        print_json(receipt ? json_incref(receipt)
                           : json_pack("{ssss}", "job", job, "state", state));
    else
        printf("%s %s%s%s%s%s\n", job, cmd_colour(good ? CMD_GREEN : CMD_RED), state,
               cmd_colour(CMD_PLAIN), reason ? ": " : "", reason ? reason : "");
}

static void on_receipt(void *ctx, const char *job, struct span text)
{
    struct push *p = ctx;
    json_t *receipt = text.n ? json_loadb(text.p, text.n, 0, NULL) : NULL;
    const char *state = json_string_value(json_object_get(receipt, "state"));
    char note[64];

    /* No receipt where one should be: purged or dead, nobody wrote down which. */
    if (!state)
        state = "ended";
    p->ended++;
    if (strcmp(state, "purged") == 0)
        p->purged++;
    else
        p->failed++;
    show_receipt(p, job, state, receipt);
    snprintf(note, sizeof(note), "%" PRIu64 " of %" PRIu64, p->ended, p->progress.total);
    cmd_progress_at(&p->progress, p->ended, note);
    json_decref(receipt);
}

static int await(struct push *p)
{
    uint64_t now = clock_mono_ns(), open = waitlist_open(p->waitlist);
    struct redis_address address;
    char err[256] = "";
    int rc = cmd_redis_address(&p->session.config, &address);

    if (rc != 0)
        return rc;
    cmd_progress_begin(&p->progress, "purging", open);
    rc = waitlist_await(p->waitlist, &address, p->wait_ms ? now + p->wait_ms * NS_PER_MS : NEVER,
                        on_receipt, p, err, sizeof(err));
    cmd_progress_end(&p->progress);
    redis_address_deinit(&address);
    if (!p->quiet)
        fprintf(stderr, "%" PRIu64 " purged, %" PRIu64 " not, %" PRIu64 " open\n", p->purged,
                p->failed, waitlist_open(p->waitlist));
    if (rc == -ETIMEDOUT)
        return cmd_fail(CMD_TIMEOUT, "not all ended in time; they stay in the queue");
    if (rc < 0)
        return cmd_fail(CMD_REDIS, "Redis stays away: %s", err);
    return p->failed ? CMD_FAILED : CMD_OK;
}

static int sum_up(struct push *p)
{
    const struct enqueue_counts *c = enqueue_counts(p->enqueue);
    char why[256];
    int rc = enqueue_finish(p->enqueue, why, sizeof(why));

    if (rc == -EIO)
        cmd_fail(CMD_FAILED, "Redis refuses: %s", why);
    else if (rc == -ENOTCONN)
        cmd_fail(CMD_REDIS, "the connection to Redis broke: %s", why);
    if ((p->file && (rc < 0 || p->wrong)) || c->unknown)
        fprintf(stderr,
                "%" PRIu64 " jobs accepted, %" PRIu64 " of bad input not sent, %" PRIu64
                " refused by Redis, %" PRIu64 " of unknown fate%s\n",
                c->accepted, p->wrong, c->refused, c->unknown,
                p->broken ? "; the rest was not sent" : "");
    else if (p->file && !p->quiet)
        fprintf(stderr, "%" PRIu64 " jobs accepted\n", c->accepted);
    if (rc == -ENOTCONN)
        return CMD_REDIS;
    return rc < 0 || p->wrong ? CMD_FAILED : CMD_OK;
}

static int push(struct push *p, int argc, char **argv)
{
    int rc, waited = CMD_OK;

    p->enqueue = enqueue_new(p->session.client, p->session.account, on_answer, p);
    if (p->wait)
        p->waitlist = waitlist_new(p->session.account->name);
    rc = p->file ? push_file(p) : push_arguments(p, argc, argv);
    if (rc == 0)
        rc = sum_up(p);
    if (p->wait && rc != CMD_USAGE)
        waited = await(p);
    waitlist_free(p->waitlist);
    enqueue_free(p->enqueue);
    return rc != CMD_OK ? rc : waited;
}

static bool names_all(const struct push *p)
{
    for (size_t i = 0; i < p->defaults.count; i += 2)
        if (span_is(p->defaults.fields[i], "all"))
            return true;
    return false;
}

static int check_arguments(const struct push *p, int targets)
{
    if (p->file && (targets || names_all(p)))
        return cmd_fail(CMD_USAGE, "--file, or targets as arguments, or --all");
    if (targets && names_all(p))
        return cmd_fail(CMD_USAGE, "--all leaves no room for targets");
    if (!p->file && !targets && !names_all(p))
        return cmd_fail(CMD_USAGE, "what is to be purged? Try 'purgeline push --help'");
    return 0;
}

static int open_and_push(struct push *p, int argc, char **argv)
{
    int rc = check_arguments(p, argc);

    if (rc == 0)
        rc = cmd_session_open(&p->common, &p->session);
    if (rc != 0)
        return rc;
    if (p->wait && p->session.account->receipts != RECEIPTS_ALL)
        rc = cmd_fail(CMD_USAGE,
                      "cannot wait: account %s does not keep all receipts (receipts: all)",
                      p->session.account->name);
    else
        rc = push(p, argc, argv);
    cmd_session_close(&p->session);
    return rc;
}

int cmd_push(int argc, char **argv)
{
    struct push p = {.lane = LANE_NORMAL, .per_job = 1, .now_ms = clock_wall_ms()};
    int rc;

    jobform_init(&p.defaults, LANE_NORMAL);
    rc = take_options(&p, argc, argv);
    if (rc == -1)
        rc = open_and_push(&p, argc - optind, argv + optind);
    jobform_deinit(&p.defaults);
    return rc;
}
