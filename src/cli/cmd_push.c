/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "cmd_push.h"
#include "job.h"
#include "json_text.h"
#include "push_pipeline.h"
#include "receipts_wait.h"
#include "redis.h"
#include "redis_error.h"

#define COMPLAINTS_SHOWN 20

const char cmd_push_help[] =
    "usage: purgeline push [OPTION...] TARGET...\n"
    "       purgeline push [OPTION...] --file FILE\n"
    "       purgeline push [OPTION...] --all --service ID\n"
    "       purgeline push [OPTION...] -\n"
    "\n"
    "Puts purges into the queue of an account and prints the id of each job. When it\n"
    "returns 0, Redis has them all, and purgeline run will send them.\n"
    "\n"
    "A TARGET that contains :// is a URL, any other is a surrogate key. The targets on the\n"
    "command line make one job. In a file each line is a job: a target, several keys\n"
    "separated by spaces, or a JSON object like {\"keys\": [\"a\", \"b\"], \"service\": "
    "\"news\"}.\n"
    "\n"
    "With - it reads such lines from standard input until its end. For each line, in order,\n"
    "it prints the job id once Redis has stored the job, or `error: line N: why`; a consumer\n"
    "may then commit its offset. While Redis is away it waits, then pushes unacknowledged\n"
    "jobs again: a job may arrive twice, but is never lost. On SIGTERM it stops reading and\n"
    "finishes the lines it has read. Blank lines get no reply.\n"
    "\n" CMD_JOBS_HELP
    "  -w, --wait[=T]         wait until every job has ended, and show receipts; T, for\n"
    "                         example 30s, limits the wait (default: no limit)\n"
    "  -q, --quiet            do not print job ids\n"
    "  -j, --json             one JSON object per job; with - also per error\n"
    "  -a, --account NAME     required if there are several accounts\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline push article-17 home\n"
    "  purgeline push --soft --service news https://www.example.com/path?x=1\n"
    "  purgeline push --service news --service shop article-17\n"
    "  mysql -BN -e 'select tag from old' | purgeline push --lane bulk --file -\n"
    "  kcat -b broker -G purges -X auto.offset.reset=earliest -q -u changes | purgeline push -\n"
    "  purgeline push --wait=10s article-17 && echo it is fresh\n"
    "  purgeline push --wait --verify https://www.example.com/ && echo it was seen fresh\n"
    "  purgeline push --wait --verify-page https://www.example.com/ article-17\n"
    "\n"
    "exit codes: 0 all accepted (with --wait: all purged); 1 some were refused or not\n"
    "purged, or a page stays stale (--verify); 2 wrong arguments; 3 Redis cannot be\n"
    "reached, or it refuses jobs (with -) or receipts (with --wait); 4 not all jobs\n"
    "have ended in time\n";

static const struct option options[] = {CMD_LONG,
                                        CMD_JOBS_LONG,
                                        {"wait", optional_argument, NULL, 'w'},
                                        {"quiet", no_argument, NULL, 'q'},
                                        {NULL, 0, NULL, 0}};

struct push {
    struct cmd_common common;
    struct cmd_session session;
    struct cmd_jobs jobs;
    bool wait, quiet;
    uint64_t wait_ms; /* 0: no limit */

    struct push_pipeline *enqueue;
    struct receipts_wait *receipts_wait;
    struct cmd_progress progress;
    uint64_t wrong;      /* invalid jobs, which were not sent */
    uint64_t first_open; /* the first line that Redis did not accept; 0: none */
    uint64_t purged, failed, ended;
    bool broken;  /* Redis refuses jobs or cannot be reached */
    bool strange; /* Redis replied with an invalid job id */
    enum cmd_exit broken_code;
};

/* -- options -- */

static int take_wait(struct push *p)
{
    p->wait = true;
    if (optarg && cmd_parse_duration(optarg, &p->wait_ms) < 0)
        return cmd_jobs_bad_option("wait", "a time like 30s");
    /* A number without a unit means seconds here, like in `timeout 30`. */
    if (optarg && strspn(optarg, "0123456789") == strlen(optarg))
        p->wait_ms *= 1000;
    return 0;
}

static int take_option(struct push *p, int opt)
{
    if (cmd_take_common(&p->common, opt))
        return 0;
    switch (opt) {
    case 'w':
        return take_wait(p);
    case 'q':
        p->quiet = true;
        return 0;
    default:
        return cmd_jobs_take(&p->jobs, opt);
    }
}

static int take_options(struct push *p, int argc, char **argv)
{
    int opt, rc = 0;

    while ((opt = getopt_long(argc, argv, CMD_SHORT CMD_JOBS_SHORT "w::q", options, NULL)) != -1) {
        if (opt == '?' || opt == 'h')
            break;
        rc = take_option(p, opt);
        if (rc != 0)
            return rc;
    }
    return cmd_after_options("push", opt, cmd_push_help);
}

/* -- sending, and replies from Redis -- */

static void complain(void *ctx, uint64_t line, const char *why)
{
    struct push *p = ctx;

    if (p->wrong++ >= COMPLAINTS_SHOWN)
        return;
    cmd_progress_end(&p->progress);
    if (line)
        cmd_fail(CMD_FAILED, "line %" PRIu64 ": %s", line, why);
    else
        cmd_fail(CMD_FAILED, "%s", why);
}

/* Keeps the lowest number: a line that cannot be sent may be reported before earlier lines that are
 * still in progress. */
static void note_open(struct push *p, uint64_t line)
{
    if (!p->first_open || line < p->first_open)
        p->first_open = line;
}

static void stop_at(struct push *p, uint64_t line)
{
    p->broken = true;
    note_open(p, line);
}

static void on_answer(void *ctx, uint64_t line, const char *job, const char *refusal)
{
    struct push *p = ctx;
    json_t *o;

    if (!job)
        note_open(p, line);
    if (job && p->receipts_wait && receipts_wait_expect(p->receipts_wait, job) < 0)
        p->strange = true; /* it was accepted, but jobs with such ids cannot be waited for */
    if (p->quiet || p->wait || !job) {
        (void)refusal; /* reported once, at the end */
        return;
    }
    if (!p->common.json) {
        cmd_print("%s\n", job);
        return;
    }
    o = json_pack("{so}", "job", json_text_of(job));
    if (line)
        json_object_set_new(o, "line", json_integer((json_int_t)line));
    cmd_print_json(o, CMD_JSON_LINE);
    json_decref(o);
}

static bool send(void *ctx, enum lane lane, const struct span *fields, size_t count, uint64_t line)
{
    struct push *p = ctx;
    struct error err;
    int rc = push_pipeline_put(p->enqueue, lane, fields, count, line, &err);

    if (rc == -EINVAL)
        complain(p, line, err.text);
    else if (rc < 0)
        stop_at(p, line);
    return !p->broken;
}

static const char *accepted(void *ctx, char *note, size_t room)
{
    struct push *p = ctx;
    char number[32];

    snprintf(note, room, "%s jobs",
             cmd_number_words(number, sizeof(number), push_pipeline_counts(p->enqueue)->accepted));
    return note;
}

static int read_and_send(struct push *p, int argc, char **argv)
{
    const struct cmd_jobs_reader r = {
        .job = send,
        .wrong = complain,
        .progress = accepted,
        .ctx = p,
        .bar = &p->progress,
        .what = "pushing",
        /* The job ids printed to the terminal show the progress already. */
        .silent = !p->quiet && !p->wait && isatty(STDOUT_FILENO),
    };

    return cmd_jobs_read(&p->jobs, argc, argv, &r);
}

/* -- the end -- */

/* Purged, and not seen stale afterwards. */
static bool is_good(const char *state, json_t *receipt)
{
    const char *seen = json_string_value(json_object_get(receipt, "verified"));

    return strcmp(state, "purged") == 0 && !(seen && strcmp(seen, "stale") == 0);
}

/* What the look at the pages of a job found, for people. */
static const char *words_of_proof(json_t *receipt, char *out, size_t room)
{
    const char *result = json_string_value(json_object_get(receipt, "verified"));
    const char *why = json_string_value(json_object_get(receipt, "verified_why"));
    json_int_t repairs = json_integer_value(json_object_get(receipt, "repairs"));
    json_int_t stale_ms = json_integer_value(json_object_get(receipt, "stale_ms"));
    char repaired[64] = "", stale[64] = "", words[32];

    if (!result)
        return "";
    if (repairs)
        snprintf(repaired, sizeof(repaired), ", after %lld more purge%s", (long long)repairs,
                 repairs == 1 ? "" : "s");
    if (stale_ms > 0)
        snprintf(stale, sizeof(stale), ", stale for %s",
                 cmd_duration_words(words, sizeof(words), (uint64_t)stale_ms));
    snprintf(out, room, ", %s%s%s%s%s",
             strcmp(result, "fresh") == 0   ? "seen fresh"
             : strcmp(result, "stale") == 0 ? "still stale"
                                            : "not verified",
             repaired, stale, why ? ": " : "", why ? why : "");
    return out;
}

/* " (of its services: SU1, SU2)", if a job for several failed for some of them. */
static const char *words_of_services(const json_t *receipt, char *out, size_t room)
{
    const json_t *list = json_object_get(receipt, "failed_services"), *v;
    size_t n = 0, i;

    out[0] = '\0';
    json_array_foreach(list, i, v)
    {
        const char *id = json_string_value(v);

        if (id && n < room)
            n += (size_t)snprintf(out + n, room - n, "%s%s", i ? ", " : " (of its services: ", id);
    }
    if (n && n < room)
        snprintf(out + n, room - n, ")");
    return out;
}

static void show_receipt(struct push *p, const char *job, const char *state, json_t *receipt)
{
    const char *reason = json_string_value(json_object_get(receipt, "reason"));
    bool good = is_good(state, receipt);
    char proof[400], services[JOB_SERVICES_MAX * (SERVICE_ID_MAX_BYTES + 2) + 32];
    json_t *shown;

    if (p->quiet)
        return;
    cmd_progress_end(&p->progress);
    if (p->common.json) {
        shown = receipt
                    ? json_incref(receipt)
                    : json_pack("{soso}", "job", json_text_of(job), "state", json_text_of(state));
        cmd_print_json(shown, CMD_JSON_LINE);
        json_decref(shown);
        return;
    }
    cmd_print("%s %s%s%s%s%s%s%s\n", job, cmd_colour(good ? CMD_GREEN : CMD_RED), state,
              cmd_colour(CMD_PLAIN), reason ? ": " : "", reason ? reason : "",
              words_of_services(receipt, services, sizeof(services)),
              words_of_proof(receipt, proof, sizeof(proof)));
}

static void on_receipt(void *ctx, const char *job, struct span text)
{
    struct push *p = ctx;
    json_t *receipt = text.n ? json_loadb(text.p, text.n, 0, NULL) : NULL;
    const char *state = json_string_value(json_object_get(receipt, "state"));
    char note[64];

    /* The receipt is missing, so it is unknown whether the job was purged or is a dead letter. */
    if (!state)
        state = "ended";
    json_object_del(receipt, "scope"); /* internal: who may read the receipt over HTTP */
    p->ended++;
    if (is_good(state, receipt))
        p->purged++;
    else
        p->failed++;
    show_receipt(p, job, state, receipt);
    snprintf(note, sizeof(note), "%" PRIu64 " of %" PRIu64, p->ended, p->progress.total);
    cmd_progress_at(&p->progress, p->ended, note);
    json_decref(receipt);
}

static void on_deaf(void *ctx, const char *why)
{
    struct push *p = ctx;

    cmd_progress_end(&p->progress);
    cmd_fail(CMD_FAILED,
             "Redis does not report when jobs end (%s); polling receipts twice a second%s", why,
             p->wait_ms ? "" : ", for ten minutes at most");
}

static int await(struct push *p)
{
    uint64_t now = clock_mono_ns(), open = receipts_wait_open(p->receipts_wait);
    struct redis_address address;
    struct error err = {""};
    int rc = cmd_redis_address(&p->session.config, &address);

    if (rc != 0)
        return rc;
    cmd_progress_begin(&p->progress, "purging", open);
    rc = receipts_wait_await(p->receipts_wait, &address,
                             p->wait_ms ? now + p->wait_ms * NS_PER_MS : NEVER, on_receipt, on_deaf,
                             p, &err);
    cmd_progress_end(&p->progress);
    redis_address_deinit(&address);
    if (!p->quiet)
        cmd_tell("%" PRIu64 " purged, %" PRIu64 " not, %" PRIu64 " open\n", p->purged, p->failed,
                 receipts_wait_open(p->receipts_wait));
    if (p->strange)
        return cmd_fail(CMD_REDIS, "Redis returned an invalid job id: is this really Redis?");
    if (rc == -ETIMEDOUT)
        return cmd_fail(CMD_TIMEOUT, "not all ended in time; they stay in the queue");
    if (rc == -EIO)
        return cmd_fail(CMD_REDIS, "Redis refuses to show receipts: %s; the jobs stay in the queue",
                        err.text);
    if (rc < 0)
        return cmd_fail(CMD_REDIS, "Redis cannot be reached: %s", err.text);
    return p->failed ? CMD_FAILED : CMD_OK;
}

static int sum_up(struct push *p)
{
    const struct push_pipeline_counts *c = push_pipeline_counts(p->enqueue);
    struct error why;
    int rc = push_pipeline_finish(p->enqueue, &why);

    if (rc == -EIO)
        cmd_fail(CMD_FAILED, "Redis refuses: %s", redis_error_shown(why.text));
    else if (rc == -ENOTCONN && push_pipeline_few(p->enqueue))
        cmd_fail(CMD_REDIS, "%s: they are not accepted, though they may be purged", why.text);
    else if (rc == -ENOTCONN)
        cmd_fail(CMD_REDIS, "the connection to Redis broke: %s", why.text);
    if (p->jobs.file && p->first_open)
        cmd_tell("Pushing stopped: push again from line %" PRIu64 " on\n", p->first_open);
    if ((p->jobs.file && (rc < 0 || p->wrong)) || c->unknown)
        cmd_tell("%" PRIu64 " jobs accepted, %" PRIu64 " of bad input not sent, %" PRIu64
                 " refused by Redis, %" PRIu64 " of unknown outcome%s\n",
                 c->accepted, p->wrong, c->refused, c->unknown,
                 p->broken ? "; the rest was not sent" : "");
    else if (p->jobs.file && !p->quiet)
        cmd_tell("%" PRIu64 " jobs accepted\n", c->accepted);
    if (rc == -ENOTCONN)
        return CMD_REDIS;
    return rc < 0 || p->wrong ? CMD_FAILED : CMD_OK;
}

static int push(struct push *p, int argc, char **argv)
{
    int rc, waited = CMD_OK;

    p->enqueue = push_pipeline_new(p->session.client, p->session.account,
                                   p->session.config.redis_replicas, on_answer, p);
    if (p->wait)
        p->receipts_wait = receipts_wait_new(p->session.account);
    rc = read_and_send(p, argc, argv);
    if (rc == 0)
        rc = sum_up(p);
    if (p->wait && rc != CMD_USAGE)
        waited = await(p);
    receipts_wait_free(p->receipts_wait);
    push_pipeline_free(p->enqueue);
    return rc != CMD_OK ? rc : waited;
}

static int check_arguments(const struct push *p, int targets)
{
    int rc = cmd_jobs_check(&p->jobs, targets);

    if (rc == 0 && !cmd_jobs_any(&p->jobs, targets))
        return cmd_fail(CMD_USAGE, "nothing to purge given. Try 'purgeline push --help'");
    return rc;
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

static bool is_stream(int argc, char **argv)
{
    return argc == 1 && strcmp(argv[0], "-") == 0;
}

static int stream(const struct push *p)
{
    int rc = cmd_jobs_check(&p->jobs, 1);

    if (rc == 0 && (p->wait || p->jobs.per_job != 1))
        rc = cmd_fail(CMD_USAGE, "- takes neither --wait nor --per-job");
    return rc != 0 ? rc : cmd_push_stream(&p->common, &p->jobs, p->quiet);
}

int cmd_push(int argc, char **argv)
{
    struct push p = {0};
    int rc;

    cmd_jobs_init(&p.jobs, clock_wall_ms());
    rc = take_options(&p, argc, argv);
    if (rc == -1 && is_stream(argc - optind, argv + optind))
        rc = stream(&p);
    else if (rc == -1)
        rc = open_and_push(&p, argc - optind, argv + optind);
    cmd_jobs_deinit(&p.jobs);
    return rc;
}
