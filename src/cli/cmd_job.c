/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "cmd.h"
#include "job.h"
#include "job_timeline.h"
#include "json_text.h"
#include "overview_words.h"

const char cmd_job_help[] =
    "usage: purgeline job [OPTION...] ID\n"
    "\n"
    "Shows who pushed a job, where it is and why: how it ended, or what it waits for.\n"
    "Only the instance that leads the account knows what each of its targets waits for;\n"
    "its console and its GET /v1/jobs/ID show that.\n"
    "\n"
    "  -a, --account NAME   required if there are several accounts\n"
    "  -j, --json           as JSON, like GET /v1/jobs/ID\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline job normal-1700000000000-0\n"
    "  purgeline push --json article-17 | jq -r .job | xargs purgeline job\n"
    "\n"
    "exit codes: 0 done; 1 there is no such job, or Redis refused; 2 wrong arguments;\n"
    "3 Redis cannot be reached\n";

static const struct option options[] = {CMD_LONG, {NULL, 0, NULL, 0}};

/* -- reading -- */

static json_t *ended_json(const char *job, const char *receipt)
{
    json_t *j = json_loads(receipt, JSON_ALLOW_NUL, NULL);

    if (!json_is_object(j)) {
        json_decref(j);
        j = json_pack("{soso}", "job", json_text_of(job), "state", json_text_of("ended"));
    }
    json_object_del(j, "scope");
    json_object_set_new(j, "timeline", job_timeline_ended(job, j));
    return j;
}

/* Unix milliseconds. */
static json_int_t reported_at(const struct overview *o)
{
    json_t *report = json_loads(o->status, 0, NULL);
    json_int_t at = json_integer_value(json_object_get(report, "at"));

    json_decref(report);
    return at;
}

/* The parts of the leader's last report that may be about this job; it does not name jobs. */
static json_t *leader_json(const struct overview *o, const json_t *timeline)
{
    const json_t *accepted = json_object_get(json_array_get(timeline, 0), "at");
    json_t *j = json_pack("{sbso}", "here", 0, "instance", json_text_of(o->leader));
    struct overview_verified verified;
    char error[700];
    json_int_t error_at;
    uint64_t age_ms;

    if (overview_verified(o, &verified) && verified.pending)
        json_object_set_new(j, "verify_pending", json_integer((json_int_t)verified.pending));
    if (!overview_last_error(o, error, sizeof(error), &age_ms))
        return j;
    error_at = reported_at(o) - (json_int_t)age_ms;
    if (error_at >= json_integer_value(accepted)) {
        json_object_set_new(j, "last_error", json_text_of(error));
        json_object_set_new(j, "last_error_at", json_integer(error_at));
    }
    return j;
}

/* How many jobs of the lane the leader has read, by its last report. */
static void add_in_hand(json_t *steps, const struct overview *o, enum lane lane)
{
    json_t *step;
    size_t i;

    json_array_foreach(steps, i, step)
    {
        if (o->status && json_object_get(step, "jobs"))
            json_object_set_new(step, "in_hand", json_integer((json_int_t)o->lanes[lane].in_hand));
    }
}

static json_t *waiting_json(const struct cmd_session *s, const char *job,
                            const struct jobplace_found *found, const struct overview *o)
{
    struct overview_cache_account state = overview_cache_from(o);
    struct job_timeline t = {.job = job,
                             .account = s->account,
                             .place = &found->place,
                             .state = &state,
                             .due_ms = found->due_ms,
                             .now_ms = clock_wall_ms(),
                             .origin = SPAN("")};
    json_t *j = json_pack("{sososo}", "job", json_text_of(job), "state", json_text_of("waiting"),
                          "timeline", job_timeline_waiting(&t));

    add_in_hand(json_object_get(j, "timeline"), o, found->place.lane);
    if (found->by)
        json_object_set_new(j, "by", json_text_of(found->by));
    if (o->leader)
        json_object_set_new(j, "leader", leader_json(o, json_object_get(j, "timeline")));
    return j;
}

/* 0 with *out, or an exit code after printing an error. */
static int read_job(const struct cmd_session *s, const char *job, json_t **out)
{
    struct jobplace_found found;
    struct overview o;
    int rc = jobplace_find_now(s->client, s->account->name, job, &found);

    if (rc < 0)
        return cmd_redis_failed(s->client, rc);
    if (found.state == JOB_ENDED)
        *out = ended_json(job, found.receipt);
    free(found.receipt);
    if (found.state == JOB_UNKNOWN)
        return cmd_fail(CMD_FAILED, "%s: not there; it never was, or its receipt has expired", job);
    if (found.state == JOB_UNSURE)
        return cmd_fail(CMD_FAILED,
                        "%s: not found yet; what an older version postponed is still being moved",
                        job);
    if (found.state != JOB_WAITING)
        return 0;
    rc = overview_read(s->client, s->account, &o);
    if (rc == 0)
        *out = waiting_json(s, job, &found, &o);
    free(found.by);
    if (rc < 0)
        return cmd_redis_failed(s->client, rc);
    overview_deinit(&o);
    return 0;
}

/* -- printing -- */

static const char *text_of(const json_t *j, const char *name)
{
    const char *text = json_string_value(json_object_get(j, name));

    return text ? text : "";
}

static void print_until(const json_t *step, const char *before)
{
    if (!json_object_get(step, "until"))
        return;
    cmd_print("%s", before);
    cmd_print_time((uint64_t)json_integer_value(json_object_get(step, "until")));
}

static void print_step(const json_t *step)
{
    static const char *const sentences[][2] = {
        {"accepted", "accepted, and stored in Redis"},
        {"postponed", "postponed"},
        {"lane", "in the lane"},
        {"nobody_leads", "no instance sends for the account"},
        {"paused", "the account is paused: `purgeline resume` ends that"},
        {"stuck", "Redis refuses what the leader needs"},
        {"held", "Fastly wants nothing now"},
        {"budget", "if still unsent, sent"},
        {"ended", "ended:"}};
    const char *name = text_of(step, "step"), *sentence = name;
    const json_t *jobs = json_object_get(step, "jobs"), *read = json_object_get(step, "in_hand");

    for (size_t i = 0; i < array_len(sentences); i++)
        if (strcmp(sentences[i][0], name) == 0)
            sentence = sentences[i][1];
    cmd_print("  ");
    if (json_object_get(step, "at"))
        cmd_print_time((uint64_t)json_integer_value(json_object_get(step, "at")));
    else
        cmd_print("%20s", "");
    cmd_print("  %s", sentence);
    if (*text_of(step, "lane"))
        cmd_print(" %s", text_of(step, "lane"));
    if (jobs)
        cmd_print(", which has %lld job%s", (long long)json_integer_value(jobs),
                  json_integer_value(jobs) == 1 ? "" : "s");
    if (json_integer_value(read) < json_integer_value(jobs) && read)
        cmd_print("; its leader has read %lld", (long long)json_integer_value(read));
    if (*text_of(step, "state"))
        cmd_print(" %s", text_of(step, "state"));
    print_until(step, strcmp(name, "budget") == 0 ? " by about " : ", until ");
    cmd_print("\n");
    if (*text_of(step, "why"))
        cmd_print("%24s%s\n", "", text_of(step, "why"));
    if (*text_of(step, "reason"))
        cmd_print("%24s%s\n", "", text_of(step, "reason"));
    if (*text_of(step, "purge_id"))
        cmd_print("%24sFastly's id of the purge: %s\n", "", text_of(step, "purge_id"));
}

static void print_leader(const json_t *leader)
{
    const json_t *pages = json_object_get(leader, "verify_pending");

    if (pages)
        cmd_print("Pages that its leader looks at after their purges: %lld. A job that asked for\n"
                  "this waits until its own have been seen.\n",
                  (long long)json_integer_value(pages));
    if (*text_of(leader, "last_error")) {
        cmd_print("Fastly's last error, for this job or another, at ");
        cmd_print_time((uint64_t)json_integer_value(json_object_get(leader, "last_error_at")));
        cmd_print(":\n  %s\n", text_of(leader, "last_error"));
    }
    cmd_print("The leader knows what each target waits for; its console shows it:\n  %s\n",
              text_of(leader, "instance"));
}

static void print_job(const json_t *j)
{
    const json_t *step, *leader = json_object_get(j, "leader");
    const char *state = text_of(j, "state");
    bool waits = strcmp(state, "waiting") == 0, good = waits || strcmp(state, "purged") == 0;
    size_t i;

    cmd_print("%s  %s%s%s\n", text_of(j, "job"), cmd_colour(good ? CMD_GREEN : CMD_YELLOW), state,
              cmd_colour(CMD_PLAIN));
    if (*text_of(j, "ref"))
        cmd_print("  ref %s\n", text_of(j, "ref"));
    if (*text_of(j, "by"))
        cmd_print("  by %s\n", text_of(j, "by"));
    json_array_foreach(json_object_get(j, "timeline"), i, step) print_step(step);
    if (leader)
        print_leader(leader);
}

int cmd_job(int argc, char **argv)
{
    struct cmd_common common = {.json = false};
    struct cmd_session session;
    json_t *j = NULL;
    enum lane lane;
    int opt, rc;

    while ((opt = getopt_long(argc, argv, CMD_SHORT, options, NULL)) != -1)
        if (opt == 'h' || !cmd_take_common(&common, opt))
            break;
    rc = cmd_after_options("job", opt, cmd_job_help);
    if (rc != -1)
        return rc;
    if (argc - optind != 1)
        return cmd_fail(CMD_USAGE, "expected the id of one job");
    if (!job_id_ok(span_str(argv[optind]), &lane))
        return cmd_fail(CMD_USAGE, "'%s': expected an id like normal-1700000000000-0",
                        argv[optind]);
    rc = cmd_session_open(&common, &session);
    if (rc != 0)
        return rc;
    rc = read_job(&session, argv[optind], &j);
    if (rc == 0 && common.json)
        cmd_print_json(j, CMD_JSON_LINE);
    else if (rc == 0)
        print_job(j);
    json_decref(j);
    cmd_session_close(&session);
    return rc;
}
